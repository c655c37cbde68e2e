use super::*;
use crate::wire::PeerId;
use std::num::NonZeroU16;

const INTERVAL: Duration = Duration::from_secs(20);

fn swarms() -> Swarms {
    Swarms::new(INTERVAL, SwarmLimits::default())
}

fn request(swarm: u8, peer: u8) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([swarm; 20]),
        peer_id: PeerId([peer; 20]),
        port: NonZeroU16::MIN,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: None,
        num_want: None,
        compact: true,
        no_peer_id: false,
        key: None,
        pieceful: true,
    }
}

fn announce(
    swarms: &Swarms,
    now: Duration,
    request: &AnnounceRequest,
    from: IpAddr,
) -> Result<AnnounceResponse, AnnounceRefusal> {
    swarms.announce(now, request, from, AnswerFamilies::Both)
}

fn ip(number: u8) -> IpAddr {
    [10, 0, 0, number].into()
}

/// Announces a peer of swarm 1. Returns the number of peers in the answer.
fn announce_and_count(swarms: &Swarms, seconds: u64, peer: u8) -> usize {
    let now = Duration::from_secs(seconds);
    let response = announce(swarms, now, &request(1, peer), ip(peer)).unwrap();
    response.peers.len()
}

#[test]
fn pieceful_peers_that_missed_two_announces_are_in_no_answer_although_not_yet_removed() {
    let swarms = swarms();
    assert_eq!(announce_and_count(&swarms, 0, 1), 0);
    assert_eq!(announce_and_count(&swarms, 49, 2), 1);
    assert_eq!(announce_and_count(&swarms, 50, 2), 0);
    assert_eq!(swarms.peers(), 2);
    assert_eq!(swarms.expire(Duration::from_secs(50)), 1);
    assert_eq!(swarms.expire(Duration::from_secs(100)), 1);
    assert_eq!((swarms.peers(), swarms.swarms()), (0, 0));
}

#[test]
fn the_peers_of_an_address_in_many_swarms_announce_less_often_and_may_be_silent_longer() {
    let swarms = swarms();
    let announce = |number: u16, seconds, peer| {
        let mut request = request(0, peer);
        request.info_hash.0[..2].copy_from_slice(&number.to_be_bytes());
        announce(&swarms, Duration::from_secs(seconds), &request, ip(peer)).unwrap()
    };
    let interval = |number, peer| announce(number, 0, peer).interval.as_secs();
    let intervals = (0..8_000).map(|number| interval(number, 1));
    let intervals: Vec<u64> = intervals.collect();
    for (swarm, expected) in [
        (0, 20),
        (1_000, 20),
        (2_000, 40),
        (5_000, 100),
        (7_999, 120),
    ] {
        assert_eq!(intervals[swarm], expected, "swarm {swarm}");
    }
    assert_eq!(
        interval(0, 1),
        120,
        "the first swarm again, now that the address is in 8,000 swarms"
    );
    assert_eq!(interval(0, 2), 20, "another address");
    let answer = announce(0, 0, 1);
    assert_eq!(
        answer.min_interval,
        Some(INTERVAL / 2),
        "a download may announce sooner"
    );
    swarms.expire(Duration::from_secs(299));
    assert_eq!(announce(0, 299, 3).peers.len(), 1);
    assert_eq!(announce(0, 300, 3).peers.len(), 0);
}

#[test]
fn other_clients_expire_after_fifteen_minutes_without_announce() {
    let swarms = swarms();
    let other = AnnounceRequest {
        pieceful: false,
        ..request(1, 1)
    };
    let response = announce(&swarms, Duration::ZERO, &other, ip(1)).unwrap();
    assert_eq!(
        (response.interval, response.min_interval),
        (OTHER_CLIENT_INTERVAL, None)
    );
    assert_eq!(announce_and_count(&swarms, 899, 2), 1);
    assert_eq!(announce_and_count(&swarms, 900, 2), 0);
    let response = announce(&swarms, Duration::ZERO, &request(2, 1), ip(1)).unwrap();
    assert_eq!(
        (response.interval, response.min_interval),
        (INTERVAL, Some(INTERVAL / 2))
    );
}

