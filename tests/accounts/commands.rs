//! Commands about accounts and groups in every wrong state and with every bad input: each error has
//! its `kind` and one line that says what to do, and no password is shown or stored.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{create_user_request, group_request};
use crate::common::peer::Peer;
use pieceful::wire::access::AccessErrorKind;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Runs a command that must fail with this kind, and with a message of less than 300 bytes that
/// contains `says`.
fn assert_error(peer: &mut Peer, typed: &str, kind: &str, says: &str) {
    let (found, message) = peer.error_of(typed);
    assert_eq!(found, kind, "{typed:?}: {message}");
    assert!(message.len() < 300, "{typed:?}: {message}");
    assert!(
        message.contains(says),
        "{typed:?}: {message:?} lacks {says:?}"
    );
}

/// A peer whose user is logged in.
fn logged_in_peer(tracker: &AccountTracker, user: &str) -> Peer {
    let mut peer = tracker.sandbox.peer(user);
    peer.run(&format!("create_user {user} pw-of-{user}"));
    peer.run(&format!("login {user} pw-of-{user}"));
    peer
}

/// The commands that need a login.
const NEED_A_LOGIN: [&str; 11] = [
    "logout",
    "create_group lab",
    "join_group lab",
    "leave_group lab",
    "list_groups",
    "list_members lab",
    "list_requests lab",
    "accept_request lab mayank",
    "reject_request lab mayank",
    "remove_member lab mayank",
    "change_password old-one new-password",
];

#[test]
fn commands_without_a_login_fail_with_the_advice_to_log_in() {
    let tracker = AccountTracker::new();
    let mut peer = tracker.sandbox.peer("nobody");
    for typed in NEED_A_LOGIN {
        assert_error(&mut peer, typed, "not-logged-in", "login USER");
    }
    // After a logout the errors are the same.
    peer.run("create_user nik pw-of-nik");
    peer.run("login nik pw-of-nik");
    peer.run("logout");
    for typed in NEED_A_LOGIN {
        assert_error(&mut peer, typed, "not-logged-in", "login USER");
    }
}

#[test]
fn every_wrong_state_has_its_own_error() {
    let tracker = AccountTracker::new();
    let [mut nik, mut mayank, mut uma] =
        ["nik", "mayank", "uma"].map(|user| logged_in_peer(&tracker, user));
    nik.run("create_group lab");
    for (typed, kind, says) in [
        (
            "create_user mayank pw-of-mayank",
            "name-taken",
            "mayank is taken; choose another",
        ),
        ("login mayank pw-of-mayank", "logged-in", "logout first"),
        ("login nik wrong", "login-refused", "check both"),
        (
            "change_password wrong new-password",
            "login-refused",
            "nothing was changed",
        ),
        ("create_group lab", "name-taken", "choose another"),
        // Names that differ only in case count as the same name.
        (
            "create_user Mayank pw-of-mayank",
            "name-taken",
            "the name mayank is taken",
        ),
        ("create_group LAB", "name-taken", "the name lab is taken"),
        (
            "join_group lab",
            "already-a-member",
            "already a member of lab",
        ),
        ("join_group none", "unknown-group", "list_groups shows"),
        ("leave_group none", "unknown-group", "list_groups shows"),
        ("leave_group lab", "last-member", "--yes"),
        ("list_members none", "unknown-group", "list_groups shows"),
        ("list_requests none", "unknown-group", "list_groups shows"),
        (
            "accept_request lab mayank",
            "no-request",
            "list_requests shows",
        ),
        (
            "reject_request lab mayank",
            "no-request",
            "list_requests shows",
        ),
        ("accept_request lab none", "unknown-user", "check the name"),
        ("reject_request lab none", "unknown-user", "check the name"),
        ("remove_member lab none", "unknown-user", "check the name"),
        (
            "remove_member lab uma",
            "unknown-member",
            "list_members shows",
        ),
        ("remove_member lab nik", "own-removal", "leave_group"),
    ] {
        assert_error(&mut nik, typed, kind, says);
    }
    for typed in [
        "leave_group lab",
        "list_members lab",
        "list_requests lab",
        "accept_request lab mayank",
        "reject_request lab mayank",
        "remove_member lab nik",
    ] {
        assert_error(&mut uma, typed, "not-a-member", "join_group asks");
    }
    mayank.run("join_group lab");
    assert_error(
        &mut mayank,
        "join_group lab",
        "already-requested",
        "not answered yet",
    );
    nik.run("accept_request lab mayank");
    for typed in [
        "list_requests lab",
        "accept_request lab uma",
        "reject_request lab uma",
        "remove_member lab nik",
    ] {
        assert_error(&mut mayank, typed, "not-the-owner", "only an owner of lab");
    }
}

