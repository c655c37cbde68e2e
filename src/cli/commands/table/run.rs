//! The commands about open swarms, downloads and the peer itself.

use crate::cli::commands::command::Command;
use crate::cli::commands::entry::{ArgumentKind, CommandEntry, option, optional, required};
use crate::cli::values;
use crate::peer::DownloadOptions;

/// Open swarms.
pub(super) static OPEN: &[CommandEntry] = &[
    CommandEntry {
        name: "send",
        arguments: &[
            required("PATH", ArgumentKind::Path),
            optional("OUT.torrent", ArgumentKind::Path),
        ],
        options: &[option("--follow-links", None)],
        summary: "share a file or folder, write its .torrent",
        details: "Hashes the file or folder, writes NAME.torrent into the current folder (or OUT.torrent), and shares it, \
                  also after a restart. Everybody who has the .torrent can download it. With --follow-links, \
                  symbolic links inside a folder are followed; without it, they are an error.\n\
                  Example: send disk.img",
        read: |words| {
            Ok(Command::Send {
                path: words.path(0)?,
                torrent: words.optional_path(1)?,
                follow_links: words.has_option("--follow-links"),
            })
        },
    },
    CommandEntry {
        name: "download",
        arguments: &[
            required("FILE.torrent|MAGNET", ArgumentKind::Path),
            optional("DEST", ArgumentKind::Path),
        ],
        options: &[
            option("--only", Some("GLOB")),
            option("--sequential", None),
            option("--force", None),
        ],
        summary: "start a download from an open swarm",
        details: "The download runs in the background. The share goes to DEST, which is an existing folder or \
                  the path of the new file or folder; without DEST \
                  it goes into the current folder. Files that are there with the same content are used as they are. The peer \
                  serves each piece as soon as it has it.\n\
                  --only GLOB downloads only matching files of a folder; repeat it for more. * and ? match anything but /, \
                  ** matches everything. A pattern without / matches file names in any folder; FOLDER/ matches all files \
                  below it. If the same share is downloaded again with another choice, the files of that choice are added; \
                  without a choice, all files.\n\
                  --sequential downloads from front to back.\n\
                  --force replaces another file or folder at the destination once the download is complete: matching pieces \
                  of it are not downloaded again, files of the old folder that are not part of the \
                  share are kept, and nothing changes before the end.\n\
                  Example: download disk.img.torrent /srv/images\n\
                  Example: download photos.torrent --only '*.raw' --only 2024/",
        read: |words| {
            Ok(Command::Download {
                source: words.source(0)?,
                options: DownloadOptions {
                    destination: words.wanted_place(1)?,
                    choice: words.file_choice()?,
                },
            })
        },
    },
];

/// Downloads and the peer itself.
pub(super) static DOWNLOADS_AND_PEER: &[CommandEntry] = &[
    CommandEntry {
        name: "show_downloads",
        arguments: &[],
        options: &[],
        summary: "list the downloads and their progress",
        details: "One line per download: [D] running, [V] being checked, [C] complete or [F] failed; the group (- for an open swarm); the \
                  name; while it runs, also the percentage, rate, number of peers and time left; if it failed or makes no progress, the reason.",
        read: |_| Ok(Command::ShowDownloads),
    },
    CommandEntry {
        name: "show_peers",
        arguments: &[],
        options: &[],
        summary: "list the connected peers",
        details: "One line per connection: the share; the other peer's address, name and program; the direction: out if this \
                  peer has opened the connection, else in; the pieces of the other peer; the bytes downloaded from it and \
                  uploaded to it.",
        read: |_| Ok(Command::ShowPeers),
    },
    CommandEntry {
        name: "cancel",
        arguments: &[required("NAME", ArgumentKind::Download)],
        options: &[],
        summary: "end a download and remove its files",
        details: "NAME is a name that show_downloads shows, or the info-hash. If the download added files to an earlier one, the files \
                  that were complete before are kept. A complete download cannot be cancelled; stop_share ends its sharing.\n\
                  Example: cancel disk.img",
        read: |words| Ok(Command::Cancel(words.word(0)?.to_owned())),
    },
    CommandEntry {
        name: "verify",
        arguments: &[required("NAME", ArgumentKind::Download)],
        options: &[option("--repair", None)],
        summary: "read the files of a share and check them",
        details: "NAME is the name or info-hash of a complete download or share; status shows them. Reads all its files and says \
                  what is wrong with each one. A share with a bad file is not served until the file is right again. With \
                  --repair, the bad pieces of a download are fetched again in the background, and wait waits for them; files \
                  that this peer publishes are never changed. The peer serves meanwhile. Only one verify runs at a time.\n\
                  Example: verify disk.img --repair",
        read: |words| {
            Ok(Command::Verify {
                name: words.word(0)?.to_owned(),
                repairs: words.has_option("--repair"),
            })
        },
    },
    CommandEntry {
        name: "wait",
        arguments: &[optional("SECONDS", ArgumentKind::Other)],
        options: &[],
        summary: "wait until the downloads are complete",
        details: "Covers the downloads that run now and those that ended since the last wait. Fails if one of them failed, \
                  or was not complete after SECONDS; without SECONDS there is no limit.\nExample: wait 60",
        read: |words| {
            let limit = words.get(0).map(values::seconds);
            Ok(Command::Wait(
                limit.transpose().map_err(|what| words.error(what))?,
            ))
        },
    },
    CommandEntry {
        name: "status",
        arguments: &[],
        options: &[],
        summary: "show the state of this peer",
        details: "Shows its address, user, trackers, shares and downloads. Asks each tracker of TRACKER_INFO whether it serves accounts and groups, and how many writes it lacks \
                  that another tracker has.",
        read: |_| Ok(Command::Status),
    },
    CommandEntry {
        name: "help",
        arguments: &[optional("COMMAND", ArgumentKind::Command)],
        options: &[],
        summary: "list all commands, or explain one",
        details: "Example: help wait",
        read: |words| Ok(Command::Help(words.get(0).map(str::to_owned))),
    },
    CommandEntry {
        name: "quit",
        arguments: &[],
        options: &[],
        summary: "end this peer, or the attachment to it",
        details: "exit means the same. At the peer itself: leaves the swarms and ends, even with --stay. Unfinished downloads continue at the \
                  next start with the same --dir. In a command that is attached to a running peer: ends only the attachment.",
        read: |_| Ok(Command::Quit),
    },
    CommandEntry {
        name: "stop",
        arguments: &[],
        options: &[],
        summary: "end this peer",
        details: "The peer leaves the swarms and ends, also if the command is attached to it, and even with --stay. An attached command returns \
                  when the peer has ended. Unfinished downloads continue at the next start with the same --dir.",
        read: |_| Ok(Command::Stop),
    },
    CommandEntry {
        name: "torrent",
        arguments: &[
            required("-setMode|exit", ArgumentKind::Other),
            optional("MODE", ArgumentKind::Other),
            optional("FILE", ArgumentKind::Path),
            optional("DEST", ArgumentKind::Path),
        ],
        options: &[],
        summary: "other ways to type send, download, quit",
        details: "torrent -setMode send FILE and torrent -setMode upload FILE mean send FILE. torrent -setMode download \
                  FILE means download FILE. torrent -setMode exit and torrent exit mean quit.",
        // Lines with a valid mode do not come here: `resolve_aliases` has replaced them.
        read: |words| Err(words.error("the mode must be send, upload, download or exit".to_owned())),
    },
];
