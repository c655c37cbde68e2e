//! Which shares a peer has seen in the catalogues of its groups. One file in its state folder.

use super::hook_file::read_hash;
use super::kept_file::KeptFile;
use super::{FileError, KeptFileError};
use crate::bencode::{Dictionary, Item, Value};
use crate::torrent::InfoHash;
use crate::wire::access::{GroupId, ShortText};
use std::path::Path;

/// Name of the file in the state folder.
const FILE_NAME: &str = "catalogues";
/// Longest accepted and longest written file, in bytes.
const MAX_FILE_LENGTH: usize = 64 << 20;
/// More than the bytes of one share in the file, without its name.
const SHARE_OVERHEAD: usize = 60;
/// More than the bytes of one group in the file, without its shares.
const GROUP_OVERHEAD: usize = 400;

/// The shares that were seen in the catalogue of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCatalogue {
    /// The group. A later group of the same name has another id.
    pub group: GroupId,
    /// The shares: name and swarm.
    pub shares: Vec<(ShortText, InfoHash)>,
}

/// The file with the catalogues that a peer has seen.
#[derive(Clone, Debug)]
pub struct SeenCataloguesFile(KeptFile);

impl SeenCataloguesFile {
    /// The file in this state folder. Only this process may use the folder.
    pub fn new(folder: &Path) -> Self {
        Self(KeptFile::new(folder, FILE_NAME, MAX_FILE_LENGTH))
    }

    /// What is stored. Nothing if there is no file yet.
    ///
    /// # Errors
    /// See [`KeptFileError`]. The file is not changed.
    pub fn load(&self) -> Result<Vec<StoredCatalogue>, KeptFileError> {
        Ok(self.0.load(decode)?.unwrap_or_default())
    }

    /// Replaces what is stored. The new content survives a crash. If it is too long for one file,
    /// the largest groups are left out: returns their number.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn store(&self, catalogues: &[StoredCatalogue]) -> Result<usize, FileError> {
        let mut by_size: Vec<&StoredCatalogue> = catalogues.iter().collect();
        by_size.sort_by_key(|catalogue| catalogue.length());
        let mut length = GROUP_OVERHEAD;
        let fitting = by_size.into_iter().take_while(|catalogue| {
            length += catalogue.length();
            length <= MAX_FILE_LENGTH
        });
        let items: Vec<Item<'_>> = fitting.map(StoredCatalogue::item).collect();
        let left_out = catalogues.len().saturating_sub(items.len());
        self.0.store([("groups", Item::List(items))])?;
        Ok(left_out)
    }
}

impl StoredCatalogue {
    fn length(&self) -> usize {
        let shares = self.shares.iter();
        let shares = shares.map(|(name, _)| name.as_str().len() + SHARE_OVERHEAD);
        shares.sum::<usize>() + GROUP_OVERHEAD
    }

    fn item(&self) -> Item<'_> {
        let shares = self.shares.iter().map(|(name, info_hash)| {
            Item::dictionary([
                ("info_hash", info_hash.0.to_vec().into()),
                ("name", name.as_str().into()),
            ])
        });
        Item::dictionary([
            ("group", self.group.0.to_vec().into()),
            ("shares", Item::List(shares.collect())),
        ])
    }
}

fn decode(entries: &Dictionary<'_>) -> Option<Vec<StoredCatalogue>> {
    let groups = entries.value("groups")?.list()?.iter().map(|group| {
        let entries = group.dictionary()?;
        let shares = entries.value("shares")?.list()?.iter().map(read_share);
        Some(StoredCatalogue {
            group: GroupId(entries.value("group")?.bytes()?.try_into().ok()?),
            shares: shares.collect::<Option<_>>()?,
        })
    });
    groups.collect()
}

fn read_share(value: &Value<'_>) -> Option<(ShortText, InfoHash)> {
    let entries = value.dictionary()?;
    let name = ShortText::new(entries.value("name")?.text()?)?;
    Some((name, read_hash(entries.value("info_hash")?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(number: u8, shares: usize) -> StoredCatalogue {
        let name = ShortText::new("x".repeat(300)).unwrap();
        StoredCatalogue {
            group: GroupId([number; 16]),
            shares: vec![(name, InfoHash([number; 20])); shares],
        }
    }

    #[test]
    fn what_is_stored_is_loaded_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = SeenCataloguesFile::new(folder.path());
        assert_eq!(file.load().unwrap(), []);
        for catalogues in [vec![catalogue(1, 0), catalogue(2, 2)], Vec::new()] {
            assert_eq!(file.store(&catalogues).unwrap(), 0);
            assert_eq!(file.load().unwrap(), catalogues);
        }
        std::fs::write(folder.path().join(FILE_NAME), "letter").unwrap();
        assert!(file.load().is_err());
    }

    #[test]
    fn what_is_stored_can_be_loaded_however_much_was_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = SeenCataloguesFile::new(folder.path());
        let large = MAX_FILE_LENGTH / (300 + SHARE_OVERHEAD);
        let stored = [catalogue(1, large), catalogue(2, 1)];
        assert_eq!(file.store(&stored).unwrap(), 1);
        assert_eq!(file.load().unwrap(), stored[1..]);
    }
}
