//! What a peer knows of the members of its groups: the accounts that are barred, and those with
//! which it had links. One file in its state folder, with mode 0600.

use super::{FileError, whole_file};
use crate::bencode::{Dictionary, Item, KeyOrder, Value};
use crate::certificate::{AccountId, Fingerprint};
use crate::wire::access::BarTime;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the file in the state folder.
const FILE_NAME: &str = "members";
/// Name of a damaged file, after it was set aside.
const DAMAGED_NAME: &str = "members.damaged";
/// The version of the format. No other version is read.
const VERSION: i64 = 1;
/// Longest accepted and longest written file, in bytes.
const MAX_FILE_LENGTH: usize = 64 << 20;
/// Bytes of one bar in the file: 16 of the account; 8 of the wall time and 4 of the counter of
/// `at`, big-endian; 1 of `is_lifted`.
const BAR_LENGTH: usize = 29;
/// Bytes of one former link in the file: 16 of the account, 8 of the seconds of `until`.
const LINK_LENGTH: usize = 24;

/// More than the bytes of one group in the file, without its records.
const GROUP_OVERHEAD: usize = 200;
/// More than the bytes of the file without its groups.
const FILE_OVERHEAD: usize = 100;

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
    /// Another version of this program wrote the file.
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
        let read = whole_file::read(&self.path, MAX_FILE_LENGTH as u64);
        let bytes = read.map_err(FileError::at("read", &self.path))?;
        let Some(bytes) = bytes else {
            return Ok(Vec::new());
        };
        let path = || self.path.clone();
        let damaged = || KnownMembersError::Damaged(path());
        let value = Value::parse(&bytes, KeyOrder::Sorted).map_err(|_| damaged())?;
        let entries = value.dictionary().ok_or_else(damaged)?;
        match entries.value("version").and_then(Value::integer) {
            Some(VERSION) => decode(entries).ok_or_else(damaged),
            Some(version) => Err(KnownMembersError::Version {
                path: path(),
                version,
            }),
            None => Err(damaged()),
        }
    }

    /// Gives a damaged file another name, so that it can be examined. Returns its new path.
    /// Replaces a file that was set aside earlier.
    ///
    /// # Errors
    /// When the file cannot be renamed.
    pub fn set_aside(&self) -> Result<PathBuf, FileError> {
        let aside = self.path.with_file_name(DAMAGED_NAME);
        let renamed = std::fs::rename(&self.path, &aside);
        renamed.map_err(FileError::at("rename", &self.path))?;
        Ok(aside)
    }

    /// Replaces what is stored. The new content survives a crash. If it is too long for one file,
    /// the largest groups are left out: returns their number.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn store(&self, groups: &[StoredGroup]) -> Result<usize, FileError> {
        let mut by_size: Vec<&StoredGroup> = groups.iter().collect();
        by_size.sort_by_key(|group| group.length());
        let mut length = FILE_OVERHEAD;
        let fitting = by_size.iter().take_while(|group| {
            length += group.length();
            length <= MAX_FILE_LENGTH
        });
        let stored: Vec<&StoredGroup> = fitting.copied().collect();
        let result = whole_file::replace(&self.path, &encode(&stored));
        result.map_err(FileError::at("write", &self.path))?;
        Ok(groups.len().saturating_sub(stored.len()))
    }
}

fn encode(groups: &[&StoredGroup]) -> Vec<u8> {
    let groups = groups.iter().map(|group| {
        let bars = group.bars.iter().flat_map(|bar| bar.to_bytes());
        let linked = group.linked.iter().flat_map(|link| link.to_bytes());
        Item::dictionary([
            ("authority", group.authority.to_string().into()),
            ("bars", bars.collect::<Vec<u8>>().into()),
            ("linked", linked.collect::<Vec<u8>>().into()),
        ])
    });
    let entries = [
        ("groups", Item::List(groups.collect())),
        ("version", Item::Integer(VERSION)),
    ];
    Item::dictionary(entries).encode()
}

fn decode(entries: &Dictionary<'_>) -> Option<Vec<StoredGroup>> {
    let groups = entries.value("groups")?.list()?.iter().map(|group| {
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

impl StoredGroup {
    /// The maximum number of bytes that the group takes in the file.
    fn length(&self) -> usize {
        let records = self.bars.len() * BAR_LENGTH + self.linked.len() * LINK_LENGTH;
        records + GROUP_OVERHEAD
    }
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
            assert_eq!(file.store(&groups).unwrap(), 0);
            assert_eq!(file.load().unwrap(), groups);
        }
        let mode = file.path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_reported_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = KnownMembersFile::new(folder.path());
        let of_groups = |groups: &str| format!("d6:groups{groups}7:versioni1ee");
        let of_no_group = of_groups("ld9:authority3:sha4:bars0:6:linked0:ee");
        let authority = Fingerprint::of(b"");
        let short_bar = of_groups(&format!("ld9:authority71:{authority}4:bars1:x6:linked0:ee"));
        let no_list = of_groups("i1e");
        for bytes in [
            "",
            "de",
            "l",
            "d7:versioni1ee",
            &no_list,
            &of_no_group,
            &short_bar,
        ] {
            std::fs::write(&file.path, bytes).unwrap();
            let error = file.load().unwrap_err();
            assert!(matches!(error, KnownMembersError::Damaged(_)), "{error}");
            assert_eq!(std::fs::read(&file.path).unwrap(), bytes.as_bytes());
        }
        std::fs::write(&file.path, "d6:groupsle7:versioni2ee").unwrap();
        let error = file.load().unwrap_err();
        assert!(
            matches!(error, KnownMembersError::Version { version: 2, .. }),
            "{error}"
        );
    }

    #[test]
    fn what_is_stored_can_be_loaded_however_much_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let file = KnownMembersFile::new(folder.path());
        let until = Duration::from_secs(1_800_000_000);
        let group = |number: u8, links: usize| StoredGroup {
            authority: Fingerprint::of(&[number]),
            bars: Vec::new(),
            linked: vec![
                StoredLink {
                    account: AccountId([number; 16]),
                    until,
                };
                links
            ],
        };
        let third = MAX_FILE_LENGTH / LINK_LENGTH / 3;
        let groups = [
            group(1, third),
            group(2, 1),
            group(3, third),
            group(4, third + 1),
        ];
        assert_eq!(file.store(&groups).unwrap(), 1);
        let [small, one, other] = &file.load().unwrap()[..] else {
            panic!("three groups fit")
        };
        assert_eq!([small, one, other], [&groups[1], &groups[0], &groups[2]]);
    }
}
