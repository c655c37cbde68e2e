use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

const MIB: u64 = 1 << 20;

/// A choker and its peers. The clock moves in steps of a second.
struct TestSwarm {
    choker: Choker,
    now: Duration,
    seeding: bool,
    traffic: BTreeMap<LinkId, PeerTraffic>,
    /// Bytes a second that a peer sends to us.
    send_rates: BTreeMap<LinkId, u64>,
    /// Bytes a second that a peer takes from us while it has a slot.
    read_rates: BTreeMap<LinkId, u64>,
    served: HashSet<LinkId>,
    ever_served: HashSet<LinkId>,
}

impl TestSwarm {
    fn new(slots: UploadSlots, seeding: bool, seed: u64) -> Self {
        Self {
            choker: Choker::new(slots, seed),
            now: Duration::from_secs(100),
            seeding,
            traffic: BTreeMap::new(),
            send_rates: BTreeMap::new(),
            read_rates: BTreeMap::new(),
            served: HashSet::new(),
            ever_served: HashSet::new(),
        }
    }

    fn with_interested(slots: UploadSlots, seeding: bool, peers: u64) -> Self {
        let mut swarm = Self::new(slots, seeding, 1);
        for peer in 1..=peers {
            swarm.add(peer);
            swarm.set_interest(peer, true);
        }
        swarm
    }

    fn add(&mut self, peer: u64) {
        self.choker.add(LinkId(peer));
        self.traffic.insert(LinkId(peer), PeerTraffic::default());
        self.decide();
    }

    fn remove(&mut self, peer: u64) {
        self.choker.remove(LinkId(peer));
        self.traffic.remove(&LinkId(peer));
        self.served.remove(&LinkId(peer));
        self.decide();
    }

    fn set_interest(&mut self, peer: u64, interested: bool) {
        self.choker.on_interested(LinkId(peer), interested);
        self.decide();
    }

    fn decide(&mut self) {
        for change in self.choker.decide(self.now, self.seeding) {
            let is_change = if change.choked {
                self.served.remove(&change.link)
            } else {
                self.ever_served.insert(change.link);
                self.served.insert(change.link)
            };
            assert!(is_change, "{change:?} changes nothing");
            assert!(self.traffic.contains_key(&change.link));
        }
        self.check();
    }

    /// Checks the invariants of the slots.
    fn check(&self) {
        let interested: Vec<LinkId> = self
            .traffic
            .keys()
            .copied()
            .filter(|id| self.choker.is_interested(*id))
            .collect();
        let active = interested.iter().filter(|id| self.served.contains(id));
        let active_count = active.count();
        assert_eq!(
            active_count,
            interested.len().min(self.choker.slot_count()),
            "slots are left free, or too many peers are served"
        );
        assert!(self.served.len() <= self.choker.slot_count());
        if active_count < interested.len() {
            assert_eq!(
                self.served.len(),
                active_count,
                "a peer that wants nothing keeps a slot"
            );
        }
    }

    fn run_second(&mut self) {
        self.now += Duration::from_secs(1);
        for (id, traffic) in &mut self.traffic {
            traffic.received += self.send_rates.get(id).copied().unwrap_or(0);
            if self.served.contains(id) {
                traffic.sent += self.read_rates.get(id).copied().unwrap_or(0);
            }
            self.choker.observe(*id, self.now, *traffic);
        }
        self.decide();
    }

    fn run_seconds(&mut self, seconds: u64) {
        (0..seconds).for_each(|_| self.run_second());
    }

    fn serves(&self, peer: u64) -> bool {
        self.served.contains(&LinkId(peer))
    }
}

const FIVE_SLOTS: UploadSlots = UploadSlots::Fixed(5);
const BY_RATE: UploadSlots = UploadSlots::ByRate { limit: None };

