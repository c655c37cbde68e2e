//! The commands for the shares of groups.

use crate::cli::commands::command::{Command, FileCommand};
use crate::cli::commands::entry::{ArgumentKind, CommandEntry, option, optional, required};
use crate::peer::{DownloadOptions, PublishOptions, StopScope};

/// Shares of groups.
pub(super) static FILES: &[CommandEntry] = &[
    CommandEntry {
        name: "upload_file",
        arguments: &[
            required("G", ArgumentKind::Group),
            required("PATH", ArgumentKind::Path),
        ],
        options: &[
            option("--update", None),
            option("--note", Some("TEXT")),
            option("--follow-links", None),
        ],
        summary: "share a file or folder with a group",
        details: "Hashes the file or folder, adds it to the group's catalogue under its own name, and serves it to members \
                  of the group, also after a restart. With --update it becomes the next version of the share that has its name; \
                  who has published a version of the share, or owns the group, can do that. The version that this peer shared \
                  from the same path ends here. --note says what is in this version, in one line. With --follow-links, symbolic links inside a folder are \
                  followed; without it, they are an error.\n\
                  Example: upload_file lab disk.img --update --note 'driver 535'",
        read: |words| {
            Ok(Command::File(FileCommand::Upload {
                group: words.name(0)?,
                path: words.path(1)?,
                publish: PublishOptions {
                    update: words.has_option("--update"),
                    note: words.note()?,
                    follow_links: words.has_option("--follow-links"),
                },
            }))
        },
    },
    CommandEntry {
        name: "list_files",
        arguments: &[
            required("G", ArgumentKind::Group),
            optional("NAME", ArgumentKind::Share),
        ],
        options: &[option("--versions", None), option("--only", Some("GLOB"))],
        summary: "list the shares of a group, or the files of one",
        details: "For members of the group. One line per share: name, size, publisher, time of publication, how many peers \
                  have all of it now, how many have a part of it, 'here' if this peer shares or downloads it, the number \
                  of its newest version if there are others, and the note of the publisher. All this is about the newest \
                  version. With --versions there is a line for each version, with the name NAME@N.\n\
                  With NAME, the command lists the files of that share instead, or of version N of it if NAME is NAME@N: a \
                  line with length and path for each. With --only, these are the files that download_file with the same --only \
                  chooses. Nothing is downloaded.\nExample: list_files lab images@3 --only '*.raw'",
        read: |words| {
            let (group, versions) = (words.name(0)?, words.has_option("--versions"));
            let only = words.file_choice()?.only;
            Ok(Command::File(match words.get(1) {
                Some(_) if versions => {
                    return Err(words.error("give either NAME or --versions, not both".to_owned()));
                }
                Some(_) => FileCommand::Content {
                    group,
                    name: words.word(1)?.to_owned(),
                    only,
                },
                None if only.is_empty() => FileCommand::List { group, versions },
                None => return Err(words.error("--only needs the NAME of a share".to_owned())),
            }))
        },
    },
    CommandEntry {
        name: "download_file",
        arguments: &[
            required("G", ArgumentKind::Group),
            required("NAME", ArgumentKind::Share),
            optional("DEST", ArgumentKind::Path),
        ],
        options: &[
            option("--as", Some("PATH")),
            option("--only", Some("GLOB")),
            option("--sequential", None),
            option("--force", None),
            option("--dry-run", None),
        ],
        summary: "start a download from a group",
        details: "The download runs in the background. NAME is a name that list_files shows, and means the newest version; \
                  NAME@N means version N. The share goes to DEST, which is an existing folder or the path of \
                  the new file or folder, or to --as PATH, which is always the path of the file or folder itself. \
                  Without both, the share goes where this peer has another version of it, otherwise into the current \
                  folder. Another version at its place is served until the new one is complete, and is then replaced; files that \
                  belong to no version are kept. A file that is there with the same \
                  content is used as it is. With --force, the share replaces another file there, or another folder \
                  with everything in it, when the download is complete, and also files of another version that were \
                  changed here. With --dry-run the command only says how much would be fetched, and how many files are \
                  unchanged. --only fetches only the files of a folder that match a pattern; \
                  it can be repeated, and list_files G NAME shows the files. The files that this peer has of the share \
                  already, also of another version, stay chosen; without --only, all files are fetched. --sequential \
                  fetches from front to back. The peer serves each piece as soon as it has it.\nExample: download_file lab disk.img /srv/images",
        read: |words| {
            Ok(Command::File(FileCommand::Download {
                group: words.name(0)?,
                name: words.word(1)?.to_owned(),
                options: DownloadOptions {
                    destination: words.wanted_place_or_path(2, "--as")?,
                    choice: words.file_choice()?,
                },
                is_preview: words.has_option("--dry-run"),
            }))
        },
    },
    CommandEntry {
        name: "export_torrent",
        arguments: &[
            required("G", ArgumentKind::Group),
            required("NAME", ArgumentKind::Share),
            required("FOLDER", ArgumentKind::Path),
        ],
        options: &[],
        summary: "write a torrent, a key and a certificate for another client",
        details: "With these files, a client that knows SSL torrents, such as one with libtorrent, downloads and serves the \
                  share as you, until the certificate ends; the command prints when. It writes NAME.torrent, NAME.crt, NAME.key and NAME.dh \
                  into FOLDER, and replaces only files of its own for the same share. The client must be given the addresses \
                  of peers that the command prints. It knows nothing of removed members. Who has NAME.key can act as you in the \
                  swarms of the group.\n\
                  Example: export_torrent lab disk.img /home/nik/client",
        read: |words| {
            Ok(Command::File(FileCommand::Export {
                group: words.name(0)?,
                name: words.word(1)?.to_owned(),
                folder: words.path(2)?,
            }))
        },
    },
    CommandEntry {
        name: "stop_share",
        arguments: &[
            required("G", ArgumentKind::Group),
            required("NAME", ArgumentKind::Share),
        ],
        options: &[option("--here", None)],
        summary: "stop sharing a file or folder",
        details: "The files are kept. If you are a publisher and published the share, or own the group, it is also removed from the group's \
                  catalogue, and so from all peers. NAME means all versions of the share, NAME@N only that one. With --here the share is stopped at this peer only, and stays stopped after a restart; \
                  your peers on other machines go on. NAME can be an info-hash.\n\
                  With - for G: leaves an open swarm and forgets it. An unfinished download is \
                  kept as NAME.part and continues when you start it again with the same destination; cancel removes it \
                  instead.\nExample: stop_share - disk.img",
        read: |words| {
            Ok(Command::File(FileCommand::Stop {
                group: match words.names_open_swarms(0) {
                    true => None,
                    false => Some(words.name(0)?),
                },
                name: words.word(1)?.to_owned(),
                scope: match words.has_option("--here") {
                    true => StopScope::ThisPeer,
                    false => StopScope::Everywhere,
                },
            }))
        },
    },
];
