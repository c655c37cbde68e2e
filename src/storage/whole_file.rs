//! Small files that are always written as a whole, with mode 0600. After a crash a file has its old
//! content or its new content.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::NamedTempFile;

/// Prefix of the name of a temporary file, which is renamed when it is complete.
pub(super) const TEMPORARY_PREFIX: &str = ".new-";

/// Writes a file. Replaces an existing one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = parent_of(path);
    write_temporary(folder, bytes)?.persist(path)?;
    sync_folder(folder)
}

/// Writes a file. Fails with `AlreadyExists` if there is one.
pub(super) fn create_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = parent_of(path);
    write_temporary(folder, bytes)?.persist_noclobber(path)?;
    sync_folder(folder)
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

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn write_temporary(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn parent_of(path: &Path) -> &Path {
    let parent = path.parent();
    let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}
