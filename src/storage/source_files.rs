//! Lists the files to be shared below a path, in a fixed order.

use super::CreateError;
use super::whole_file::{self, parent_of};
use crate::bencode::MAX_VALUES;
use crate::torrent::{FileName, FilePath, Layout, MAX_METAINFO, Metainfo};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How many links an error names.
const MAX_NAMED_LINKS: usize = 10;

/// The files to be shared.
#[derive(Debug)]
pub(super) struct SourceFiles {
    pub(super) name: FileName,
    pub(super) layout: Layout,
    /// Sorted by path.
    pub(super) files: Vec<SourceFile>,
    /// The folders without any entry, sorted.
    pub(super) empty_folders: Vec<String>,
}

/// One file to be shared.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) path: FilePath,
    pub(super) length: u64,
    pub(super) executable: bool,
}

/// Lists the file or folder at `path`. Leaves out `.torrent` files in the folder that describe the
/// folder itself. `path` may be a symbolic link. Links below it are refused, all at once, unless
/// `follows_links` is set. `output` is the path to which the new `.torrent` file will be written.
pub(super) fn list_source_files(
    path: &Path,
    output: Option<&Path>,
    follows_links: bool,
) -> Result<SourceFiles, CreateError> {
    let metadata = fs::metadata(path).map_err(|source| read_error(path, source))?;
    let name = match path.file_name() {
        Some(name) => file_name(path, name)?,
        // The path ends in `.` or `..`, so the name must be looked up.
        None => {
            let resolved = fs::canonicalize(path).map_err(|source| read_error(path, source))?;
            let name = resolved.file_name();
            file_name(path, name.unwrap_or_default())?
        }
    };
    if metadata.is_file() {
        let path = file_path(path, vec![name.clone()])?;
        return Ok(SourceFiles {
            name,
            layout: Layout::File,
            files: vec![source_file(path, &metadata)],
            empty_folders: Vec::new(),
        });
    }
    if !metadata.is_dir() {
        return Err(CreateError::Special(path.to_owned()));
    }
    let mut list = FolderList {
        own_torrents: own_torrents(path, &name, output),
        folders: vec![SourceFolder {
            path: path.to_owned(),
            below_share: Vec::new(),
            identities: vec![identity(&metadata)],
        }],
        files: Vec::new(),
        empty_folders: Vec::new(),
        follows_links,
        links: Vec::new(),
        more_links: 0,
    };
    while let Some(folder) = list.folders.pop() {
        list.add(&folder)?;
        if list.files.len().saturating_add(list.folders.len()) > MAX_VALUES {
            return Err(CreateError::TooManyFiles(path.to_owned()));
        }
    }
    if !list.links.is_empty() {
        list.links.sort_unstable();
        return Err(CreateError::Symlinks(list.links, list.more_links));
    }
    let FolderList {
        mut files,
        mut empty_folders,
        ..
    } = list;
    if files.is_empty() {
        return Err(CreateError::Empty(path.to_owned()));
    }
    files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    empty_folders.sort_unstable();
    Ok(SourceFiles {
        name,
        layout: Layout::Folder,
        files,
        empty_folders,
    })
}

/// The paths of the `.torrent` files in the folder `path` that describe this folder: `output`, if
/// it is inside, and `NAME.torrent`.
fn own_torrents(path: &Path, name: &FileName, output: Option<&Path>) -> Vec<PathBuf> {
    let inside = output.and_then(|output| {
        let folder = fs::canonicalize(parent_of(output)).ok()?;
        let below_path = folder.strip_prefix(fs::canonicalize(path).ok()?).ok()?;
        Some(path.join(below_path).join(output.file_name()?))
    });
    let usual = path.join(format!("{}.torrent", name.as_str()));
    let is_own = is_torrent_of(&usual, name);
    inside.into_iter().chain(is_own.then_some(usual)).collect()
}

/// Whether the file at `path` is a torrent for a share with this name.
fn is_torrent_of(path: &Path, name: &FileName) -> bool {
    let is_file = path.symlink_metadata().is_ok_and(|found| found.is_file());
    let bytes = is_file.then(|| whole_file::read(path, MAX_METAINFO as u64 + 1));
    let Some(Ok(Some(bytes))) = bytes else {
        return false;
    };
    Metainfo::parse(&bytes).is_ok_and(|torrent| torrent.info().name() == name)
}

/// The files of a folder that were found so far.
struct FolderList {
    /// Paths that are left out.
    own_torrents: Vec<PathBuf>,
    /// The folders that are not listed yet.
    folders: Vec<SourceFolder>,
    files: Vec<SourceFile>,
    empty_folders: Vec<String>,
    follows_links: bool,
    /// Links that are not followed, at most [`MAX_NAMED_LINKS`], and the number of others.
    links: Vec<PathBuf>,
    more_links: usize,
}

