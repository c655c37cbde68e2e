//! Which peers an answer contains.

use super::*;
use crate::base::AddressPrefix;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

const LATER: Duration = Duration::from_secs(50);

fn announcing(number: u32, is_seed: bool) -> PeerAnnounce {
    let mut id = [0; 20];
    id[..4].copy_from_slice(&number.to_be_bytes());
    let ip = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
    PeerAnnounce {
        id: PeerId(id),
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

fn swarm(leeches: u32, seeds: u32) -> Swarm {
    let mut swarm = Swarm::new(AddressPrefix::of([127, 0, 0, 1].into()));
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
            let chosen = swarm.choose(&asking, amount, Duration::ZERO);
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
        for peer in swarm.choose(&announcing(500, false), 10, Duration::ZERO) {
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
        swarm
            .choose(&announcing(10, true), 50, Duration::ZERO)
            .len(),
        2
    );
    assert_eq!(
        swarm
            .choose(&announcing(0, false), 50, Duration::ZERO)
            .len(),
        50
    );
}

#[test]
fn a_restarted_peer_does_not_get_its_own_address() {
    let mut restarted = announcing(7, false);
    restarted.id = PeerId([0xff; 20]);
    let chosen = swarm(10, 0).choose(&restarted, 50, Duration::ZERO);
    assert_eq!(chosen.len(), 9);
    assert!(chosen.iter().all(|peer| peer.address != restarted.address));
    let mut moved = announcing(7, false);
    moved.address = announcing(500, false).address;
    let chosen = swarm(10, 0).choose(&moved, 50, Duration::ZERO);
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
fn an_id_belongs_to_its_address_and_key() {
    let mut swarm = swarm(0, 0);
    let owner = PeerAnnounce {
        key: Some(1),
        ..announcing(1, false)
    };
    swarm.join(&owner);
    let elsewhere = |key, event| PeerAnnounce {
        key,
        event,
        id: owner.id,
        ..announcing(2, false)
    };
    for key in [None, Some(2)] {
        assert_eq!(swarm.renew(&elsewhere(key, None)), Err(IdTaken));
        assert_eq!(
            swarm.renew(&elsewhere(key, Some(AnnounceEvent::Stopped))),
            Err(IdTaken)
        );
    }
    assert_eq!(
        swarm.renew(&elsewhere(Some(1), None)),
        Ok(Some(Renewal::Stays))
    );
    let chosen = swarm.choose(&announcing(3, false), 50, Duration::ZERO);
    assert_eq!(
        chosen[0].address,
        announcing(2, false).address,
        "it has moved"
    );
    let stopped = elsewhere(None, Some(AnnounceEvent::Stopped));
    let prefix = AddressPrefix::of(owner.address.ip());
    assert_eq!(swarm.renew(&stopped), Ok(Some(Renewal::Left(prefix))));
    assert_eq!(swarm.len(), 0);
}

#[test]
fn a_peer_with_two_families_is_one_peer_and_appears_by_the_family_of_the_asking_peer() {
    let mut swarm = swarm(0, 0);
    let v4 = PeerAnnounce {
        key: Some(1),
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
        let chosen = swarm.choose(&asking, 50, now);
        chosen.iter().map(|peer| peer.address).collect::<Vec<_>>()
    };
    assert_eq!(ask("10.9.9.9:1", Duration::ZERO), [v4.address]);
    assert_eq!(ask("[2001:db8::9]:1", Duration::ZERO), [v6.address]);
    assert_eq!(
        ask("10.9.9.9:1", LATER),
        [v6.address],
        "its other address is silent"
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
    swarm.expire(LATER, |_| gone += 1);
    assert_eq!((gone, swarm.len()), (66, 34));
    for (id, slot) in swarm.index.clone() {
        assert_eq!(swarm.ranked(slot.is_seed).peers[slot.at].id, id);
    }
    assert_eq!(swarm.leeches.peers.len() + swarm.seeds.peers.len(), 34);
    swarm.expire(LATER * 2, |_| gone += 1);
    assert_eq!((gone, swarm.len()), (100, 0));
}

/// An announce of a peer that has uploaded this number of bytes in total.
fn uploaded(number: u32, is_seed: bool, uploaded: u64, seconds: u64) -> PeerAnnounce {
    PeerAnnounce {
        uploaded,
        now: Duration::from_secs(seconds),
        ..announcing(number, is_seed)
    }
}

/// The numbers of the peers in an answer, in order.
fn chosen_numbers(swarm: &Swarm, asking: &PeerAnnounce, amount: usize) -> Vec<u32> {
    let chosen = swarm.choose(asking, amount, Duration::ZERO);
    let number = |peer: &SwarmPeer| peer.id.and_then(|id| id.0.first_chunk().copied());
    chosen
        .iter()
        .map(|peer| u32::from_be_bytes(number(peer).unwrap()))
        .collect()
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
        "a first announce is no upload"
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
        "nor is a smaller number"
    );
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
    // The last of the list; a peer that is not one of the best, whose gap one of the best fills;
    // one of the best, whose gap another one fills.
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
fn an_answer_limited_to_one_family_contains_no_other() {
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
    assert_eq!(swarm.choose(&asking, 50, Duration::ZERO).len(), 5);
    let asking = PeerAnnounce {
        address: "[2001:db8::2]:7000".parse().unwrap(),
        ..asking
    };
    let chosen = swarm.choose(&asking, 50, Duration::ZERO);
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
    let mut again = Swarm::new(swarm.founder);
    let start = Duration::from_secs(1_000);
    for peer in &peers {
        again.restore(peer, peer.prefix().unwrap(), start);
    }
    assert_eq!(again.counts(), swarm.counts());
    let asking = announcing(500, false);
    let count_chosen = |now| again.choose(&asking, 50, now).len();
    assert_eq!(count_chosen(start + Duration::from_secs(39)), 5);
    assert_eq!(
        count_chosen(start + Duration::from_secs(40)),
        0,
        "the time left is kept"
    );
    let first = again.choose(&asking, 50, start);
    assert_eq!(first[0].address, announcing(4, true).address);
    assert_eq!(first[1].address, announcing(1, false).address);
    assert!(swarm.save(LATER).1.is_empty(), "silent peers are not saved");
}
