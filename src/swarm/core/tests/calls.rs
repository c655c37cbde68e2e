//! Which addresses a core calls, when, and how many at a time; and the source status of a download.

use super::fixture::*;
use crate::swarm::core::{
    Effect, LinkActivity, LinkRefusal, ReceivedMessage, RemotePeer, SourceStatus,
};
use crate::swarm::{LinkId, MAX_CALLS};
use std::time::Duration;

const WEB_SEED: LinkId = LinkId(99);

fn learn(swarm: &mut Swarm, numbers: std::ops::RangeInclusive<u8>) {
    numbers.for_each(|number| swarm.core.contacts_mut().add(address(number)));
}

#[test]
fn calls_fill_the_free_places_and_no_address_is_called_twice() {
    let mut swarm = Swarm::fetching();
    learn(&mut swarm, 1..=3);
    let mut calls = connects(&swarm.tick());
    assert_eq!(calls, [address(1), address(2), address(3)]);
    learn(&mut swarm, 4..=9);
    calls.extend(connects(&swarm.tick()));
    assert_eq!(calls.len(), 4);
    // A call that has become a link takes one place, not two.
    for address in &calls {
        swarm.link_up_as(outgoing(number(*address)));
    }
    assert_eq!(connects(&swarm.tick()), []);
    swarm.link_down(LinkId(number(calls[0]).into()));
    swarm.step(|core, now| core.on_call_ended(calls[0], now));
    assert_eq!(connects(&swarm.tick()).len(), 1);
}

#[test]
fn a_starving_download_calls_more_addresses_than_it_has_places() {
    let mut swarm = Swarm::fetching();
    learn(&mut swarm, 1..=40);
    assert_eq!(connects(&swarm.tick()).len(), 4);
    swarm.wait(4);
    assert_eq!(connects(&swarm.tick()), []);
    swarm.wait(1);
    assert_eq!(connects(&swarm.tick()).len(), MAX_CALLS - 4);
    assert_eq!(connects(&swarm.tick()), []);
    // A download that pauses one of its links to keep a rate limit does not count as starving.
    let mut swarm = Swarm::fetching();
    let id = swarm.link_up(50);
    let paused = LinkActivity {
        paused: true,
        ..LinkActivity::default()
    };
    swarm.activity.insert(id, paused);
    learn(&mut swarm, 1..=40);
    assert_eq!(connects(&swarm.tick()).len(), 3);
    swarm.wait(60);
    assert_eq!(connects(&swarm.tick()), []);
}

#[test]
fn a_complete_share_does_not_starve() {
    let mut swarm = Swarm::complete();
    learn(&mut swarm, 1..=40);
    assert_eq!(connects(&swarm.tick()).len(), 4);
    swarm.wait(60);
    assert_eq!(connects(&swarm.tick()), []);
}

#[test]
fn an_address_is_called_again_a_while_after_its_call_ended_without_failure() {
    let mut swarm = Swarm::fetching();
    learn(&mut swarm, 1..=1);
    assert_eq!(connects(&swarm.tick()), [address(1)]);
    swarm.step(|core, now| core.on_call_ended(address(1), now));
    swarm.wait(59);
    assert_eq!(connects(&swarm.tick()), []);
    swarm.wait(1);
    assert_eq!(connects(&swarm.tick()), [address(1)]);
    // The address stays busy while a peer that listens there has a link.
    let id = swarm.link_up(1);
    swarm.announce_port(id);
    swarm.step(|core, now| core.on_call_ended(address(1), now));
    swarm.wait(60);
    assert_eq!(connects(&swarm.tick()), []);
}

/// Waits until an address is called. Returns how many seconds that took.
fn seconds_until_call(swarm: &mut Swarm) -> u64 {
    let begun = swarm.now;
    while connects(&swarm.tick()).is_empty() {
        swarm.wait(1);
        assert!((swarm.now - begun).as_secs() < 200);
    }
    (swarm.now - begun).as_secs()
}

#[test]
fn a_useless_address_is_called_later_each_time_and_a_useful_one_soon() {
    let mut swarm = Swarm::complete();
    learn(&mut swarm, 1..=1);
    let seconds_until_next_call = |swarm: &mut Swarm, link_seconds: u64| {
        assert_eq!(connects(&swarm.tick()), []);
        let id = swarm.link_up_as(outgoing(1));
        swarm.wait(link_seconds);
        swarm.link_down(id);
        swarm.step(|core, now| core.on_call_ended(address(1), now));
        seconds_until_call(swarm)
    };
    assert_eq!(seconds_until_call(&mut swarm), 0);
    for (least, most) in [(1, 1), (1, 2), (2, 4), (4, 8), (8, 16)] {
        let after = seconds_until_next_call(&mut swarm, 1);
        assert!((least..=most).contains(&after), "{after}");
    }
    assert!(
        seconds_until_next_call(&mut swarm, 60) > 10,
        "a link of a minute is not useful yet"
    );
    assert_eq!(seconds_until_next_call(&mut swarm, 61), 1);
    // A link over which a block was sent is useful too. Two useless links come first, so that the
    // pause grows again.
    seconds_until_next_call(&mut swarm, 1);
    seconds_until_next_call(&mut swarm, 1);
    let sent = LinkActivity {
        sent: 1,
        ..LinkActivity::default()
    };
    swarm.activity.insert(LinkId(1), sent);
    assert_eq!(seconds_until_next_call(&mut swarm, 1), 1);
}

