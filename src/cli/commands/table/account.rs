//! Commands about accounts, groups and what these share.

use crate::cli::commands::account::AccountCommand;
use crate::cli::commands::command::{Command, FileCommand, OPEN_SWARMS};
use crate::cli::commands::entry::{Entry, What, flag, optional, required};
use crate::cli::failure::Failure;

/// Accounts and sessions.
pub(super) static ACCOUNT: &[Entry] = &[
    Entry {
        name: "create_user",
        arguments: &[
            required("USER", What::Other),
            optional("PASSWORD", What::Secret),
        ],
        flags: &[flag("--invite", Some("CODE"))],
        summary: "make an account",
        details: "A name has 1 to 64 letters, digits, '.', '_' and '-'. Without PASSWORD it is asked for, without echo; off \
                  a terminal it is the next line of standard input. Where the tracker's registration is closed, its \
                  operator gives out invite codes.\nExample: create_user nik",
        read: |words| {
            Ok(Command::Account(AccountCommand::CreateUser {
                user: words.parsed(0)?,
                password: words.password(1)?,
                invite: words.invite()?,
            }))
        },
    },
    Entry {
        name: "login",
        arguments: &[
            required("USER", What::Other),
            optional("PASSWORD", What::Secret),
        ],
        flags: &[],
        summary: "log in",
        details: "A peer has one user at a time, who stays logged in across restarts with the same --dir. Without PASSWORD \
                  it is asked for, without echo; off a terminal it is the next line of standard input.\nExample: login nik",
        read: |words| {
            Ok(Command::Account(AccountCommand::Login {
                user: words.parsed(0)?,
                password: words.password(1)?,
            }))
        },
    },
    Entry {
        name: "logout",
        arguments: &[],
        flags: &[],
        summary: "log out",
        details: "Ends the session here and at the trackers; sessions of the same user at other peers go on.",
        read: |_| Ok(Command::Account(AccountCommand::Logout)),
    },
    Entry {
        name: "change_password",
        arguments: &[optional("OLD", What::Secret), optional("NEW", What::Secret)],
        flags: &[],
        summary: "change the password",
        details: "Ends all other sessions of the user. Without OLD and NEW both are asked for.",
        read: |words| {
            let (old, new) = (words.password(0)?, words.password(1)?);
            if old.is_some() != new.is_some() {
                return Err(words.wrong("NEW is missing".to_owned()));
            }
            Ok(Command::Account(AccountCommand::ChangePassword {
                old,
                new,
            }))
        },
    },
];

/// Groups.
pub(super) static GROUPS: &[Entry] = &[
    Entry {
        name: "create_group",
        arguments: &[required("G", What::Other)],
        flags: &[],
        summary: "make a group, which you own",
        details: "A name has 1 to 64 letters, digits, '.', '_' and '-'. Everybody who can log in sees it; only members see who \
                  is in it.\nExample: create_group lab",
        read: |words| {
            if words.names_open_swarms(0) {
                let taken = format!("{OPEN_SWARMS} stands for open swarms, and is no group's name");
                return Err(Failure::BadName(taken));
            }
            Ok(Command::Account(AccountCommand::CreateGroup(
                words.parsed(0)?,
            )))
        },
    },
    Entry {
        name: "join_group",
        arguments: &[required("G", What::Other)],
        flags: &[],
        summary: "ask the owner of a group to let you in",
        details: "The owner sees the request in list_requests. You are told the answer at the prompt, at the next login and by \
                  list_groups.",
        read: |words| {
            Ok(Command::Account(AccountCommand::JoinGroup(
                words.parsed(0)?,
            )))
        },
    },
    Entry {
        name: "leave_group",
        arguments: &[required("G", What::Other)],
        flags: &[flag("--yes", None)],
        summary: "leave a group",
        details: "If you own it, it belongs to whoever has been a member longest from then on. When its last member leaves, \
                  the group ends; that is asked about before, and --yes is the answer.",
        read: |words| {
            Ok(Command::Account(AccountCommand::LeaveGroup {
                group: words.parsed(0)?,
                end: words.has("--yes"),
            }))
        },
    },
    Entry {
        name: "list_groups",
        arguments: &[],
        flags: &[],
        summary: "list all groups, and what you are to each",
        details: "One line a group: its name, its owner, how many members it has, and whether you own it, are a member or \
                  have asked to be one.",
        read: |_| Ok(Command::Account(AccountCommand::ListGroups)),
    },
    Entry {
        name: "list_members",
        arguments: &[required("G", What::Other)],
        flags: &[],
        summary: "list the members of a group of yours",
        details: "One line a member, with the time since when.",
        read: |words| {
            Ok(Command::Account(AccountCommand::ListMembers(
                words.parsed(0)?,
            )))
        },
    },
    Entry {
        name: "list_requests",
        arguments: &[required("G", What::Other)],
        flags: &[],
        summary: "list who asks to be let into a group that you own",
        details: "One line a request, with the time when it was made.",
        read: |words| {
            Ok(Command::Account(AccountCommand::ListRequests(
                words.parsed(0)?,
            )))
        },
    },
    Entry {
        name: "accept_request",
        arguments: &[required("G", What::Other), required("USER", What::Other)],
        flags: &[],
        summary: "let somebody in",
        details: "For the owner of the group.\nExample: accept_request lab mayank",
        read: |words| {
            Ok(Command::Account(AccountCommand::AcceptRequest {
                group: words.parsed(0)?,
                user: words.parsed(1)?,
            }))
        },
    },
    Entry {
        name: "reject_request",
        arguments: &[required("G", What::Other), required("USER", What::Other)],
        flags: &[],
        summary: "turn somebody away",
        details: "For the owner of the group. Who was turned away may ask again.",
        read: |words| {
            Ok(Command::Account(AccountCommand::RejectRequest {
                group: words.parsed(0)?,
                user: words.parsed(1)?,
            }))
        },
    },
    Entry {
        name: "remove_member",
        arguments: &[required("G", What::Other), required("USER", What::Other)],
        flags: &[],
        summary: "put a member out of a group",
        details: "For the owner of the group. Who was removed may ask again, and keeps what was downloaded.",
        read: |words| {
            Ok(Command::Account(AccountCommand::RemoveMember {
                group: words.parsed(0)?,
                user: words.parsed(1)?,
            }))
        },
    },
];