#[test]
fn too_few_or_too_many_arguments_show_the_usage() {
    let tracker = AccountTracker::new();
    let mut peer = tracker.sandbox.peer("nobody");
    for (command, least, most) in [
        ("create_user", 1, 2),
        ("login", 1, 2),
        ("logout", 0, 0),
        ("change_password", 0, 2),
        ("create_group", 1, 1),
        ("join_group", 1, 1),
        ("leave_group", 1, 1),
        ("list_groups", 0, 0),
        ("list_members", 1, 1),
        ("list_requests", 1, 1),
        ("accept_request", 2, 2),
        ("reject_request", 2, 2),
        ("remove_member", 2, 2),
    ] {
        let usage = format!("usage: {command}");
        let mut wrong = vec!["x ".repeat(most + 1)];
        if least > 0 {
            wrong.push("x ".repeat(least - 1));
        }
        for words in wrong {
            let mut typed = format!("{command} {words}");
            // Without the argument, the peer reads the password from the next line.
            if words.is_empty() && matches!(command, "create_user" | "login") {
                typed.push_str("\nsecret");
            }
            assert_error(&mut peer, typed.trim_end_matches(' '), "arguments", &usage);
        }
    }
    assert_error(
        &mut peer,
        "change_password old-one",
        "arguments",
        "NEW is missing",
    );
    for (typed, says) in [
        ("create_user x --invite", "--invite needs a value"),
        ("create_user x --invite ''", "the invite code is malformed"),
    ] {
        assert_error(&mut peer, &format!("{typed}\nsecret"), "arguments", says);
    }
    assert_eq!(peer.try_run("status")["ok"], true, "every line was read");
}

