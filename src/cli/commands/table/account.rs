//! The commands about accounts, groups and their shares.

use crate::cli::commands::account::{AccountCommand, LoginCommand};
use crate::cli::commands::command::{Command, FileCommand};
use crate::cli::commands::entry::{ArgumentKind, CommandEntry, option, optional, required};
use crate::peer::StopScope;
use crate::wire::name::{GroupName, UserName};

/// Accounts and logins.
pub(super) static ACCOUNT: &[CommandEntry] = &[
    CommandEntry {
        name: "create_user",
        arguments: &[
            required("USER", ArgumentKind::Other),
            optional("PASSWORD", ArgumentKind::Secret),
        ],
        options: &[option("--invite", Some("CODE"))],
        summary: "create an account",
        details: "A name has 1 to 64 letters, digits, '.', '_' and '-', and does not begin with '-'. A password has at least 8 characters. Without PASSWORD the peer asks for it without \
                  echo; without a terminal it reads the next line of standard input. A tracker with closed registration \
                  needs an invite code, which its operator makes with the console command invite.\nExample: create_user nik",
        read: |words| {
            Ok(Command::Account(AccountCommand::CreateUser {
                user: words.new_name(0, UserName::check_new)?,
                password: words.password(1)?,
                invite: words.invite()?,
            }))
        },
    },
    CommandEntry {
        name: "login",
        arguments: &[
            required("USER", ArgumentKind::Other),
            optional("PASSWORD", ArgumentKind::Secret),
        ],
        options: &[],
        summary: "log in",
        details: "A peer has one user at a time. The user stays logged in after a restart with the same --dir. Without \
                  PASSWORD the peer asks for it without echo; without a terminal it reads the next line of standard \
                  input.\nExample: login nik",
        read: |words| {
            Ok(Command::Account(AccountCommand::Login {
                user: words.name(0)?,
                password: words.password(1)?,
            }))
        },
    },
    CommandEntry {
        name: "logout",
        arguments: &[],
        options: &[],
        summary: "log out",
        details: "Ends the login at this peer and at the trackers. Shares and downloads of groups pause until the next \
                  login. Logins of the same user at other peers are not changed.",
        read: |_| Ok(Command::Account(AccountCommand::Logout)),
    },
    CommandEntry {
        name: "change_password",
        arguments: &[
            optional("OLD", ArgumentKind::Secret),
            optional("NEW", ArgumentKind::Secret),
        ],
        options: &[],
        summary: "change the password of the user",
        details: "Ends all other logins of the user. Without OLD and NEW the peer asks for both.",
        read: |words| {
            let (old, new) = (words.password(0)?, words.password(1)?);
            if old.is_some() != new.is_some() {
                return Err(words.error("NEW is missing".to_owned()));
            }
            Ok(Command::Account(AccountCommand::ChangePassword {
                old,
                new,
            }))
        },
    },
    CommandEntry {
        name: "list_logins",
        arguments: &[],
        options: &[],
        summary: "list your logins",
        details: "One line per login that has not ended: its id, the host where you logged in, the address from which it was used, when it began, when it \
                  was used last (to a day and three hours), and which one is that of this peer. Machines that enrolled with tokens are not logins: \
                  list_machines shows them.",
        read: |_| Ok(Command::Account(AccountCommand::Logins(LoginCommand::List))),
    },
    CommandEntry {
        name: "end_login",
        arguments: &[required("ID", ArgumentKind::Login)],
        options: &[],
        summary: "end one of your logins at another peer",
        details: "ID is an id that list_logins shows. The peer there must log in again. To end the login of this peer, use logout. To end all others, use \
                  change_password.\nExample: end_login 1f0c8a2e",
        read: |words| {
            Ok(Command::Account(AccountCommand::Logins(LoginCommand::End(
                words.name(0)?,
            ))))
        },
    },
];

