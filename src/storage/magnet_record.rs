//! What a peer remembers of a download of which it knows no more than a magnet link: `magnets/INFOHASH` in its state folder.
//!
//! Bencoded, with the SHA-1 of it at the end, as other records are. Once the metadata is here a [`super::Record`] takes its
//! place: that is written before this one is removed, and counts if both are there.

use super::record::{path_item, read_texts, texts};
use super::records::{names, read, remove_file, replace, sync};
use super::{RecordError, Records};
use crate::bencode::{Item, KeyOrder, Value};
use crate::torrent::{InfoHash, Magnet, Sha1};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The version that is written, and the only one that is read.
const VERSION: i64 = 1;
/// The largest one that is read, in bytes.
const MAX_RECORD: usize = 1 << 20;

/// A download by magnet link without metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MagnetRecord {
    /// The link as it was given.
    pub link: String,
    /// What the link says.
    pub magnet: Magnet,
    /// A folder to put it in, or the new file or folder's own path; absolute.
    pub destination: PathBuf,
    /// Patterns of the files that are wanted; none for all.
    pub only: Vec<String>,
    /// Whether pieces are to come in their order.
    pub sequential: bool,
    /// Whether what stands at the destination and is not the share may be made the share.
    pub force: bool,
    /// When it was added, in milliseconds since 1970.
    pub added_ms: u64,
}

impl Records {
    /// Records a download by magnet link; when it returns, it will be there after a crash.
    ///
    /// # Errors
    /// When writing fails.
    pub fn save_magnet(&self, record: &MagnetRecord) -> Result<(), RecordError> {
        let _one_at_a_time = self.known();
        let path = self.magnet_path(record.magnet.info_hash);
        replace(&self.magnets, &path, &record.encode())
    }

    /// Forgets a download by magnet link; it need not be recorded.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove_magnet(&self, hash: InfoHash) -> Result<(), RecordError> {
        let _one_at_a_time = self.known();
        remove_file(&self.magnet_path(hash))?;
        sync(&self.magnets)
    }

    /// Reads every record of a download by magnet link; each that is damaged is an error that names its file.
    pub fn load_magnets(&self) -> Vec<Result<MagnetRecord, RecordError>> {
        let mut names = match names(&self.magnets) {
            Ok(names) => names,
            Err(error) => return vec![Err(error)],
        };
        names.sort_unstable();
        let load = |name: String| {
            let path = self.magnets.join(name);
            let record = MagnetRecord::decode(&read(&path, MAX_RECORD)?, &path)?;
            if self.magnet_path(record.magnet.info_hash) != path {
                return Err(RecordError::Mismatch(path));
            }
            Ok(record)
        };
        names.into_iter().map(load).collect()
    }

    fn magnet_path(&self, hash: InfoHash) -> PathBuf {
        self.magnets.join(hash.to_string())
    }
}

impl MagnetRecord {
    fn encode(&self) -> Vec<u8> {
        let entries = [
            ("version", Item::Integer(VERSION)),
            ("magnet", self.link.as_str().into()),
            ("destination", path_item(&self.destination)),
            ("only", texts(&self.only)),
            ("sequential", u32::from(self.sequential).into()),
            ("force", u32::from(self.force).into()),
            ("added", self.added_ms.into()),
        ];
        let mut bytes = Item::dictionary(entries).encode();
        let trailer = Sha1::of(&bytes);
        bytes.extend_from_slice(&trailer.0);
        bytes
    }

    fn decode(bytes: &[u8], path: &Path) -> Result<Self, RecordError> {
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
        match value
            .dictionary()
            .and_then(|fields| fields.value("version"))
            .and_then(Value::integer)
        {
            Some(VERSION) => {}
            Some(version) => {
                let path = path.to_owned();
                return Err(RecordError::Version { path, version });
            }
            None => return Err(damaged("no version")),
        }
        fields(&value).ok_or_else(|| damaged("a field is missing or has the wrong type"))
    }
}

fn fields(value: &Value<'_>) -> Option<MagnetRecord> {
    let fields = value.dictionary()?;
    let destination = fields.value("destination")?.bytes()?;
    let link = fields.value("magnet")?.text()?;
    Some(MagnetRecord {
        link: link.to_owned(),
        magnet: link.parse().ok()?,
        destination: PathBuf::from(OsStr::from_bytes(destination)),
        only: read_texts(fields.value("only")?)?,
        sequential: fields.value("sequential")?.integer()? != 0,
        force: fields.value("force")?.integer()? != 0,
        added_ms: u64::try_from(fields.value("added")?.integer()?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::StateFolder;
    use super::*;
    use std::fs;

    fn record() -> MagnetRecord {
        let link = format!("MAGNET:?dn=a+set&xt=urn:btih:{}", InfoHash([7; 20]));
        MagnetRecord {
            magnet: link.parse().unwrap(),
            link,
            only: vec!["*.txt".into(), "a/**".into()],
            sequential: true,
            force: true,
            destination: PathBuf::from(OsStr::from_bytes(b"/not \xff text")),
            added_ms: 5,
        }
    }

    #[test]
    fn what_is_saved_is_there_at_the_next_start_until_it_is_removed() {
        let folder = StateFolder::temporary().unwrap();
        let record = record();
        Records::open(&folder)
            .unwrap()
            .save_magnet(&record)
            .unwrap();
        let records = Records::open(&folder).unwrap();
        let loaded = records.load_magnets().pop().unwrap().unwrap();
        assert_eq!(loaded, record);
        records.remove_magnet(record.magnet.info_hash).unwrap();
        records.remove_magnet(record.magnet.info_hash).unwrap();
        assert!(records.load_magnets().is_empty());
    }

    #[test]
    fn what_is_cut_flipped_or_under_another_name_is_told() {
        let folder = StateFolder::temporary().unwrap();
        let records = Records::open(&folder).unwrap();
        records.save_magnet(&record()).unwrap();
        let path = records.magnet_path(record().magnet.info_hash);
        let sound = fs::read(&path).unwrap();
        let load = || records.load_magnets().remove(0);
        for length in 0..sound.len() {
            fs::write(&path, &sound[..length]).unwrap();
            assert!(matches!(load(), Err(RecordError::Damaged { .. })));
        }
        let mut flipped = sound.clone();
        for bit in 0..sound.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            assert!(matches!(load(), Err(RecordError::Damaged { .. })), "{bit}");
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
        let seal = |body: &[u8]| [body, &Sha1::of(body).0].concat();
        fs::write(&path, seal(b"d7:versioni2ee")).unwrap();
        assert!(matches!(
            load(),
            Err(RecordError::Version { version: 2, .. })
        ));
        fs::write(&path, seal(b"d7:versioni1ee")).unwrap();
        assert!(matches!(load(), Err(RecordError::Damaged { .. })));
        fs::remove_file(&path).unwrap();
        fs::write(records.magnets.join("00".repeat(20)), &sound).unwrap();
        assert!(matches!(load(), Err(RecordError::Mismatch(_))));
    }
}
