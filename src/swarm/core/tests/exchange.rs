//! Peer exchange (BEP 11): which addresses we send to which link, and which received addresses we
//! accept.

use super::fixture::*;
use crate::swarm::LinkId;
use crate::swarm::TooOften;
use crate::swarm::core::{Breach, Effect, Received};
use crate::wire::extension::ExtensionHandshake;
use crate::wire::pex::{FLAG_REACHABLE, FLAG_SEED, PexMessage};
use std::net::SocketAddr;

/// The peer says where it listens, and that it takes `ut_pex` messages under this number.
fn takes_exchange(swarm: &mut Swarm, id: LinkId, number: u8) {
    let handshake = ExtensionHandshake {
        port: Some(address(1).port()),
        pex: Some(number),
        ..ExtensionHandshake::default()
    };
    swarm.tell(id, Received::Handshake(handshake));
}

/// The messages sent to a link, each with its extension number.
fn told(effects: &Effects, to: LinkId) -> Vec<(u8, PexMessage)> {
    let messages = effects.iter().filter_map(|effect| match effect {
        Effect::SendExtended { link, id, payload } if *link == to => {
            Some((*id, PexMessage::parse(payload).unwrap()))
        }
        _ => None,
    });
    messages.collect()
}

fn news(added: &[(u8, u8)], dropped: &[u8]) -> PexMessage {
    let added = added
        .iter()
        .map(|(number, flags)| (address(*number), *flags));
    PexMessage {
        added: added.collect(),
        dropped: dropped.iter().copied().map(address).collect(),
    }
}

fn message(added: &[SocketAddr]) -> Vec<u8> {
    let added = added.iter().map(|address| (*address, 0)).collect();
    let dropped = Vec::new();
    PexMessage { added, dropped }.encode()
}

#[test]
fn a_link_hears_of_the_others_how_they_were_reached_and_whether_they_are_seeds() {
    let mut swarm = Swarm::fetching();
    let id = swarm.up(1);
    takes_exchange(&mut swarm, id, 7);
    let seed = swarm.call(2);
    swarm.has(seed, &[0, 1, 2, 3]);
    let uploader = swarm.up(3);
    swarm.listens(uploader);
    let uploads = ExtensionHandshake {
        upload_only: Some(true),
        ..ExtensionHandshake::default()
    };
    swarm.tell(uploader, Received::Handshake(uploads));
    // The listening port of this peer is not known.
    swarm.up(4);
    swarm.wait(1);
    let effects = swarm.tick();
    let due = news(&[(2, FLAG_SEED | FLAG_REACHABLE), (3, FLAG_SEED)], &[]);
    assert_eq!(told(&effects, id), [(7, due)]);
    // The other links do not take such messages.
    assert_eq!(
        kinds(&effects)
            .iter()
            .filter(|kind| **kind == "SendExtended")
            .count(),
        1
    );
    // Changes are sent a minute later.
    swarm.down(uploader);
    swarm.wait(59);
    assert_eq!(told(&swarm.tick(), id), []);
    swarm.wait(1);
    assert_eq!(told(&swarm.tick(), id), [(7, news(&[], &[3]))]);
}

#[test]
fn number_0_means_that_no_such_messages_are_taken() {
    let mut swarm = Swarm::fetching();
    let id = swarm.up(1);
    takes_exchange(&mut swarm, id, 0);
    let other = swarm.up(2);
    takes_exchange(&mut swarm, other, 1);
    swarm.wait(1);
    let effects = swarm.tick();
    assert_eq!(told(&effects, id), []);
    assert_eq!(told(&effects, other), [(1, news(&[(1, 0)], &[]))]);
}

#[test]
fn addresses_that_a_link_names_are_called_while_something_is_fetched() {
    let mut swarm = Swarm::fetching();
    let id = swarm.up(1);
    let payload = message(&[address(8), address(9)]);
    assert_eq!(swarm.tell(id, Received::PeerExchange(&payload)), []);
    assert_eq!(connects(&swarm.tick()), [address(8), address(9)]);
    let mut swarm = Swarm::complete();
    let id = swarm.up(1);
    assert_eq!(swarm.tell(id, Received::PeerExchange(&payload)), []);
    assert_eq!(swarm.core.contacts().known(), 0);
}

#[test]
fn one_that_is_elsewhere_knows_nobody_on_this_machine() {
    let mut swarm = Swarm::fetching();
    let id = swarm.up(1);
    let here = ([127, 0, 0, 1], 6_881).into();
    let payload = message(&[here, address(9)]);
    assert_eq!(swarm.tell(id, Received::PeerExchange(&payload)), []);
    assert_eq!(connects(&swarm.tick()), [address(9)]);
}

#[test]
fn where_peers_may_not_name_each_other_nothing_is_told_or_believed() {
    let mut swarm = Swarm::fetching_with(|terms| terms.exchanges_peers = false);
    for number in [1, 2] {
        let id = swarm.up(number);
        takes_exchange(&mut swarm, id, 1);
    }
    swarm.wait(1);
    assert_eq!(swarm.tick(), []);
    let payload = message(&[address(9)]);
    for _ in 0..20 {
        assert_eq!(swarm.tell(LinkId(1), Received::PeerExchange(&payload)), []);
    }
    assert!(!swarm.core.contacts().has(address(9)));
    assert_eq!(swarm.tell(LinkId(1), Received::PeerExchange(b"x")), []);
}

#[test]
fn what_is_no_message_is_a_breach_but_what_comes_too_soon_is_not_even_read() {
    let mut swarm = Swarm::fetching();
    let id = swarm.up(1);
    let payload = message(&[address(9)]);
    swarm.tell(id, Received::PeerExchange(&payload));
    assert_eq!(swarm.tell(id, Received::PeerExchange(b"x")), []);
    swarm.wait(60);
    let (result, effects) = swarm.try_tell(id, Received::PeerExchange(b"x"));
    assert!(matches!(result, Err(Breach::PeerExchange(_))), "{result:?}");
    assert_eq!(effects, []);
}

#[test]
fn messages_that_come_far_too_often_are_a_breach_whatever_the_phase() {
    for mut swarm in [Swarm::fetching(), Swarm::complete()] {
        let id = swarm.up(1);
        let payload = message(&[]);
        for _ in 0..11 {
            swarm.tell(id, Received::PeerExchange(&payload));
        }
        let told = swarm.try_tell(id, Received::PeerExchange(&payload));
        assert_eq!(told, (Err(Breach::TooOften(TooOften)), vec![]));
    }
}
