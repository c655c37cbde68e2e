//! A team at one tracker: peers whose users are members of the group `lab`.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::User;
use crate::common::peer::Peer;
use serde_json::Value;

/// A running peer with its user logged in.
pub(crate) fn logged_in(service: &AccountTracker, name: &str, arguments: &[&str]) -> Peer {
    let mut peer = service.sandbox.debug_peer(name, arguments);
    peer.run(&format!("create_user {name}\npw of {name}"));
    peer.run(&format!("login {name}\npw of {name}"));
    peer
}

/// Peers of a group `lab`, in which all of these are; the first one owns it.
pub(crate) fn team<const N: usize>(service: &AccountTracker, names: [&str; N]) -> [Peer; N] {
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
pub(crate) fn session(service: &AccountTracker, name: &str) -> User {
    User::log_in(service.connect(), name)
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
