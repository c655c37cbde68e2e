//! A team at one tracker: peers whose users are members of the group `lab`.

use crate::common::account_tracker::Service;
use crate::common::control_connection::User;
use crate::common::peer::Peer;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::PATIENCE;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// A running peer with its user logged in.
pub(crate) fn logged_in(service: &Service, name: &str, arguments: &[&str]) -> Peer {
    let mut peer = peer(&service.sandbox, name, arguments);
    peer.run(&format!("create_user {name}\npw of {name}"));
    peer.run(&format!("login {name}\npw of {name}"));
    peer
}

/// The peer of that name, for the first time or again, as it was.
pub(crate) fn peer(sandbox: &Sandbox, name: &str, arguments: &[&str]) -> Peer {
    sandbox.peer_with(name, &[&["--log", "debug"], arguments].concat())
}

/// Peers of a group `lab`, in which all of these are; the first one owns it.
pub(crate) fn team<const N: usize>(service: &Service, names: [&str; N]) -> [Peer; N] {
    let mut peers = names.map(|name| logged_in(service, name, &[]));
    let (owner, others) = peers.split_first_mut().unwrap();
    owner.run("create_group lab");
    for (peer, name) in others.iter_mut().zip(&names[1..]) {
        join(owner, peer, name);
    }
    peers
}

/// `peer`, whose user is called `name`, becomes a member of the group.
pub(crate) fn join(owner: &mut Peer, peer: &mut Peer, name: &str) {
    peer.run("join_group lab");
    owner.run(&format!("accept_request lab {name}"));
}

/// A second session of a peer's user, over a line of the test's own.
pub(crate) fn session(service: &Service, name: &str) -> User {
    User::login(service.line(), name)
}

/// A path as a word of a command.
pub(crate) fn word(path: &Path) -> String {
    format!("'{}'", path.display())
}

pub(crate) fn log_of(sandbox: &Sandbox, name: &str) -> PathBuf {
    sandbox.path(&format!("{name}.state/peer.log"))
}

/// Waits until the log has a line with all of `parts`.
pub(crate) fn logged(log: &Path, parts: &[&str]) {
    let has = |text: &str| {
        text.lines()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    };
    let read = || fs::read_to_string(log).unwrap_or_default();
    until(|| has(&read()), || format!("no {parts:?} in {}", read()));
}

/// The object of the share of that name in `status`.
pub(crate) fn share(peer: &mut Peer, name: &str) -> Value {
    let status = peer.run("status");
    let shares = status["shares"].as_array().unwrap();
    let found = shares.iter().find(|share| share["name"] == name);
    found.cloned().unwrap_or(Value::Null)
}

/// The entry of that name in the catalogue of `lab`.
pub(crate) fn entry(peer: &mut Peer, name: &str) -> Value {
    let listed = peer.run("list_files lab");
    let files = listed["files"].as_array().unwrap();
    let found = files.iter().find(|file| file["name"] == name);
    found.cloned().unwrap_or(Value::Null)
}

/// Asks until it holds.
pub(crate) fn until(mut holds: impl FnMut() -> bool, complaint: impl Fn() -> String) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{}", complaint());
        thread::sleep(Duration::from_millis(10));
    }
}

/// The error of a command that fails: its kind and message.
pub(crate) fn error(peer: &mut Peer, typed: &str) -> (String, String) {
    let object = peer.try_run(typed);
    assert_eq!(object["ok"], false, "{typed}: {object}");
    let text = |key: &str| object["error"][key].as_str().unwrap().to_owned();
    let message = text("message");
    assert!(
        !message.is_empty() && !message.contains('\n') && message.len() < 400,
        "{typed}: {message}"
    );
    (text("kind"), message)
}

/// A command fails with this kind, saying this.
pub(crate) fn refuses(peer: &mut Peer, typed: &str, kind: &str, says: &str) {
    let (found, message) = error(peer, typed);
    assert_eq!(found, kind, "{typed:?}: {message}");
    assert!(
        message.contains(says),
        "{typed:?}: {message:?} says nothing of {says:?}"
    );
}