#[test]
fn a_stopped_peer_and_a_swarm_that_becomes_empty_are_removed_at_once() {
    let swarms = swarms();
    let stopped = AnnounceRequest {
        event: Some(AnnounceEvent::Stopped),
        ..request(1, 1)
    };
    for _ in 0..2 {
        let response = announce(&swarms, Duration::ZERO, &stopped, ip(1)).unwrap();
        assert_eq!(
            (swarms.swarms(), response.peers.len()),
            (0, 0),
            "an unknown peer that stops creates no swarm"
        );
        assert_eq!(announce_and_count(&swarms, 0, 1), 0);
        assert_eq!(announce_and_count(&swarms, 0, 2), 1);
        let response = announce(&swarms, Duration::ZERO, &stopped, ip(1)).unwrap();
        assert_eq!((response.incomplete, response.peers.len()), (Some(1), 0));
        let other = AnnounceRequest {
            peer_id: PeerId([2; 20]),
            ..stopped.clone()
        };
        announce(&swarms, Duration::ZERO, &other, ip(2)).unwrap();
        assert_eq!((swarms.peers(), swarms.swarms()), (0, 0));
    }
}

#[test]
fn an_answer_contains_as_many_peers_as_wanted_50_by_default_200_at_most() {
    let swarms = swarms();
    for number in 0..=255 {
        announce(&swarms, Duration::ZERO, &request(1, number), ip(number)).unwrap();
    }
    for (want, expected) in [
        (None, 50),
        (Some(0), 0),
        (Some(3), 3),
        (Some(200), 200),
        (Some(u32::MAX), 200),
    ] {
        let request = AnnounceRequest {
            num_want: want,
            ..request(1, 0)
        };
        let response = announce(&swarms, Duration::ZERO, &request, ip(0)).unwrap();
        assert_eq!(response.peers.len(), expected);
    }
}

#[test]
fn an_ipv4_peer_over_an_ipv6_socket_is_an_ipv4_peer() {
    let swarms = swarms();
    let mapped = "::ffff:10.0.0.7".parse().unwrap();
    let response = announce(&swarms, Duration::ZERO, &request(1, 7), mapped).unwrap();
    assert_eq!(response.external_ip, Some(ip(7)));
    let response = announce(&swarms, Duration::ZERO, &request(1, 8), ip(8)).unwrap();
    assert_eq!(response.peers[0].address.ip(), ip(7));
}

#[test]
fn an_answer_contains_peer_ids_only_if_it_is_not_compact_and_they_are_wanted() {
    let swarms = swarms();
    announce_and_count(&swarms, 0, 1);
    for (compact, no_peer_id) in [(false, false), (false, true), (true, false)] {
        let request = AnnounceRequest {
            compact,
            no_peer_id,
            ..request(1, 2)
        };
        let response = announce(&swarms, Duration::ZERO, &request, ip(2)).unwrap();
        assert_eq!(response.peers[0].id.is_none(), compact || no_peer_id);
    }
}