/// What groups share.
pub(super) static FILES: &[Entry] = &[
    Entry {
        name: "upload_file",
        arguments: &[required("G", What::Other), required("PATH", What::Path)],
        flags: &[],
        summary: "share a file or folder with a group",
        details: "Hashes the file or folder, puts it into the group's catalogue under its own name and serves it from then on, \
                  also after a restart. Only members of the group can have it.\nExample: upload_file lab disk.img",
        read: |words| {
            Ok(Command::File(FileCommand::Upload {
                group: words.parsed(0)?,
                path: words.path(1)?,
            }))
        },
    },
    Entry {
        name: "list_files",
        arguments: &[required("G", What::Other)],
        flags: &[],
        summary: "list what a group shares",
        details: "One line a share: its name, how large it is, who shared it and when, and how many peers have all of it or a \
                  part of it now.",
        read: |words| Ok(Command::File(FileCommand::List(words.parsed(0)?))),
    },
    Entry {
        name: "download_file",
        arguments: &[
            required("G", What::Other),
            required("NAME", What::Other),
            optional("DEST", What::Path),
        ],
        flags: &[flag("--force", None)],
        summary: "start a download from a group in the background",
        details: "NAME is what list_files shows. It goes into the current folder, or to DEST: a folder that exists, or the new \
                  file's own name. A file that is there with the same content is taken as it is; another one is replaced only \
                  with --force, a file by a file or a folder, with all that is in it, by a folder, and not before the download is \
                  whole. What is here is shared on at once.\nExample: download_file lab disk.img /srv/images",
        read: |words| {
            Ok(Command::File(FileCommand::Download {
                group: words.parsed(0)?,
                name: words.word(1)?.to_owned(),
                destination: words.optional_path(2)?,
                force: words.has("--force"),
            }))
        },
    },
    Entry {
        name: "stop_share",
        arguments: &[required("G", What::Other), required("NAME", What::Other)],
        flags: &[],
        summary: "end the sharing of a file from here",
        details: "Files stay where they are. If you shared it, or own the group, it is also taken off the group's catalogue.\n\
                  With - for G it ends what is shared or downloaded in an open swarm: trackers are told, and it is forgotten, also \
                  over a restart. A download that is not complete stays as NAME.part, and goes on when it is asked for again at the \
                  same place; cancel removes that. NAME may be an info-hash.\nExample: stop_share - disk.img",
        read: |words| {
            Ok(Command::File(FileCommand::Stop {
                group: match words.names_open_swarms(0) {
                    true => None,
                    false => Some(words.parsed(0)?),
                },
                name: words.word(1)?.to_owned(),
            }))
        },
    },
];
