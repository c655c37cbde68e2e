//! Small files that are always written as a whole, with mode 0600. After a crash a file has its old
//! content or its new content. There is one exception: see `place_new`.

use super::optional::{sync_file, sync_folder};
use crate::system::with_advice;
use nix::errno::Errno;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::{NamedTempFile, PersistError};

/// Prefix of the name of a temporary file, which is renamed when it is complete.
pub(super) const TEMPORARY_PREFIX: &str = ".new-";

/// Writes a file. Replaces an existing one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put(prepare(path, bytes)?, path)
}

/// Writes the new content of a file into a temporary file beside it.
pub(super) fn prepare(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    write_temporary(parent_of(path), bytes)
}

/// Gives the prepared content of a file its final name. Replaces an existing file.
pub(super) fn put(prepared: NamedTempFile, path: &Path) -> io::Result<()> {
    prepared.persist(path)?;
    sync_folder(parent_of(path))
}

/// Writes a file. Fails with `AlreadyExists` if there is one.
pub(super) fn create_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = parent_of(path);
    place_new(write_temporary(folder, bytes)?, path)?;
    sync_folder(folder)
}

/// Gives a file its final name. Fails with `AlreadyExists` if the name is taken.
pub(super) fn place_new(file: NamedTempFile, path: &Path) -> io::Result<()> {
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(PersistError { error, file }) => {
            let errno = error.raw_os_error().map(Errno::from_raw);
            match errno {
                // This file system has neither hard links nor renames that fail if the name is
                // taken. So an empty file takes the name first, and the rename replaces it. A crash
                // between these two steps leaves the empty file.
                Some(Errno::EPERM | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => {
                    File::create_new(path)?;
                    file.persist(path)?;
                    Ok(())
                }
                _ => Err(error),
            }
        }
    }
}

/// Reads up to `most` bytes from the start of a file. Returns `None` if it does not exist.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// The same error for a person: without the name of a temporary file, and with what to do about a
/// full disk.
pub(super) fn with_readable_text(error: io::Error) -> io::Error {
    let text = error.to_string();
    let (reason, _) = text.split_once(" (os error ").unwrap_or((&text, ""));
    io::Error::new(error.kind(), with_advice(error.kind(), reason))
}

/// Checks that a file can be made in the folder.
pub(super) fn check_writable(folder: &Path) -> io::Result<()> {
    write_temporary(folder, &[]).map(drop)
}

fn write_temporary(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let write = || {
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        sync_file(file.as_file(), folder)?;
        Ok(file)
    };
    write().map_err(with_readable_text)
}

/// The folder that contains `path`.
pub(super) fn parent_of(path: &Path) -> &Path {
    let parent = path.parent();
    let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}
