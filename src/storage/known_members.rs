//! What a peer knows of the members of its groups: the accounts that are barred, and those with
//! which it had links. One file in its state folder, with mode 0600.

use super::{FileError, whole_file};
use crate::bencode::{Item, KeyOrder, Value};
use crate::certificate::{AccountId, Fingerprint};
use crate::wire::access::BarTime;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the file in the state folder.
const FILE_NAME: &str = "members";
/// Longest accepted file, in bytes.
const MAX_FILE_LENGTH: u64 = 64 << 20;
/// Bytes of one bar in the file: 16 of the account; 8 of the wall time and 4 of the counter of `at`,
/// big-endian; 1 of `is_lifted`.
const BAR_LENGTH: usize = 29;
/// Bytes of one former link in the file: 16 of the account, 8 of the seconds of `until`.
const LINK_LENGTH: usize = 24;

/// What is stored about one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredGroup {
    /// The group's authority. A later group of the same name has another one.
    pub authority: Fingerprint,
    /// The bars, one for each account.
    pub bars: Vec<StoredBar>,
    /// The accounts with which this peer had links, each once.
    pub linked: Vec<StoredLink>,
}

/// A bar of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBar {
    /// The account.
    pub account: AccountId,
    /// [`Bar::at`](crate::wire::access::Bar::at).
    pub at: BarTime,
    /// Whether the account is a member again.
    pub is_lifted: bool,
}

/// An account with which this peer had a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredLink {
    /// The account.
    pub account: AccountId,
    /// The end of the certificate that the account showed, since 1970. The file has whole seconds.
    pub until: Duration,
}

/// The file with what a peer knows of members.
#[derive(Clone, Debug)]
pub struct KnownMembersFile {
    path: PathBuf,
}

/// Why the file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KnownMembersError {
    /// This program did not write the file, or it was changed.
    #[error("{} is damaged", .0.display())]
    Damaged(PathBuf),
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl KnownMembersFile {
    /// The file in this state folder. Only this process may use the folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join(FILE_NAME),
        }
    }

    /// What is stored. Nothing if there is no file yet.
    ///
    /// # Errors
    /// See [`KnownMembersError`]. The file is not changed.
    pub fn load(&self) -> Result<Vec<StoredGroup>, KnownMembersError> {
        let read = whole_file::read(&self.path, MAX_FILE_LENGTH);
        let bytes = read.map_err(FileError::at("read", &self.path))?;
        let groups = bytes.map_or(Some(Vec::new()), |bytes| decode(&bytes));
        groups.ok_or_else(|| KnownMembersError::Damaged(self.path.clone()))
    }

    /// Replaces what is stored. The new content survives a crash.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn store(&self, groups: &[StoredGroup]) -> Result<(), FileError> {
        let result = whole_file::replace(&self.path, &encode(groups));
        result.map_err(FileError::at("write", &self.path))
    }
}

fn encode(groups: &[StoredGroup]) -> Vec<u8> {
    let groups = groups.iter().map(|group| {
        let bars = group.bars.iter().flat_map(|bar| bar.to_bytes());
        let linked = group.linked.iter().flat_map(|link| link.to_bytes());
        Item::dictionary([
            ("authority", group.authority.to_string().into()),
            ("bars", bars.collect::<Vec<u8>>().into()),
            ("linked", linked.collect::<Vec<u8>>().into()),
        ])
    });
    Item::List(groups.collect()).encode()
}

fn decode(bytes: &[u8]) -> Option<Vec<StoredGroup>> {
    let value = Value::parse(bytes, KeyOrder::Sorted).ok()?;
    let groups = value.list()?.iter().map(|group| {
        let entries = group.dictionary()?;
        Some(StoredGroup {
            authority: entries.value("authority")?.text()?.parse().ok()?,
            bars: read_records(entries.value("bars")?, StoredBar::read)?,
            linked: read_records(entries.value("linked")?, StoredLink::read)?,
        })
    });
    groups.collect()
}

fn read_records<T, const N: usize>(
    value: &Value<'_>,
    read: impl Fn(&[u8; N]) -> Option<T>,
) -> Option<Vec<T>> {
    let (records, rest) = value.bytes()?.as_chunks();
    let records: Option<Vec<T>> = records.iter().map(read).collect();
    records.filter(|_| rest.is_empty())
}

impl StoredBar {
    fn to_bytes(self) -> [u8; BAR_LENGTH] {
        let mut bytes = [0; BAR_LENGTH];
        let (wall, counter) = (self.at.wall.to_be_bytes(), self.at.counter.to_be_bytes());
        let fields = self.account.0.iter().chain(&wall).chain(&counter);
        let is_lifted = [u8::from(self.is_lifted)];
        for (to, from) in bytes.iter_mut().zip(fields.chain(&is_lifted)) {
            *to = *from;
        }
        bytes
    }

    fn read(bytes: &[u8; BAR_LENGTH]) -> Option<Self> {
        let (account, rest) = bytes.split_first_chunk()?;
        let (wall, rest) = rest.split_first_chunk()?;
        let (counter, rest) = rest.split_first_chunk()?;
        Some(Self {
            account: AccountId(*account),
            at: BarTime {
                wall: u64::from_be_bytes(*wall),
                counter: u32::from_be_bytes(*counter),
            },
            is_lifted: rest == [1],
        })
    }
}

impl StoredLink {
    fn to_bytes(self) -> [u8; LINK_LENGTH] {
        let mut bytes = [0; LINK_LENGTH];
        let until = self.until.as_secs().to_be_bytes();
        for (to, from) in bytes.iter_mut().zip(self.account.0.iter().chain(&until)) {
            *to = *from;
        }
        bytes
    }

    fn read(bytes: &[u8; LINK_LENGTH]) -> Option<Self> {
        let (account, until) = bytes.split_first_chunk()?;
        Some(Self {
            account: AccountId(*account),
            until: Duration::from_secs(u64::from_be_bytes(until.try_into().ok()?)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_stored_is_loaded_again_and_its_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = KnownMembersFile::new(folder.path());
        assert_eq!(file.load().unwrap(), []);
        let until = Duration::from_secs(1_800_000_000);
        let group = |number| StoredGroup {
            authority: Fingerprint::of(&[number]),
            bars: [false, true]
                .map(|is_lifted| StoredBar {
                    account: AccountId([number; 16]),
                    at: BarTime {
                        wall: 1 << 40,
                        counter: 1 << 20,
                    },
                    is_lifted,
                })
                .to_vec(),
            linked: vec![StoredLink {
                account: AccountId([number; 16]),
                until,
            }],
        };
        for groups in [vec![group(1), group(2)], vec![group(2)], Vec::new()] {
            file.store(&groups).unwrap();
            assert_eq!(file.load().unwrap(), groups);
        }
        let mode = file.path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_reported_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = KnownMembersFile::new(folder.path());
        let of_no_group = "ld9:authority3:sha4:bars0:6:linked0:ee";
        let authority = Fingerprint::of(b"");
        let short_bar = format!("ld9:authority71:{authority}4:bars1:x6:linked0:ee");
        for bytes in ["", "de", "l", "lde", "lee", of_no_group, &short_bar] {
            std::fs::write(&file.path, bytes).unwrap();
            let error = file.load().unwrap_err();
            assert!(matches!(error, KnownMembersError::Damaged(_)), "{error}");
            assert_eq!(std::fs::read(&file.path).unwrap(), bytes.as_bytes());
        }
    }
}
