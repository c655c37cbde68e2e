//! Hints: members hear of changes long before their next announce.

use super::team::{join, logged_in_peer, second_login, share_in_status, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{User, group_request};
use crate::common::log::wait_for_log_line;
use crate::common::peer::{Peer, quoted};
use crate::common::waiting::wait_until;
use pieceful::net::FrameIoError;
use pieceful::torrent::InfoHash;
use pieceful::wire::PeerId;
use pieceful::wire::access::{
    AccessAnswer, AccessRequest, AnnounceBatch, GroupAnnounceEvent, GroupNumbers, NewPeers,
    SwarmAnnounce,
};
use std::net::SocketAddr;
use std::num::NonZeroU16;

/// An announce interval in seconds that is longer than any test.
const LONG_INTERVAL: [&str; 2] = ["--interval", "3600"];

/// Logs `name` in on a connection that gets hints. Returns the user, and the change numbers of the
/// user's groups.
fn log_in_for_hints(tracker: &AccountTracker, name: &str) -> (User, Vec<GroupNumbers>) {
    let mut user = second_login(tracker, name);
    user.connection.ask_for_hints();
    user.groups();
    let first = user.connection.next_hint().unwrap();
    assert!(first.has_news, "{first:?}");
    (user, first.groups)
}

fn upload(tracker: &AccountTracker, peer: &mut Peer, name: &str) -> InfoHash {
    let path = tracker.sandbox.file(&format!("files/{name}"), 100_000, 7);
    let uploaded = peer.run(&format!("upload_file lab {}", quoted(&path)));
    uploaded["info_hash"].as_str().unwrap().parse().unwrap()
}

/// Whether `status` of the peer says that the share is not shared any more.
fn is_withdrawn(peer: &mut Peer, name: &str) -> bool {
    let trouble = share_in_status(peer, name)["trouble"].to_string();
    trouble.contains("not shared any more")
}

fn announce(user: &mut User, info_hash: InfoHash, port: u16, left: u64) {
    let swarm = SwarmAnnounce {
        info_hash,
        uploaded: 0,
        downloaded: 0,
        left,
        event: Some(GroupAnnounceEvent::Started),
    };
    let port_number = NonZeroU16::new(port).unwrap();
    let id = PeerId([port.to_be_bytes()[1]; 20]);
    let announces = AnnounceBatch::new(id, port_number, vec![swarm]).unwrap();
    let answer = user.ask(AccessRequest::Announce(announces));
    assert!(matches!(answer, Ok(AccessAnswer::Peers(_))), "{answer:?}");
}

#[test]
fn members_get_hints_of_shares_and_removals_and_a_removed_member_gets_none() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    let (mut user, numbers) = log_in_for_hints(&tracker, "mayank");
    let [before] = &numbers[..] else {
        panic!("{numbers:?}")
    };
    upload(&tracker, &mut nik, "data");
    let published = user.connection.next_hint().unwrap();
    let [group] = &published.groups[..] else {
        panic!("{published:?}")
    };
    assert_eq!(group.group, before.group);
    assert_ne!(group.added, before.added);
    assert_eq!(group.ended, before.ended);
    nik.run("stop_share lab data");
    let withdrawn = user.connection.next_hint().unwrap();
    assert_eq!(withdrawn.groups[0].added, group.added);
    assert_ne!(withdrawn.groups[0].ended, group.ended);
    nik.run("remove_member lab mayank");
    let removed = user.connection.next_hint().unwrap();
    assert!(removed.has_news && removed.groups.is_empty(), "{removed:?}");
    upload(&tracker, &mut nik, "more");
    // This request brings the next hint. It must not report the share `more`.
    mayank.run("join_group lab");
    let asked = user.connection.next_hint().unwrap();
    assert!(asked.groups.is_empty(), "a former member hears of no share");
}

#[test]
fn members_get_a_hint_of_a_new_name_and_announce_the_shares_of_this_group_alone() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    upload(&tracker, &mut mayank, "data");
    mayank.run("create_group den");
    let path = tracker.sandbox.file("files/other", 1000, 8);
    mayank.run(&format!("upload_file den {}", quoted(&path)));
    let (mut user, _) = log_in_for_hints(&tracker, "mayank");
    nik.run("rename_group lab hall");
    let hint = user.connection.next_hint().unwrap();
    let [renamed] = &hint.groups[..] else {
        panic!("{hint:?}")
    };
    assert_eq!(renamed.group.to_string(), "hall");
    assert_eq!(renamed.former, Some("lab".parse().unwrap()));
    // News would make the peer announce the shares of all groups.
    assert!(!hint.has_news, "{hint:?}");
    // An announce that follows the news of the group den may come as late as the first name.
    for (former, name) in [("lab", "hall"), ("hall", "loft")] {
        if name == "loft" {
            nik.run(&format!("rename_group {former} {name}"));
        }
        wait_until("the peer knows the new name", || {
            share_in_status(&mut mayank, "data")["group"] == name
        });
    }
}

