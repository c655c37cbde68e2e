//! Announces of several shares in one request, and of a peer with more shares than one request may
//! have.

use super::team::{join, logged_in_peer, second_login};
use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::User;
use crate::common::peer::{Peer, quoted};
use crate::common::waiting::wait_until;
use pieceful::torrent::InfoHash;
use pieceful::wire::PeerId;
use pieceful::wire::access::{
    AccessAnswer, AccessRequest, AnnounceBatch, AnnounceBatchAnswer, Bar, BarsDigest,
    GroupAnnounceEvent, MAX_ANNOUNCES, SwarmAnnounce,
};
use std::num::NonZeroU16;

/// Shares a new file with a group and returns its info-hash.
fn upload(
    tracker: &AccountTracker,
    peer: &mut Peer,
    group: &str,
    name: &str,
    seed: u64,
) -> InfoHash {
    let path = tracker.sandbox.file(name, 100, seed);
    let uploaded = peer.run(&format!("upload_file {group} {}", quoted(&path)));
    uploaded["info_hash"].as_str().unwrap().parse().unwrap()
}

fn announce(
    user: &mut User,
    swarms: &[InfoHash],
    event: Option<GroupAnnounceEvent>,
) -> AnnounceBatchAnswer {
    announce_with(user, swarms, event, None)
}

/// Announces as a peer that has a list of bars with this digest.
fn announce_with(
    user: &mut User,
    swarms: &[InfoHash],
    event: Option<GroupAnnounceEvent>,
    seen_bars: Option<BarsDigest>,
) -> AnnounceBatchAnswer {
    let swarms = swarms.iter().map(|info_hash| SwarmAnnounce {
        info_hash: *info_hash,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event,
    });
    let announces = AnnounceBatch::new(PeerId([7; 20]), NonZeroU16::MIN, swarms.collect());
    let announces = announces.unwrap().with_seen_bars(seen_bars);
    match user.ask(AccessRequest::Announce(announces)) {
        Ok(AccessAnswer::Peers(peers)) => peers,
        other => panic!("{other:?}"),
    }
}

/// The number of shares of `lab` with one seed, and with one leech.
fn count_with_seed_and_with_leech(peer: &mut Peer) -> (usize, usize) {
    let listed = peer.run("list_files lab");
    let files = listed["files"].as_array().unwrap();
    let count = |key: &str| files.iter().filter(|file| file[key] == 1).count();
    (count("complete"), count("partial"))
}

#[test]
fn a_peer_that_ends_during_its_first_announces_is_not_counted() {
    let tracker = AccountTracker::with(&["--interval", "600"]);
    let mut nik = logged_in_peer(&tracker, "nik", &[]);
    nik.run("create_group lab");
    drop(nik);
    for round in 0..20 {
        let mut nik = tracker.sandbox.debug_peer("nik", &[]);
        upload(&tracker, &mut nik, "lab", &format!("file{round}"), round);
        nik.run("quit");
        assert!(nik.process.wait().0.success());
    }
    let mut nik = second_login(&tracker, "nik");
    let group = "lab".parse().unwrap();
    let listed = nik.ask(AccessRequest::ListFiles {
        group,
        versions: false,
        after: None,
    });
    let Ok(AccessAnswer::Files { page, .. }) = listed else {
        panic!("{listed:?}")
    };
    assert_eq!(page.entries.len(), 20);
    let counted = page.entries.iter().filter(|entry| entry.complete > 0);
    assert_eq!(counted.count(), 0);
}

