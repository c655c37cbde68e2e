//! What a peer keeps about its hooks: which ends of shares and downloads were found, and which
//! events wait for a hook. One file in its state folder.

use super::kept_file::KeptFile;
use super::{FileError, KeptFileError};
use crate::bencode::{Dictionary, Item, Value};
use crate::torrent::InfoHash;
use crate::wire::access::ShortText;
use crate::wire::machine::SubjectLabel;
use crate::wire::name::Label;
use crate::wire::note::Note;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Name of the file in the state folder.
const FILE_NAME: &str = "hooks";
/// Longest accepted file, in bytes. The file has about 70 bytes for each share.
const MAX_FILE_LENGTH: usize = 256 << 20;

/// A share or download, as long as it is in the state folder. A later download of the same share
/// has another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId {
    /// Its swarm.
    pub info_hash: InfoHash,
    /// When it was added, in milliseconds since 1970.
    pub added_ms: u64,
}

/// How a share or download has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportedEnd {
    /// The download is complete.
    Complete {
        /// The length of its wanted files. A later choice of more files has another one.
        bytes: u64,
    },
    /// The share or download has failed.
    Failed,
    /// The files of a complete share have changed or are gone.
    Lost,
}

/// A share that is new in the catalogue of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGroupShare {
    /// The member of the group whose peer this is.
    pub user: SubjectLabel,
    /// The group, as it is called when the share is found.
    pub group: Label,
    /// The name of the share.
    pub name: ShortText,
    /// The number of the version.
    pub version: u32,
    /// The note of this version.
    pub note: Option<Note>,
    /// Its swarm.
    pub info_hash: InfoHash,
    /// Its length in bytes.
    pub length: u64,
    /// Who has published it, if the tracker knows.
    pub publisher: Option<SubjectLabel>,
}

/// A share or download that has ended, with what a hook needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedTransfer {
    /// Which one.
    pub id: TransferId,
    /// How it has ended.
    pub end: ReportedEnd,
    /// Its name.
    pub name: String,
    /// The number of the version. `None` in open swarms, or if it is not known.
    pub version: Option<u32>,
    /// The length of its wanted files in bytes. `None` while a magnet link has no metadata.
    pub length: Option<u64>,
    /// Where it is on this machine.
    pub path: Option<PathBuf>,
    /// The user or machine, and the group. `None` in open swarms.
    pub membership: Option<(String, String)>,
    /// Why it has ended with an error.
    pub reason: Option<String>,
}

/// An event that waits for its hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitingEvent {
    /// A share or download has ended.
    Ended(EndedTransfer),
    /// A group has a new share.
    New(NewGroupShare),
}

/// What is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredHooks {
    /// The ends whose events wait or were reported, at most one for each share or download. `None`
    /// if no start of the peer has looked for ends yet.
    pub reported: Option<Vec<(TransferId, ReportedEnd)>>,
    /// The events that wait for a hook, in this order for each kind.
    pub waiting: Vec<WaitingEvent>,
}

/// The file of the hooks of one peer.
#[derive(Clone, Debug)]
pub struct HookFile(KeptFile);

impl HookFile {
    /// The file in this state folder. Only this process may use the folder.
    pub fn new(folder: &Path) -> Self {
        Self(KeptFile::new(folder, FILE_NAME, MAX_FILE_LENGTH))
    }

    /// What is stored. `None` if there is no file yet.
    ///
    /// # Errors
    /// See [`KeptFileError`]. The file is not changed.
    pub fn load(&self) -> Result<Option<StoredHooks>, KeptFileError> {
        self.0.load(decode)
    }

    /// Replaces what is stored. The new content survives a crash.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn store(&self, stored: &StoredHooks) -> Result<(), FileError> {
        let reported = stored.reported.as_ref();
        let reported =
            reported.map(|reported| Item::List(reported.iter().map(report_item).collect()));
        let reported = reported.map(|reported| ("reported", reported));
        let waiting = stored.waiting.iter().map(WaitingEvent::item);
        let waiting = ("waiting", Item::List(waiting.collect()));
        self.0.store(reported.into_iter().chain([waiting]))
    }
}

