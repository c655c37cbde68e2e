//! Which shares a peer has seen in the catalogues of its groups. A folder in its state folder, with
//! one file for each group.

use super::hook_file::{read_hash, read_number};
use super::kept_file::KeptFile;
use super::{FileError, KeptFileError};
use crate::base::hex;
use crate::bencode::{Dictionary, Item, Value};
use crate::torrent::InfoHash;
use crate::wire::access::{GroupId, ShortText};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Name of the folder in the state folder.
const FOLDER_NAME: &str = "catalogues";
/// Longest accepted file, in bytes.
const MAX_FILE_LENGTH: usize = 256 << 20;
/// The file of a group is removed when the user was no member for this time.
const FORGET_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);
/// The modification time of a file is renewed when it is older than this.
const RENEW_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A share that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenShare {
    /// Its name.
    pub name: ShortText,
    /// Its swarm.
    pub info_hash: InfoHash,
    /// When it was published, in milliseconds since 1970.
    pub published_ms: u64,
    /// When it was withdrawn, in milliseconds since 1970. `None` if it was listed last.
    pub withdrawn_ms: Option<u64>,
}

/// The files with the catalogues that a peer has seen.
#[derive(Clone, Debug)]
pub struct SeenCataloguesFolder(PathBuf);

impl SeenCataloguesFolder {
    /// The files in this state folder. Only this process may use the folder.
    pub fn new(folder: &Path) -> Self {
        Self(folder.join(FOLDER_NAME))
    }

    /// What is stored of a group. `None` if there is no file.
    ///
    /// # Errors
    /// See [`KeptFileError`]. The file is not changed.
    pub fn load(&self, group: GroupId) -> Result<Option<Vec<SeenShare>>, KeptFileError> {
        self.file(group).load(decode)
    }

    /// Replaces what is stored of a group. The new content survives a crash.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn store(&self, group: GroupId, shares: &[SeenShare]) -> Result<(), FileError> {
        match fs::create_dir(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(FileError::at("create", &self.0)(error));
            }
            _ => {}
        }
        let shares = shares.iter().map(SeenShare::item).collect();
        self.file(group).store([("shares", Item::List(shares))])
    }

    /// Removes the files of groups that were in no list for 30 days. `listed` are the groups of the
    /// list that has arrived at `now`.
    ///
    /// # Errors
    /// When the folder cannot be read, or a file cannot be changed.
    pub fn forget(&self, listed: &BTreeSet<GroupId>, now: SystemTime) -> Result<(), FileError> {
        let files = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            files => files.map_err(FileError::at("read", &self.0))?,
        };
        for file in files {
            let path = file.map_err(FileError::at("read", &self.0))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(group) = name.and_then(hex::read).map(GroupId) else {
                continue;
            };
            let changed = match listed.contains(&group) {
                true => renew(&path, now),
                false => remove_if_old(&path, now),
            };
            changed.map_err(FileError::at("change", &path))?;
        }
        Ok(())
    }

    fn file(&self, group: GroupId) -> KeptFile {
        KeptFile::new(&self.0, &group.to_string(), MAX_FILE_LENGTH)
    }
}

impl SeenShare {
    fn item(&self) -> Item<'_> {
        let withdrawn = self.withdrawn_ms.map(|at| ("withdrawn", at.into()));
        let entries = [
            ("info_hash", self.info_hash.0.to_vec().into()),
            ("name", self.name.as_str().into()),
            ("published", self.published_ms.into()),
        ];
        Item::dictionary(entries.into_iter().chain(withdrawn))
    }

    fn read(value: &Value<'_>) -> Option<Self> {
        let entries = value.dictionary()?;
        Some(Self {
            name: ShortText::new(entries.value("name")?.text()?)?,
            info_hash: read_hash(entries.value("info_hash")?)?,
            published_ms: read_number(entries.value("published")?)?,
            withdrawn_ms: match entries.value("withdrawn") {
                Some(at) => Some(read_number(at)?),
                None => None,
            },
        })
    }
}

fn decode(entries: &Dictionary<'_>) -> Option<Vec<SeenShare>> {
    let shares = entries.value("shares")?.list()?.iter();
    shares.map(SeenShare::read).collect()
}

/// How long ago a file was modified.
fn age(path: &Path, now: SystemTime) -> io::Result<Duration> {
    let modified = fs::metadata(path)?.modified()?;
    Ok(now.duration_since(modified).unwrap_or_default())
}

fn renew(path: &Path, now: SystemTime) -> io::Result<()> {
    match age(path, now)? > RENEW_AFTER {
        true => File::options().write(true).open(path)?.set_modified(now),
        false => Ok(()),
    }
}

fn remove_if_old(path: &Path, now: SystemTime) -> io::Result<()> {
    match age(path, now)? > FORGET_AFTER {
        true => fs::remove_file(path),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn id(number: u8) -> GroupId {
        GroupId([number; 16])
    }

    fn share(number: u8, withdrawn_ms: Option<u64>) -> SeenShare {
        SeenShare {
            name: ShortText::new("it's").unwrap(),
            info_hash: InfoHash([number; 20]),
            published_ms: 1 << 40,
            withdrawn_ms,
        }
    }

    #[test]
    fn what_is_stored_is_loaded_again_and_each_group_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let seen = SeenCataloguesFolder::new(folder.path());
        assert_eq!(seen.load(id(1)).unwrap(), None);
        let shares = vec![share(1, None), share(2, Some(1 << 41))];
        seen.store(id(1), &shares).unwrap();
        let first = folder.path().join("catalogues").join(id(1).to_string());
        let before = fs::metadata(&first).unwrap().modified().unwrap();
        seen.store(id(2), &[]).unwrap();
        assert_eq!(seen.load(id(1)).unwrap(), Some(shares));
        assert_eq!(seen.load(id(2)).unwrap(), Some(Vec::new()));
        assert_eq!(fs::metadata(&first).unwrap().modified().unwrap(), before);
        fs::write(&first, "letter").unwrap();
        assert!(seen.load(id(1)).is_err());
    }

    #[test]
    fn a_group_that_is_in_no_list_for_thirty_days_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let seen = SeenCataloguesFolder::new(folder.path());
        let now = SystemTime::now();
        seen.forget(&BTreeSet::new(), now).unwrap();
        for group in [id(1), id(2)] {
            seen.store(group, &[]).unwrap();
        }
        let listed = BTreeSet::from([id(1)]);
        for days in [10, 20, 29] {
            seen.forget(&listed, now + DAY * days).unwrap();
            assert!(seen.load(id(2)).unwrap().is_some());
        }
        seen.forget(&listed, now + DAY * 31).unwrap();
        assert_eq!(seen.load(id(2)).unwrap(), None);
        seen.forget(&BTreeSet::new(), now + DAY * 60).unwrap();
        assert!(seen.load(id(1)).unwrap().is_some());
        seen.forget(&BTreeSet::new(), now + DAY * 62).unwrap();
        assert_eq!(seen.load(id(1)).unwrap(), None);
    }
}
