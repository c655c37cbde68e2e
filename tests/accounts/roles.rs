//! Every control request against every role. What is not allowed changes nothing, by the tracker's whole state as `--dump`
//! shows it, and tells nothing.

use crate::service::{Service, User, create_user, group, login, password};
use pieceful::certificate::Authority;
use pieceful::wire::access::{Answer, Ask, Refused, Standing, Token};
use pieceful::wire::password::Password;
use ring::hmac::{HMAC_SHA256, Key, sign};
use std::fs;

/// Whoever has a session: what they are to the group `lab`, of which nik is the owner.
const USERS: [&str; 5] = ["uma", "rita", "mayank", "remi", "nik"];

/// What is answered to each request when uma (a user), rita (who has asked to be let in), mayank (a member), remi (who was
/// one and was removed) and nik (the owner) make it. `+` is for what is allowed; anything else is the kind of the refusal.
const TABLE: &[(&str, [&str; 5])] = &[
    ("logout", ["+"; 5]),
    ("create_group new", ["+"; 5]),
    ("create_group lab", ["name-taken"; 5]),
    (
        "join_group lab",
        [
            "+",
            "already-requested",
            "already-a-member",
            "+",
            "already-a-member",
        ],
    ),
    ("join_group none", ["unknown-group"; 5]),
    (
        "leave_group lab",
        ["not-a-member", "not-a-member", "+", "not-a-member", "+"],
    ),
    (
        "leave_group lab --yes",
        ["not-a-member", "not-a-member", "+", "not-a-member", "+"],
    ),
    (
        "leave_group own",
        [
            "not-a-member",
            "not-a-member",
            "not-a-member",
            "not-a-member",
            "last-member",
        ],
    ),
    ("leave_group none", ["unknown-group"; 5]),
    ("list_groups", ["+"; 5]),
    (
        "list_members lab",
        ["not-a-member", "not-a-member", "+", "not-a-member", "+"],
    ),
    ("list_members none", ["unknown-group"; 5]),
    ("list_requests lab", OWNER),
    ("list_requests none", ["unknown-group"; 5]),
    ("accept_request lab rita", OWNER),
    ("accept_request lab uma", owner_gets("no-request")),
    ("accept_request lab mayank", owner_gets("no-request")),
    ("accept_request lab remi", owner_gets("no-request")),
    ("accept_request lab nobody", owner_gets("unknown-user")),
    ("accept_request none rita", ["unknown-group"; 5]),
    ("reject_request lab rita", OWNER),
    ("reject_request lab uma", owner_gets("no-request")),
    ("reject_request lab mayank", owner_gets("no-request")),
    ("reject_request lab nobody", owner_gets("unknown-user")),
    ("reject_request none rita", ["unknown-group"; 5]),
    ("remove_member lab mayank", OWNER),
    ("remove_member lab rita", owner_gets("unknown-member")),
    ("remove_member lab remi", owner_gets("unknown-member")),
    ("remove_member lab nik", owner_gets("own-removal")),
    ("remove_member lab nobody", owner_gets("unknown-user")),
    ("remove_member none mayank", ["unknown-group"; 5]),
    ("news", ["+"; 5]),
    ("create_user nik", ["name-taken"; 5]),
    ("create_user new", ["+"; 5]),
    ("login", ["+"; 5]),
    ("change_password right", ["+"; 5]),
    ("change_password wrong", ["login-refused"; 5]),
];

/// For the owner alone.
const OWNER: [&str; 5] = owner_gets("+");

const fn owner_gets(kind: &'static str) -> [&'static str; 5] {
    [
        "not-a-member",
        "not-a-member",
        "not-the-owner",
        "not-a-member",
        kind,
    ]
}

fn ask(typed: &str, user: &str) -> Ask {
    match typed.split_once(' ').unwrap_or((typed, "")) {
        ("create_user", name) => create_user(name),
        ("login", _) => login(user, &password(user)),
        ("change_password", old) => Ask::ChangePassword {
            old: match old {
                "right" => password(user),
                _ => Password::new("guessed").unwrap(),
            },
            new: Password::new("another").unwrap(),
        },
        _ => group(typed),
    }
}