#[test]
fn each_limit_refuses_what_exceeds_it_and_peers_that_leave_make_room() {
    let limits = SwarmLimits {
        swarms: 4,
        peers: 6,
        peers_per_swarm: 3,
        swarms_per_address: 2,
        peers_per_address: 4,
        peers_per_swarm_and_address: 3,
        ..SwarmLimits::default()
    };
    let swarms = Swarms::new(INTERVAL, limits);
    let announce_from = |swarm, peer, from| {
        announce(&swarms, Duration::ZERO, &request(swarm, peer), ip(from)).map(drop)
    };
    assert_eq!(
        [announce_from(1, 1, 1), announce_from(2, 1, 1)],
        [Ok(()); 2]
    );
    assert_eq!(
        announce_from(3, 1, 1),
        Err(AnnounceRefusal::AddressFull),
        "a third swarm of one address"
    );
    assert_eq!(
        [announce_from(1, 2, 1), announce_from(1, 3, 1)],
        [Ok(()); 2]
    );
    assert_eq!(
        announce_from(2, 2, 1),
        Err(AnnounceRefusal::AddressFull),
        "a fifth peer of one address"
    );
    assert_eq!(
        announce_from(1, 4, 1),
        Err(AnnounceRefusal::AddressFull),
        "a fourth peer of one address in one swarm"
    );
    assert_eq!(
        [announce_from(3, 1, 2), announce_from(4, 1, 2)],
        [Ok(()); 2]
    );
    assert_eq!(
        announce_from(5, 1, 3),
        Err(AnnounceRefusal::TrackerFull),
        "a fifth swarm"
    );
    assert_eq!(
        announce_from(4, 2, 3),
        Err(AnnounceRefusal::TrackerFull),
        "a seventh peer"
    );
    assert_eq!(announce_from(1, 1, 1), Ok(()), "a known peer may stay");
    assert_eq!((swarms.swarms(), swarms.peers()), (4, 6));

    let stopped = AnnounceRequest {
        event: Some(AnnounceEvent::Stopped),
        ..request(2, 1)
    };
    announce(&swarms, Duration::ZERO, &stopped, ip(1)).unwrap();
    assert_eq!((swarms.swarms(), swarms.peers()), (3, 5));
    assert_eq!(announce_from(5, 1, 1), Ok(()));
    assert_eq!(swarms.expire(INTERVAL * 3), 6);
    assert_eq!((swarms.swarms(), swarms.peers()), (0, 0));
    assert_eq!(
        [announce_from(6, 1, 1), announce_from(7, 1, 1)],
        [Ok(()); 2]
    );
}

#[test]
fn an_address_that_fills_a_swarm_gives_way_to_others() {
    let limits = SwarmLimits {
        peers_per_swarm: 6,
        ..SwarmLimits::default()
    };
    let swarms = Swarms::new(INTERVAL, limits);
    let join = |peer: u8, from| {
        let now = Duration::from_secs(peer.into());
        announce(&swarms, now, &request(1, peer), ip(from)).map(drop)
    };
    for peer in 1..=6 {
        assert_eq!(join(peer, 1), Ok(()));
    }
    assert_eq!(
        join(7, 1),
        Err(AnnounceRefusal::SwarmFull),
        "a newcomer of the address that fills the swarm"
    );
    // Each newcomer takes the place of the peer that has been silent for the longest.
    for peer in 7..=10 {
        assert_eq!(join(peer, peer), Ok(()));
        let saved = swarms.save(Duration::from_secs(10), Duration::ZERO);
        let saved = SavedSwarms::parse(&saved).unwrap();
        let ids = saved.swarms[0].peers.iter().map(|peer| peer.id);
        let mut ids: Vec<_> = ids.collect();
        ids.sort_by_key(|id| format!("{id:?}"));
        let expected = (peer - 5..=peer).map(|id| SavedId::Whole(PeerId([id; 20])));
        let mut expected: Vec<_> = expected.collect();
        expected.sort_by_key(|id| format!("{id:?}"));
        assert_eq!(ids, expected);
        assert_eq!((swarms.peers(), swarms.stats().leeches), (6, 6));
    }
    assert_eq!(join(11, 11), Ok(()));
    assert_eq!(
        join(12, 12),
        Err(AnnounceRefusal::SwarmFull),
        "each address has one peer"
    );
    assert_eq!(join(7, 7), Ok(()), "a known peer may stay");
}

