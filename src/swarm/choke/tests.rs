use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

const MIB: u64 = 1 << 20;

/// A choker and its peers. The clock moves in steps of a second.
struct World {
    choker: Choker,
    now: Duration,
    seeding: bool,
    seen: BTreeMap<LinkId, Seen>,
    /// Bytes a second that a peer sends to us.
    gives: BTreeMap<LinkId, u64>,
    takes: BTreeMap<LinkId, u64>,
    served: HashSet<LinkId>,
    ever: HashSet<LinkId>,
}

impl World {
    fn new(slots: UploadSlots, seeding: bool, seed: u64) -> Self {
        Self {
            choker: Choker::new(slots, seed),
            now: Duration::from_secs(100),
            seeding,
            seen: BTreeMap::new(),
            gives: BTreeMap::new(),
            takes: BTreeMap::new(),
            served: HashSet::new(),
            ever: HashSet::new(),
        }
    }

    fn interested(slots: UploadSlots, seeding: bool, peers: u64) -> Self {
        let mut world = Self::new(slots, seeding, 1);
        for peer in 1..=peers {
            world.add(peer);
            world.interest(peer, true);
        }
        world
    }

    fn add(&mut self, peer: u64) {
        self.choker.add(LinkId(peer));
        self.seen.insert(LinkId(peer), Seen::default());
        self.decide();
    }

    fn remove(&mut self, peer: u64) {
        self.choker.remove(LinkId(peer));
        self.seen.remove(&LinkId(peer));
        self.served.remove(&LinkId(peer));
        self.decide();
    }

    fn interest(&mut self, peer: u64, interested: bool) {
        self.choker.on_interested(LinkId(peer), interested);
        self.decide();
    }

    fn decide(&mut self) {
        for change in self.choker.decide(self.now, self.seeding) {
            let news = if change.choked {
                self.served.remove(&change.link)
            } else {
                self.ever.insert(change.link);
                self.served.insert(change.link)
            };
            assert!(news, "{change:?} is no change");
            assert!(self.seen.contains_key(&change.link));
        }
        self.check();
    }

    /// The invariants.
    fn check(&self) {
        let interested: Vec<LinkId> = self
            .seen
            .keys()
            .copied()
            .filter(|id| self.choker.is_interested(*id))
            .collect();
        let held = interested.iter().filter(|id| self.served.contains(id));
        let held = held.count();
        assert_eq!(
            held,
            interested.len().min(self.choker.slots()),
            "slots are left free, or there are too many"
        );
        assert!(self.served.len() <= self.choker.slots());
        if held < interested.len() {
            assert_eq!(
                self.served.len(),
                held,
                "one that wants nothing keeps a slot"
            );
        }
    }

    fn second(&mut self) {
        self.now += Duration::from_secs(1);
        for (id, seen) in &mut self.seen {
            seen.gave += self.gives.get(id).copied().unwrap_or(0);
            if self.served.contains(id) {
                seen.took += self.takes.get(id).copied().unwrap_or(0);
            }
            self.choker.observe(*id, self.now, *seen);
        }
        self.decide();
    }

    fn seconds(&mut self, seconds: u64) {
        (0..seconds).for_each(|_| self.second());
    }

    fn serves(&self, peer: u64) -> bool {
        self.served.contains(&LinkId(peer))
    }
}

const FIVE: UploadSlots = UploadSlots::Fixed(5);
const OPEN: UploadSlots = UploadSlots::ByRate { limit: None };

#[test]
fn whoever_is_interested_is_served_at_once_while_there_are_slots() {
    let mut world = World::interested(FIVE, true, 5);
    assert_eq!(world.served.len(), 5);
    // A peer that loses interest keeps its slot while no other waits.
    world.interest(3, false);
    assert!(world.serves(3));
    world.interest(3, true);
    assert!(world.serves(3));
    // The sixth peer waits. It gets the first slot that becomes free, at once.
    world.add(6);
    world.interest(6, true);
    assert_eq!(world.served.len(), 5);
    assert!(!world.serves(6));
    world.interest(2, false);
    assert!(world.serves(6) && !world.serves(2));
    // When it is interested again, it waits until another is gone.
    world.interest(2, true);
    assert!(!world.serves(2));
    world.remove(6);
    assert!(world.serves(2));
    // A peer that wants nothing makes room for one that does.
    world.interest(3, false);
    assert!(world.serves(3));
    world.add(7);
    world.interest(7, true);
    assert!(world.serves(7) && !world.serves(3));
}