#[test]
fn members_get_a_hint_when_a_publisher_reports_changed_files() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    let [mut nik, _mayank] = team(&tracker, ["nik", "mayank"]);
    let info_hash = upload(&tracker, &mut nik, "data");
    let (mut user, numbers) = log_in_for_hints(&tracker, "mayank");
    let mut publisher = second_login(&tracker, "nik");
    let mut report = |changed| {
        let group = "lab".parse().unwrap();
        publisher.ask(AccessRequest::ChangedShares { group, changed })
    };
    let reported = Ok(AccessAnswer::ChangedShares(vec![info_hash]));
    assert_eq!(report(vec![info_hash]), reported);
    let hint = user.connection.next_hint().unwrap();
    let with_reports = GroupNumbers {
        has_reports: true,
        ..numbers[0].clone()
    };
    assert_eq!(hint.groups, [with_reports], "no row has changed");
    // Neither a repeated report nor a report of no share (which only asks for the reports of
    // others) brings a hint. The next hint is that of an upload.
    assert_eq!(report(vec![info_hash]), reported);
    assert_eq!(report(Vec::new()), reported);
    upload(&tracker, &mut nik, "more");
    let hint = user.connection.next_hint().unwrap();
    assert_ne!(hint.groups[0].added, numbers[0].added, "{hint:?}");
    assert!(!hint.groups[0].has_reports, "{hint:?}");
}

#[test]
fn a_report_that_names_another_group_brings_a_hint_to_the_members_of_the_group_of_the_share() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    let [mut nik, _mayank] = team(&tracker, ["nik", "mayank"]);
    nik.run("create_group den");
    let info_hash = upload(&tracker, &mut nik, "data");
    let (mut user, numbers) = log_in_for_hints(&tracker, "mayank");
    let ask = AccessRequest::ChangedShares {
        group: "den".parse().unwrap(),
        changed: vec![info_hash],
    };
    let answer = second_login(&tracker, "nik").ask(ask);
    assert_eq!(answer, Ok(AccessAnswer::ChangedShares(Vec::new())));
    let hint = user.connection.next_hint().unwrap();
    assert_eq!(hint.groups[0].group, numbers[0].group);
    assert!(hint.groups[0].has_reports, "{hint:?}");
}

#[test]
fn a_hint_that_waits_is_not_sent_to_a_former_member() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    let [mut nik, _mayank, _kim] = team(&tracker, ["nik", "mayank", "kim"]);
    let info_hash = upload(&tracker, &mut nik, "data");
    upload(&tracker, &mut nik, "more");
    let mut seed = second_login(&tracker, "nik");
    let (mut user, _) = log_in_for_hints(&tracker, "mayank");
    announce(&mut user, info_hash, 7001, 1);
    let (mut member, _) = log_in_for_hints(&tracker, "kim");
    // While mayank's connection is in the middle of a request, hints for it wait. The tracker
    // closes such a connection after 10 s.
    let groups = group_request("list_groups");
    let rest = user.connection.ask_and_begin_next(&user.token, groups);
    announce(&mut seed, info_hash, 7002, 0);
    nik.run("stop_share lab more");
    // A hint for another member shows that the tracker has queued one for each member.
    let withdrawn = member.connection.next_hint().unwrap();
    assert_eq!(withdrawn.groups.len(), 1, "{withdrawn:?}");
    nik.run("remove_member lab mayank");
    let removed = member.connection.next_hint().unwrap();
    assert_ne!(removed.groups[0].ended, withdrawn.groups[0].ended);
    user.connection.finish_request(&rest);
    let hint = user.connection.next_hint().unwrap();
    assert!(hint.groups.is_empty() && hint.swarms.is_empty(), "{hint:?}");
    assert!(hint.has_news);
}

#[test]
fn a_peer_that_knows_few_others_gets_a_hint_of_a_new_one() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    let [mut nik, _mayank] = team(&tracker, ["nik", "mayank"]);
    let info_hash = upload(&tracker, &mut nik, "data");
    let (mut leech, _) = log_in_for_hints(&tracker, "mayank");
    announce(&mut leech, info_hash, 7001, 1);
    let mut seed = second_login(&tracker, "nik");
    announce(&mut seed, info_hash, 7002, 0);
    let hint = leech.connection.next_hint().unwrap();
    let address: SocketAddr = "127.0.0.1:7002".parse().unwrap();
    let expected = NewPeers {
        info_hash,
        addresses: [address].into_iter().collect(),
    };
    assert_eq!(hint.swarms, [expected]);
}

#[test]
fn a_connection_whose_login_has_ended_gets_no_hint_and_closes() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    let [mut nik, _mayank] = team(&tracker, ["nik", "mayank"]);
    let (mut user, _) = log_in_for_hints(&tracker, "mayank");
    // The same login on another connection.
    let mut same_login = second_login(&tracker, "mayank");
    same_login.token = user.token.clone();
    same_login.perform(group_request("logout"));
    upload(&tracker, &mut nik, "data");
    assert!(matches!(
        user.connection.next_hint(),
        Err(FrameIoError::Closed)
    ));
}

#[test]
fn a_peer_that_reads_neither_replies_nor_hints_is_disconnected() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    tracker.user("nik");
    let (mut user, _) = log_in_for_hints(&tracker, "nik");
    user.connection.send_until_closed();
    let log = tracker.sandbox.path("data/tracker.log");
    wait_for_log_line(&log, &["ended: a message took longer than 10 s"]);
}

#[test]
fn a_share_ends_at_members_and_at_a_removed_member_before_their_next_announces() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    let mut kim = logged_in_peer(&tracker, "kim", &[]);
    join(&mut nik, &mut kim, "kim");
    upload(&tracker, &mut nik, "data");
    upload(&tracker, &mut nik, "more");
    for peer in [&mut mayank, &mut kim] {
        for name in ["data", "more"] {
            peer.run(&format!("download_file lab {name}"));
            peer.run("wait 60");
        }
    }
    nik.run("stop_share lab data");
    wait_until("the share is withdrawn at the others", || {
        [&mut mayank, &mut kim]
            .into_iter()
            .all(|peer| is_withdrawn(peer, "data"))
    });
    nik.run("remove_member lab kim");
    wait_until("the share is withdrawn at the former member", || {
        is_withdrawn(&mut kim, "more")
    });
}
