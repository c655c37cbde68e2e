//! The commands about accounts and groups.

use crate::cli::commands::account::{AccountCommand, LoginCommand};
use crate::cli::commands::command::Command;
use crate::cli::commands::entry::{ArgumentKind, CommandEntry, option, optional, required};
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