#[test]
fn those_who_give_most_are_served_while_we_trade() {
    let mut world = World::interested(FIVE, false, 12);
    for peer in 1..=12 {
        world.gives.insert(LinkId(peer), peer * 10_000);
    }
    world.seconds(30);
    // Four slots go by rank, one is a turn.
    assert!(
        (9..=12).all(|peer| world.serves(peer)),
        "{:?}",
        world.served
    );
    // A peer that sends no more loses its slot once its traffic no longer counts.
    world.gives.insert(LinkId(12), 0);
    world.gives.insert(LinkId(1), 900_000);
    world.seconds(30);
    assert!(world.serves(1) && [9, 10, 11].iter().all(|peer| world.serves(*peer)));
    // As a seed, what peers send no longer counts.
    world.seeding = true;
    world.takes.insert(LinkId(3), MIB);
    world.seconds(300);
    assert!(world.serves(3), "{:?}", world.served);
}

#[test]
fn who_owes_and_delivers_nothing_for_a_minute_has_no_regular_slot() {
    let mut world = World::interested(UploadSlots::Fixed(6), false, 12);
    // The first five have ranks by what they sent. Then one of them falls silent. Its bytes still
    // count for a while.
    for peer in 1..=5 {
        world.gives.insert(LinkId(peer), 50_000);
    }
    world.seconds(20);
    assert!((1..=5).all(|peer| world.serves(peer)));
    for peer in 6..=12 {
        world.gives.insert(LinkId(peer), 1);
    }
    let silent = LinkId(5);
    let fell_silent = world.seen[&silent];
    let mut slots_held = 0;
    for second in 0..150 {
        world.gives.insert(silent, 0);
        world.seen.insert(
            silent,
            Seen {
                owes: second % 6 != 5,
                ..fell_silent
            },
        );
        world.second();
        if second >= 75 {
            let regular = world.choker.peers[&silent].slot == Slot::Regular;
            slots_held += u32::from(regular);
        }
    }
    assert!(world.choker.peers[&silent].has_snubbed(world.now));
    assert_eq!(slots_held, 0);
    // A block clears the debt, and so does a choke.
    world.gives.insert(silent, 90_000);
    world.seconds(11);
    assert!(world.choker.peers[&silent].slot == Slot::Regular);
    world.choker.observe(
        silent,
        world.now,
        Seen {
            owes: true,
            ..world.seen[&silent]
        },
    );
    world.choker.on_choke(silent);
    assert_eq!(world.choker.peers[&silent].owes, None);
}

