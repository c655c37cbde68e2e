//! The arguments of `pieceful torrent`.

use super::options::{flag, option, path, path_option};
use crate::cli::values;
use clap::{ArgAction, ArgMatches, Command};
use std::path::PathBuf;

/// What to do with a `.torrent`.
#[derive(Debug)]
pub(in crate::cli) enum TorrentArguments {
    /// Create one.
    Create(CreateArguments),
    /// Show its contents.
    Show {
        /// The `.torrent`.
        torrent: PathBuf,
    },
    /// Compare it with files on disk.
    Check {
        /// The `.torrent`.
        torrent: PathBuf,
        /// The file or folder.
        path: PathBuf,
    },
}

/// The arguments of `torrent create`.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct CreateArguments {
    /// The file or folder.
    pub(in crate::cli) path: PathBuf,
    /// The path of the `.torrent`.
    pub(in crate::cli) output: Option<PathBuf>,
    /// Whether an existing file is replaced.
    pub(in crate::cli) force: bool,
    /// Announce URLs, one per tier.
    pub(in crate::cli) trackers: Vec<String>,
    /// The piece length in bytes.
    pub(in crate::cli) piece_length: Option<u32>,
    /// Whether clients may get peers from these trackers only (BEP 27).
    pub(in crate::cli) private: bool,
    /// Whether the SHA-1 of each file is included (BEP 47).
    pub(in crate::cli) file_sha1: bool,
    /// Whether symbolic links inside the folder are followed.
    pub(in crate::cli) follow_links: bool,
}

pub(super) fn definition() -> Command {
    let torrent = || path("torrent", "FILE").required(true).help("The .torrent");
    Command::new("torrent")
        .about("Create, show or check a .torrent")
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
                .about("Show the contents of a .torrent: name, files, sizes, info-hash, trackers, magnet link")
                .after_help("Example:\n  pieceful torrent show disk.img.torrent")
                .arg(torrent()),
        )
        .subcommand(
            Command::new("check")
                .about("Compare a file or folder with its .torrent; exit code 1 if they differ")
                .after_help(
                    "Hashes every piece, and every file whose SHA-1 is in the .torrent, and names each damaged file.\n\n\
                     Example:\n  pieceful torrent check disk.img.torrent ./disk.img",
                )
                .arg(torrent())
                .arg(
                    path("path", "PATH").required(true)
                        .help("The file or folder itself, not the folder that contains it"),
                ),
        )
}

fn create_definition() -> Command {
    Command::new("create")
        .about("Create a .torrent of a file or folder")
        .after_help(
            "The same content and options make the same .torrent on any machine. Pieces have 512 KiB, or more if there \
             would be more than 16384 of them.\n\n\
             Examples:\n  \
             pieceful torrent create disk.img -t http://127.0.0.1:5000/announce\n  \
             pieceful torrent create photos/ -o album.torrent --piece-length 1M --file-sha1",
        )
        .args([
            path("path", "PATH").required(true)
                .help("The file or folder"),
            path_option("output", "FILE").short('o')
                .help("The path of the .torrent [default: NAME.torrent in the current folder]"),
            flag("force")
                .help("Replace the .torrent if it exists"),
            option("tracker", "URL").short('t')
                .action(ArgAction::Append)
                .value_parser(values::announce_url)
                .help("An announce URL; repeat -t for more, which clients ask in this order"),
            option("piece-length", "N")
                .value_parser(values::piece_length)
                .help("The piece length in bytes, or with a unit such as 512K or 1M"),
            flag("private")
                .help("Let clients get peers from these trackers only (BEP 27)"),
            flag("file-sha1")
                .help("Include the SHA-1 of each file (BEP 47), which clients check at the end of a download"),
            flag("follow-links")
                .help("Follow symbolic links inside the folder, which are an error otherwise"),
        ])
}

/// `None` without a subcommand.
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
            follow_links: matches.get_flag("follow-links"),
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
        let line = "torrent create a -o b --force -t http://x/announce -t udp://y:1 --piece-length 1M --private --file-sha1 --follow-links";
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
            follow_links: true,
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