/// A folder of the share.
struct SourceFolder {
    path: PathBuf,
    /// The components of its path below the share.
    below_share: Vec<FileName>,
    /// Device and inode number of this folder and of each folder above it, up to the share.
    identities: Vec<(u64, u64)>,
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl FolderList {
    /// Adds what is in a folder.
    fn add(&mut self, source: &SourceFolder) -> Result<(), CreateError> {
        let SourceFolder {
            path: folder,
            below_share,
            ..
        } = source;
        let mut is_empty = true;
        for entry in fs::read_dir(folder).map_err(|source| read_error(folder, source))? {
            let entry = entry.map_err(|source| read_error(folder, source))?;
            let path = entry.path();
            is_empty = false;
            if self.own_torrents.contains(&path) {
                continue;
            }
            let name = file_name(&path, &entry.file_name())?;
            let found = entry.metadata();
            let is_link = found.as_ref().is_ok_and(Metadata::is_symlink);
            if is_link && !self.follows_links {
                self.add_link(path);
                continue;
            }
            let found = match is_link {
                true => fs::metadata(&path),
                false => found,
            };
            let metadata = found.map_err(|source| read_error(&path, source))?;
            let mut components = below_share.clone();
            components.push(name);
            if metadata.is_dir() {
                if source.identities.contains(&identity(&metadata)) {
                    return Err(CreateError::LinkLoop(path));
                }
                // A folder that is too deep is refused here, even if it has no files.
                file_path(&path, components.clone())?;
                let mut identities = source.identities.clone();
                identities.push(identity(&metadata));
                self.folders.push(SourceFolder {
                    path,
                    below_share: components,
                    identities,
                });
            } else if metadata.is_file() {
                let file = source_file(file_path(&path, components)?, &metadata);
                self.files.push(file);
            } else {
                return Err(CreateError::Special(path));
            }
        }
        if is_empty && !below_share.is_empty() {
            let folder = file_path(folder, below_share.clone())?;
            self.empty_folders.push(folder.to_string());
        }
        Ok(())
    }

    /// Notes a link that is not followed.
    fn add_link(&mut self, path: PathBuf) {
        match self.links.len() < MAX_NAMED_LINKS {
            true => self.links.push(path),
            false => self.more_links += 1,
        }
    }
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
                |error| matches!(error, CreateError::Symlinks(paths, 0) if paths.len() == 1),
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
            let error = list_source_files(&shared, None, false).unwrap_err();
            assert!(expected(&error), "{name}: {error}");
            let shown = temporary.path().join(name).display().to_string();
            assert!(error.to_string().contains(&shown), "{error}");
        }
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join(OsStr::from_bytes(b"\xff")), "").unwrap();
        let error = list_source_files(temporary.path(), None, false).unwrap_err();
        assert!(matches!(error, CreateError::NotText(_)));
    }

    #[test]
    fn folders_deeper_than_torrents_allow_are_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let deep: PathBuf = std::iter::repeat_n("d", 102).collect();
        fs::create_dir_all(temporary.path().join(deep)).unwrap();
        let error = list_source_files(temporary.path(), None, false).unwrap_err();
        assert!(matches!(error, CreateError::Name { .. }));
    }

    #[test]
    fn all_links_are_named_at_once_up_to_a_limit() {
        let temporary = tempfile::tempdir().unwrap();
        fs::create_dir(temporary.path().join("sub")).unwrap();
        for number in 0..13 {
            symlink("nowhere", temporary.path().join(format!("sub/{number}"))).unwrap();
        }
        let error = list_source_files(temporary.path(), None, false).unwrap_err();
        let text = error.to_string();
        assert_eq!(text.matches("/sub/").count(), MAX_NAMED_LINKS, "{text}");
        assert!(text.contains(" and 3 more are symbolic links"), "{text}");
        assert!(text.contains("--follow-links"), "{text}");
    }

    #[test]
    fn links_are_followed_and_loops_and_special_files_are_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let (share, outside) = (temporary.path().join("share"), temporary.path().join("out"));
        for folder in [&share, &outside.join("deep")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(outside.join("file"), "12345").unwrap();
        fs::write(outside.join("deep/file"), "1").unwrap();
        for (name, target) in [("one", "file"), ("two", "file"), ("dir", ""), ("dir2", "")] {
            symlink(outside.join(target), share.join(name)).unwrap();
        }
        let names = || {
            let listed = list_source_files(&share, None, true)?;
            let names = listed.files.iter().map(|file| file.path.to_string());
            Ok::<_, CreateError>(names.collect::<Vec<_>>())
        };
        // The same file may have several paths.
        let expected = [
            "dir/deep/file",
            "dir/file",
            "dir2/deep/file",
            "dir2/file",
            "one",
            "two",
        ];
        assert_eq!(names().unwrap(), expected);
        let is_refused = |target: &Path| {
            symlink(target, outside.join("bad")).unwrap();
            let refused = names().unwrap_err();
            fs::remove_file(outside.join("bad")).unwrap();
            refused
        };
        for target in [&share, &outside, &temporary.path().to_owned()] {
            assert!(matches!(is_refused(target), CreateError::LinkLoop(_)));
        }
        assert!(matches!(
            is_refused(Path::new("nowhere")),
            CreateError::Unreadable { .. }
        ));
        assert!(matches!(
            is_refused(Path::new("/dev/null")),
            CreateError::Special(_)
        ));
    }
}
