//! `pieceful torrent`.

use super::options::{flag, option, path, path_option};
use crate::cli::values;
use clap::{ArgAction, ArgMatches, Command};
use std::path::PathBuf;

/// What shall be done with a `.torrent`.
#[derive(Debug)]
pub(in crate::cli) enum TorrentArguments {
    /// Make one.
    Create(CreateArguments),
    /// Tell what is in it.
    Show {
        /// The `.torrent`.
        torrent: PathBuf,
    },
    /// Compare it to what is on disk.
    Check {
        /// The `.torrent`.
        torrent: PathBuf,
        /// The file or folder.
        path: PathBuf,
    },
}

/// How a `.torrent` shall be made.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct CreateArguments {
    /// The file or folder.
    pub(in crate::cli) path: PathBuf,
    /// Where the `.torrent` goes.
    pub(in crate::cli) output: Option<PathBuf>,
    /// Whether a file there is replaced.
    pub(in crate::cli) force: bool,
    /// Announce URLs, a tier each.
    pub(in crate::cli) trackers: Vec<String>,
    /// Bytes of a piece.
    pub(in crate::cli) piece_length: Option<u32>,
    /// Whether only these trackers may be asked for peers.
    pub(in crate::cli) private: bool,
    /// Whether each file's SHA-1 is written down.
    pub(in crate::cli) file_sha1: bool,
}

pub(super) fn definition() -> Command {
    let torrent = || path("torrent", "FILE").required(true).help("The .torrent");
    Command::new("torrent")
        .about("Make, show or check a .torrent")
        .after_help(
            "Examples:\n  \
             pieceful torrent create disk.img -t http://127.0.0.1:5000/announce\n  \
             pieceful torrent show disk.img.torrent\n  \
             pieceful torrent check disk.img.torrent ./disk.img",
        )
        .subcommand_required(true)
        .subcommand_value_name("SUBCOMMAND")
        .subcommand_help_heading("Subcommands")
        .disable_help_subcommand(true)
        .subcommand(create_definition())
        .subcommand(
            Command::new("show")
                .about("Tell what is in a .torrent: name, files, sizes, info-hash, trackers, magnet link")
                .after_help("Example:\n  pieceful torrent show disk.img.torrent")
                .arg(torrent()),
        )
        .subcommand(
            Command::new("check")
                .about("Compare a file or folder to its .torrent; exit code 1 names what is bad")
                .after_help(
                    "Every piece is hashed, and every file whose SHA-1 the .torrent gives.\n\n\
                     Example:\n  pieceful torrent check disk.img.torrent ./disk.img",
                )
                .arg(torrent())
                .arg(
                    path("path", "PATH").required(true)
                        .help("The file or folder itself, not the one it lies in"),
                ),
        )
}

fn create_definition() -> Command {
    Command::new("create")
        .about("Make a .torrent of a file or folder")
        .after_help(
            "The same content gives the same .torrent on any machine. Pieces are 512 KiB, longer where there would be more \
             than 16384.\n\n\
             Examples:\n  \
             pieceful torrent create disk.img -t http://127.0.0.1:5000/announce\n  \
             pieceful torrent create photos/ -o /tmp/photos.torrent --piece-length 1M --file-sha1",
        )
        .args([
            path("path", "PATH").required(true)
                .help("The file or folder"),
            path_option("output", "FILE").short('o')
                .help("Where the .torrent goes [default: NAME.torrent in the current folder]"),
            flag("force")
                .help("Replace a .torrent that is there already"),
            option("tracker", "URL").short('t')
                .action(ArgAction::Append)
                .value_parser(values::announce_url)
                .help("An announce URL; repeat it for more, asked in this order"),
            option("piece-length", "N")
                .value_parser(values::piece_length)
                .help("Length of a piece in bytes, or as 512K or 1M"),
            flag("private")
                .help("Let clients ask these trackers alone for peers (BEP 27)"),
            flag("file-sha1")
                .help("Write down the SHA-1 of each file (BEP 47), checked once it is downloaded"),
        ])
}

/// `None` if no subcommand was given.
pub(super) fn read(matches: &ArgMatches) -> Option<TorrentArguments> {
    let (name, matches) = matches.subcommand()?;
    let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
    match name {
        "create" => Some(TorrentArguments::Create(CreateArguments {
            path: path("path")?,
            output: path("output"),
            force: matches.get_flag("force"),
            trackers: matches
                .get_many("tracker")
                .unwrap_or_default()
                .cloned()
                .collect(),
            piece_length: matches.get_one("piece-length").copied(),
            private: matches.get_flag("private"),
            file_sha1: matches.get_flag("file-sha1"),
        })),
        "show" => Some(TorrentArguments::Show {
            torrent: path("torrent")?,
        }),
        _ => Some(TorrentArguments::Check {
            torrent: path("torrent")?,
            path: path("path")?,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Invocation, tests::parse};
    use super::*;

    #[test]
    fn create_show_and_check_are_read() {
        let line = "torrent create a -o b --force -t http://x/announce -t udp://y:1 --piece-length 1M --private --file-sha1";
        let Ok(Invocation::Torrent(TorrentArguments::Create(create))) = parse(line) else {
            panic!()
        };
        let expected = CreateArguments {
            path: "a".into(),
            output: Some("b".into()),
            force: true,
            trackers: vec!["http://x/announce".into(), "udp://y:1".into()],
            piece_length: Some(1 << 20),
            private: true,
            file_sha1: true,
        };
        assert_eq!(create, expected);
        let show = parse("torrent show f.torrent");
        assert!(
            matches!(show, Ok(Invocation::Torrent(TorrentArguments::Show { torrent })) if torrent.as_os_str() == "f.torrent")
        );
        let check = parse("torrent check f.torrent d");
        assert!(
            matches!(check, Ok(Invocation::Torrent(TorrentArguments::Check { path, .. })) if path.as_os_str() == "d")
        );
    }
}
