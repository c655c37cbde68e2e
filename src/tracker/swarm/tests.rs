//! The rules of a swarm: ids, counts, expiry, saving, and which peers an answer contains.

mod one_address;

use super::*;
use crate::wire::{PeerId, SwarmPeer};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

/// The time at which the announces of these tests expire, unless a test says otherwise.
const LATER: Duration = Duration::from_secs(50);
/// The most peers of one address in an answer.
const PER_ADDRESS: usize = 4;

fn announcing(number: u32, is_seed: bool) -> PeerAnnounce {
    let mut id = [0; 20];
    id[..4].copy_from_slice(&number.to_be_bytes());
    let ip = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
    PeerAnnounce {
        id: PeerId(id),
        id_hash: hash_of(PeerId(id)),
        key: None,
        address: SocketAddr::new(ip, 6881),
        is_seed,
        event: None,
        uploaded: 0,
        downloaded: 0,
        own_family_only: false,
        now: Duration::ZERO,
        until: LATER,
    }
}

fn hash_of(PeerId(id): PeerId) -> IdHash {
    IdHash(SipKey::from_bytes([3; 16]).hash(&id))
}

fn key(number: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(number)
}

fn empty() -> Swarm {
    let settings = SwarmSettings {
        key: SipKey::from_bytes([7; 16]),
        ids_in_answers: true,
        peers_per_answer_and_address: PER_ADDRESS,
    };
    Swarm::new(AddressPrefix::of([127, 0, 0, 1].into()), settings)
}

/// The peers in an answer.
fn choose(swarm: &Swarm, asking: &PeerAnnounce, peers: usize, now: Duration) -> Vec<SwarmPeer> {
    let size = AnswerSize {
        peers,
        of_one_address: PER_ADDRESS,
        with_ids: true,
    };
    let mut chosen = Vec::new();
    swarm.choose(asking, size, now, |peer| chosen.push(peer));
    chosen
}

fn swarm(leeches: u32, seeds: u32) -> Swarm {
    let mut swarm = empty();
    for number in 0..leeches + seeds {
        swarm.join(&announcing(number, number >= leeches));
    }
    swarm
}

#[test]
fn an_answer_contains_the_wanted_number_of_distinct_other_peers() {
    let swarm = swarm(60, 40);
    for amount in [0, 1, 7, 50, 98, 99, 100, 200] {
        for asking in [announcing(3, false), announcing(500, false)] {
            let others = if asking.id == announcing(3, false).id {
                99
            } else {
                100
            };
            let chosen = choose(&swarm, &asking, amount, Duration::ZERO);
            let distinct: HashSet<_> = chosen.iter().map(|peer| peer.address).collect();
            assert_eq!(
                (chosen.len(), distinct.len()),
                (amount.min(others), amount.min(others))
            );
            assert!(!distinct.contains(&asking.address));
        }
    }
}

#[test]
fn random_peers_have_equal_chances() {
    let swarm = swarm(70, 30);
    let mut drawn: HashMap<SocketAddr, u32> = HashMap::new();
    for _ in 0..4_000 {
        for peer in choose(&swarm, &announcing(500, false), 10, Duration::ZERO) {
            *drawn.entry(peer.address).or_default() += 1;
        }
    }
    assert_eq!(drawn.len(), 100);
    // 400 expected of each, with a standard deviation of 19.
    assert!(
        drawn.values().all(|&times| (200..650).contains(&times)),
        "{drawn:?}"
    );
}

#[test]
fn a_seed_receives_no_addresses_of_seeds() {
    let swarm = swarm(2, 50);
    assert_eq!(
        choose(&swarm, &announcing(10, true), 50, Duration::ZERO).len(),
        2
    );
    assert_eq!(
        choose(&swarm, &announcing(0, false), 50, Duration::ZERO).len(),
        50
    );
}

#[test]
fn a_peer_with_a_new_id_or_a_new_address_does_not_get_itself() {
    let mut restarted = announcing(7, false);
    restarted.id = PeerId([0xff; 20]);
    restarted.id_hash = hash_of(restarted.id);
    let chosen = choose(&swarm(10, 0), &restarted, 50, Duration::ZERO);
    assert_eq!(chosen.len(), 9);
    assert!(chosen.iter().all(|peer| peer.address != restarted.address));
    let mut moved = announcing(7, false);
    moved.address = announcing(500, false).address;
    let chosen = choose(&swarm(10, 0), &moved, 50, Duration::ZERO);
    assert!(chosen.iter().all(|peer| peer.id != Some(moved.id)));
}