/// Groups.
pub(super) static GROUPS: &[CommandEntry] = &[
    CommandEntry {
        name: "create_group",
        arguments: &[required("G", ArgumentKind::Other)],
        options: &[],
        summary: "create a group, which you own",
        details: "A name has 1 to 64 letters, digits, '.', '_' and '-', and does not begin with '-'. Every user sees the group; only its members see \
                  its members and its files.\nExample: create_group lab",
        read: |words| {
            Ok(Command::Account(AccountCommand::CreateGroup(
                words.new_name(0, GroupName::check_new)?,
            )))
        },
    },
    CommandEntry {
        name: "join_group",
        arguments: &[required("G", ArgumentKind::Group)],
        options: &[],
        summary: "ask the owners of a group to accept you",
        details: "Its owners see the request at the prompt and in list_requests. The answer appears at the prompt, at your next login and in \
                  list_groups.",
        read: |words| Ok(Command::Account(AccountCommand::JoinGroup(words.name(0)?))),
    },
    CommandEntry {
        name: "leave_group",
        arguments: &[required("G", ArgumentKind::Group)],
        options: &[option("--yes", None)],
        summary: "leave a group",
        details: "If you are the only owner of the group, the member who has been in it longest and is no reader becomes its owner. If you are its last member, the group \
                  ends: at a terminal the peer asks you first, elsewhere --yes is needed.",
        read: |words| {
            Ok(Command::Account(AccountCommand::LeaveGroup {
                group: words.name(0)?,
                end: words.has_option("--yes"),
            }))
        },
    },
    CommandEntry {
        name: "list_groups",
        arguments: &[],
        options: &[],
        summary: "list all groups and your role in each",
        details: "One line per group: name, owner, number of members, and your role in it, or that you have asked \
                  to join. If a group has several owners, the one who has been in it longest is shown. Answers to your requests follow.",
        read: |_| Ok(Command::Account(AccountCommand::ListGroups)),
    },
    CommandEntry {
        name: "list_members",
        arguments: &[required("G", ArgumentKind::Group)],
        options: &[],
        summary: "list the members of a group",
        details: "For members of the group. One line per member: name, the time of joining, and the role: reader, publisher or owner.",
        read: |words| {
            Ok(Command::Account(AccountCommand::ListMembers(
                words.name(0)?,
            )))
        },
    },
    CommandEntry {
        name: "list_requests",
        arguments: &[required("G", ArgumentKind::Group)],
        options: &[],
        summary: "list the open requests to join a group",
        details: "For the owners of the group. One line per request: the user and the time of the request.",
        read: |words| {
            Ok(Command::Account(AccountCommand::ListRequests(
                words.name(0)?,
            )))
        },
    },
    CommandEntry {
        name: "accept_request",
        arguments: &[
            required("G", ArgumentKind::Group),
            required("USER", ArgumentKind::Requester),
        ],
        options: &[],
        summary: "accept a user's request to join a group",
        details: "For the owners of the group. The user is a publisher at first.\nExample: accept_request lab mayank",
        read: |words| {
            Ok(Command::Account(AccountCommand::AcceptRequest {
                group: words.name(0)?,
                user: words.name(1)?,
            }))
        },
    },
    CommandEntry {
        name: "reject_request",
        arguments: &[
            required("G", ArgumentKind::Group),
            required("USER", ArgumentKind::Requester),
        ],
        options: &[],
        summary: "reject a user's request to join a group",
        details: "For the owners of the group. The user can ask again.",
        read: |words| {
            Ok(Command::Account(AccountCommand::RejectRequest {
                group: words.name(0)?,
                user: words.name(1)?,
            }))
        },
    },
    CommandEntry {
        name: "remove_member",
        arguments: &[
            required("G", ArgumentKind::Group),
            required("USER", ArgumentKind::Member),
        ],
        options: &[],
        summary: "remove a member from a group",
        details: "For the owners of the group. The user keeps downloaded files and can ask to join again.",
        read: |words| {
            Ok(Command::Account(AccountCommand::RemoveMember {
                group: words.name(0)?,
                user: words.name(1)?,
            }))
        },
    },
    CommandEntry {
        name: "set_role",
        arguments: &[
            required("G", ArgumentKind::Group),
            required("USER|MACHINE", ArgumentKind::Member),
            required("ROLE", ArgumentKind::Role),
        ],
        options: &[],
        summary: "change what a member or machine of a group may do",
        details: "For the owners of the group. A reader lists, downloads and serves shares. A publisher also publishes shares and withdraws \
                  its own ones. An owner also accepts, rejects and removes members, sets roles, renames the group and withdraws any share. \
                  A group can have several owners. The last one stays owner until there is another one.\nExample: set_role lab mayank reader",
        read: |words| {
            Ok(Command::Account(AccountCommand::SetRole {
                group: words.name(0)?,
                user: words.name(1)?,
                role: words.role(2)?,
            }))
        },
    },
    CommandEntry {
        name: "rename_group",
        arguments: &[
            required("G", ArgumentKind::Group),
            required("NEW", ArgumentKind::Other),
        ],
        options: &[],
        summary: "give a group another name",
        details: "For the owners of the group. Shares and downloads of all members go on, and their peers show the new name after their next \
                  announce. The old name is free afterwards.\nExample: rename_group lab hall",
        read: |words| {
            Ok(Command::Account(AccountCommand::RenameGroup {
                group: words.name(0)?,
                name: words.new_name(1, GroupName::check_new)?,
            }))
        },
    },
];

/// Shares of groups.
pub(super) static FILES: &[CommandEntry] = &[
    CommandEntry {
        name: "upload_file",
        arguments: &[
            required("G", ArgumentKind::Group),
            required("PATH", ArgumentKind::Path),
        ],
        options: &[],
        summary: "share a file or folder with a group",
        details: "Hashes the file or folder, adds it to the group's catalogue under its own name, and serves it to members \
                  of the group, also after a restart.\nExample: upload_file lab disk.img",
        read: |words| {
            Ok(Command::File(FileCommand::Upload {
                group: words.name(0)?,
                path: words.path(1)?,
            }))
        },
    },
    CommandEntry {
        name: "list_files",
        arguments: &[required("G", ArgumentKind::Group)],
        options: &[],
        summary: "list the shares of a group",
        details: "For members of the group. One line per share: name, size, publisher, time of publication, how many peers \
                  have all of it now, how many have a part of it, and 'here' if this peer shares or downloads it.",
        read: |words| Ok(Command::File(FileCommand::List(words.name(0)?))),
    },
    CommandEntry {
        name: "download_file",
        arguments: &[
            required("G", ArgumentKind::Group),
            required("NAME", ArgumentKind::Share),
            optional("DEST", ArgumentKind::Path),
        ],
        options: &[option("--force", None)],
        summary: "start a download from a group",
        details: "The download runs in the background. NAME is a name that list_files shows. The share goes to \
                  DEST, which is an existing folder or the path of \
                  the new file or folder; without DEST it goes into the current folder. A file that is there with the same \
                  content is used as it is. With --force, the share replaces another file there, or another folder \
                  with everything in it, when the download is complete. The peer serves each piece as soon \
                  as it has it.\nExample: download_file lab disk.img /srv/images",
        read: |words| {
            Ok(Command::File(FileCommand::Download {
                group: words.name(0)?,
                name: words.word(1)?.to_owned(),
                destination: words.wanted_place(2)?,
                force: words.has_option("--force"),
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
                  catalogue, and so from all peers. With --here the share is stopped at this peer only, and stays stopped after a restart; \
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
