//! The paths in a command: relative ones belong to the current folder of the user who has typed it.

use super::commands::{Command, DownloadSource, FileCommand, MirrorCommand};
use crate::peer::WantedPlace;
use std::io;
use std::path::{Path, PathBuf};

/// Makes all paths of a command absolute, also those that the command leaves out. `folder` is the
/// current folder of the user.
pub(super) fn resolve(command: &mut Command, folder: &Path) {
    let absolute = |path: &mut PathBuf| *path = folder.join(&*path);
    let absolute_place = |place: &mut WantedPlace| {
        place.named.iter_mut().for_each(absolute);
        folder.clone_into(&mut place.current_folder);
    };
    match command {
        Command::Send { path, torrent, .. } => {
            absolute(path);
            // If there is no default name, `send` finds the same error.
            let default = || torrent_name(path).ok();
            let named = torrent.take().or_else(default);
            *torrent = named.map(|named| folder.join(named));
        }
        Command::Download { source, options } => {
            if let DownloadSource::Torrent(torrent) = source {
                absolute(torrent);
            }
            absolute_place(&mut options.destination);
        }
        Command::File(FileCommand::Upload { path, .. }) => absolute(path),
        Command::File(FileCommand::Export { folder: path, .. }) => absolute(path),
        Command::File(FileCommand::Download { options, .. }) => {
            absolute_place(&mut options.destination);
        }
        Command::Mirror(MirrorCommand::Begin { place, .. }) => absolute_place(place),
        _ => {}
    }
}

/// The default path of the `.torrent` of a file or folder: `NAME.torrent` in the current folder.
pub(super) fn torrent_name(path: &Path) -> io::Result<PathBuf> {
    let mut name = match path.file_name() {
        Some(name) => name.to_owned(),
        // The path is `.` or `..`: find the folder's name.
        None => path
            .canonicalize()?
            .file_name()
            .unwrap_or_default()
            .to_owned(),
    };
    name.push(".torrent");
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use super::super::commands::parse_line;
    use super::*;

    #[test]
    fn a_torrent_has_the_name_of_its_file_or_folder() {
        assert_eq!(
            torrent_name(Path::new("/a/b.iso")).unwrap(),
            Path::new("b.iso.torrent")
        );
        assert_eq!(
            torrent_name(Path::new("a/")).unwrap(),
            Path::new("a.torrent")
        );
        let here = std::env::current_dir().unwrap();
        let here = format!("{}.torrent", here.file_name().unwrap().to_str().unwrap());
        assert_eq!(torrent_name(Path::new(".")).unwrap(), Path::new(&here));
        assert!(torrent_name(Path::new("/nowhere/..")).is_err());
    }

    #[test]
    fn paths_belong_to_the_folder_of_the_user() {
        let resolved = |line: &str| {
            let parsed = parse_line(line, None).unwrap();
            let mut command = parsed.command.unwrap();
            resolve(&mut command, Path::new("/u"));
            command
        };
        let send = |path: &str, torrent: &str| Command::Send {
            path: path.into(),
            torrent: Some(torrent.into()),
            follow_links: false,
        };
        assert_eq!(resolved("send a/b"), send("/u/a/b", "/u/b.torrent"));
        assert_eq!(resolved("send /x o.t"), send("/x", "/u/o.t"));
        for (line, named) in [
            ("download x.torrent", None),
            ("download x.torrent d/", Some("/u/d/")),
            ("download_file lab x", None),
            ("download_file lab x /d", Some("/d")),
        ] {
            let destination = match resolved(line) {
                Command::Download { source, options } => {
                    assert_eq!(source, DownloadSource::Torrent("/u/x.torrent".into()));
                    options.destination
                }
                Command::File(FileCommand::Download { options, .. }) => options.destination,
                other => panic!("{other:?}"),
            };
            assert_eq!(destination.named.as_deref(), named.map(Path::new), "{line}");
            assert_eq!(destination.current_folder, Path::new("/u"));
        }
        assert!(matches!(resolved("upload_file lab x"),
            Command::File(FileCommand::Upload { path, .. }) if path == Path::new("/u/x")));
        assert!(matches!(resolved("export_torrent lab x d"),
            Command::File(FileCommand::Export { folder, .. }) if folder == Path::new("/u/d")));
    }
}
