//! Small files that are written whole, with mode 0600: after a crash there is the one from before or
//! the new one.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::NamedTempFile;

/// How a file begins its name until it is whole.
pub(super) const NEW: &str = ".new-";

/// Writes a file, in place of the one that is there.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    written(folder, bytes)?.persist(path)?;
    sync_folder(folder)
}

/// Writes a file, or fails with `AlreadyExists`.
pub(super) fn put_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    written(folder, bytes)?.persist_noclobber(path)?;
    sync_folder(folder)
}

/// The first bytes of a file, `most` of them at most; none if it is missing.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn written(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(NEW)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn folder_of(path: &Path) -> &Path {
    let parent = path.parent();
    let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}
