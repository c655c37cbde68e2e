//! The file that keeps, at a tracker, who has reported to mirror which group. The tracker defines
//! the format of the table.

use super::FileError;
use super::kept_file::{KeptFile, KeptFileError};
use crate::bencode::{Item, Value};
use std::path::Path;

/// Name of the file in the state folder.
const FILE_NAME: &str = "mirrors";
/// The room for the bencoding around the table, in bytes.
const AROUND: usize = 64;

/// The file with the table.
#[derive(Clone, Debug)]
pub struct ReportedMirrorsFile(KeptFile);

impl ReportedMirrorsFile {
    /// The file in this state folder. Only this process may use the folder. The table has at most
    /// `max_length` bytes.
    pub fn new(folder: &Path, max_length: usize) -> Self {
        Self(KeptFile::new(
            folder,
            FILE_NAME,
            max_length.saturating_add(AROUND),
        ))
    }

    /// The table. `None` if there is no file.
    ///
    /// # Errors
    /// See [`KeptFileError`]. The file is not changed.
    pub fn load(&self) -> Result<Option<Vec<u8>>, KeptFileError> {
        self.0.load(|entries| {
            let table = entries.value("table").and_then(Value::bytes);
            table.map(<[u8]>::to_vec)
        })
    }

    /// Replaces the table. After a crash the file has the old or the new one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn store(&self, table: &[u8]) -> Result<(), FileError> {
        self.0.store([("table", Item::from(table))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_kept_and_one_that_is_too_long_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let file = ReportedMirrorsFile::new(folder.path(), 100);
        assert_eq!(file.load().unwrap(), None);
        for table in [&[7; 100][..], b""] {
            file.store(table).unwrap();
            assert_eq!(file.load().unwrap().as_deref(), Some(table));
        }
        file.store(&[7; 200]).unwrap();
        assert!(file.load().is_err());
    }
}