#[test]
fn a_peer_that_changes_its_address_counts_towards_the_present_one() {
    let limits = SwarmLimits {
        peers_per_address: 1,
        ..SwarmLimits::default()
    };
    let swarms = Swarms::new(INTERVAL, limits);
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let announce = |swarm, peer, from, seconds| {
        let key = Some(b"key".to_vec());
        let request = AnnounceRequest {
            key,
            ..request(swarm, peer)
        };
        announce(&swarms, Duration::from_secs(seconds), &request, from).map(drop)
    };
    assert_eq!(announce(1, 1, ip(1), 0), Ok(()));
    assert_eq!(announce(2, 2, ip(1), 0), Err(AnnounceRefusal::AddressFull));
    assert_eq!(announce(1, 1, ip(2), 0), Ok(()), "it moves");
    assert_eq!(announce(2, 2, ip(1), 0), Ok(()));
    assert_eq!(announce(2, 3, ip(2), 0), Err(AnnounceRefusal::AddressFull));
    // Peer 1 has two addresses, and counts towards the IPv4 address. Later it has only the IPv6
    // address.
    assert_eq!(announce(1, 1, v6, 10), Ok(()));
    assert_eq!(
        announce(2, 4, v6, 10),
        Ok(()),
        "peer 1 does not count towards this address"
    );
    assert_eq!(swarms.expire(Duration::from_secs(55)), 1);
    assert_eq!(announce(2, 3, ip(2), 55), Ok(()));
    swarms.expire(Duration::from_secs(1_000));
    assert_eq!((swarms.peers(), swarms.swarms()), (0, 0));
    for (swarm, from) in [(1, ip(1)), (2, ip(2)), (3, v6)] {
        assert_eq!(announce(swarm, 1, from, 1_000), Ok(()));
    }
}

#[test]
fn large_swarms_answer_without_peer_ids() {
    let swarms = swarms();
    let announce_and_count_ids = |peers: std::ops::Range<u8>| {
        for number in peers {
            announce(&swarms, Duration::ZERO, &request(1, number), ip(number)).unwrap();
        }
        let asking = AnnounceRequest {
            compact: false,
            ..request(1, 0)
        };
        let answer = announce(&swarms, Duration::ZERO, &asking, ip(0)).unwrap();
        let ids = answer.peers.iter().map(|peer| peer.id.is_some());
        ids.filter(|is_there| *is_there).count()
    };
    assert_eq!(announce_and_count_ids(0..50), 49);
    assert_eq!(announce_and_count_ids(50..51), 0);
}

#[test]
fn a_scrape_contains_the_existing_swarms() {
    let swarms = swarms();
    announce_and_count(&swarms, 0, 1);
    let done = AnnounceRequest {
        left: 0,
        event: Some(AnnounceEvent::Completed),
        ..request(1, 2)
    };
    announce(&swarms, Duration::ZERO, &done, ip(2)).unwrap();
    let info_hashes = vec![InfoHash([1; 20]), InfoHash([2; 20]), InfoHash([1; 20])];
    let response = swarms.scrape(&ScrapeRequest::new(info_hashes).unwrap());
    assert_eq!(response.files.len(), 1);
    let counts = response.files[&InfoHash([1; 20])];
    assert_eq!(
        (counts.complete, counts.downloaded, counts.incomplete),
        (1, 1, 1)
    );
}

#[test]
fn one_address_may_be_in_any_number_of_group_swarms() {
    let most = SwarmLimits::default().swarms_per_address;
    let last_result = |limits| {
        let swarms = Swarms::new(INTERVAL, limits);
        let results = (0..=most as u32).map(|number| {
            let mut request = request(0, 1);
            request.info_hash.0[..4].copy_from_slice(&number.to_be_bytes());
            announce(&swarms, Duration::ZERO, &request, ip(1)).map(drop)
        });
        results.last()
    };
    assert_eq!(
        last_result(SwarmLimits::default()),
        Some(Err(AnnounceRefusal::AddressFull))
    );
    assert_eq!(last_result(SwarmLimits::for_groups()), Some(Ok(())));
}