impl WaitingEvent {
    fn item(&self) -> Item<'static> {
        match self {
            Self::Ended(ended) => ended.item(),
            Self::New(share) => share.item(),
        }
    }

    fn read(value: &Value<'_>) -> Option<Self> {
        match value.dictionary()?.value("end") {
            Some(_) => EndedTransfer::read(value).map(Self::Ended),
            None => NewGroupShare::read(value).map(Self::New),
        }
    }
}

impl EndedTransfer {
    fn item(&self) -> Item<'static> {
        let text = |text: &String| Item::from(text.clone());
        let path = self.path.as_ref();
        let path = path.map(|path| path.as_os_str().as_bytes().to_vec());
        let (user, group) = self.membership.as_ref().map(|(a, b)| (a, b)).unzip();
        let entries = [
            ("group", group.map(text)),
            ("length", self.length.map(Item::from)),
            ("name", Some(text(&self.name))),
            ("path", path.map(Item::from)),
            ("reason", self.reason.as_ref().map(text)),
            ("user", user.map(text)),
            ("version", self.version.map(Item::from)),
        ];
        let entries = entries.into_iter();
        let entries = entries.filter_map(|(key, item)| Some((key, item?)));
        Item::dictionary(entries.chain(report_entries(&self.id, &self.end)))
    }

    fn read(value: &Value<'_>) -> Option<Self> {
        let entries = value.dictionary()?;
        let text = |key: &str| match entries.value(key) {
            Some(value) => Some(Some(value.text()?.to_owned())),
            None => Some(None),
        };
        let (id, end) = read_report(value)?;
        let path = match entries.value("path") {
            Some(path) => Some(PathBuf::from(OsStr::from_bytes(path.bytes()?))),
            None => None,
        };
        let length = match entries.value("length") {
            Some(length) => Some(read_number(length)?),
            None => None,
        };
        let version = match entries.value("version") {
            Some(version) => Some(read_version(version)?),
            None => None,
        };
        Some(Self {
            id,
            end,
            name: text("name")??,
            version,
            length,
            path,
            membership: text("user")?.zip(text("group")?),
            reason: text("reason")?,
        })
    }
}

impl NewGroupShare {
    fn item(&self) -> Item<'static> {
        let publisher = self.publisher.as_ref();
        let publisher = publisher.map(|name| ("publisher", name.to_string().into()));
        let note = self.note.as_ref();
        let note = note.map(|note| ("note", note.as_str().to_owned().into()));
        let entries = [
            ("group", self.group.to_string().into()),
            ("info_hash", self.info_hash.0.to_vec().into()),
            ("length", self.length.into()),
            ("name", self.name.as_str().to_owned().into()),
            ("user", self.user.to_string().into()),
            ("version", self.version.into()),
        ];
        Item::dictionary(entries.into_iter().chain(publisher).chain(note))
    }

    fn read(value: &Value<'_>) -> Option<Self> {
        let entries = value.dictionary()?;
        let text = |key: &str| entries.value(key)?.text();
        let publisher = match entries.value("publisher") {
            Some(publisher) => Some(publisher.text()?.parse().ok()?),
            None => None,
        };
        let note = match entries.value("note") {
            Some(note) => Some(note.text()?.parse().ok()?),
            None => None,
        };
        Some(Self {
            user: text("user")?.parse().ok()?,
            group: text("group")?.parse().ok()?,
            name: ShortText::new(text("name")?)?,
            version: read_version(entries.value("version")?)?,
            note,
            info_hash: read_hash(entries.value("info_hash")?)?,
            length: read_number(entries.value("length")?)?,
            publisher,
        })
    }
}

fn report_item((id, end): &(TransferId, ReportedEnd)) -> Item<'static> {
    Item::dictionary(report_entries(id, end))
}

fn report_entries(
    id: &TransferId,
    end: &ReportedEnd,
) -> impl Iterator<Item = (&'static str, Item<'static>)> + use<> {
    let (end, bytes) = match end {
        ReportedEnd::Complete { bytes } => ("complete", Some(*bytes)),
        ReportedEnd::Failed => ("failed", None),
        ReportedEnd::Lost => ("lost", None),
    };
    let bytes = bytes.map(|bytes| ("bytes", bytes.into()));
    let entries = [
        ("added", id.added_ms.into()),
        ("end", end.into()),
        ("info_hash", id.info_hash.0.to_vec().into()),
    ];
    entries.into_iter().chain(bytes)
}

