//! The files of the log: `NAME`, and `NAME.1` to `NAME.4`, the newest first. A full file is
//! renamed.
//!
//! In scope: opening, rotation, and what happens if the disk is full. Out of scope: which lines are
//! written.

use crate::base::escape;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Number of files that are kept, including the one that is being written.
pub(super) const FILES: u32 = 5;

/// A log that is bounded in size. It drops lines that it cannot write, and reports the first such
/// error on standard error.
#[derive(Debug)]
pub(super) struct RotatedFile {
    path: PathBuf,
    file: File,
    /// Length of the file in bytes.
    length: u64,
    /// Maximum length of a file in bytes.
    max_length: u64,
    /// Whether an error was reported since the log was last opened or reopened.
    has_failed: bool,
}

impl RotatedFile {
    /// Opens the log for appending.
    pub(super) fn open(path: PathBuf, max_length: u64) -> io::Result<Self> {
        let (file, length) = open(&path)?;
        Ok(Self {
            path,
            file,
            length,
            max_length,
            has_failed: false,
        })
    }

    /// Opens a file under the name of the log, after another program has renamed the former file.
    /// If that fails, the log continues in the former file.
    pub(super) fn reopen(&mut self) {
        match open(&self.path) {
            Ok((file, length)) => {
                (self.file, self.length, self.has_failed) = (file, length, false);
            }
            Err(error) => self.report(&error),
        }
    }

    /// Sets the maximum length of a file from now on.
    pub(super) fn set_max_length(&mut self, max_length: u64) {
        self.max_length = max_length;
    }

    /// Appends a line. Drops it if it cannot be written.
    pub(super) fn write_line(&mut self, line: &str) {
        if let Err(error) = self.try_to_write(line) {
            self.report(&error);
        }
    }

    fn try_to_write(&mut self, line: &str) -> io::Result<()> {
        let added = line.len() as u64;
        if self.length > 0 && self.length.saturating_add(added) > self.max_length {
            self.rotate()?;
        }
        let written = self.file.write_all(line.as_bytes());
        // An error may come after a part of the line.
        self.length = match written {
            Ok(()) => self.length + added,
            Err(_) => self.file.metadata()?.len(),
        };
        written
    }

    /// Begins a new file and renames all former ones. The oldest one is replaced. If the new file
    /// cannot be made, nothing is renamed.
    fn rotate(&mut self) -> io::Result<()> {
        let new = with_suffix(&self.path, ".new");
        let (file, length) = open(&new)?;
        for number in (1..FILES - 1).rev() {
            rename(
                &numbered(&self.path, number),
                &numbered(&self.path, number + 1),
            )?;
        }
        // An earlier version of the program did not limit the log. Its file may be longer than all
        // files together may be. Such a file is deleted.
        if self.length > self.max_length.saturating_mul(FILES.into()) {
            std::fs::remove_file(&self.path)?;
        }
        rename(&self.path, &numbered(&self.path, 1))?;
        rename(&new, &self.path)?;
        (self.file, self.length) = (file, length);
        Ok(())
    }

    fn report(&mut self, error: &io::Error) {
        if std::mem::replace(&mut self.has_failed, true) {
            return;
        }
        let path = self.path.to_string_lossy();
        // A failure of standard error cannot be reported anywhere.
        let _ = writeln!(
            io::stderr(),
            "error: cannot write the log {}: {error}; events are lost until it can be written",
            escape(&path)
        );
    }
}

/// Opens a file for appending, or makes it. Returns the file and its length. Only the owner can
/// read a new file, even if others can read the folder: the log says who shares what with whom.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut options = File::options();
    let file = options.create(true).append(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    with_suffix(path, &format!(".{number}"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Renames a file if it exists.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn full_files_are_renamed_and_the_oldest_one_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer.log");
        fs::write(&path, "of an earlier process\n").unwrap();
        let mut log = RotatedFile::open(path.clone(), 40).unwrap();
        for number in 0..8 {
            log.write_line(&format!("a line of 20 bytes {number}\n"));
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("peer.log"), "a line of 20 bytes 7\n");
        assert_eq!(read("peer.log.1"), "a line of 20 bytes 6\n");
        assert_eq!(read("peer.log.4"), "a line of 20 bytes 3\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FILES as usize);
        assert!(!log.has_failed);
    }

    #[test]
    fn a_rotation_that_fails_keeps_all_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer.log");
        let mut log = RotatedFile::open(path.clone(), 40).unwrap();
        (0..4).for_each(|number| log.write_line(&format!("a line of 20 bytes {number}\n")));
        // A folder has the name that the new file needs.
        fs::create_dir(folder.path().join("peer.log.new")).unwrap();
        (0..9).for_each(|_| log.write_line("a line of 20 bytes x\n"));
        assert!(log.has_failed);
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("peer.log"), "a line of 20 bytes 3\n");
        assert_eq!(read("peer.log.1"), "a line of 20 bytes 2\n");
        assert_eq!(read("peer.log.3"), "a line of 20 bytes 0\n");
    }

    #[test]
    fn a_line_longer_than_a_file_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer.log");
        let mut log = RotatedFile::open(path.clone(), 10).unwrap();
        log.write_line("a line of 20 bytes.\n");
        log.write_line("short\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "short\n");
    }

    #[test]
    fn a_reopened_log_goes_on_under_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (path, rotated) = (folder.path().join("x.log"), folder.path().join("x.log.old"));
        let mut log = RotatedFile::open(path.clone(), 1000).unwrap();
        log.has_failed = true;
        log.write_line("before\n");
        fs::rename(&path, &rotated).unwrap();
        log.reopen();
        log.write_line("after\n");
        assert_eq!(fs::read(&path).unwrap(), b"after\n");
        assert_eq!(fs::read(&rotated).unwrap(), b"before\n");
        assert_eq!((log.length, log.has_failed), (6, false));
    }

    #[test]
    fn a_line_that_cannot_be_written_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut log = RotatedFile::open(path.clone(), 1000).unwrap();
        // A file that is open for reading only cannot be written.
        log.file = File::open(&path).unwrap();
        log.write_line("lost\n");
        assert!(log.has_failed);
        log.reopen();
        log.write_line("written\n");
        assert_eq!(fs::read(&path).unwrap(), b"written\n");
    }
}
