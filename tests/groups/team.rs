//! A team at one tracker: peers whose users are members of the group `lab`.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::User;
use crate::common::peer::Peer;
use serde_json::Value;

/// Starts a peer, creates a user for it and logs the user in.
pub(crate) fn logged_in_peer(tracker: &AccountTracker, name: &str, arguments: &[&str]) -> Peer {
    let mut peer = tracker.sandbox.debug_peer(name, arguments);
    peer.run(&format!("create_user {name}\npw of {name}"));
    peer.run(&format!("login {name}\npw of {name}"));
    peer
}

/// Peers whose users are members of the group `lab`. The first one owns it.
pub(crate) fn team<const N: usize>(tracker: &AccountTracker, names: [&str; N]) -> [Peer; N] {
    let mut peers = names.map(|name| logged_in_peer(tracker, name, &[]));
    let (owner, others) = peers.split_first_mut().unwrap();
    owner.run("create_group lab");
    for (peer, name) in others.iter_mut().zip(&names[1..]) {
        join(owner, peer, name);
    }
    peers
}

/// Makes the user `name` of `peer` a member of the group.
pub(crate) fn join(owner: &mut Peer, peer: &mut Peer, name: &str) {
    peer.run("join_group lab");
    owner.run(&format!("accept_request lab {name}"));
}

/// A second login of a peer's user, over a control connection of the test.
pub(crate) fn second_login(tracker: &AccountTracker, name: &str) -> User {
    User::log_in(tracker.connect(), name)
}

/// The share called `name` in `status`, or null.
pub(crate) fn share_in_status(peer: &mut Peer, name: &str) -> Value {
    let status = peer.run("status");
    let shares = status["shares"].as_array().unwrap();
    let found = shares.iter().find(|share| share["name"] == name);
    found.cloned().unwrap_or(Value::Null)
}

/// The share called `name` in the catalogue of `lab`, or null.
pub(crate) fn catalogue_entry(peer: &mut Peer, name: &str) -> Value {
    let listed = peer.run("list_files lab");
    let files = listed["files"].as_array().unwrap();
    let found = files.iter().find(|file| file["name"] == name);
    found.cloned().unwrap_or(Value::Null)
}