#[test]
fn a_link_that_delivered_a_block_was_useful() {
    let mut swarm = Swarm::fetching();
    learn(&mut swarm, 1..=1);
    assert_eq!(seconds_until_call(&mut swarm), 0);
    let mut seconds_until_next_call = |blocks: usize| {
        let id = swarm.link_up_as(outgoing(1));
        swarm.announce_pieces(id, &[0]);
        let effects = swarm.receive(id, ReceivedMessage::Unchoke);
        swarm.deliver(id, &requests(&effects, id)[..blocks]);
        swarm.link_down(id);
        swarm.step(|core, now| core.on_call_ended(address(1), now));
        seconds_until_call(&mut swarm)
    };
    let after = [0; 4].map(&mut seconds_until_next_call);
    assert!(after[3] >= 4, "{after:?}");
    assert_eq!(seconds_until_next_call(1), 1);
}

#[test]
fn a_call_whose_link_we_refuse_counts_as_failed_unless_the_peer_has_a_link() {
    let mut swarm = Swarm::fetching();
    for number in 1..=4 {
        swarm.link_up(number);
    }
    learn(&mut swarm, 9..=9);
    swarm.wait(5);
    // The download starves, so it calls. Before the call is answered, a block is sent over each of
    // the four links, so that none of them makes room.
    assert_eq!(connects(&swarm.tick()), [address(9)]);
    for number in 1..=4 {
        let used = LinkActivity {
            sent: 1,
            last_sent: swarm.now,
            ..LinkActivity::default()
        };
        swarm.activity.insert(LinkId(number), used);
    }
    swarm.tick();
    let (admitted, _) = swarm.try_link_up(LinkId(9), outgoing(9));
    assert_eq!(admitted, Err(LinkRefusal::Full));
    swarm.step(|core, now| core.on_call_ended(address(9), now));
    assert_eq!(seconds_until_call(&mut swarm), 1);
    // Address 9 turns out to belong to peer 1, which has a link.
    let linked = RemotePeer {
        peer_id: incoming(1).peer_id,
        ..outgoing(9)
    };
    assert_eq!(
        swarm.try_link_up(LinkId(9), linked).0,
        Err(LinkRefusal::Linked)
    );
    swarm.step(|core, now| core.on_call_ended(address(9), now));
    assert_eq!(seconds_until_call(&mut swarm), 60);
}

#[test]
fn an_address_whose_peer_has_a_link_is_called_again_after_a_while() {
    let mut swarm = Swarm::fetching();
    learn(&mut swarm, 1..=1);
    assert_eq!(connects(&swarm.tick()), [address(1)]);
    // The peer calls us at the same time. Its call is kept, because that peer's id is lower
    // than ours.
    let id = swarm.link_up(1);
    swarm.announce_port(id);
    assert_eq!(
        swarm.try_link_up(LinkId(9), outgoing(1)).0,
        Err(LinkRefusal::Linked)
    );
    swarm.step(|core, now| core.on_call_ended(address(1), now));
    assert_eq!(seconds_until_call(&mut swarm), 60);
}

#[test]
fn the_source_status_follows_links_addresses_and_web_seeds() {
    let mut swarm = Swarm::fetching();
    assert_eq!(
        swarm.core.source_status(swarm.now),
        SourceStatus::NoPeerKnown
    );
    let until = swarm.now + Duration::from_secs(5);
    swarm.core.contacts_mut().bar(address(1), until);
    assert_eq!(
        swarm.core.source_status(swarm.now),
        SourceStatus::AllPeersBarred
    );
    swarm.wait(5);
    assert_eq!(
        swarm.core.source_status(swarm.now),
        SourceStatus::NoPeerKnown
    );
    learn(&mut swarm, 2..=2);
    assert_eq!(swarm.core.source_status(swarm.now), SourceStatus::NoLink);
    let id = swarm.link_up(2);
    assert_eq!(
        swarm.core.source_status(swarm.now),
        SourceStatus::NoInterestingLink
    );
    assert!(!swarm.core.has_interesting_link());
    swarm.announce_pieces(id, &[3]);
    assert_eq!(swarm.core.source_status(swarm.now), SourceStatus::HasSource);
    assert!(swarm.core.has_interesting_link());
    swarm.link_down(id);
    assert_eq!(swarm.core.source_status(swarm.now), SourceStatus::NoLink);
    let all = swarm.all_pieces();
    swarm.step(|core, _| core.on_web_seed_up(WEB_SEED, all.clone(), 8));
    assert_eq!(swarm.core.source_status(swarm.now), SourceStatus::HasSource);
    // A web seed that is not used at present counts as a source too: it may be used again.
    swarm.step(|core, _| core.on_web_seed_down(WEB_SEED));
    assert_eq!(swarm.core.source_status(swarm.now), SourceStatus::HasSource);
    // A web seed that has failed does not count as a source, even while it is tried again.
    swarm.step(|core, _| core.on_web_seed_failed(WEB_SEED, "gone".to_owned()));
    assert_eq!(swarm.core.source_status(swarm.now), SourceStatus::NoLink);
    swarm.step(|core, _| core.on_web_seed_up(WEB_SEED, all, 8));
    assert_eq!(swarm.core.source_status(swarm.now), SourceStatus::NoLink);
    assert_eq!(swarm.core.web_seed_trouble(), Some("gone"));
}

#[test]
fn our_own_address_is_never_called_and_does_not_count_as_barred() {
    let mut swarm = Swarm::fetching();
    // A peer bars its own address for ever.
    swarm.core.contacts_mut().bar(address(1), Duration::MAX);
    assert_eq!(
        swarm.core.source_status(swarm.now),
        SourceStatus::NoPeerKnown
    );
    swarm.wait(1_000_000);
    let effects = swarm.tick();
    assert!(!effects.contains(&Effect::Connect(address(1))));
}