fn read_report(value: &Value<'_>) -> Option<(TransferId, ReportedEnd)> {
    let entries = value.dictionary()?;
    let id = TransferId {
        info_hash: read_hash(entries.value("info_hash")?)?,
        added_ms: read_number(entries.value("added")?)?,
    };
    let end = match entries.value("end")?.text()? {
        "complete" => ReportedEnd::Complete {
            bytes: read_number(entries.value("bytes")?)?,
        },
        "failed" => ReportedEnd::Failed,
        "lost" => ReportedEnd::Lost,
        _ => return None,
    };
    Some((id, end))
}

fn decode(entries: &Dictionary<'_>) -> Option<StoredHooks> {
    let reported = match entries.value("reported") {
        Some(reported) => {
            let reported = reported.list()?.iter().map(read_report);
            Some(reported.collect::<Option<_>>()?)
        }
        None => None,
    };
    let waiting = entries.value("waiting")?.list()?.iter();
    Some(StoredHooks {
        reported,
        waiting: waiting.map(WaitingEvent::read).collect::<Option<_>>()?,
    })
}

/// An info-hash in a kept file.
pub(super) fn read_hash(value: &Value<'_>) -> Option<InfoHash> {
    Some(InfoHash(value.bytes()?.try_into().ok()?))
}

/// A number in a kept file.
pub(super) fn read_number(value: &Value<'_>) -> Option<u64> {
    u64::try_from(value.integer()?).ok()
}

fn read_version(value: &Value<'_>) -> Option<u32> {
    u32::try_from(read_number(value)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_stored_is_loaded_again_and_foreign_bytes_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = HookFile::new(folder.path());
        assert_eq!(file.load().unwrap(), None);
        let id = |number| TransferId {
            info_hash: InfoHash([number; 20]),
            added_ms: 1 << 41,
        };
        let share = NewGroupShare {
            user: "nik".parse().unwrap(),
            group: "lab".parse().unwrap(),
            name: ShortText::new("it's $(x)").unwrap(),
            version: 1,
            note: None,
            info_hash: InfoHash([9; 20]),
            length: 1 << 40,
            publisher: None,
        };
        let published = NewGroupShare {
            version: u32::MAX,
            note: "fewer cats".parse().ok(),
            publisher: Some("mayank".parse().unwrap()),
            ..share.clone()
        };
        let stored = StoredHooks {
            reported: Some(vec![
                (id(1), ReportedEnd::Complete { bytes: 7 }),
                (id(2), ReportedEnd::Failed),
                (id(3), ReportedEnd::Lost),
            ]),
            waiting: vec![
                WaitingEvent::New(share),
                WaitingEvent::Ended(EndedTransfer {
                    id: id(1),
                    end: ReportedEnd::Complete { bytes: 7 },
                    name: "a\nb".to_owned(),
                    version: Some(2),
                    length: Some(7),
                    path: Some(OsStr::from_bytes(b"/x/\xff").into()),
                    membership: Some(("nik".to_owned(), "lab".to_owned())),
                    reason: None,
                }),
                WaitingEvent::Ended(EndedTransfer {
                    id: id(2),
                    end: ReportedEnd::Failed,
                    name: String::new(),
                    version: None,
                    length: None,
                    path: None,
                    membership: None,
                    reason: Some("why".to_owned()),
                }),
                WaitingEvent::New(published),
            ],
        };
        for stored in [StoredHooks::default(), stored] {
            file.store(&stored).unwrap();
            assert_eq!(file.load().unwrap(), Some(stored));
        }
        let path = folder.path().join(FILE_NAME);
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for bytes in [
            "",
            "de",
            "d7:versioni1ee",
            "d8:reportedli1ee7:versioni1e7:waitinglee",
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = file.load().unwrap_err();
            assert!(matches!(error, KeptFileError::Damaged(_)), "{error}");
        }
        std::fs::write(&path, "d7:versioni2ee").unwrap();
        let error = file.load().unwrap_err();
        assert!(matches!(error, KeptFileError::Version { version: 2, .. }));
    }
}
