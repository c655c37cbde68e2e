//! What many peers of one address can do to a swarm and its answers.

use super::*;

/// A peer of the address 192.0.2.`host`.
fn at(host: u8, number: u16) -> PeerAnnounce {
    let peer = announcing(
        1_000_000 + u32::from(host) * 100_000 + u32::from(number),
        false,
    );
    PeerAnnounce {
        address: SocketAddr::new([192, 0, 2, host].into(), 1_000 + number),
        ..peer
    }
}

fn prefix(host: u8) -> AddressPrefix {
    AddressPrefix::of([192, 0, 2, host].into())
}

/// Number of chosen peers of 192.0.2.`host`.
fn count_of(chosen: &[SwarmPeer], host: u8) -> usize {
    let ip = IpAddr::from([192, 0, 2, host]);
    chosen.iter().filter(|peer| peer.address.ip() == ip).count()
}

/// A swarm with honest peers, and a crowd of peers at 192.0.2.1.
fn crowded(honest: u32, crowd: u16) -> Swarm {
    let mut swarm = swarm(honest, 0);
    for number in 0..crowd {
        swarm.join(&at(1, number));
    }
    swarm
}

#[test]
fn an_answer_contains_few_peers_of_one_address_and_enough_of_other_addresses() {
    for (honest, crowd) in [(20, 1_000), (10, 6), (3, 20), (60, 300)] {
        let swarm = crowded(honest, crowd);
        for _ in 0..50 {
            let chosen = choose(&swarm, &announcing(5_000, false), 50, Duration::ZERO);
            let honest = usize::try_from(honest).unwrap();
            assert!(count_of(&chosen, 1) <= PER_ADDRESS, "{chosen:?}");
            let distinct: HashSet<_> = chosen.iter().map(|peer| peer.address).collect();
            assert_eq!(distinct.len(), chosen.len());
            assert!(
                chosen.len() >= (honest + 1).min(50),
                "{honest} {crowd}: {}",
                chosen.len()
            );
        }
    }
}

#[test]
fn an_ipv6_prefix_of_64_bits_counts_as_one_address() {
    let mut swarm = swarm(0, 0);
    for number in 0..100 {
        let peer = at(1, number);
        let address = format!("[2001:db8::{number:x}]:1").parse().unwrap();
        swarm.join(&PeerAnnounce { address, ..peer });
    }
    let of = |ip: &str| AddressPrefix::of(ip.parse().unwrap());
    assert_eq!(swarm.count_of(of("2001:db8::7777")), 100);
    assert_eq!(swarm.count_of(of("2001:db8:0:1::")), 0);
    let asking = PeerAnnounce {
        address: "[2001:db8:0:1::1]:1".parse().unwrap(),
        ..announcing(5_000, false)
    };
    assert_eq!(
        choose(&swarm, &asking, 50, Duration::ZERO).len(),
        PER_ADDRESS
    );
}

#[test]
fn the_peers_behind_one_address_see_each_other() {
    let office = crowded(0, 1_000);
    assert_eq!(choose(&office, &at(1, 7), 50, Duration::ZERO).len(), 50);
    let small = crowded(0, 10);
    assert_eq!(choose(&small, &at(1, 7), 50, Duration::ZERO).len(), 9);
    // Peers of other addresses get half of the answer, if there are enough of them.
    let mixed = crowded(200, 200);
    for _ in 0..50 {
        let chosen = choose(&mixed, &at(1, 7), 50, Duration::ZERO);
        assert_eq!(chosen.len(), 50);
        assert!((20..=25).contains(&count_of(&chosen, 1)), "{chosen:?}");
    }
    let few_others = crowded(10, 200);
    let chosen = choose(&few_others, &at(1, 7), 50, Duration::ZERO);
    assert_eq!((count_of(&chosen, 1), chosen.len()), (40, 50));
    let distinct: HashSet<_> = chosen.iter().map(|peer| peer.address).collect();
    assert_eq!(distinct.len(), 50);
}

