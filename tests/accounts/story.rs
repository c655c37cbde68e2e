//! One story in four ways: nik creates a group, mayank asks to join, nik accepts, and both leave.
//! The results are the same from a script, as arguments, at the prompt and in JSON.

use crate::common::account_tracker::AccountTracker;
use crate::common::peer::Peer;
use crate::common::process::{Output, run};
use crate::common::sandbox::Sandbox;
use crate::common::terminal::Terminal;
use serde_json::Value;
use std::collections::BTreeMap;

/// A user, a command, and the lines that the command prints, as [`masked`] returns them. The
/// commands contain no passwords, so that the peer asks for them.
const STORY: &[(&str, &str, &[&str])] = &[
    (
        "nik",
        "create_user nik",
        &["user nik created; to log in, type: login nik"],
    ),
    (
        "mayank",
        "create_user mayank",
        &["user mayank created; to log in, type: login mayank"],
    ),
    ("nik", "login nik", &["logged in as nik"]),
    ("mayank", "login mayank", &["logged in as mayank"]),
    (
        "nik",
        "create_group lab",
        &["group lab created; you own it"],
    ),
    ("mayank", "list_groups", &["lab  owner nik  1 member"]),
    (
        "mayank",
        "join_group lab",
        &["asked to join lab; its owners accept or reject the request"],
    ),
    (
        "mayank",
        "list_groups",
        &["lab  owner nik  1 member  you have asked to join"],
    ),
    ("nik", "list_requests lab", &["mayank  asked TIME"]),
    (
        "nik",
        "accept_request lab mayank",
        &["mayank is now a member of lab"],
    ),
    ("nik", "list_requests lab", &["no open requests"]),
    (
        "mayank",
        "list_groups",
        &[
            "lab  owner nik  2 members  you are a publisher",
            "lab: your request was accepted, you are a member",
        ],
    ),
    (
        "mayank",
        "list_members lab",
        &["mayank  since TIME  publisher", "nik  since TIME  owner"],
    ),
    ("nik", "leave_group lab", &["left lab"]),
    (
        "mayank",
        "list_groups",
        &["lab  owner mayank  1 member  you own it"],
    ),
    ("nik", "list_groups", &["lab  owner mayank  1 member"]),
    ("nik", "logout", &["logged out nik"]),
    ("mayank", "leave_group lab --yes", &["left lab"]),
    ("mayank", "list_groups", &["no groups"]),
];

/// The news of the accepted request. A peer at a prompt shows it above the prompt or in the result
/// of `list_groups`, whichever comes first.
const NEWS: &str = "lab: your request was accepted, you are a member";

const CTRL_D: &str = "\x04";

fn password(user: &str) -> String {
    format!("secret-of-{user}")
}

fn asks_password(typed: &str) -> bool {
    typed.starts_with("create_user") || typed.starts_with("login")
}

/// The line with each timestamp replaced by `TIME`.
fn masked(line: &str) -> String {
    let is_time = |word: &str| word.len() == 20 && word.starts_with("20") && word.ends_with('Z');
    let words = line.split(' ');
    let masked: Vec<&str> = words
        .map(|word| if is_time(word) { "TIME" } else { word })
        .collect();
    masked.join(" ")
}

/// Runs a peer process of `user` for one command, which is in `arguments` or in `input`. The state
/// folder keeps the login for the next process. Returns the lines that the command prints, with
/// timestamps [`masked`].
fn run_peer(sandbox: &Sandbox, user: &str, arguments: &[&str], input: &str) -> Vec<String> {
    let (state, info) = (
        sandbox.path(&format!("{user}.state")),
        sandbox.tracker_info(),
    );
    let mut all = vec!["peer", "127.0.0.1:0", info.to_str().unwrap()];
    all.extend(["--dir", state.to_str().unwrap()]);
    all.extend(arguments);
    let Output {
        code,
        stdout,
        stderr,
    } = run(&sandbox.folder(user), &all, input);
    assert_eq!(code, Some(0), "{arguments:?} {input:?}: {stderr}");
    assert!(
        !stderr.contains("error") && !stderr.contains("secret-of"),
        "{stderr}"
    );
    let lines_after_address = stdout.lines().skip(1);
    lines_after_address.map(masked).collect()
}

#[test]
fn the_story_runs_from_scripts_on_standard_input() {
    let tracker = AccountTracker::new();
    for (user, typed, expected) in STORY {
        let mut input = format!("{typed}\n");
        if asks_password(typed) {
            input.push_str(&format!("{}\n", password(user)));
        }
        let lines = run_peer(&tracker.sandbox, user, &[], &input);
        assert_eq!(lines, *expected, "{typed}");
    }
}

#[test]
fn the_story_runs_as_arguments() {
    let tracker = AccountTracker::new();
    for (user, typed, expected) in STORY {
        // One password is an argument. Each of the others is a line of standard input.
        let (line, input) = match *typed {
            "create_user nik" => (format!("{typed} {}", password(user)), String::new()),
            _ if asks_password(typed) => (typed.to_string(), format!("{}\n", password(user))),
            _ => (typed.to_string(), String::new()),
        };
        let lines = run_peer(&tracker.sandbox, user, &["-c", &line], &input);
        assert_eq!(lines, *expected, "{typed}");
    }
}

