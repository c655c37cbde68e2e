//! A tracker carries out a command, but its answer is lost. Then no tracker answers for a while.
//! The peer goes on asking, and never reports that the command was not done.

use super::pair::{Pair, create_and_log_in};
use super::paused::{PAUSE, pause};
use super::proxy::Proxy;
use crate::common::peer::{Peer, quoted};
use crate::common::waiting::wait_until;
use std::fs;
use std::thread;

/// A peer that reaches the first tracker through a proxy. The proxy can hold back the tracker's
/// answers.
struct PeerBehindProxy {
    peer: Peer,
    peer_proxy: Proxy,
}

impl PeerBehindProxy {
    fn new(pair: &Pair, name: &str) -> Self {
        let peer_proxy = Proxy::new();
        peer_proxy.forward_to(pair.address(1));
        let info = pair.sandbox.path(&format!("{name}.txt"));
        fs::write(
            &info,
            format!("{}\n{}\n", peer_proxy.address, pair.address(2)),
        )
        .unwrap();
        let (folder, state) = (pair.sandbox.folder(name), pair.sandbox.state(name));
        let peer = Peer::start(&folder, "127.0.0.1:0", &info, &state, &[]);
        Self { peer, peer_proxy }
    }

    /// Starts a command. The first tracker answers `before` other requests, then carries out the
    /// command and logs `logged`. The proxy holds back the answer to the command.
    fn begin(&mut self, pair: &Pair, before: usize, command: &str, logged: &str) {
        wait_until("the peer asks the first tracker", || {
            let refusals = || pair.log(1).matches("list_members: unknown-group").count();
            let earlier = refusals();
            self.peer.try_run("list_members nowhere");
            refusals() > earlier
        });
        self.peer_proxy.hold_answers_after(before);
        self.peer.process.write_line(command);
        pair.wait_for_log(1, logged);
    }

    /// Reads the JSON object with the result of the command.
    fn read_result(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.peer.process.line()).unwrap()
    }
}

/// For each command: the user who runs it, the number of other requests that the tracker answers
/// first, the command, and the text that the tracker logs.
const COMMANDS: [(&str, usize, &str, &str); 11] = [
    (
        "nik",
        1,
        "create_user fresh pw-of-fresh",
        "user fresh is created",
    ),
    ("nik", 0, "create_group club", "makes group club"),
    ("nik", 0, "accept_request lab anna", "accepts anna into lab"),
    ("nik", 0, "reject_request lab bert", "rejects bert for lab"),
    ("nik", 0, "remove_member lab carl", "removes carl from lab"),
    ("nik", 2, "upload_file lab FILE", "shares new with lab"),
    ("nik", 1, "stop_share lab old", "withdraws old from lab"),
    (
        "dora",
        0,
        "join_group lab",
        "dora at 127.0.0.1 asks to join lab",
    ),
    ("emil", 0, "leave_group lab", "emil at 127.0.0.1 leaves lab"),
    (
        "fred",
        1,
        "change_password pw-of-fred new-of-fred",
        "fred at 127.0.0.1 changes",
    ),
    ("gina", 0, "logout", "gina at 127.0.0.1 logs out"),
];

/// Creates the users and the group of [`COMMANDS`].
fn prepare(pair: &Pair) {
    let mut nik = pair.peer("first", 1);
    create_and_log_in(&mut nik, "nik");
    nik.run("create_group lab");
    let old = pair.sandbox.file("old", 1000, 1);
    nik.run(&format!("upload_file lab {}", quoted(&old)));
    let mut other = pair.peer("other", 1);
    for user in ["anna", "bert", "carl", "dora", "emil", "fred", "gina"] {
        create_and_log_in(&mut other, user);
        if !matches!(user, "dora" | "fred" | "gina") {
            other.run("join_group lab");
        }
        if user != "gina" {
            other.run("logout");
        }
    }
    for user in ["carl", "emil"] {
        nik.run(&format!("accept_request lab {user}"));
    }
    // After this, the catalogue has the share `old`, but no running peer shares it.
    nik.kill();
}

#[test]
fn a_command_that_was_done_before_all_trackers_stalled_is_reported_as_done() {
    let mut pair = Pair::new();
    prepare(&pair);
    let new = pair.sandbox.file("new", 1000, 2);
    let mut peers: Vec<PeerBehindProxy> = COMMANDS
        .iter()
        .enumerate()
        .map(|(number, (user, ..))| {
            let mut behind = PeerBehindProxy::new(&pair, &format!("peer{number}"));
            behind.peer.run(&format!("login {user} pw-of-{user}"));
            behind
        })
        .collect();
    for (behind, (_, before, command, logged)) in peers.iter_mut().zip(COMMANDS) {
        let command = command.replace("FILE", &quoted(&new));
        behind.begin(&pair, before, &command, logged);
    }
    for number in [1, 2] {
        pause(&mut pair, number);
    }
    for behind in &peers {
        behind.peer_proxy.cut();
        behind.peer_proxy.mend();
    }
    thread::sleep(PAUSE);
    for number in [1, 2] {
        pair.tracker(number).signal("-CONT");
    }
    for (behind, (_, _, command, _)) in peers.iter_mut().zip(COMMANDS) {
        let object = behind.read_result();
        assert_eq!(object["ok"], true, "{command}: {object}");
    }
    pair.wait_until_in_sync();
    let dump = pair.assert_same();
    // A name with `~` means that a repeated command took effect twice.
    assert!(!dump.to_string().contains('~'), "{dump}");
    for (_, _, command, logged) in COMMANDS {
        let count: usize = [1, 2].map(|it| effects(&pair.log(it), logged)).iter().sum();
        assert_eq!(count, 1, "{command}");
    }
}

/// The number of times that a tracker carried out a command.
fn effects(log: &str, logged: &str) -> usize {
    let lines = log.lines().filter(|line| line.contains(logged));
    lines
        .filter(|line| !line.contains("already executed"))
        .count()
}

#[test]
fn an_unknown_outcome_is_reported_with_the_way_to_find_out() {
    let mut pair = Pair::new();
    let mut behind = PeerBehindProxy::new(&pair, "nik");
    create_and_log_in(&mut behind.peer, "nik");
    behind.begin(&pair, 0, "create_group lab", "makes group lab");
    pair.kill(1);
    pair.kill(2);
    behind.peer_proxy.cut();
    let object = behind.read_result();
    assert_eq!(object["error"]["kind"], "unknown-outcome", "{object}");
    let message = object["error"]["message"].as_str().unwrap();
    assert!(message.contains("list_groups shows"), "{message}");
    // A command that no tracker received was not carried out.
    let error = behind.peer.try_run("create_group club");
    assert_eq!(error["error"]["kind"], "unreachable", "{error}");
}