#[test]
fn only_a_completed_download_is_counted() {
    let mut swarm = swarm(3, 0);
    let completed = |number| PeerAnnounce {
        event: Some(AnnounceEvent::Completed),
        ..announcing(number, true)
    };
    assert_eq!(swarm.renew(&completed(0)), Ok(Some(Renewal::Stays)));
    assert_eq!(
        swarm.renew(&completed(0)),
        Ok(Some(Renewal::Stays)),
        "announced twice"
    );
    assert_eq!(
        swarm.renew(&announcing(1, true)),
        Ok(Some(Renewal::Stays)),
        "a re-check"
    );
    assert_eq!(swarm.renew(&completed(9)), Ok(None));
    assert_eq!(
        swarm.counts(),
        SwarmCounts {
            complete: 2,
            downloaded: 1,
            incomplete: 1
        }
    );
}

#[test]
fn an_id_may_be_used_only_from_its_address_or_with_its_key() {
    let mut swarm = empty();
    let owner = PeerAnnounce {
        key: key(1),
        ..announcing(1, false)
    };
    swarm.join(&owner);
    let elsewhere = |key, event| PeerAnnounce {
        key,
        event,
        id: owner.id,
        id_hash: owner.id_hash,
        ..announcing(2, false)
    };
    for key in [None, key(2)] {
        assert_eq!(swarm.renew(&elsewhere(key, None)), Err(IdTaken));
        assert_eq!(
            swarm.renew(&elsewhere(key, Some(AnnounceEvent::Stopped))),
            Err(IdTaken)
        );
    }
    let [from, to] =
        [owner.address, announcing(2, false).address].map(|it| AddressPrefix::of(it.ip()));
    assert_eq!(
        swarm.renew(&elsewhere(key(1), None)),
        Ok(Some(Renewal::Moved { from, to }))
    );
    let chosen = choose(&swarm, &announcing(3, false), 50, Duration::ZERO);
    assert_eq!(
        chosen[0].address,
        announcing(2, false).address,
        "it has moved"
    );
    let stopped = elsewhere(None, Some(AnnounceEvent::Stopped));
    assert_eq!(swarm.renew(&stopped), Ok(Some(Renewal::Left(to))));
    assert_eq!(swarm.len(), 0);
}

#[test]
fn a_peer_with_two_families_counts_once_and_an_answer_prefers_the_family_of_the_asking_peer() {
    let mut swarm = empty();
    let v4 = PeerAnnounce {
        key: key(1),
        ..announcing(1, false)
    };
    let v6 = PeerAnnounce {
        address: "[2001:db8::1]:7000".parse().unwrap(),
        until: LATER * 2,
        ..v4
    };
    swarm.join(&v4);
    assert_eq!(swarm.renew(&v6), Ok(Some(Renewal::Stays)));
    assert_eq!(swarm.counts().incomplete, 1);
    let ask = |address: &str, now| {
        let asking = PeerAnnounce {
            address: address.parse().unwrap(),
            ..announcing(9, false)
        };
        let chosen = choose(&swarm, &asking, 50, now);
        chosen.iter().map(|peer| peer.address).collect::<Vec<_>>()
    };
    assert_eq!(ask("10.9.9.9:1", Duration::ZERO), [v4.address]);
    assert_eq!(ask("[2001:db8::9]:1", Duration::ZERO), [v6.address]);
    assert_eq!(
        ask("10.9.9.9:1", LATER),
        [v6.address],
        "its IPv4 address has expired"
    );
    assert_eq!(ask("10.9.9.9:1", LATER * 2), []);
}

#[test]
fn silent_peers_are_removed_and_the_index_stays_correct() {
    let mut swarm = swarm(50, 50);
    for number in (0..100).filter(|number| number % 3 == 0) {
        let repeated = PeerAnnounce {
            until: LATER * 2,
            ..announcing(number, number % 2 == 0)
        };
        assert_eq!(swarm.renew(&repeated), Ok(Some(Renewal::Stays)));
    }
    let mut gone = 0;
    swarm.expire(LATER, |_, new_prefix| {
        gone += u32::from(new_prefix.is_none());
    });
    assert_eq!((gone, swarm.len()), (66, 34));
    check(&swarm);
    swarm.expire(LATER * 2, |_, new_prefix| {
        gone += u32::from(new_prefix.is_none());
    });
    assert_eq!((gone, swarm.len()), (100, 0));
}