#[test]
fn the_story_runs_at_the_prompt() {
    let tracker = AccountTracker::new();
    let mut peers: BTreeMap<&str, Terminal> = ["nik", "mayank"]
        .map(|user| (user, Terminal::peer(&tracker.sandbox, user)))
        .into();
    for (user, typed, expected) in STORY {
        let peer = peers.get_mut(user).unwrap();
        peer.press(&format!("{typed}\r"));
        if asks_password(typed) {
            peer.wait_for_text(&format!("{user}: "));
            peer.press(&format!("{}\r", password(user)));
        }
        if typed.starts_with("create_user") {
            peer.wait_for_text("the same password again: ");
            peer.press(&format!("{}\r", password(user)));
        }
        peer.wait_for_text("\n");
        let printed = masked_lines(&peer.wait_for_text("pieceful> "));
        for line in expected.iter().filter(|line| **line != NEWS) {
            assert!(
                printed.iter().any(|other| other == line),
                "{typed}: no {line:?} in {printed:?}"
            );
        }
    }
    for (user, mut peer) in peers {
        assert_eq!(
            peer.all_text().matches(NEWS).count(),
            usize::from(user == "mayank")
        );
        peer.press(CTRL_D);
        assert!(peer.wait().success());
        let printed = peer.all_text();
        assert!(
            !printed.contains("secret-of") && !printed.contains("error"),
            "{printed}"
        );
    }
}

fn masked_lines(shown: &str) -> Vec<String> {
    shown.lines().map(masked).collect()
}

#[test]
fn the_story_runs_in_json() {
    let tracker = AccountTracker::new();
    let mut peers: BTreeMap<&str, Peer> = ["nik", "mayank"]
        .map(|user| (user, tracker.sandbox.peer(user)))
        .into();
    for (user, typed, expected) in STORY {
        let peer = peers.get_mut(user).unwrap();
        let mut typed = typed.to_string();
        if asks_password(&typed) {
            typed.push_str(&format!("\n{}", password(user)));
        }
        let object = peer.run(&typed);
        assert_eq!(object["command"], typed.split([' ', '\n']).next().unwrap());
        assert_eq!(text_form_of(&object, &typed), *expected, "{object}");
    }
}

/// The lines that the text form prints for `object`, the JSON result of the command in the first
/// line of `typed`.
fn text_form_of(object: &Value, typed: &str) -> Vec<String> {
    let list = |key: &str| object[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut lines: Vec<String> = Vec::new();
    for group in list("groups") {
        let members = match group["members"].as_u64().unwrap() {
            1 => "1 member".to_owned(),
            count => format!("{count} members"),
        };
        let role = match (
            text(&group["standing"]).as_str(),
            group["own_role"].as_str(),
        ) {
            ("stranger", None) => "",
            ("requester", None) => "  you have asked to join",
            ("member", Some("publisher")) => "  you are a publisher",
            ("owner", Some("owner")) => "  you own it",
            other => panic!("{other:?}"),
        };
        let (name, owner) = (text(&group["name"]), text(&group["owner"]));
        lines.push(format!("{name}  owner {owner}  {members}{role}"));
    }
    for news in list("news") {
        assert_eq!(news["outcome"], "accepted");
        assert_eq!(masked(&text(&news["at"])), "TIME");
        let group = text(&news["group"]);
        lines.push(format!(
            "{group}: your request was accepted, you are a member"
        ));
    }
    for member in list("members") {
        let role = text(&member["role"]);
        assert_eq!(member["owner"], role == "owner");
        let (name, since) = (text(&member["name"]), masked(&text(&member["since"])));
        lines.push(format!("{name}  since {since}  {role}"));
    }
    for request in list("requests") {
        let (name, asked) = (text(&request["name"]), masked(&text(&request["asked"])));
        lines.push(format!("{name}  asked {asked}"));
    }
    let first_line = typed.lines().next().unwrap();
    if let Some(user) = first_line.strip_prefix("login ") {
        assert_eq!(object["user"], user);
        lines.insert(0, format!("logged in as {user}"));
    }
    // For these commands and for empty lists, the text form prints one line that is not in the
    // object.
    let only_line = match first_line.split(' ').collect::<Vec<_>>()[..] {
        ["create_user", user] => format!("user {user} created; to log in, type: login {user}"),
        ["create_group", group] => format!("group {group} created; you own it"),
        ["join_group", group] => {
            format!("asked to join {group}; its owners accept or reject the request")
        }
        ["accept_request", group, user] => format!("{user} is now a member of {group}"),
        ["leave_group", group, ..] => format!("left {group}"),
        ["logout"] => "logged out nik".to_owned(),
        ["list_groups"] if lines.is_empty() => "no groups".to_owned(),
        ["list_requests", _] if lines.is_empty() => "no open requests".to_owned(),
        _ => return lines,
    };
    vec![only_line]
}