#[test]
fn an_interested_peer_is_served_at_once_while_there_are_slots() {
    let mut swarm = TestSwarm::with_interested(FIVE_SLOTS, true, 5);
    assert_eq!(swarm.served.len(), 5);
    // A peer that loses interest keeps its slot while no other waits.
    swarm.set_interest(3, false);
    assert!(swarm.serves(3));
    swarm.set_interest(3, true);
    assert!(swarm.serves(3));
    // The sixth peer waits. It gets the first slot that becomes free, at once.
    swarm.add(6);
    swarm.set_interest(6, true);
    assert_eq!(swarm.served.len(), 5);
    assert!(!swarm.serves(6));
    swarm.set_interest(2, false);
    assert!(swarm.serves(6) && !swarm.serves(2));
    // When peer 2 is interested again, it waits until another peer is gone.
    swarm.set_interest(2, true);
    assert!(!swarm.serves(2));
    swarm.remove(6);
    assert!(swarm.serves(2));
    // A peer that wants nothing makes room for an interested peer.
    swarm.set_interest(3, false);
    assert!(swarm.serves(3));
    swarm.add(7);
    swarm.set_interest(7, true);
    assert!(swarm.serves(7) && !swarm.serves(3));
}

#[test]
fn while_we_download_the_peers_that_send_most_are_served() {
    let mut swarm = TestSwarm::with_interested(FIVE_SLOTS, false, 12);
    for peer in 1..=12 {
        swarm.send_rates.insert(LinkId(peer), peer * 10_000);
    }
    swarm.run_seconds(30);
    // Four slots go to the peers of the highest rank. The fifth is a turn.
    assert!(
        (9..=12).all(|peer| swarm.serves(peer)),
        "{:?}",
        swarm.served
    );
    // A peer that stops sending loses its slot when what it sent before no longer counts.
    swarm.send_rates.insert(LinkId(12), 0);
    swarm.send_rates.insert(LinkId(1), 900_000);
    swarm.run_seconds(30);
    assert!(swarm.serves(1) && [9, 10, 11].iter().all(|peer| swarm.serves(*peer)));
    // Once we are a seed, what peers send no longer counts.
    swarm.seeding = true;
    swarm.read_rates.insert(LinkId(3), MIB);
    swarm.run_seconds(300);
    assert!(swarm.serves(3), "{:?}", swarm.served);
}

#[test]
fn a_peer_that_owes_blocks_for_a_minute_has_no_regular_slot() {
    let mut swarm = TestSwarm::with_interested(UploadSlots::Fixed(6), false, 12);
    // The first five peers get the regular slots, because they send. Then one of them falls silent.
    // What it sent before still counts for a while.
    for peer in 1..=5 {
        swarm.send_rates.insert(LinkId(peer), 50_000);
    }
    swarm.run_seconds(20);
    assert!((1..=5).all(|peer| swarm.serves(peer)));
    for peer in 6..=12 {
        swarm.send_rates.insert(LinkId(peer), 1);
    }
    let silent = LinkId(5);
    let traffic_before = swarm.traffic[&silent];
    let mut seconds_with_regular_slot = 0;
    for second in 0..150 {
        swarm.send_rates.insert(silent, 0);
        // In one second of six the peer owes no block. That time is too short to clear its debt.
        swarm.traffic.insert(
            silent,
            PeerTraffic {
                owes_blocks: second % 6 != 5,
                ..traffic_before
            },
        );
        swarm.run_second();
        if second >= 75 {
            let regular = swarm.choker.peers[&silent].slot == SlotState::Regular;
            seconds_with_regular_slot += u32::from(regular);
        }
    }
    assert!(swarm.choker.peers[&silent].has_snubbed(swarm.now));
    assert_eq!(seconds_with_regular_slot, 0);
    // A block from the peer clears the debt. So does a choke from it.
    swarm.send_rates.insert(silent, 90_000);
    swarm.run_seconds(11);
    assert!(swarm.choker.peers[&silent].slot == SlotState::Regular);
    swarm.choker.observe(
        silent,
        swarm.now,
        PeerTraffic {
            owes_blocks: true,
            ..swarm.traffic[&silent]
        },
    );
    swarm.choker.on_choke(silent);
    assert_eq!(swarm.choker.peers[&silent].debt, None);
}