#[test]
fn invalid_names_are_refused_by_the_peer() {
    let tracker = AccountTracker::new();
    let mut peer = logged_in_peer(&tracker, "nik");
    let long = "x".repeat(65);
    let bad = [
        ("''", "1 to 64 characters, not 0"),
        (long.as_str(), "1 to 64 characters, not 65"),
        ("'a\u{1b}[2Jb'", "letters a to z"),
        ("'a\tb'", "letters a to z"),
        ("'a b'", "letters a to z"),
        ("\u{fc}ber", "letters a to z"),
        ("a/b", "letters a to z"),
        ("a\u{202e}b", "letters a to z"),
    ];
    for (name, says) in bad {
        for typed in [
            format!("create_user {name} pw"),
            format!("create_user {name}\npw"),
            format!("login {name} pw"),
            format!("login {name}\npw"),
            format!("create_group {name}"),
            format!("join_group {name}"),
            format!("leave_group {name} --yes"),
            format!("list_members {name}"),
            format!("list_requests {name}"),
            format!("accept_request {name} mayank"),
            format!("accept_request lab {name}"),
            format!("reject_request {name} mayank"),
            format!("reject_request lab {name}"),
            format!("remove_member {name} mayank"),
            format!("remove_member lab {name}"),
        ] {
            let (kind, message) = peer.error_of(&typed);
            assert_eq!(kind, "bad-name", "{typed:?}: {message}");
            assert!(message.len() < 300, "{typed:?}: {message}");
            assert!(message.contains(says), "{typed:?}: {message}");
            let is_plain = |c: char| !c.is_control() && c != '\u{202e}';
            assert!(message.chars().all(is_plain), "{message:?}");
        }
    }
    // The longest name is accepted, and so is a name with all kinds of allowed characters.
    peer.run(&format!("create_group {}", "x".repeat(64)));
    peer.run("create_group A.z_0-9");
    assert_eq!(
        peer.run("list_groups")["groups"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn a_new_name_that_looks_like_an_option_is_refused() {
    let tracker = AccountTracker::new();
    let mut peer = logged_in_peer(&tracker, "nik");
    let help = peer.run("create_group --help");
    assert_eq!(help["command"], "help", "{help}");
    assert_eq!(help["commands"][0]["name"], "create_group", "{help}");
    for typed in [
        "create_group -- --help",
        "create_group -h",
        "create_user -h pw",
        "create_user -h\npw",
    ] {
        assert_error(&mut peer, typed, "bad-name", "must not begin with '-'");
    }
    // Each command fails. The peer still reads its password lines, and no line after them.
    for typed in [
        "create_user --nik\npw",
        "create_user nik --private\npw",
        "create_user nik --invit CODE\npw",
        "create_user nik --invit=CODE\npw",
        "create_user nik pw --invit CODE",
        "change_password --old\npw\npw",
        "login nik pw --stay",
    ] {
        assert_error(&mut peer, typed, "arguments", "no such option");
    }
    assert_eq!(peer.run("list_groups")["groups"], serde_json::json!([]));
    // Other programs could send such a name, so the tracker refuses it too.
    let mut uma = tracker.user("uma");
    let refused = uma.ask(group_request("create_group --help")).unwrap_err();
    assert_eq!(refused.kind, AccessErrorKind::BadRequest, "{refused}");
    let refused = tracker.connect().ask(None, create_user_request("-h"));
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, AccessErrorKind::BadRequest, "{refused}");
}

/// All files below a folder, with their content.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    all
}

/// Runs commands with good and bad passwords, and checks the kind of each error. Returns all
/// objects.
fn run_commands_with_passwords(peer: &mut Peer) -> Vec<Value> {
    let mut objects = Vec::new();
    let long = "hunter22".repeat(200);
    for (typed, kind) in [
        ("create_user nik ''", "bad-password"),
        ("create_user nik\n", "bad-password"),
        ("create_user nik hunter7", "bad-password"),
        ("create_user nik\nhunter7", "bad-password"),
        ("create_user nik 'hunter22\tx'", "bad-password"),
        ("create_user nik\nhunter22\u{7}", "bad-password"),
        (&format!("create_user nik {long}"), "bad-password"),
        (&format!("create_user nik\n{long}"), "bad-password"),
        ("create_user nik hunter22 hunter22", "arguments"),
        ("create_user n!k\nhunter22", "bad-name"),
        ("create_user 'nik\nhunter22", "syntax"),
        ("create_user\nhunter22", "arguments"),
        ("login\nhunter22", "arguments"),
        ("login n!k\nhunter22", "bad-name"),
        ("login nik hunter22 hunter22", "arguments"),
        ("login nik hunter22", "login-refused"),
        ("login nik\nhunter22", "login-refused"),
        ("login 'nik' 'hunter22", "syntax"),
        ("change_password\nhunter22\nhunter22", "not-logged-in"),
        ("change_password hunter22", "arguments"),
        ("create_user nik hunter22", ""),
        ("create_user nik\nhunter22", "name-taken"),
        ("login nik\nhunter22", ""),
        ("login mayank\nhunter22", "logged-in"),
        ("change_password\n\nhunter22", "bad-password"),
        ("change_password\nhunter22-wrong\nhunter22", "login-refused"),
        ("change_password hunter22 hunter22 hunter22", "arguments"),
        ("change_password\nhunter22\nhunter22-new", ""),
        ("change_password hunter22-new hunter7", "bad-password"),
        ("change_password\nhunter22-new\nhunter7", "bad-password"),
        ("change_password hunter22-new hunter22", ""),
    ] {
        let object = peer.try_run(typed);
        let found = object["error"]["kind"].as_str().unwrap_or_default();
        assert_eq!(found, kind, "{typed:?}: {object}");
        objects.push(object);
    }
    objects
}

#[test]
fn bad_passwords_are_refused_and_no_password_is_shown_logged_or_stored() {
    let tracker = AccountTracker::new();
    let mut peer = tracker.sandbox.debug_peer("peer", &[]);
    let objects = run_commands_with_passwords(&mut peer);
    let status = peer.run("status");
    assert_eq!(status["user"], "nik", "every line was read");
    peer.process.close_stdin();
    let (status, stderr) = peer.process.wait();
    assert_eq!(status.code(), Some(1), "commands failed");
    let token = tracker.token("peer");
    let (sandbox, dump) = tracker.stop_and_dump();
    let mut texts = files(&sandbox.path(""));
    assert!(texts.iter().any(|(name, _)| name.ends_with("tracker.log")));
    assert!(texts.iter().any(|(name, _)| name.ends_with("peer.log")));
    texts.push(("standard error".to_owned(), stderr.into_bytes()));
    texts.push(("dump".to_owned(), dump.into_bytes()));
    for object in objects {
        texts.push((object.to_string(), object.to_string().into_bytes()));
    }
    let hex: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
    for (name, bytes) in &texts {
        let contains = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        assert!(!contains(b"hunter22"), "{name} contains a password");
        assert!(!contains(&hex.as_bytes()[..32]), "{name} contains a token");
        let is_login_file = name.ends_with("session");
        assert_eq!(contains(&token), is_login_file, "the token in {name}");
    }
}
