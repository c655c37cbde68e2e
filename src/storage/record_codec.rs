//! The format of all records: a bencoded dictionary with a version, followed by its SHA-1, which
//! detects every flipped bit.

use super::FileError;
use crate::bencode::{Dictionary, Item, KeyOrder, Value};
use crate::system::is_full;
use crate::torrent::{InfoHash, Sha1};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The version of the format. No other version is read.
const VERSION: i64 = 1;

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file is cut off, changed, or not a record.
    #[error(
        "{} is damaged ({what}) and is not used: remove it, and add the share or download again",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Another version of this program wrote the record.
    #[error(
        "{} has version {version}, but this program reads version {VERSION}: use the program that \
         wrote it",
        .path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        version: i64,
    },
    /// An undamaged file with the wrong name, or one that does not match the `.torrent` file of its
    /// share.
    #[error(
        "{} is not used, because it does not belong to the torrent in its name: remove it, and add \
         the share or download again",
        .0.display()
    )]
    Mismatch(PathBuf),
    /// An update of a record that does not exist.
    #[error("there is no record of {0}")]
    Unknown(InfoHash),
    /// The `.torrent` file of a share or download cannot be used.
    #[error(
        "{} {}: {what}. Put that file back, add the share or download again, or remove {} to \
         forget it",
        .place.display(),
        if *.is_unfinished { "is not downloaded" } else { "is not shared" },
        .record.display()
    )]
    Torrent {
        /// Where the files of the share are.
        place: PathBuf,
        /// Whether the share is a download that the user has not stopped.
        is_unstopped_download: bool,
        /// Whether the share is a download that is not complete.
        is_unfinished: bool,
        /// The record of the share.
        record: PathBuf,
        /// The `.torrent` file.
        torrent: PathBuf,
        /// What is wrong with the `.torrent` file. This text contains the path of that file.
        what: String,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl RecordError {
    /// The path of the file that cannot be used. An empty path if the error is not about a file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Damaged { path, .. }
            | Self::Version { path, .. }
            | Self::Mismatch(path)
            | Self::Torrent { torrent: path, .. } => path,
            Self::Io(error) => &error.path,
            Self::Unknown(_) => Path::new(""),
        }
    }

    /// Whether the record cannot be written because the disk or the quota is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io(error) if is_full(error.source.kind()))
    }

    /// The share or download whose file cannot be used. The name of that file says which one it is.
    pub fn info_hash(&self) -> Option<InfoHash> {
        self.path().file_stem()?.to_str()?.parse().ok()
    }

    /// Whether a download that was not stopped may be lost. A record that cannot be read may belong
    /// to such a download if its name is an info-hash.
    pub fn may_lose_download(&self) -> bool {
        match self {
            Self::Torrent {
                is_unstopped_download,
                ..
            } => *is_unstopped_download,
            _ => self.info_hash().is_some(),
        }
    }
}

/// Encodes a record with these entries.
pub(super) fn encode_record<'a>(entries: impl IntoIterator<Item = (&'a str, Item<'a>)>) -> Vec<u8> {
    let version = ("version", Item::Integer(VERSION));
    let mut bytes = Item::dictionary(entries.into_iter().chain([version])).encode();
    let trailer = Sha1::of(&bytes);
    bytes.extend_from_slice(&trailer.0);
    bytes
}

/// Decodes the bytes that [`encode_record`] returned, and passes the entries to `read`. `path` is
/// for errors.
pub(super) fn decode_record<T>(
    bytes: &[u8],
    path: &Path,
    read: impl FnOnce(&Dictionary<'_>) -> Option<T>,
) -> Result<T, RecordError> {
    let damaged = |what: &str| RecordError::Damaged {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let (body, trailer) = bytes
        .split_last_chunk::<20>()
        .ok_or_else(|| damaged("too short"))?;
    if Sha1::of(body).0 != *trailer {
        return Err(damaged("its checksum is wrong"));
    }
    let value = Value::parse(body, KeyOrder::Sorted);
    let value = value.map_err(|error| damaged(&error.to_string()))?;
    let fields = value.dictionary().ok_or_else(|| damaged("no dictionary"))?;
    match fields.value("version").and_then(Value::integer) {
        Some(VERSION) => {}
        Some(version) => {
            let path = path.to_owned();
            return Err(RecordError::Version { path, version });
        }
        None => return Err(damaged("no version")),
    }
    read(fields).ok_or_else(|| damaged("a field is missing or has the wrong type"))
}

pub(super) fn texts(texts: &[String]) -> Item<'_> {
    Item::List(texts.iter().map(|text| text.as_str().into()).collect())
}

pub(super) fn read_texts(value: &Value<'_>) -> Option<Vec<String>> {
    let texts = value.list()?.iter();
    texts.map(|text| text.text().map(str::to_owned)).collect()
}

pub(super) fn path_item(path: &Path) -> Item<'_> {
    path.as_os_str().as_bytes().into()
}

pub(super) fn read_path(value: &Value<'_>) -> Option<PathBuf> {
    Some(PathBuf::from(OsStr::from_bytes(value.bytes()?)))
}

/// The fuzz function of all records, and of the login: decodes the input, and the input with the
/// right checksum after it. What is written is read back.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let path = Path::new("");
    super::login::fuzz(bytes);
    super::machine_file::fuzz(bytes);
    for bytes in [bytes, &[bytes, &Sha1::of(bytes).0].concat()] {
        if let Ok((record, torrent)) = super::Record::decode(bytes, path) {
            let again = super::Record::decode(&record.encode(torrent), path);
            assert_eq!(again.expect("a record"), (record, torrent));
        }
        if let Ok(record) = super::MagnetRecord::decode(bytes, path) {
            let again = super::MagnetRecord::decode(&record.encode(), path);
            assert_eq!(again.expect("a record"), record);
        }
    }
}