/// Checks the invariants of a swarm.
fn check(swarm: &Swarm) {
    let mut of_address: HashMap<AddressPrefix, usize> = HashMap::new();
    for slot in swarm.lists.slots() {
        let id = swarm.lists.id_hash(slot).unwrap();
        assert_eq!(swarm.index.find(id, &swarm.lists), Some(slot));
        *of_address
            .entry(swarm.lists.prefix(slot).unwrap())
            .or_default() += 1;
    }
    for (prefix, count) in of_address {
        assert_eq!(swarm.count_of(prefix), count, "{prefix:?}");
    }
    for best in [&swarm.best_leeches, &swarm.best_seeds] {
        for best in best.iter() {
            let peer = swarm.lists.get(best.slot).unwrap();
            assert_eq!(peer.state.rank, Some(best.rank));
        }
    }
}

/// An announce, `seconds` after the start, of a peer that has uploaded `uploaded` bytes in total.
fn uploaded(number: u32, is_seed: bool, uploaded: u64, seconds: u64) -> PeerAnnounce {
    PeerAnnounce {
        uploaded,
        now: Duration::from_secs(seconds),
        ..announcing(number, is_seed)
    }
}

/// The numbers of the peers in an answer, in order.
fn chosen_numbers(swarm: &Swarm, asking: &PeerAnnounce, amount: usize) -> Vec<u32> {
    let chosen = choose(swarm, asking, amount, Duration::ZERO);
    let number = |peer: &SwarmPeer| match peer.address.ip() {
        IpAddr::V4(ip) => ip.to_bits() - 0x0a00_0000,
        ip => panic!("{ip}"),
    };
    chosen.iter().map(number).collect()
}

#[test]
fn the_best_uploaders_come_first_and_a_quarter_is_random() {
    let mut swarm = swarm(80, 20);
    for (number, bytes) in [(3, 1 << 20), (90, 3 << 20), (7, 2 << 20), (4, 4 << 20)] {
        let is_seed = number >= 80;
        swarm.renew(&uploaded(number, is_seed, bytes, 1)).unwrap();
    }
    let newcomer = announcing(500, false);
    let mut others: HashSet<u32> = HashSet::new();
    for _ in 0..1_000 {
        let chosen = chosen_numbers(&swarm, &newcomer, 8);
        assert_eq!(chosen[..4], [4, 90, 7, 3]);
        others.extend(chosen[4..].iter().copied());
        let few = chosen_numbers(&swarm, &newcomer, 4);
        assert_eq!((&few[..3], few.len()), (&[4, 90, 7][..], 4));
        assert_eq!(
            chosen_numbers(&swarm, &announcing(500, true), 4)[..3],
            [4, 7, 3]
        );
        assert_eq!(
            chosen_numbers(&swarm, &announcing(7, false), 4)[..3],
            [4, 90, 3]
        );
    }
    assert_eq!(others.len(), 96, "every other peer was drawn at least once");
    assert_eq!(swarm.take_traffic().uploaded, 10 << 20);
    assert_eq!(swarm.take_traffic(), Traffic::default());
}

#[test]
fn old_uploads_count_for_less() {
    let mut swarm = swarm(10, 0);
    swarm.renew(&uploaded(1, false, 8 << 20, 1)).unwrap();
    swarm.renew(&uploaded(2, false, 1 << 20, 1)).unwrap();
    assert_eq!(
        chosen_numbers(&swarm, &announcing(500, false), 8)[..2],
        [1, 2]
    );
    // Three half-lives later, 8 MiB count as 1 MiB.
    swarm
        .renew(&uploaded(2, false, (2 << 20) + 1, 1801))
        .unwrap();
    assert_eq!(
        chosen_numbers(&swarm, &announcing(500, false), 8)[..2],
        [2, 1]
    );
}

