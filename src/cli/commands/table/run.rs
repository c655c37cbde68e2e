//! Commands about open swarms, and about the run itself.

use crate::cli::commands::command::Command;
use crate::cli::commands::entry::{Entry, What, flag, optional, required};
use crate::cli::values;
use crate::peer::DownloadOptions;

/// Open swarms.
pub(super) static OPEN: &[Entry] = &[
    Entry {
        name: "send",
        arguments: &[
            required("PATH", What::Path),
            optional("OUT.torrent", What::Path),
        ],
        flags: &[],
        summary: "share a file or folder and write its .torrent",
        details: "Hashes the file or folder, writes NAME.torrent into the current folder (or OUT.torrent) and shares it \
                  from then on, also after a restart. Hand the .torrent to whoever shall download it.\n\
                  Example: send disk.img",
        read: |words| {
            Ok(Command::Send {
                path: words.path(0)?,
                torrent: words.optional_path(1)?,
            })
        },
    },
    Entry {
        name: "download",
        arguments: &[
            required("FILE.torrent|MAGNET", What::Path),
            optional("DEST", What::Path),
        ],
        flags: &[
            flag("--only", Some("GLOB")),
            flag("--sequential", None),
            flag("--force", None),
        ],
        summary: "start a download in the background",
        details: "Downloads what FILE.torrent or a magnet link describes into the current folder, or to DEST: a folder \
                  that exists, or the new file's own name. `wait` waits for it, `show_downloads` shows how far it is. What is \
                  here is shared on at once; what stands at its place already is taken as it is, if it is the same; with --force it is replaced once \
                  the download is whole: what of it fits is not fetched again, other files in a folder stay, and until then, or if it is cancelled, \
                  all stands as it was.\n\
                  --only (as often as you like) chooses files of a folder: * and ? stand for what is no /, ** for anything; a \
                  pattern without / means names of files in any folder, FOLDER/ all below it. Asked for again with another \
                  choice, or with none, those files are fetched too, and what is there stays. --sequential fetches from \
                  front to back.\n\
                  Example: download disk.img.torrent /srv/images\n\
                  Example: download photos.torrent --only '*.raw' --only 2024/",
        read: |words| {
            Ok(Command::Download {
                source: words.source(0)?,
                options: DownloadOptions {
                    destination: words.optional_path(1)?,
                    choice: words.choice()?,
                },
            })
        },
    },
];

/// Downloads, and the run.
pub(super) static RUN: &[Entry] = &[
    Entry {
        name: "show_downloads",
        arguments: &[],
        flags: &[],
        summary: "list downloads and how far they are",
        details: "One line a download: [D] running, [C] complete, [F] failed; its group (- for none); its name; how \
                  much is here, how fast, from how many peers, and the time left.",
        read: |_| Ok(Command::ShowDownloads),
    },
    Entry {
        name: "show_peers",
        arguments: &[],
        flags: &[],
        summary: "list connected peers",
        details: "One line a connection: the share, the other side's address, name and program, who called, how many \
                  pieces it has, and how much went each way.",
        read: |_| Ok(Command::ShowPeers),
    },
    Entry {
        name: "cancel",
        arguments: &[required("NAME", What::Download)],
        flags: &[],
        summary: "end a download and remove what is there of it",
        details: "NAME is the download's name as show_downloads tells it. A complete download is not touched, nor files that \
                  were complete before more of the same share was asked for; stop_share ends the sharing of these.\n\
                  Example: cancel disk.img",
        read: |words| Ok(Command::Cancel(words.word(0)?.to_owned())),
    },
    Entry {
        name: "wait",
        arguments: &[optional("SECONDS", What::Other)],
        flags: &[],
        summary: "wait until downloads are complete",
        details: "Covers downloads that run now or ended since the last wait. Fails if one failed, or was not complete \
                  in SECONDS; without SECONDS there is no limit.\nExample: wait 60",
        read: |words| {
            let limit = words.get(0).map(values::seconds);
            Ok(Command::Wait(
                limit.transpose().map_err(|what| words.wrong(what))?,
            ))
        },
    },
    Entry {
        name: "status",
        arguments: &[],
        flags: &[],
        summary: "tell of shares, downloads, trackers and links",
        details: "Shows where this peer listens, its trackers and how they answered, what it shares and what it \
                  downloads.\nThe trackers of TRACKER_INFO are asked now whether they serve accounts and groups, and how \
                  many writes each lacks that another one has.",
        read: |_| Ok(Command::Status),
    },
    Entry {
        name: "help",
        arguments: &[optional("COMMAND", What::Command)],
        flags: &[],
        summary: "list commands, or tell of one",
        details: "Example: help wait",
        read: |words| Ok(Command::Help(words.get(0).map(str::to_owned))),
    },
    Entry {
        name: "quit",
        arguments: &[],
        flags: &[],
        summary: "end this peer",
        details: "Tells the trackers and ends, even with --stay. Downloads cut short go on at the next start with the \
                  same --dir.",
        read: |_| Ok(Command::Quit),
    },
    Entry {
        name: "torrent",
        arguments: &[
            required("-setMode|exit", What::Other),
            optional("MODE", What::Other),
            optional("FILE", What::Path),
            optional("DEST", What::Path),
        ],
        flags: &[],
        summary: "other spellings of send, download and quit",
        details: "torrent -setMode send FILE and torrent -setMode upload FILE mean send FILE; torrent -setMode download \
                  FILE means download FILE; torrent -setMode exit and torrent exit mean quit.",
        read: |words| words.other_spelling(),
    },
];