/// A tracker where every one of [`USERS`] is what it shall be.
fn service() -> (Service, Vec<User>) {
    let service = Service::new();
    let mut users: Vec<User> = USERS.iter().map(|name| service.user(name)).collect();
    let mut does = |user: &str, typed: &str| {
        let at = USERS.iter().position(|name| *name == user).unwrap();
        users[at].does(group(typed));
    };
    does("nik", "create_group lab");
    does("nik", "create_group own");
    for user in ["mayank", "remi", "rita"] {
        does(user, "join_group lab");
    }
    does("nik", "accept_request lab mayank");
    does("nik", "accept_request lab remi");
    does("nik", "remove_member lab remi");
    (service, users)
}

/// The same users on lines to the tracker's next life.
fn move_to(service: &Service, users: &mut [User]) {
    for user in users {
        user.line = service.line();
    }
}

/// The refusal names nothing but what was asked about.
fn tells_nothing(refused: &Refused, typed: &str, asker: &str) {
    let message = refused.message.as_str();
    for name in USERS.iter().chain(&["lab", "own", "nobody"]) {
        let mut words = message.split(|c: char| !c.is_ascii_alphanumeric());
        let asked = typed.split(' ').any(|word| word == *name) || *name == asker;
        assert!(
            asked || words.all(|word| word != *name),
            "{typed}: {message}"
        );
    }
}

#[test]
fn every_request_of_the_wire_stands_in_the_table() {
    let mut kinds: Vec<&str> = TABLE
        .iter()
        .map(|(typed, _)| ask(typed, "nik").kind())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    // Those that `Ask` has; one that is added there belongs into the table.
    assert_eq!(kinds.len(), 14, "{kinds:?}");
}

#[test]
fn what_a_role_may_not_do_is_refused_changes_nothing_and_tells_nothing() {
    let (service, mut users) = service();
    let (sandbox, before) = service.stop_and_dump();
    let service = Service::again(sandbox);
    move_to(&service, &mut users);
    let mut refusals = 0;
    for (typed, expected) in TABLE {
        for (user, expected) in users.iter_mut().zip(expected) {
            if *expected == "+" {
                continue;
            }
            let shown = format!("{} {typed}", user.name);
            let ask = ask(typed, &user.name);
            let refused = user.ask(ask).expect_err(&shown);
            assert_eq!(refused.kind.as_str(), *expected, "{shown}: {refused}");
            tells_nothing(&refused, typed, &user.name);
            refusals += 1;
        }
    }
    assert!(refusals > 100);
    assert_eq!(service.stop_and_dump().1, before);
}

#[test]
fn what_a_role_may_do_is_done() {
    let (shared, mut shared_users) = service();
    for (typed, expected) in TABLE {
        for (at, name) in USERS.iter().enumerate() {
            if expected[at] != "+" {
                continue;
            }
            // What is done in the group changes what the next may do there.
            let changes = typed.contains(" lab") && !typed.starts_with("list");
            let mut own = changes.then(service);
            let users = own.as_mut().map_or(&mut shared_users, |own| &mut own.1);
            let typed = typed.replace(" new", &format!(" new-of-{name}"));
            let answer = users[at].ask(ask(&typed, name));
            done(&typed, name, answer, users);
            if typed == "logout" {
                users[at] = User::login(shared.line(), name);
            }
        }
    }
}

