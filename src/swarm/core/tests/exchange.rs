//! Peer exchange (BEP 11): which addresses we send to which link, and which received addresses we
//! accept.

use super::fixture::*;
use crate::swarm::LinkId;
use crate::swarm::TooOften;
use crate::swarm::core::{Effect, ProtocolViolation, ReceivedMessage};
use crate::wire::extension::ExtensionHandshake;
use crate::wire::pex::{FLAG_REACHABLE, FLAG_SEED, PexMessage};
use std::net::SocketAddr;

/// The peer sends its listening port and `number`, its extension number for `ut_pex` messages.
fn enable_exchange(swarm: &mut Swarm, id: LinkId, number: u8) {
    let handshake = ExtensionHandshake {
        // All peers of these tests listen at the same port.
        port: Some(address(1).port()),
        pex: Some(number),
        ..ExtensionHandshake::default()
    };
    swarm.receive(id, ReceivedMessage::Handshake(handshake));
}

/// The messages sent to a link, each with its extension number.
fn exchange_messages(effects: &Effects, to: LinkId) -> Vec<(u8, PexMessage)> {
    let messages = effects.iter().filter_map(|effect| match effect {
        Effect::SendExtended { link, id, payload } if *link == to => {
            Some((*id, PexMessage::parse(payload).unwrap()))
        }
        _ => None,
    });
    messages.collect()
}

fn exchange_message(added: &[(u8, u8)], dropped: &[u8]) -> PexMessage {
    let added = added
        .iter()
        .map(|(number, flags)| (address(*number), *flags));
    PexMessage {
        added: added.collect(),
        dropped: dropped.iter().copied().map(address).collect(),
    }
}

fn encoded_message(added: &[SocketAddr]) -> Vec<u8> {
    let added = added.iter().map(|address| (*address, 0)).collect();
    let dropped = Vec::new();
    PexMessage { added, dropped }.encode()
}

#[test]
fn a_link_gets_the_addresses_of_the_others_with_their_flags() {
    let mut swarm = Swarm::fetching();
    let id = swarm.link_up(1);
    enable_exchange(&mut swarm, id, 7);
    let seed = swarm.call(2);
    swarm.announce_pieces(seed, &[0, 1, 2, 3]);
    let uploader = swarm.link_up(3);
    swarm.announce_port(uploader);
    let uploads = ExtensionHandshake {
        upload_only: Some(true),
        ..ExtensionHandshake::default()
    };
    swarm.receive(uploader, ReceivedMessage::Handshake(uploads));
    // Peer 4 does not say where it listens.
    swarm.link_up(4);
    swarm.wait(1);
    let effects = swarm.tick();
    let expected = exchange_message(&[(2, FLAG_SEED | FLAG_REACHABLE), (3, FLAG_SEED)], &[]);
    assert_eq!(exchange_messages(&effects, id), [(7, expected)]);
    // The peers of the other links have not enabled peer exchange.
    assert_eq!(
        kinds(&effects)
            .iter()
            .filter(|kind| **kind == "SendExtended")
            .count(),
        1
    );
    // Changes are sent a minute later.
    swarm.link_down(uploader);
    swarm.wait(59);
    assert_eq!(exchange_messages(&swarm.tick(), id), []);
    swarm.wait(1);
    assert_eq!(
        exchange_messages(&swarm.tick(), id),
        [(7, exchange_message(&[], &[3]))]
    );
}

#[test]
fn a_peer_whose_extension_number_for_ut_pex_is_0_gets_no_messages() {
    let mut swarm = Swarm::fetching();
    let id = swarm.link_up(1);
    enable_exchange(&mut swarm, id, 0);
    let other = swarm.link_up(2);
    enable_exchange(&mut swarm, other, 1);
    swarm.wait(1);
    let effects = swarm.tick();
    assert_eq!(exchange_messages(&effects, id), []);
    assert_eq!(
        exchange_messages(&effects, other),
        [(1, exchange_message(&[(1, 0)], &[]))]
    );
}

#[test]
fn addresses_from_a_link_are_called_only_while_something_is_fetched() {
    let mut swarm = Swarm::fetching();
    let id = swarm.link_up(1);
    let payload = encoded_message(&[address(8), address(9)]);
    assert_eq!(
        swarm.receive(id, ReceivedMessage::PeerExchange(&payload)),
        []
    );
    assert_eq!(connects(&swarm.tick()), [address(8), address(9)]);
    let mut swarm = Swarm::complete();
    let id = swarm.link_up(1);
    assert_eq!(
        swarm.receive(id, ReceivedMessage::PeerExchange(&payload)),
        []
    );
    assert_eq!(swarm.core.contacts().unbarred_count(), 0);
}

#[test]
fn loopback_addresses_from_another_machine_are_not_called() {
    let mut swarm = Swarm::fetching();
    let id = swarm.link_up(1);
    let here = ([127, 0, 0, 1], 6_881).into();
    let payload = encoded_message(&[here, address(9)]);
    assert_eq!(
        swarm.receive(id, ReceivedMessage::PeerExchange(&payload)),
        []
    );
    assert_eq!(connects(&swarm.tick()), [address(9)]);
}

#[test]
fn without_peer_exchange_nothing_is_sent_or_accepted() {
    let mut swarm = Swarm::fetching_with(|config| config.exchanges_peers = false);
    for number in [1, 2] {
        let id = swarm.link_up(number);
        enable_exchange(&mut swarm, id, 1);
    }
    swarm.wait(1);
    assert_eq!(swarm.tick(), []);
    let payload = encoded_message(&[address(9)]);
    for _ in 0..20 {
        assert_eq!(
            swarm.receive(LinkId(1), ReceivedMessage::PeerExchange(&payload)),
            []
        );
    }
    assert!(!swarm.core.contacts().is_known_and_unbarred(address(9)));
    assert_eq!(
        swarm.receive(LinkId(1), ReceivedMessage::PeerExchange(b"x")),
        []
    );
}

#[test]
fn a_malformed_message_is_a_breach_unless_it_comes_too_soon_after_another() {
    let mut swarm = Swarm::fetching();
    let id = swarm.link_up(1);
    let payload = encoded_message(&[address(9)]);
    swarm.receive(id, ReceivedMessage::PeerExchange(&payload));
    assert_eq!(swarm.receive(id, ReceivedMessage::PeerExchange(b"x")), []);
    swarm.wait(60);
    let (result, effects) = swarm.try_receive(id, ReceivedMessage::PeerExchange(b"x"));
    assert!(
        matches!(result, Err(ProtocolViolation::PeerExchange(_))),
        "{result:?}"
    );
    assert_eq!(effects, []);
}

#[test]
fn messages_that_come_far_too_often_are_a_breach_even_for_a_complete_share() {
    for mut swarm in [Swarm::fetching(), Swarm::complete()] {
        let id = swarm.link_up(1);
        let payload = encoded_message(&[]);
        for _ in 0..11 {
            swarm.receive(id, ReceivedMessage::PeerExchange(&payload));
        }
        let result = swarm.try_receive(id, ReceivedMessage::PeerExchange(&payload));
        assert_eq!(result, (Err(ProtocolViolation::TooOften(TooOften)), vec![]));
    }
}