#[test]
fn each_share_in_an_announce_has_its_own_answer() {
    let tracker = AccountTracker::with(&["--interval", "600"]);
    let mut nik = logged_in_peer(&tracker, "nik", &[]);
    nik.run("create_group lab");
    nik.run("create_group other");
    let mut mayank = logged_in_peer(&tracker, "mayank", &[]);
    join(&mut nik, &mut mayank, "mayank");
    let one = upload(&tracker, &mut nik, "lab", "one", 1);
    let two = upload(&tracker, &mut nik, "lab", "two", 2);
    let third = upload(&tracker, &mut nik, "other", "third", 3);
    let unknown = InfoHash([9; 20]);
    wait_until("both shares have a seed", || {
        count_with_seed_and_with_leech(&mut nik) == (2, 0)
    });
    let answer_texts = |answer: &AnnounceBatchAnswer| -> Vec<String> {
        let swarms = answer.swarms.iter().map(|swarm| match swarm {
            Ok(found) => found.addresses.len().to_string(),
            Err(refused) => refused.kind.as_str().to_owned(),
        });
        swarms.collect()
    };
    let mut user = second_login(&tracker, "mayank");
    let answer = announce(&mut user, &[unknown, one, third, two], None);
    let expected = ["not-in-catalogue", "1", "not-in-catalogue", "1"];
    assert_eq!(
        (answer_texts(&answer), answer.interval),
        (expected.map(String::from).into(), 600)
    );
    assert_eq!(count_with_seed_and_with_leech(&mut nik), (2, 2));
    let answer = announce(&mut user, &[one], Some(GroupAnnounceEvent::Stopped));
    assert_eq!(answer_texts(&answer), ["0"]);
    assert_eq!(count_with_seed_and_with_leech(&mut nik), (2, 1));
    // A request may have shares of one group only, even from a member of both groups.
    let mut user = second_login(&tracker, "nik");
    let answer = announce(&mut user, &[one, third], None);
    assert_eq!(answer_texts(&answer)[1], "bad-request");
    let answer = announce(&mut user, &[unknown], None);
    assert_eq!(
        (answer_texts(&answer), answer.interval),
        (vec!["not-in-catalogue".into()], 0)
    );
}

#[test]
fn bars_that_a_peer_has_are_not_sent_again() {
    let tracker = AccountTracker::new();
    let mut nik = logged_in_peer(&tracker, "nik", &[]);
    nik.run("create_group lab");
    let share = upload(&tracker, &mut nik, "lab", "share", 1);
    let mut leave = |user: &str| {
        let mut peer = logged_in_peer(&tracker, user, &[]);
        join(&mut nik, &mut peer, user);
        peer.run("leave_group lab");
    };
    leave("mayank");
    let mut user = second_login(&tracker, "nik");
    let mut bars = |seen: Option<&[Bar]>| {
        let digest = seen.map(BarsDigest::of);
        announce_with(&mut user, &[share], None, digest).barred
    };
    let first = bars(None).unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(bars(Some(&first)), None);
    leave("kim");
    let second = bars(Some(&first)).unwrap();
    assert_eq!(second.len(), 2);
    assert_eq!(bars(Some(&second)), None);
    // A peer whose list is of another tracker gets the list of this one.
    assert_eq!(bars(Some(&first)), Some(second));
}

#[test]
fn a_peer_announces_all_its_shares_even_if_one_request_cannot_have_them_all() {
    let tracker = AccountTracker::with(&["--interval", "600"]);
    let mut nik = logged_in_peer(&tracker, "nik", &[]);
    nik.run("create_group lab");
    let count = MAX_ANNOUNCES + 20;
    for number in 0..count {
        let name = format!("many/{number}");
        upload(&tracker, &mut nik, "lab", &name, number as u64);
    }
    let mut mayank = logged_in_peer(&tracker, "mayank", &[]);
    join(&mut nik, &mut mayank, "mayank");
    let wait_for_all = |peer: &mut Peer| {
        wait_until("all shares have a seed", || {
            count_with_seed_and_with_leech(peer).0 == count
        })
    };
    wait_for_all(&mut mayank);
    nik.run("logout");
    assert_eq!(count_with_seed_and_with_leech(&mut mayank), (0, 0));
    nik.run("login nik\npw of nik");
    wait_for_all(&mut mayank);
    nik.run("quit");
    nik.process.wait();
    assert_eq!(count_with_seed_and_with_leech(&mut mayank), (0, 0));
    let mut nik = tracker.sandbox.debug_peer("nik", &[]);
    wait_for_all(&mut nik);
}