#[test]
fn only_a_credible_upload_since_the_last_announce_counts() {
    let mut swarm = swarm(10, 0);
    let boasting = PeerAnnounce {
        uploaded: u64::MAX,
        ..announcing(20, false)
    };
    swarm.join(&boasting);
    let asking = announcing(500, false);
    swarm.renew(&uploaded(1, false, 5, 1)).unwrap();
    assert_eq!(
        chosen_numbers(&swarm, &asking, 8)[0],
        1,
        "the upload of a first announce does not count"
    );
    let restarted = PeerAnnounce {
        event: Some(AnnounceEvent::Started),
        ..uploaded(2, false, 1 << 40, 1)
    };
    swarm.renew(&restarted).unwrap();
    swarm.renew(&uploaded(20, false, 7, 1)).unwrap();
    assert_eq!(
        chosen_numbers(&swarm, &asking, 8)[0],
        1,
        "nor does that of a restart, nor a smaller total"
    );
    // At most 1 GiB per second is credible, and the last announce of this peer was 2 s before.
    swarm.renew(&uploaded(3, false, u64::MAX, 2)).unwrap();
    assert_eq!(swarm.take_traffic().uploaded, 5 + (2 << 30));
}

#[test]
fn the_best_list_stays_correct_when_peers_finish_and_leave() {
    let mut swarm = swarm(1_000, 0);
    for number in 0..1_000 {
        let bytes = 1_000 + u64::from(number);
        swarm.renew(&uploaded(number, false, bytes, 1)).unwrap();
    }
    let asking = announcing(5_000, false);
    let first: Vec<u32> = (850..1_000).rev().collect();
    assert_eq!(chosen_numbers(&swarm, &asking, 200)[..150], first);
    swarm.renew(&announcing(999, true)).unwrap();
    assert_eq!(chosen_numbers(&swarm, &asking, 200)[..2], [999, 998]);
    assert_eq!(
        chosen_numbers(&swarm, &announcing(5_000, true), 200)[0],
        998
    );
    // 998 is the last of the list of leeches. 5 is not one of the best, but the peer that moves to
    // its slot is. 900 is one of the best, and so is the peer that moves to its slot.
    for gone in [998, 5, 900] {
        let stopped = PeerAnnounce {
            event: Some(AnnounceEvent::Stopped),
            ..announcing(gone, false)
        };
        swarm.renew(&stopped).unwrap();
    }
    let chosen = chosen_numbers(&swarm, &asking, 200);
    let best: Vec<u32> = (850..1_000)
        .rev()
        .filter(|number| ![998, 900].contains(number))
        .collect();
    assert_eq!((&chosen[..148], chosen.len()), (&best[..], 200));
    let distinct: HashSet<u32> = chosen.into_iter().collect();
    assert_eq!(distinct.len(), 200);
}

#[test]
fn an_answer_limited_to_one_family_contains_no_address_of_the_other_family() {
    let mut swarm = swarm(5, 0);
    let v6 = PeerAnnounce {
        address: "[2001:db8::1]:7000".parse().unwrap(),
        ..announcing(9, false)
    };
    swarm.join(&v6);
    let asking = PeerAnnounce {
        own_family_only: true,
        ..announcing(500, false)
    };
    assert_eq!(choose(&swarm, &asking, 50, Duration::ZERO).len(), 5);
    let asking = PeerAnnounce {
        address: "[2001:db8::2]:7000".parse().unwrap(),
        ..asking
    };
    let chosen = choose(&swarm, &asking, 50, Duration::ZERO);
    assert_eq!(
        chosen.iter().map(|peer| peer.address).collect::<Vec<_>>(),
        [v6.address]
    );
}

#[test]
fn saved_peers_are_restored() {
    let mut swarm = swarm(3, 2);
    swarm.renew(&uploaded(1, false, 1 << 20, 1)).unwrap();
    swarm.renew(&uploaded(4, true, 2 << 20, 1)).unwrap();
    let (downloaded, peers) = swarm.save(Duration::from_secs(10));
    assert_eq!((downloaded, peers.len()), (0, 5));
    let mut again = empty();
    let start = Duration::from_secs(1_000);
    for peer in &peers {
        let SavedId::Whole(id) = peer.id else {
            panic!("{peer:?}");
        };
        again.restore(peer, hash_of(id), start);
    }
    assert_eq!(again.counts(), swarm.counts());
    let asking = announcing(500, false);
    let count_chosen = |now| choose(&again, &asking, 50, now).len();
    assert_eq!(count_chosen(start + Duration::from_secs(39)), 5);
    assert_eq!(
        count_chosen(start + Duration::from_secs(40)),
        0,
        "the time left is kept"
    );
    let first = choose(&again, &asking, 50, start);
    assert_eq!(first[0].address, announcing(4, true).address);
    assert_eq!(first[1].address, announcing(1, false).address);
    assert!(swarm.save(LATER).1.is_empty(), "silent peers are not saved");
}