/// Looks at what came of an allowed request.
fn done(typed: &str, name: &str, answer: Result<Answer, Refused>, users: &mut [User]) {
    let shown = format!("{name} {typed}: {answer:?}");
    let answer = answer.expect(&shown);
    let mut standing = |user: &str, group: &str| {
        let at = USERS.iter().position(|name| *name == user).unwrap();
        let groups = users[at].groups();
        let found = groups.iter().find(|entry| entry.name.to_string() == group);
        found.map(|entry| entry.standing)
    };
    let right = match (typed, &answer) {
        (_, Answer::Done) if typed.starts_with("create_group new") => {
            standing(name, &format!("new-of-{name}")) == Some(Standing::Owner)
        }
        (_, Answer::Done) if typed.starts_with("create_user new") => true,
        ("join_group lab", Answer::Done) => standing(name, "lab") == Some(Standing::Requester),
        ("leave_group lab" | "leave_group lab --yes", Answer::Done) => {
            let owner = if name == "nik" { "mayank" } else { "nik" };
            standing(name, "lab") == Some(Standing::Stranger)
                && standing(owner, "lab") == Some(Standing::Owner)
        }
        ("accept_request lab rita", Answer::Done) => {
            standing("rita", "lab") == Some(Standing::Member)
        }
        ("reject_request lab rita", Answer::Done) => {
            standing("rita", "lab") == Some(Standing::Stranger)
        }
        ("remove_member lab mayank", Answer::Done) => {
            standing("mayank", "lab") == Some(Standing::Stranger)
        }
        ("list_groups", Answer::Groups(page)) => page.entries.len() >= 2,
        ("list_members lab", Answer::Members(page)) => {
            let names = page.entries.iter().map(|entry| entry.name.to_string());
            names.collect::<Vec<_>>() == ["mayank", "nik"]
        }
        ("list_requests lab", Answer::Requests(page)) => {
            page.entries.len() == 1 && page.entries[0].name.to_string() == "rita"
        }
        ("news", Answer::News { page, .. }) => page.entries.len() <= 2,
        ("logout", Answer::Done) => true,
        ("login" | "change_password right", Answer::Session { user, .. }) => {
            user.to_string() == name
        }
        _ => false,
    };
    assert!(right, "{shown}");
}

/// Tokens that prove nothing.
fn bad_tokens(service: &Service, nik: &User) -> Vec<(&'static str, Token)> {
    let genuine = nik.token.as_bytes();
    let mut forged = genuine.to_vec();
    forged[5] ^= 1;
    let mut line = service.line();
    let mut another = || match line.ask(None, login("nik", &password("nik"))) {
        Ok(Answer::Session { token, .. }) => token,
        other => panic!("{other:?}"),
    };
    let logged_out = another();
    let old = another();
    let mut line = service.line();
    assert_eq!(line.ask(Some(&logged_out), Ask::Logout), Ok(Answer::Done));
    let change = Ask::ChangePassword {
        old: password("nik"),
        new: password("nik"),
    };
    let changed = line.ask(Some(&nik.token), change);
    assert!(matches!(changed, Ok(Answer::Session { .. })), "{changed:?}");
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
        ("expired", expired(service, genuine)),
        ("logged out", logged_out),
        ("of another session before the password changed", old),
        (
            "of this session before the password changed",
            nik.token.clone(),
        ),
    ]
}

/// The token, which ended a second ago, signed by the tracker's own key.
fn expired(service: &Service, genuine: &[u8]) -> Token {
    let pem = fs::read(service.sandbox.path("data/cluster.pem")).unwrap();
    let mut token = genuine.to_vec();
    let end = token.len() - 32;
    let past = 1_000_000_000_000u64.to_be_bytes();
    token[end - 8..end].copy_from_slice(&past);
    signed(&token, &Authority::from_pem(&pem).unwrap())
}

fn signed(token: &[u8], cluster: &Authority) -> Token {
    let key = Key::new(
        HMAC_SHA256,
        &cluster.derive_key("pieceful session token v1"),
    );
    let content = &token[..token.len() - 32];
    Token::new(&[content, sign(&key, content).as_ref()].concat()).unwrap()
}

#[test]
fn without_a_session_that_holds_nothing_is_done_or_told() {
    let (service, mut users) = service();
    let nik = users.pop().unwrap();
    let pem = fs::read(service.sandbox.path("data/cluster.pem")).unwrap();
    let same = signed(nik.token.as_bytes(), &Authority::from_pem(&pem).unwrap());
    assert_eq!(same, nik.token, "this test signs as the tracker does");
    let bad = bad_tokens(&service, &nik);
    let (sandbox, before) = service.stop_and_dump();
    let service = Service::again(sandbox);
    let mut line = service.line();
    for (typed, _) in TABLE {
        let ask = ask(typed, "nik");
        if !ask.needs_session() {
            continue;
        }
        let refused = line.ask(None, ask.clone()).unwrap_err();
        assert_eq!(refused.kind.as_str(), "not-logged-in", "{typed}");
        tells_nothing(&refused, "", "");
        for (what, token) in &bad {
            let refused = line.ask(Some(token), ask.clone()).expect_err(what);
            assert_eq!(refused.kind.as_str(), "session-ended", "{typed}: {what}");
            tells_nothing(&refused, "", "");
        }
    }
    assert_eq!(service.stop_and_dump().1, before);
}