#[test]
fn a_debt_that_ended_does_not_count_as_a_snub() {
    let mut choker = Choker::new(FIVE_SLOTS, 1);
    choker.add(LinkId(1));
    let owes = |owes_blocks| PeerTraffic {
        owes_blocks,
        ..PeerTraffic::default()
    };
    choker.observe(LinkId(1), Duration::from_secs(1), owes(true));
    choker.observe(LinkId(1), Duration::from_secs(13), owes(false));
    choker.observe(LinkId(1), Duration::from_secs(100), owes(true));
    assert!(!choker.peers[&LinkId(1)].has_snubbed(Duration::from_secs(101)));
    assert!(choker.peers[&LinkId(1)].has_snubbed(Duration::from_secs(160)));
}

#[test]
fn newcomers_are_three_times_as_likely_to_get_a_turn() {
    let (mut newcomers, draws) = (0, 4_000);
    let mut choker = Choker::new(FIVE_SLOTS, 9);
    for peer in 1..=8 {
        choker.add(LinkId(peer));
        choker.on_interested(LinkId(peer), true);
    }
    // Peers 1 to 4 had a slot before. Peers 5 to 8 are the newcomers.
    for peer in 1..=4 {
        choker.peers.get_mut(&LinkId(peer)).unwrap().slot_changed = Some(Duration::ZERO);
    }
    let all: Vec<LinkId> = (1..=8).map(LinkId).collect();
    for _ in 0..draws {
        let drawn = choker.draw(all.clone(), 1, Duration::from_secs(5));
        newcomers += u32::from(drawn[0].0 > 4);
    }
    let fraction = f64::from(newcomers) / f64::from(draws);
    assert!((0.71..0.79).contains(&fraction), "{fraction}");
}

#[test]
fn a_turn_ends_after_thirty_seconds_and_early_if_it_is_not_used() {
    for (read_rate, lasts) in [(10_000, 30), (0, 10)] {
        let mut swarm = TestSwarm::with_interested(UploadSlots::Fixed(1), true, 3);
        (1..=3).for_each(|peer| {
            swarm.read_rates.insert(LinkId(peer), read_rate);
        });
        swarm.run_seconds(15);
        let mut turns: Vec<(LinkId, u32)> = Vec::new();
        for _ in 0..200 {
            swarm.run_second();
            let holder = *swarm.served.iter().next().unwrap();
            match turns.last_mut() {
                Some((id, seconds)) if *id == holder => *seconds += 1,
                _ => turns.push((holder, 1)),
            }
        }
        let whole = &turns[1..turns.len() - 1];
        assert!(
            whole.iter().all(|(_, seconds)| *seconds == lasts),
            "{turns:?}"
        );
        // Each peer has its turn.
        assert!(
            whole
                .windows(3)
                .all(|three| { three.iter().map(|(id, _)| id).collect::<HashSet<_>>().len() == 3 })
        );
    }
}

#[test]
fn slots_grow_with_the_rate_at_once_and_fall_later() {
    let mut swarm = TestSwarm::with_interested(BY_RATE, true, 20);
    assert_eq!(swarm.served.len(), 8);
    (1..=20).for_each(|peer| {
        swarm.read_rates.insert(LinkId(peer), 3 * MIB);
    });
    // In this second only the eight served peers read.
    swarm.run_second();
    assert_eq!(swarm.served.len(), 20, "24 MiB/s carry 20 slots");
    (1..=20).for_each(|peer| {
        swarm.read_rates.insert(LinkId(peer), 1_000);
    });
    swarm.run_seconds(5);
    assert_eq!(swarm.served.len(), 20);
    swarm.run_seconds(40);
    assert_eq!(swarm.served.len(), 8);
}

#[test]
fn the_number_of_slots_follows_the_settings() {
    for (slots, slot_count) in [
        (UploadSlots::Fixed(0), 1),
        (UploadSlots::Fixed(3), 3),
        (BY_RATE, 8),
        (UploadSlots::ByRate { limit: Some(MIB) }, 8),
        (
            UploadSlots::ByRate {
                limit: Some(64 << 10),
            },
            4,
        ),
        (
            UploadSlots::ByRate {
                limit: Some(1 << 10),
            },
            2,
        ),
    ] {
        assert_eq!(Choker::new(slots, 1).slot_count(), slot_count, "{slots:?}");
    }
}

