//! Requests of control connections, for every role. A request that is not allowed changes
//! nothing in the tracker's state (compared by `--dump`), and its refusal reveals nothing.

use super::machine_roles;
use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{
    User, create_user_request, group_request, login_request, new_write, password_of,
};
use pieceful::certificate::{Authority, MemberKey};
use pieceful::torrent::{Info, InfoHash};
use pieceful::wire::PeerId;
use pieceful::wire::access::{
    AccessAnswer, AccessRefusal, AccessRequest, AnnounceBatch, GroupEntry, GroupRole,
    HolderRequest, KeyRequest, REQUEST_KINDS, ShortText, SwarmAnnounce, Token,
};
use pieceful::wire::control::InfoPart;
use pieceful::wire::password::Password;
use pieceful::wire::role::Role;
use ring::hmac::{HMAC_SHA256, Key, sign};
use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU16;

/// The users, one for each role in the group `lab`.
pub(super) const USERS: [&str; 6] = ["uma", "rita", "rea", "mayank", "remi", "nik"];

/// The answers to one request, one for each of [`USERS`].
pub(super) type Answers = [&'static str; 6];

/// The answer to each request of uma (a stranger), rita (who has asked to join), rea (a reader),
/// mayank (a publisher), remi (a member who was removed) and nik (an owner). `+` means allowed.
/// Anything else is the kind of the refusal.
const TABLE: &[(&str, Answers)] = &[
    ("logout", ["+"; 6]),
    ("create_group new", ["+"; 6]),
    ("create_group lab", ["name-taken"; 6]),
    (
        "join_group lab",
        [
            "+",
            "already-requested",
            "already-a-member",
            "already-a-member",
            "+",
            "already-a-member",
        ],
    ),
    ("join_group none", ["unknown-group"; 6]),
    ("leave_group lab", MEMBERS),
    ("leave_group lab --yes", MEMBERS),
    (
        "leave_group own",
        [
            "not-a-member",
            "not-a-member",
            "not-a-member",
            "not-a-member",
            "not-a-member",
            "last-member",
        ],
    ),
    ("leave_group none", ["unknown-group"; 6]),
    ("list_groups", ["+"; 6]),
    ("own_groups", ["+"; 6]),
    ("list_members lab", MEMBERS),
    ("list_members none", ["unknown-group"; 6]),
    ("list_requests lab", OWNER),
    ("list_requests none", ["unknown-group"; 6]),
    ("accept_request lab rita", OWNER),
    ("accept_request lab uma", owner_gets("no-request")),
    ("accept_request lab mayank", owner_gets("no-request")),
    ("accept_request lab remi", owner_gets("no-request")),
    ("accept_request lab nobody", owner_gets("unknown-user")),
    ("accept_request none rita", ["unknown-group"; 6]),
    ("reject_request lab rita", OWNER),
    ("reject_request lab uma", owner_gets("no-request")),
    ("reject_request lab mayank", owner_gets("no-request")),
    ("reject_request lab nobody", owner_gets("unknown-user")),
    ("reject_request none rita", ["unknown-group"; 6]),
    ("remove_member lab mayank", OWNER),
    ("remove_member lab rita", owner_gets("unknown-member")),
    ("remove_member lab remi", owner_gets("unknown-member")),
    ("remove_member lab nik", owner_gets("own-removal")),
    ("remove_member lab nobody", owner_gets("unknown-user")),
    ("remove_member none mayank", ["unknown-group"; 6]),
    ("set_role lab rea publisher", OWNER),
    ("set_role lab mayank owner", OWNER),
    ("set_role lab nik reader", owner_gets("last-owner")),
    ("set_role lab rita reader", owner_gets("unknown-member")),
    ("set_role lab nobody reader", owner_gets("unknown-user")),
    ("set_role none rea reader", ["unknown-group"; 6]),
    ("rename_group lab hall", OWNER),
    ("rename_group lab own", owner_gets("name-taken")),
    ("rename_group none hall", ["unknown-group"; 6]),
    ("changed_shares lab", MEMBERS),
    ("changed_shares none", ["unknown-group"; 6]),
    ("withdrawals lab", MEMBERS),
    ("withdrawals none", ["unknown-group"; 6]),
    ("list_holders lab", MEMBERS),
    ("list_holders none", ["unknown-group"; 6]),
    ("list_mirrors lab", MEMBERS),
    ("list_mirrors none", ["unknown-group"; 6]),
    ("mirroring lab", MEMBERS),
    ("mirroring none", ["unknown-group"; 6]),
    ("cluster", ["+"; 6]),
    ("check_port", ["+"; 6]),
    ("certify lab", MEMBERS),
    ("certify lab stolen", members_get("bad-request")),
    ("certify none", ["unknown-group"; 6]),
    ("publish lab fresh", publishers_get("+")),
    ("publish lab data", publishers_get("share-exists")),
    ("publish lab open", publishers_get("bad-request")),
    ("publish none fresh", ["unknown-group"; 6]),
    ("list_files lab", MEMBERS),
    ("list_files none", ["unknown-group"; 6]),
    ("metainfo lab data", MEMBERS),
    ("metainfo lab nothing", members_get("unknown-share")),
    ("metainfo none data", ["unknown-group"; 6]),
    ("find_version lab data", MEMBERS),
    ("find_version lab nothing", members_get("unknown-share")),
    ("find_version none data", ["unknown-group"; 6]),
    // The publisher and the owners may withdraw a share.
    ("withdraw lab data", publishers_get("+")),
    (
        "withdraw lab niks",
        [
            "not-a-member",
            "not-a-member",
            "not-a-publisher",
            "not-the-publisher",
            "not-a-member",
            "+",
        ],
    ),
    ("withdraw lab nothing", publishers_get("other-version")),
    ("withdraw none data", ["unknown-group"; 6]),
    (
        "announce data",
        [
            "not-in-catalogue",
            "not-in-catalogue",
            "+",
            "+",
            "not-in-catalogue",
            "+",
        ],
    ),
    ("announce fresh", ["not-in-catalogue"; 6]),
    ("news", ["+"; 6]),
    ("create_user nik", ["name-taken"; 6]),
    ("create_user new", ["+"; 6]),
    ("login", ["+"; 6]),
    ("list_logins", ["+"; 6]),
    ("end_login 00000000", ["unknown-login"; 6]),
    ("change_password right", ["+"; 6]),
    ("change_password wrong", ["login-refused"; 6]),
];

/// Allowed for members.
pub(super) const MEMBERS: Answers = members_get("+");

/// Members get `kind`. Others get `not-a-member`.
const fn members_get(kind: &'static str) -> Answers {
    role_gets([kind, kind, kind])
}

/// Publishers and owners get `kind`. A reader gets `not-a-publisher`.
const fn publishers_get(kind: &'static str) -> Answers {
    role_gets(["not-a-publisher", kind, kind])
}

/// Allowed for an owner alone.
pub(super) const OWNER: Answers = owner_gets("+");

/// An owner gets `kind`. Another member gets `not-the-owner`.
pub(super) const fn owner_gets(kind: &'static str) -> Answers {
    role_gets(["not-the-owner", "not-the-owner", kind])
}

/// What a reader, a publisher and an owner get. Others get `not-a-member`.
const fn role_gets([reader, publisher, owner]: [&'static str; 3]) -> Answers {
    let stranger = "not-a-member";
    [stranger, stranger, reader, publisher, stranger, owner]
}

/// The request of a command. `lab` makes the info dictionaries of shares.
pub(super) fn request_of(typed: &str, user: &User, lab: &Lab) -> AccessRequest {
    let words: Vec<&str> = typed.split(' ').collect();
    let name = user.name.as_str();
    let share_name = || ShortText::new(words[2]).unwrap();
    match words[..] {
        ["create_user", name] => create_user_request(name),
        ["login"] => login_request(name, &password_of(name)),
        ["change_password", old] => AccessRequest::ChangePassword {
            write: new_write(),
            old: match old {
                "right" => password_of(name),
                _ => Password::new("guessed").unwrap(),
            },
            new: Password::new("another one").unwrap(),
        },
        ["certify", group, ..] => {
            // The proof is bound to the login: a proof for another login is useless.
            let context = match words.get(2) {
                None => user.token.as_bytes(),
                Some(_) => b"of another session",
            };
            let request = MemberKey::generate().unwrap().request(context).unwrap();
            AccessRequest::Certify {
                group: group.parse().unwrap(),
                request: KeyRequest(request),
            }
        }
        ["publish", group, share] => AccessRequest::Publish {
            write: new_write(),
            group: group.parse().unwrap(),
            part: InfoPart::of(&lab.info(share), 0).unwrap(),
            update: false,
            note: None,
        },
        ["list_files", group] => AccessRequest::ListFiles {
            group: group.parse().unwrap(),
            versions: false,
            after: None,
        },
        ["metainfo", group, _] => AccessRequest::Metainfo {
            group: group.parse().unwrap(),
            name: share_name(),
            offset: 0,
        },
        ["find_version", group, _] => AccessRequest::FindVersion {
            group: group.parse().unwrap(),
            name: share_name(),
        },
        ["withdraw", group, share] => AccessRequest::Withdraw {
            write: new_write(),
            group: group.parse().unwrap(),
            name: share_name(),
            seen: Info::parse(&lab.info(share)).unwrap().info_hash(),
        },
        ["announce", share] => {
            let announce = SwarmAnnounce {
                info_hash: Info::parse(&lab.info(share)).unwrap().info_hash(),
                uploaded: 0,
                downloaded: 0,
                left: 1,
                event: None,
            };
            let announces = AnnounceBatch::new(PeerId([7; 20]), NonZeroU16::MIN, vec![announce]);
            AccessRequest::Announce(announces.unwrap())
        }
        ["withdrawals", group] => AccessRequest::Withdrawals {
            group: group.parse().unwrap(),
            shares: vec![InfoHash([1; 20])],
        },
        ["list_holders", group] => AccessRequest::Holders(HolderRequest::Holders {
            group: group.parse().unwrap(),
            name: None,
            after: None,
        }),
        ["list_mirrors", group] => AccessRequest::Holders(HolderRequest::Mirrors {
            group: group.parse().unwrap(),
            after: None,
        }),
        ["mirroring", group] => AccessRequest::Holders(HolderRequest::Mirroring {
            group: group.parse().unwrap(),
            on: true,
        }),
        ["changed_shares", group] => AccessRequest::ChangedShares {
            group: group.parse().unwrap(),
            changed: Vec::new(),
        },
        ["cluster"] => AccessRequest::Cluster,
        ["check_port"] => AccessRequest::CheckPort {
            port: NonZeroU16::MIN,
        },
        _ => group_request(typed),
    }
}

/// Sends a request and returns the answer. For an announce that is the answer for its only swarm.
pub(super) fn send(user: &mut User, ask: AccessRequest) -> Result<AccessAnswer, AccessRefusal> {
    let answer = user.ask(ask)?;
    match &answer {
        AccessAnswer::Peers(peers) => match &peers.swarms[..] {
            [Err(refused)] => Err(refused.clone()),
            _ => Ok(answer),
        },
        _ => Ok(answer),
    }
}

/// What members know of the group `lab`.
pub(super) struct Lab {
    /// The certificate of its authority.
    authority: String,
}

impl Lab {
    /// The info dictionary of a share with this name. The share `open` belongs to no group.
    fn info(&self, name: &str) -> Vec<u8> {
        let hash = "h".repeat(20);
        let mut info = format!(
            "d6:lengthi5e4:name{}:{name}12:piece lengthi16384e6:pieces20:{hash}",
            name.len()
        );
        if name != "open" {
            let pem = &self.authority;
            info.push_str(&format!("7:privatei1e8:ssl-cert{}:{pem}", pem.len()));
        }
        info.push('e');
        info.into_bytes()
    }
}

/// A tracker on which every one of [`USERS`] has its role.
pub(super) fn tracker_with_roles() -> (AccountTracker, Vec<User>, Lab) {
    let tracker = AccountTracker::new();
    let mut users: Vec<User> = USERS.iter().map(|name| tracker.user(name)).collect();
    let mut lab = Lab {
        authority: String::new(),
    };
    let mut run_as = |user: &str, typed: &str, lab: &Lab| {
        let user = users.iter_mut().find(|other| other.name == user).unwrap();
        let request = request_of(typed, user, lab);
        user.ask(request).unwrap()
    };
    run_as("nik", "create_group lab", &lab);
    run_as("nik", "create_group own", &lab);
    for user in ["rea", "mayank", "remi", "rita"] {
        run_as(user, "join_group lab", &lab);
    }
    run_as("nik", "accept_request lab rea", &lab);
    run_as("nik", "set_role lab rea reader", &lab);
    run_as("nik", "accept_request lab mayank", &lab);
    run_as("nik", "accept_request lab remi", &lab);
    run_as("nik", "remove_member lab remi", &lab);
    match run_as("nik", "certify lab", &lab) {
        AccessAnswer::Certificate { authority, .. } => {
            lab.authority = String::from_utf8(authority).unwrap();
        }
        other => panic!("{other:?}"),
    }
    run_as("mayank", "publish lab data", &lab);
    run_as("nik", "publish lab niks", &lab);
    (tracker, users, lab)
}

/// Connects the users to the restarted tracker.
pub(super) fn reconnect(tracker: &AccountTracker, users: &mut [User]) {
    for user in users {
        user.connection = tracker.connect();
    }
}

/// Asserts that the refusal names no user, group or share, except `asker` and what the request
/// names.
fn assert_reveals_nothing(refused: &AccessRefusal, typed: &str, asker: &str) {
    let message = refused.message.as_str();
    for name in USERS
        .iter()
        .chain(&["lab", "own", "nobody", "data", "niks"])
    {
        let mut words = message.split(|c: char| !c.is_ascii_alphanumeric());
        let is_in_request = typed.split(' ').any(|word| word == *name) || *name == asker;
        assert!(
            is_in_request || words.all(|word| word != *name),
            "{typed}: {message}"
        );
    }
}

#[test]
fn the_table_has_a_row_for_every_kind_of_request() {
    let (_tracker, users, lab) = tracker_with_roles();
    let requests = TABLE
        .iter()
        .map(|(typed, _)| request_of(typed, &users[5], &lab));
    let of_machines = machine_roles::OF_USERS.iter();
    let of_machines = of_machines.filter_map(|(typed, _)| typed.split(' ').next());
    let kinds = requests.map(|request| request.kind()).chain(of_machines);
    let kinds: BTreeSet<&str> = kinds.collect();
    for kind in REQUEST_KINDS {
        assert!(kinds.contains(kind), "the table has no row for {kind}");
    }
}

#[test]
fn forbidden_requests_are_refused_change_nothing_and_reveal_nothing() {
    let (tracker, mut users, lab) = tracker_with_roles();
    let (sandbox, before) = tracker.stop_and_dump();
    let tracker = AccountTracker::restart(sandbox);
    reconnect(&tracker, &mut users);
    let mut refusals = 0;
    for (typed, expected) in TABLE {
        for (user, expected) in users.iter_mut().zip(expected) {
            if *expected == "+" {
                continue;
            }
            let description = format!("{} {typed}", user.name);
            let request = request_of(typed, user, &lab);
            let refused = send(user, request).expect_err(&description);
            assert_eq!(refused.kind.as_str(), *expected, "{description}: {refused}");
            assert_reveals_nothing(&refused, typed, &user.name);
            refusals += 1;
        }
    }
    assert!(refusals > 100);
    assert_eq!(tracker.stop_and_dump().1, before);
}

#[test]
fn allowed_requests_are_carried_out() {
    let (shared, mut shared_users, shared_lab) = tracker_with_roles();
    for (typed, expected) in TABLE {
        for (at, name) in USERS.iter().enumerate() {
            if expected[at] != "+" {
                continue;
            }
            // A request that changes the group changes what the next user may do, so it gets its
            // own tracker.
            let reads = ["list", "certify", "metainfo"];
            let changes_the_group =
                typed.contains(" lab") && !reads.iter().any(|read| typed.starts_with(read));
            let mut own_tracker = changes_the_group.then(tracker_with_roles);
            let (users, lab) = match &mut own_tracker {
                Some((_, users, lab)) => (users, &*lab),
                None => (&mut shared_users, &shared_lab),
            };
            let typed = typed.replace(" new", &format!(" new-of-{name}"));
            let request = request_of(&typed, &users[at], lab);
            let answer = send(&mut users[at], request);
            assert_done(&typed, name, answer, users);
            if typed == "logout" {
                users[at] = User::log_in(shared.connect(), name);
            }
        }
    }
}

/// Asserts that an allowed request had its effect.
fn assert_done(
    typed: &str,
    name: &str,
    answer: Result<AccessAnswer, AccessRefusal>,
    users: &mut [User],
) {
    let description = format!("{name} {typed}: {answer:?}");
    let answer = answer.expect(&description);
    let mut role = |user: &str, group: &str| entry(users, user, group).map(|entry| entry.role);
    let has_effect = match (typed, &answer) {
        (_, AccessAnswer::Done) if typed.starts_with("create_group new") => {
            role(name, &format!("new-of-{name}")) == Some(GroupRole::Owner)
        }
        (_, AccessAnswer::Done) if typed.starts_with("create_user new") => true,
        ("join_group lab", AccessAnswer::Done) => role(name, "lab") == Some(GroupRole::Requester),
        ("leave_group lab" | "leave_group lab --yes", AccessAnswer::Done) => {
            // If the only owner leaves, the most senior member who is no reader owns the group.
            let owner = if name == "nik" { "mayank" } else { "nik" };
            role(name, "lab") == Some(GroupRole::Stranger)
                && role(owner, "lab") == Some(GroupRole::Owner)
        }
        ("accept_request lab rita", AccessAnswer::Done) => {
            role("rita", "lab") == Some(GroupRole::Member)
        }
        ("reject_request lab rita", AccessAnswer::Done) => {
            role("rita", "lab") == Some(GroupRole::Stranger)
        }
        ("remove_member lab mayank", AccessAnswer::Done) => {
            role("mayank", "lab") == Some(GroupRole::Stranger)
        }
        ("set_role lab rea publisher", AccessAnswer::Done) => {
            own_role(users, "rea", "lab") == Some(Role::Publisher)
        }
        ("set_role lab mayank owner", AccessAnswer::Done) => {
            own_role(users, "mayank", "lab") == Some(Role::Owner)
        }
        ("rename_group lab hall", AccessAnswer::Done) => {
            own_role(users, "rea", "hall") == Some(Role::Reader)
        }
        ("withdrawals lab", AccessAnswer::Withdrawals(answer)) => answer.withdrawn.is_empty(),
        ("changed_shares lab", AccessAnswer::ChangedShares(changed)) => changed.is_empty(),
        ("cluster", AccessAnswer::Cluster(_)) | ("check_port", AccessAnswer::Port(_)) => true,
        ("list_groups", AccessAnswer::Groups(page)) => page.entries.len() >= 2,
        ("list_members lab", AccessAnswer::Members(page)) => {
            let names = page.entries.iter().map(|entry| entry.name.to_string());
            names.collect::<Vec<_>>() == ["mayank", "nik", "rea"]
        }
        ("list_requests lab", AccessAnswer::Requests(page)) => {
            page.entries.len() == 1 && page.entries[0].name.to_string() == "rita"
        }
        ("certify lab", AccessAnswer::Certificate { .. }) => true,
        ("publish lab fresh", AccessAnswer::Done) => {
            share_names(&mut users[5]) == ["data", "fresh", "niks"]
        }
        ("withdraw lab data", AccessAnswer::Done) => share_names(&mut users[5]) == ["niks"],
        ("withdraw lab niks", AccessAnswer::Done) => share_names(&mut users[5]) == ["data"],
        ("own_groups", AccessAnswer::OwnGroups(page)) => {
            let names = page.entries.iter().map(|entry| entry.name.to_string());
            // Another row of the table creates a group.
            let names: Vec<_> = names.filter(|it| !it.starts_with("new-of-")).collect();
            match name {
                "nik" => names == ["lab", "own"],
                "rea" | "mayank" => names == ["lab"],
                _ => names.is_empty(),
            }
        }
        ("list_files lab", AccessAnswer::Files { page, .. }) => page.entries.len() == 2,
        ("metainfo lab data", AccessAnswer::Metainfo(_)) => true,
        ("find_version lab data", AccessAnswer::Version(_)) => true,
        ("list_holders lab", AccessAnswer::Holders { .. }) => true,
        ("list_mirrors lab", AccessAnswer::Mirrors(_)) => true,
        ("mirroring lab", AccessAnswer::Done) => true,
        ("announce data", AccessAnswer::Peers(_)) => true,
        ("news", AccessAnswer::Decisions { page, .. }) => page.entries.len() <= 2,
        ("logout", AccessAnswer::Done) => true,
        ("list_logins", AccessAnswer::Logins(page)) => {
            page.entries.iter().filter(|login| login.is_present).count() == 1
        }
        ("login" | "change_password right", AccessAnswer::LoggedIn { user, .. }) => {
            user.to_string() == name
        }
        _ => false,
    };
    assert!(has_effect, "{description}");
}

/// A group in the list that a user gets.
fn entry(users: &mut [User], user: &str, group: &str) -> Option<GroupEntry> {
    let at = USERS.iter().position(|name| *name == user).unwrap();
    let mut groups = users[at].groups().into_iter();
    groups.find(|entry| entry.name.to_string() == group)
}

/// The role of a user in a group.
fn own_role(users: &mut [User], user: &str, group: &str) -> Option<Role> {
    entry(users, user, group)?.own_role
}

/// The names of the shares of `lab`.
fn share_names(owner: &mut User) -> Vec<String> {
    let ask = AccessRequest::ListFiles {
        group: "lab".parse().unwrap(),
        versions: false,
        after: None,
    };
    match owner.ask(ask) {
        Ok(AccessAnswer::Files { page, .. }) => {
            let names = page
                .entries
                .iter()
                .map(|file| file.name.as_str().to_owned());
            names.collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Tokens that the tracker must refuse.
fn bad_tokens(tracker: &AccountTracker, nik: &User) -> Vec<(&'static str, Token)> {
    let genuine = nik.token.as_bytes();
    let mut forged = genuine.to_vec();
    forged[5] ^= 1;
    let mut connection = tracker.connect();
    let mut log_in_again = || match connection.ask(None, login_request("nik", &password_of("nik")))
    {
        Ok(AccessAnswer::LoggedIn { token, .. }) => token,
        other => panic!("{other:?}"),
    };
    let logged_out = log_in_again();
    let other_login = log_in_again();
    let mut connection = tracker.connect();
    assert_eq!(
        connection.ask(Some(&logged_out), group_request("logout")),
        Ok(AccessAnswer::Done)
    );
    let change = AccessRequest::ChangePassword {
        write: new_write(),
        old: password_of("nik"),
        new: password_of("nik"),
    };
    let changed = connection.ask(Some(&nik.token), change);
    assert!(
        matches!(changed, Ok(AccessAnswer::LoggedIn { .. })),
        "{changed:?}"
    );
    let token = |bytes: &[u8]| Token::new(bytes).unwrap();
    vec![
        ("garbage", token(b"garbage")),
        ("of the right length", token(&vec![1; genuine.len()])),
        ("forged", token(&forged)),
        ("cut", token(&genuine[1..])),
        (
            "signed by another cluster",
            signed(genuine, &Authority::generate("test").unwrap()),
        ),
        ("expired", expired(tracker, genuine)),
        ("logged out", logged_out),
        ("of another login before the password changed", other_login),
        (
            "of this login before the password changed",
            nik.token.clone(),
        ),
    ]
}

/// The token with an expiry time in the past, signed with the tracker's own key.
fn expired(tracker: &AccountTracker, genuine: &[u8]) -> Token {
    let pem = fs::read(tracker.sandbox.path("data/cluster.pem")).unwrap();
    let mut token = genuine.to_vec();
    let end = token.len() - 32;
    let past = 1_000_000_000_000u64.to_be_bytes();
    token[end - 8..end].copy_from_slice(&past);
    signed(&token, &Authority::from_pem(&pem).unwrap())
}

/// The token with a new signature.
fn signed(token: &[u8], cluster: &Authority) -> Token {
    let key = Key::new(
        HMAC_SHA256,
        &cluster.derive_key("pieceful session token v1"),
    );
    let content = &token[..token.len() - 32];
    Token::new(&[content, sign(&key, content).as_ref()].concat()).unwrap()
}

#[test]
fn requests_without_a_valid_token_are_refused_and_reveal_nothing() {
    let (tracker, mut users, lab) = tracker_with_roles();
    let nik = users.pop().unwrap();
    let pem = fs::read(tracker.sandbox.path("data/cluster.pem")).unwrap();
    let signed_again = signed(nik.token.as_bytes(), &Authority::from_pem(&pem).unwrap());
    assert_eq!(signed_again, nik.token, "the test signs like the tracker");
    let bad = bad_tokens(&tracker, &nik);
    let (sandbox, before) = tracker.stop_and_dump();
    let tracker = AccountTracker::restart(sandbox);
    let mut connection = tracker.connect();
    for (typed, _) in TABLE {
        let request = request_of(typed, &nik, &lab);
        if !request.needs_login() {
            continue;
        }
        let refused = connection.ask(None, request.clone()).unwrap_err();
        assert_eq!(refused.kind.as_str(), "not-logged-in", "{typed}");
        assert_reveals_nothing(&refused, "", "");
        for (what, token) in &bad {
            let refused = connection
                .ask(Some(token), request.clone())
                .expect_err(what);
            assert_eq!(refused.kind.as_str(), "session-ended", "{typed}: {what}");
            assert_reveals_nothing(&refused, "", "");
        }
    }
    assert_eq!(tracker.stop_and_dump().1, before);
}
