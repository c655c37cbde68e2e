//! A file that a person named and that is written whole, such as a `.torrent`. Others may read it,
//! as far as the umask allows: people pass a `.torrent` on. Nobody else may read a private key.

use super::reserve::ReservedSpace;
use super::whole_file::{parent_of, place_new, with_readable_text};
use std::fs::Permissions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Checks that [`write_output`] can write the file, before hours of work.
///
/// # Errors
/// The path has no file name, a folder already has this path, the name is too long, or the folder
/// that would contain the file is missing or cannot be written.
pub fn check_output(path: &Path) -> io::Result<()> {
    let ends_as_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    if path.file_name().is_none() || ends_as_folder {
        let message = "it does not name a file";
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    }
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => {
            return Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder"));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    create_temporary(path, Readers::Anybody).map(drop)
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Anybody, as far as the umask allows.
    Anybody,
    /// Only its owner: mode 0600.
    Owner,
}

/// Reserves the space for a file of `length` bytes at `path`, before hours of work. Drop the result
/// before [`write_output`].
///
/// # Errors
/// The disk or the quota is full, or the folder cannot be written.
pub fn reserve_output(path: &Path, length: u64) -> io::Result<ReservedSpace> {
    ReservedSpace::in_folder(parent_of(path), length)
}

/// Writes the file completely or not at all. It takes the place of another file only if `replaces`
/// is set.
///
/// # Errors
/// See [`check_output`]. The disk is full. `AlreadyExists` if a file has this path and `replaces`
/// is not set.
pub fn write_output(path: &Path, bytes: &[u8], replaces: bool) -> io::Result<()> {
    PreparedOutput::new(Readers::Anybody, path, bytes)?.place(replaces)
}

/// A file that is written, but has a temporary name beside its final one. It is deleted when this
/// is dropped.
#[derive(Debug)]
pub struct PreparedOutput {
    file: NamedTempFile,
    path: PathBuf,
}

impl PreparedOutput {
    /// Writes the file for `path`.
    ///
    /// # Errors
    /// See [`check_output`]. The disk is full.
    pub fn new(readers: Readers, path: &Path, bytes: &[u8]) -> io::Result<Self> {
        let mut file = create_temporary(path, readers)?;
        file.write_all(bytes).map_err(with_readable_text)?;
        let path = path.to_owned();
        Ok(Self { file, path })
    }

    /// Gives the file its final name. It takes the place of another file only if `replaces` is set.
    ///
    /// # Errors
    /// `AlreadyExists` if a file has the path and `replaces` is not set.
    pub fn place(self, replaces: bool) -> io::Result<()> {
        let placed = match replaces {
            true => self
                .file
                .persist(&self.path)
                .map(drop)
                .map_err(|error| error.error),
            false => place_new(self.file, &self.path),
        };
        placed.map_err(with_readable_text)
    }
}

fn create_temporary(path: &Path, readers: Readers) -> io::Result<NamedTempFile> {
    let folder = parent_of(path);
    let mode = match readers {
        Readers::Anybody => 0o666,
        Readers::Owner => 0o600,
    };
    let made = tempfile::Builder::new()
        .prefix(".torrent-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder);
    made.map_err(|error| match error.kind() {
        ErrorKind::NotFound if !folder.exists() => {
            io::Error::new(ErrorKind::NotFound, "its folder does not exist")
        }
        _ => with_readable_text(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_check_refuses_paths_that_cannot_be_written_and_leaves_no_file() {
        let temporary = tempfile::tempdir().unwrap();
        let at = |name: &str| temporary.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("file"), "x").unwrap();
        for (path, kind) in [
            (at("nowhere/x.torrent"), ErrorKind::NotFound),
            (at("file/x.torrent"), ErrorKind::NotADirectory),
            (at("folder"), ErrorKind::IsADirectory),
            (at("new/"), ErrorKind::InvalidInput),
            (at("folder/.."), ErrorKind::InvalidInput),
            (at(&"l".repeat(256)), ErrorKind::InvalidFilename),
        ] {
            let error = check_output(&path).unwrap_err();
            assert_eq!(error.kind(), kind, "{}: {error}", path.display());
            assert!(!error.to_string().contains(".torrent-"), "{error}");
        }
        assert_eq!(
            check_output(&at("nowhere/x")).unwrap_err().to_string(),
            "its folder does not exist"
        );
        check_output(&at("file")).unwrap();
        check_output(&at("x.torrent")).unwrap();
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_is_replaced_only_if_that_is_asked_for() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("x.torrent");
        write_output(&path, b"one", false).unwrap();
        let taken = write_output(&path, b"two", false).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write_output(&path, b"two", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o666 & !crate::system::umask());
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
    }
}