#[test]
fn peers_that_take_nothing_do_not_starve_one_that_takes() {
    // Nineteen peers say that they are interested and request nothing.
    let mut swarm = TestSwarm::with_interested(BY_RATE, true, 20);
    swarm.read_rates.insert(LinkId(20), 100_000);
    let mut served = 0;
    for _ in 0..300 {
        swarm.run_second();
        served += u32::from(swarm.serves(20));
    }
    assert!(served > 250, "served for {served} of 300 s");
}

#[derive(Clone, Debug)]
enum Step {
    Add(u64),
    Remove(u64),
    Interest(u64, bool),
    Sends(u64, u64),
    Reads(u64, u64),
    Seconds(u64),
    Seeding(bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    let peer = || 0u64..24;
    prop_oneof![
        4 => peer().prop_map(Step::Add),
        1 => peer().prop_map(Step::Remove),
        6 => (peer(), any::<bool>()).prop_map(|(peer, interested)| Step::Interest(peer, interested)),
        2 => (peer(), 0u64..5_000_000).prop_map(|(peer, rate)| Step::Sends(peer, rate)),
        2 => (peer(), 0u64..5_000_000).prop_map(|(peer, rate)| Step::Reads(peer, rate)),
        4 => (1u64..40).prop_map(Step::Seconds),
        1 => any::<bool>().prop_map(Step::Seeding),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn slots_are_not_exceeded_or_left_free_and_every_change_is_real(
        steps in prop::collection::vec(any_step(), 1..80),
        slots in prop_oneof![(1usize..12).prop_map(UploadSlots::Fixed), Just(BY_RATE)],
        seed in any::<u64>(),
    ) {
        // `TestSwarm` checks the invariants after each decision.
        let mut swarm = TestSwarm::new(slots, false, seed);
        for step in steps {
            match step {
                Step::Add(peer) if !swarm.traffic.contains_key(&LinkId(peer)) => swarm.add(peer),
                Step::Add(_) => {}
                Step::Remove(peer) => swarm.remove(peer),
                Step::Interest(peer, interested) => swarm.set_interest(peer, interested),
                Step::Sends(peer, rate) => { swarm.send_rates.insert(LinkId(peer), rate); }
                Step::Reads(peer, rate) => { swarm.read_rates.insert(LinkId(peer), rate); }
                Step::Seconds(seconds) => swarm.run_seconds(seconds),
                Step::Seeding(seeding) => { swarm.seeding = seeding; swarm.decide(); }
            }
        }
    }

    #[test]
    fn a_seed_serves_every_peer_in_time(
        slots in 1usize..10,
        peers in 2u64..30,
        rates in prop::collection::vec(1u64..2_000_000, 30),
    ) {
        let mut swarm = TestSwarm::with_interested(UploadSlots::Fixed(slots), true, peers);
        for (peer, rate) in (1..=peers).zip(rates) {
            swarm.read_rates.insert(LinkId(peer), rate);
        }
        let turn_slots = (slots as u64 / 2).max(1);
        swarm.run_seconds(30 * (peers.div_ceil(turn_slots) + 1));
        prop_assert_eq!(swarm.ever_served.len() as u64, peers);
    }

    #[test]
    fn a_download_tries_every_peer_in_the_end(slots in 1usize..10, peers in 2u64..12, seed in any::<u64>()) {
        let mut swarm = TestSwarm::new(UploadSlots::Fixed(slots), false, seed);
        for peer in 1..=peers {
            swarm.add(peer);
            swarm.set_interest(peer, true);
            swarm.read_rates.insert(LinkId(peer), 1_000);
            swarm.send_rates.insert(LinkId(peer), peer * 1_000);
        }
        swarm.run_seconds(30 * 80);
        prop_assert_eq!(swarm.ever_served.len() as u64, peers);
    }
}