#[test]
fn upload_claims_of_many_ids_behind_one_address_do_not_fill_answers() {
    let mut swarm = crowded(100, 500);
    for number in 0..500 {
        let claim = PeerAnnounce {
            uploaded: 1 << 40,
            now: Duration::from_secs(100),
            ..at(1, number)
        };
        swarm.renew(&claim).unwrap();
    }
    for number in 0..40 {
        let honest = uploaded(number, false, 1_000 + u64::from(number), 101);
        swarm.renew(&honest).unwrap();
    }
    check(&swarm);
    let chosen = choose(&swarm, &announcing(5_000, false), 50, Duration::ZERO);
    assert_eq!(chosen.len(), 50);
    // Three quarters of the answer are the best uploaders: four of the crowd, then the best honest
    // peers.
    let ranked = &chosen[..37];
    assert_eq!(count_of(ranked, 1), PER_ADDRESS);
    let others: Vec<_> = ranked[PER_ADDRESS..]
        .iter()
        .map(|peer| peer.address)
        .collect();
    let best = (0..40).rev().take(33);
    let best: Vec<_> = best.map(|it| announcing(it, false).address).collect();
    assert_eq!(others, best);
    assert_eq!(count_of(&chosen, 1), PER_ADDRESS);
    // A better uploader of the same address takes the place of a worse one.
    let better = PeerAnnounce {
        uploaded: 1 << 41,
        now: Duration::from_secs(900),
        ..at(1, 300)
    };
    swarm.renew(&better).unwrap();
    let chosen = choose(&swarm, &announcing(5_000, false), 50, Duration::ZERO);
    assert_eq!(chosen[0].address, better.address);
    assert_eq!(count_of(&chosen, 1), PER_ADDRESS);
}

#[test]
fn in_a_full_swarm_silent_peers_of_the_address_with_the_most_peers_give_way() {
    let mut swarm = swarm(20, 0);
    for number in 0..40 {
        let now = Duration::from_secs(if number == 17 { 5 } else { 10 });
        swarm.join(&PeerAnnounce {
            now,
            ..at(1, number)
        });
    }
    let mut gone = Vec::new();
    assert!(swarm.make_room(prefix(2), LATER, |prefix| gone.push(prefix)));
    check(&swarm);
    // 192.0.2.1 has the most peers, 40. One in 16 of them is removed, rounded down.
    assert_eq!(gone, [prefix(1); 2]);
    assert_eq!((swarm.len(), swarm.count_of(prefix(1))), (58, 38));
    assert!(!swarm.knows(at(1, 17).id_hash), "silent for the longest");
    // Newcomers of 192.0.2.2 get room until this address has about as many peers as 192.0.2.1.
    let mut joined = 0;
    while swarm.make_room(prefix(2), LATER, |_| ()) {
        swarm.join(&at(2, joined));
        joined += 1;
    }
    check(&swarm);
    let counts = [prefix(1), prefix(2)].map(|prefix| swarm.count_of(prefix));
    assert!(counts[0] <= counts[1] + 1, "{counts:?}");
    let others = swarm.len() - counts[0] - counts[1];
    assert_eq!(others, 20, "the only peer of an address stays");
}

#[test]
fn the_only_peer_of_an_address_never_gives_way_and_room_is_made_only_after_a_pause() {
    let mut singles = swarm(50, 0);
    assert!(!singles.make_room(prefix(2), LATER, |_| ()));
    let mut large = crowded(1_000, 1_000);
    assert!(large.make_room(prefix(2), LATER, |_| ()));
    assert!(
        !large.make_room(prefix(2), LATER, |_| ()),
        "at the same time"
    );
    let later = LATER + Duration::from_millis(3);
    assert!(large.make_room(prefix(2), later, |_| ()));
    check(&large);
}

#[test]
fn counts_stay_right_while_peers_come_move_and_go() {
    let mut swarm = empty();
    let mut random = fastrand::Rng::with_seed(7);
    for step in 0..20_000u64 {
        let (host, number) = (random.u8(1..6), random.u16(..60));
        let peer = PeerAnnounce {
            key: key(1),
            is_seed: random.bool(),
            uploaded: step * 10,
            now: Duration::from_secs(step / 100),
            until: Duration::from_secs(step / 100 + 30),
            event: (random.u8(..4) == 0).then_some(AnnounceEvent::Stopped),
            ..at(1, number)
        };
        let address = match host {
            5 => format!("[2001:db8::{number:x}]:1").parse().unwrap(),
            host => SocketAddr::new([192, 0, 2, host].into(), 1),
        };
        let peer = PeerAnnounce { address, ..peer };
        if swarm.renew(&peer) == Ok(None) && peer.event.is_none() {
            swarm.join(&peer);
        }
        if step % 500 == 0 {
            swarm.expire(peer.now, |_, _| ());
            check(&swarm);
        }
    }
    swarm.expire(LATER * 100, |_, _| ());
    check(&swarm);
    assert_eq!(swarm.len(), 0);
}
