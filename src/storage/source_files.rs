//! Lists the files to be shared below a path, in a fixed order.

use super::CreateError;
use crate::torrent::{FileName, FilePath, Layout};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The files to be shared.
#[derive(Debug)]
pub(super) struct SourceFiles {
    pub(super) name: FileName,
    pub(super) layout: Layout,
    /// Sorted by path.
    pub(super) files: Vec<SourceFile>,
}

/// One file to be shared.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) path: FilePath,
    pub(super) length: u64,
    pub(super) executable: bool,
}

/// Lists the file or folder at `path`. `path` may be a symbolic link, but links below it are
/// refused.
pub(super) fn list_source_files(path: &Path) -> Result<SourceFiles, CreateError> {
    let metadata = fs::metadata(path).map_err(|source| read_error(path, source))?;
    let name = match path.file_name() {
        Some(name) => file_name(path, name)?,
        // The path ends in `.` or `..`, so the name must be looked up.
        None => {
            let whole = fs::canonicalize(path).map_err(|source| read_error(path, source))?;
            let name = whole.file_name();
            file_name(path, name.unwrap_or_default())?
        }
    };
    if metadata.is_file() {
        let path = file_path(path, vec![name.clone()])?;
        return Ok(SourceFiles {
            name,
            layout: Layout::File,
            files: vec![source_file(path, &metadata)],
        });
    }
    if !metadata.is_dir() {
        return Err(CreateError::Special(path.to_owned()));
    }
    let mut files = Vec::new();
    let mut folders = vec![(path.to_owned(), Vec::new())];
    while let Some((folder, above)) = folders.pop() {
        list_folder(&folder, &above, &mut files, &mut folders)?;
    }
    if files.is_empty() {
        return Err(CreateError::Empty(path.to_owned()));
    }
    files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    Ok(SourceFiles {
        name,
        layout: Layout::Folder,
        files,
    })
}

/// Adds the files in `folder` to `files`, and the folders in it to `folders`.
fn list_folder(
    folder: &Path,
    above: &[FileName],
    files: &mut Vec<SourceFile>,
    folders: &mut Vec<(PathBuf, Vec<FileName>)>,
) -> Result<(), CreateError> {
    for entry in fs::read_dir(folder).map_err(|source| read_error(folder, source))? {
        let entry = entry.map_err(|source| read_error(folder, source))?;
        let path = entry.path();
        let name = file_name(&path, &entry.file_name())?;
        let metadata = entry
            .metadata()
            .map_err(|source| read_error(&path, source))?;
        let mut components = above.to_vec();
        components.push(name);
        if metadata.is_symlink() {
            return Err(CreateError::Symlink(path));
        } else if metadata.is_dir() {
            // A folder that is too deep is refused here, even if it has no files.
            file_path(&path, components.clone())?;
            folders.push((path, components));
        } else if metadata.is_file() {
            files.push(source_file(file_path(&path, components)?, &metadata));
        } else {
            return Err(CreateError::Special(path));
        }
    }
    Ok(())
}

fn source_file(path: FilePath, metadata: &Metadata) -> SourceFile {
    SourceFile {
        path,
        length: metadata.len(),
        executable: metadata.permissions().mode() & 0o100 != 0,
    }
}

fn file_name(path: &Path, name: &OsStr) -> Result<FileName, CreateError> {
    let text = name.to_str();
    let text = text.ok_or_else(|| CreateError::NotText(path.to_owned()))?;
    FileName::new(text).map_err(|source| CreateError::Name {
        path: path.to_owned(),
        source,
    })
}

fn file_path(path: &Path, components: Vec<FileName>) -> Result<FilePath, CreateError> {
    FilePath::new(components).map_err(|source| CreateError::Name {
        path: path.to_owned(),
        source,
    })
}

fn read_error(path: &Path, source: std::io::Error) -> CreateError {
    CreateError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    #[test]
    fn entries_that_cannot_be_shared_are_refused_and_the_error_names_their_path() {
        type Prepare = fn(&Path);
        type Matches = fn(&CreateError) -> bool;
        let table: [(&str, Prepare, Matches); 6] = [
            (
                "a/link",
                |path| symlink("/etc", path).unwrap(),
                |error| matches!(error, CreateError::Symlink(_)),
            ),
            (
                "a/pipe",
                |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRUSR).unwrap(),
                |error| matches!(error, CreateError::Special(_)),
            ),
            (
                "a/back\\slash",
                |path| fs::write(path, "").unwrap(),
                |error| matches!(error, CreateError::Name { .. }),
            ),
            (
                "a/\u{1b}[2J",
                |path| fs::write(path, "").unwrap(),
                |error| matches!(error, CreateError::Name { .. }),
            ),
            ("a", |_| (), |error| matches!(error, CreateError::Empty(_))),
            (
                "nowhere",
                |_| (),
                |error| matches!(error, CreateError::Unreadable { .. }),
            ),
        ];
        for (name, prepare, expected) in table {
            let temporary = tempfile::tempdir().unwrap();
            let folder = temporary.path().join("a");
            fs::create_dir(&folder).unwrap();
            prepare(&temporary.path().join(name));
            let shared = if name == "nowhere" {
                temporary.path().join(name)
            } else {
                folder
            };
            let error = list_source_files(&shared).unwrap_err();
            assert!(expected(&error), "{name}: {error}");
            let shown = temporary.path().join(name).display().to_string();
            assert!(error.to_string().contains(&shown), "{error}");
        }
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join(OsStr::from_bytes(b"\xff")), "").unwrap();
        let error = list_source_files(temporary.path()).unwrap_err();
        assert!(matches!(error, CreateError::NotText(_)));
    }

    #[test]
    fn folders_deeper_than_torrents_allow_are_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let deep: PathBuf = std::iter::repeat_n("d", 102).collect();
        fs::create_dir_all(temporary.path().join(deep)).unwrap();
        let error = list_source_files(temporary.path()).unwrap_err();
        assert!(matches!(error, CreateError::Name { .. }));
    }
}