#[test]
fn the_stats_count_swarms_peers_requests_and_transferred_bytes() {
    let swarms = swarms();
    let announce_and_stats = |peer, left, bytes, event, at| {
        let request = AnnounceRequest {
            left,
            uploaded: bytes,
            downloaded: 2 * bytes,
            event,
            ..request(1, peer)
        };
        announce(&swarms, Duration::from_secs(at), &request, ip(peer)).unwrap();
        let stats = swarms.stats();
        (stats.swarms, stats.seeds, stats.leeches)
    };
    assert_eq!(announce_and_stats(1, 1, 100, None, 0), (1, 0, 1));
    assert_eq!(announce_and_stats(2, 0, 0, None, 0), (1, 1, 1));
    assert_eq!(
        announce_and_stats(1, 0, 150, Some(AnnounceEvent::Completed), 1),
        (1, 2, 0)
    );
    assert_eq!(
        announce_and_stats(2, 0, 7, Some(AnnounceEvent::Stopped), 1),
        (1, 1, 0)
    );
    let stats = swarms.stats();
    assert_eq!((stats.uploaded, stats.downloaded), (57, 114));
    let info_hashes = vec![InfoHash([1; 20])];
    swarms.scrape(&ScrapeRequest::new(info_hashes).unwrap());
    let stats = swarms.stats();
    assert_eq!((stats.announces, stats.scrapes), (4, 1));
    swarms.expire(Duration::from_secs(1_000));
    let stats = swarms.stats();
    assert_eq!((stats.swarms, stats.seeds, stats.leeches), (0, 0, 0));
}

#[test]
fn a_restart_keeps_peers_that_have_not_expired() {
    let before = swarms();
    let wall = |seconds: u64| Duration::from_secs(1_000_000 + seconds);
    let other = AnnounceRequest {
        pieceful: false,
        left: 0,
        key: Some(b"secret".to_vec()),
        ..request(1, 1)
    };
    announce(&before, Duration::ZERO, &other, ip(1)).unwrap();
    announce_and_count(&before, 0, 2);
    announce(&before, Duration::ZERO, &request(2, 3), ip(3)).unwrap();
    let saved = before.save(Duration::from_secs(10), wall(0));

    // 10 s before the save and 39 s after it are less than the 50 s that `pieceful` peers may be
    // silent.
    let after = swarms();
    assert_eq!(after.restore(&saved, Duration::ZERO, wall(39)), Ok(3));
    assert_eq!(
        (after.swarms(), after.peers(), after.stats().seeds),
        (2, 3, 1)
    );
    assert_eq!(announce_and_count(&after, 0, 9), 2);
    assert_eq!(
        announce_and_count(&after, 1, 9),
        1,
        "peer 2 had 1 s left, and has expired"
    );
    assert_eq!(
        after.restore(&saved, Duration::ZERO, wall(0)),
        Ok(0),
        "all three peers are here already"
    );

    let after = swarms();
    assert_eq!(after.restore(&saved, Duration::ZERO, wall(41)), Ok(1));
    assert_eq!(after.swarms(), 1);
    let moved = announce(&after, Duration::ZERO, &other, ip(77));
    assert!(moved.is_ok(), "the key identifies the peer");
    let newcomer = AnnounceRequest {
        key: Some(b"guess".to_vec()),
        ..other
    };
    let newcomer = announce(&after, Duration::ZERO, &newcomer, ip(88));
    assert_eq!(newcomer, Err(AnnounceRefusal::IdTaken));
    after.expire(Duration::from_secs(10_000));
    assert_eq!((after.swarms(), after.peers()), (0, 0));

    let after = swarms();
    assert_eq!(
        after.restore(&saved, Duration::ZERO, Duration::ZERO),
        Ok(3),
        "the wall clock was set back: no time seems to have passed"
    );
    let late = swarms();
    assert_eq!(late.restore(&saved, Duration::ZERO, wall(100_000)), Ok(0));
    assert_eq!(late.swarms(), 0);
    let limits = SwarmLimits {
        peers: 1,
        ..SwarmLimits::default()
    };
    let small = Swarms::new(INTERVAL, limits);
    assert_eq!(
        small.restore(&saved, Duration::ZERO, wall(0)),
        Ok(1),
        "limits hold"
    );
}