#[test]
fn what_is_owed_no_more_is_no_snub() {
    let mut choker = Choker::new(FIVE, 1);
    choker.add(LinkId(1));
    let owes = |owes| Seen {
        owes,
        ..Seen::default()
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
    let mut choker = Choker::new(FIVE, 9);
    for peer in 1..=8 {
        choker.add(LinkId(peer));
        choker.on_interested(LinkId(peer), true);
    }
    for peer in 1..=4 {
        choker.peers.get_mut(&LinkId(peer)).unwrap().served = Some(Duration::ZERO);
    }
    let all: Vec<LinkId> = (1..=8).map(LinkId).collect();
    for _ in 0..draws {
        let drawn = choker.draw(all.clone(), 1, Duration::from_secs(5));
        newcomers += u32::from(drawn[0].0 > 4);
    }
    let share = f64::from(newcomers) / f64::from(draws);
    assert!((0.71..0.79).contains(&share), "{share}");
}

#[test]
fn a_turn_ends_after_thirty_seconds_and_early_if_it_is_not_used() {
    for (takes, lasts) in [(10_000, 30), (0, 10)] {
        let mut world = World::interested(UploadSlots::Fixed(1), true, 3);
        (1..=3).for_each(|peer| {
            world.takes.insert(LinkId(peer), takes);
        });
        world.seconds(15);
        let mut turns: Vec<(LinkId, u32)> = Vec::new();
        for _ in 0..200 {
            world.second();
            let holder = *world.served.iter().next().unwrap();
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
    let mut world = World::interested(OPEN, true, 20);
    assert_eq!(world.served.len(), 8);
    (1..=20).for_each(|peer| {
        world.takes.insert(LinkId(peer), 3 * MIB);
    });
    world.second();
    assert_eq!(world.served.len(), 20, "24 MiB/s carry 20 slots");
    (1..=20).for_each(|peer| {
        world.takes.insert(LinkId(peer), 1_000);
    });
    world.seconds(5);
    assert_eq!(world.served.len(), 20);
    world.seconds(40);
    assert_eq!(world.served.len(), 8);
}

#[test]
fn the_number_of_slots_follows_options() {
    for (slots, number) in [
        (UploadSlots::Fixed(0), 1),
        (UploadSlots::Fixed(3), 3),
        (OPEN, 8),
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
        assert_eq!(Choker::new(slots, 1).slots(), number, "{slots:?}");
    }
}

#[test]
fn idle_holders_of_slots_do_not_starve_one_that_takes() {
    // Nineteen peers say that they are interested and request nothing.
    let mut world = World::interested(OPEN, true, 20);
    world.takes.insert(LinkId(20), 100_000);
    let mut served = 0;
    for _ in 0..300 {
        world.second();
        served += u32::from(world.serves(20));
    }
    assert!(served > 250, "served for {served} of 300 s");
}

#[derive(Clone, Debug)]
enum Step {
    Add(u64),
    Remove(u64),
    Interest(u64, bool),
    Gives(u64, u64),
    Takes(u64, u64),
    Seconds(u64),
    Seeding(bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    let peer = || 0u64..24;
    prop_oneof![
        4 => peer().prop_map(Step::Add),
        1 => peer().prop_map(Step::Remove),
        6 => (peer(), any::<bool>()).prop_map(|(peer, interested)| Step::Interest(peer, interested)),
        2 => (peer(), 0u64..5_000_000).prop_map(|(peer, rate)| Step::Gives(peer, rate)),
        2 => (peer(), 0u64..5_000_000).prop_map(|(peer, rate)| Step::Takes(peer, rate)),
        4 => (1u64..40).prop_map(Step::Seconds),
        1 => any::<bool>().prop_map(Step::Seeding),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn slots_are_never_exceeded_never_idle_and_every_change_is_one(
        steps in prop::collection::vec(any_step(), 1..80),
        slots in prop_oneof![(1usize..12).prop_map(UploadSlots::Fixed), Just(OPEN)],
        seed in any::<u64>(),
    ) {
        // `TestSwarm` checks the invariants after each decision.
        let mut world = World::new(slots, false, seed);
        for step in steps {
            match step {
                Step::Add(peer) if !world.seen.contains_key(&LinkId(peer)) => world.add(peer),
                Step::Add(_) => {}
                Step::Remove(peer) => world.remove(peer),
                Step::Interest(peer, interested) => world.interest(peer, interested),
                Step::Gives(peer, rate) => { world.gives.insert(LinkId(peer), rate); }
                Step::Takes(peer, rate) => { world.takes.insert(LinkId(peer), rate); }
                Step::Seconds(seconds) => world.seconds(seconds),
                Step::Seeding(seeding) => { world.seeding = seeding; world.decide(); }
            }
        }
    }

    #[test]
    fn a_seed_serves_everyone_in_time(
        slots in 1usize..10,
        peers in 2u64..30,
        rates in prop::collection::vec(1u64..2_000_000, 30),
    ) {
        let mut world = World::interested(UploadSlots::Fixed(slots), true, peers);
        for (peer, rate) in (1..=peers).zip(rates) {
            world.takes.insert(LinkId(peer), rate);
        }
        let turns = (slots as u64 / 2).max(1);
        world.seconds(30 * (peers.div_ceil(turns) + 1));
        prop_assert_eq!(world.ever.len() as u64, peers);
    }

    #[test]
    fn a_trader_tries_everyone_in_the_end(slots in 1usize..10, peers in 2u64..12, seed in any::<u64>()) {
        let mut world = World::new(UploadSlots::Fixed(slots), false, seed);
        for peer in 1..=peers {
            world.add(peer);
            world.interest(peer, true);
            world.takes.insert(LinkId(peer), 1_000);
            world.gives.insert(LinkId(peer), peer * 1_000);
        }
        world.seconds(30 * 80);
        prop_assert_eq!(world.ever.len() as u64, peers);
    }
}
