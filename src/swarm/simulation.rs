//! Swarms of one downloader and several owners, simulated: every schedule must end with every piece fetched once.

use super::{Arrival, LinkId, Picker, Run, Verdict};
use crate::torrent::{BlockRange, Lengths, PieceIndex, PieceSet};
use fastrand::Rng;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::Duration;

/// How an owner behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Sound,
    /// Answers nothing.
    Silent,
    /// Its blocks are wrong.
    Lying,
    /// Rejects every other request.
    Rejecting,
    /// Goes away after this many blocks.
    Leaving(u32),
    /// Chokes for this many milliseconds after each eight blocks and drops what it was asked for: with BEP 6 by rejecting
    /// each, without it silently.
    Choking {
        pause: u64,
        fast: bool,
    },
}

#[derive(Clone, Debug)]
struct Owner {
    manner: Manner,
    /// Microseconds a block.
    pace: u64,
    /// Of 100 pieces, how many it has.
    share: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Block(LinkId, u32, u32),
    Reject(LinkId, u32, u32),
    Unchoke(LinkId),
    Tick,
}

struct World {
    lengths: Lengths,
    picker: Picker,
    rng: Rng,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    order: u64,
    free_at: HashMap<LinkId, Duration>,
    owners: HashMap<LinkId, (Owner, PieceSet)>,
    /// Buffers in use, and how many there are.
    buffers: (u32, u32),
    asked: HashMap<(LinkId, BlockRange), u32>,
    open_asks: HashMap<BlockRange, HashSet<LinkId>>,
    bad: HashSet<PieceIndex>,
    sent: HashMap<LinkId, u32>,
    /// Owners that choke now.
    choking: HashSet<LinkId>,
    fetched: HashMap<PieceIndex, u32>,
    banned: HashSet<LinkId>,
    endgame_asks: u32,
}

impl World {
    fn new(lengths: Lengths, owners: &[Owner], buffers: u32, seed: u64) -> Self {
        let picker = Picker::new(lengths, PieceSet::empty(&lengths), seed);
        let mut world = Self {
            lengths,
            picker,
            rng: Rng::with_seed(seed),
            now: Duration::from_secs(1),
            events: BinaryHeap::new(),
            order: 0,
            free_at: HashMap::new(),
            owners: HashMap::new(),
            buffers: (0, buffers),
            asked: HashMap::new(),
            open_asks: HashMap::new(),
            bad: HashSet::new(),
            sent: HashMap::new(),
            choking: HashSet::new(),
            fetched: HashMap::new(),
            banned: HashSet::new(),
            endgame_asks: 0,
        };
        for (at, owner) in owners.iter().enumerate() {
            let id = LinkId(at as u64);
            let mut has = PieceSet::empty(&lengths);
            for piece in lengths.all_pieces() {
                if at == 0 || world.rng.u8(0..100) < owner.share {
                    has.insert(piece);
                }
            }
            world.picker.add_link(id, 500);
            world.picker.on_pieces(id, has.clone());
            world.picker.on_unchoke(id);
            world.owners.insert(id, (owner.clone(), has));
        }
        world.at(Duration::ZERO, Event::Tick);
        world
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.order += 1;
        self.events
            .push(Reverse((self.now + after, self.order, event)));
    }

    fn ask(&mut self, id: LinkId) {
        let mut blocks = Vec::new();
        let buffers = &mut self.buffers;
        let mut reserve = |count: u32| {
            let fits = buffers.0 + count <= buffers.1;
            buffers.0 += if fits { count } else { 0 };
            fits
        };
        self.picker
            .next_blocks(id, self.now, &mut reserve, &mut blocks);
        let Some((owner, has)) = self.owners.get(&id).cloned() else {
            assert!(blocks.is_empty(), "a link that is gone was asked");
            return;
        };
        assert!(
            blocks.is_empty() || !self.choking.contains(&id),
            "one that chokes is asked"
        );
        for range in blocks {
            assert!(
                has.contains(range.piece()),
                "asked for a piece the owner lacks"
            );
            let holders = self.open_asks.entry(range).or_default();
            assert!(holders.insert(id), "asked of one link twice");
            self.endgame_asks += u32::from(holders.len() == 2);
            assert!(holders.len() <= 2, "asked of more than two links");
            *self.asked.entry((id, range)).or_default() += 1;
            let free_at = self.free_at.entry(id).or_insert(self.now).to_owned();
            let done = free_at.max(self.now) + Duration::from_micros(owner.pace);
            self.free_at.insert(id, done);
            let (piece, begin) = (range.piece().number(), range.begin());
            let event = match owner.manner {
                Manner::Silent => continue,
                Manner::Rejecting if self.rng.bool() => Event::Reject(id, piece, begin),
                _ => Event::Block(id, piece, begin),
            };
            self.at(done - self.now, event);
        }
    }

    fn block_of(&self, piece: u32, begin: u32) -> BlockRange {
        let piece = self.lengths.piece(piece).unwrap();
        self.lengths
            .block(piece, begin / crate::torrent::BLOCK)
            .unwrap()
    }

    fn remove(&mut self, id: LinkId) {
        self.owners.remove(&id);
        self.picker.remove_link(id);
        self.open_asks.values_mut().for_each(|holders| {
            holders.remove(&id);
        });
    }

    fn block(&mut self, id: LinkId, range: BlockRange) {
        let Some((owner, _)) = self.owners.get(&id).cloned() else {
            return;
        };
        if let Some(holders) = self.open_asks.get_mut(&range) {
            holders.remove(&id);
        }
        match self.picker.on_block(id, range, self.now) {
            Arrival::Unasked => panic!("an asked block counts as unasked"),
            Arrival::Late => {}
            Arrival::Fresh { cancel, completed } => {
                if let Some(other) = cancel {
                    self.open_asks.entry(range).or_default().remove(&other);
                }
                if owner.manner == Manner::Lying {
                    self.bad.insert(range.piece());
                }
                if let Some(run) = completed {
                    self.complete(run);
                }
            }
        }
        let sent = self.sent.entry(id).or_default();
        *sent += 1;
        match owner.manner {
            Manner::Leaving(most) if *sent >= most => self.remove(id),
            Manner::Choking { pause, fast } if sent.is_multiple_of(8) => {
                self.choke(id, pause, fast)
            }
            _ => {}
        }
    }

    /// The owner chokes: all that it was asked for is dropped.
    fn choke(&mut self, id: LinkId, pause: u64, fast: bool) {
        self.choking.insert(id);
        let mut dropped = Vec::new();
        self.events.retain(|Reverse((_, _, event))| match event {
            Event::Block(of, piece, begin) if *of == id => {
                dropped.push((*piece, *begin));
                false
            }
            _ => true,
        });
        self.picker.on_choke(id, !fast);
        for (piece, begin) in dropped {
            let range = self.block_of(piece, begin);
            if let Some(holders) = self.open_asks.get_mut(&range) {
                holders.remove(&id);
            }
            if fast {
                self.picker.on_reject(id, range);
            }
        }
        self.at(Duration::from_millis(pause), Event::Unchoke(id));
    }

    fn complete(&mut self, run: Run) {
        self.buffers.0 -= run.blocks;
        if !self.picker.all_arrived(run.piece) {
            return;
        }
        if self.bad.remove(&run.piece) {
            if let Verdict::Proven(liar) = self.picker.on_failed(run.piece) {
                assert_eq!(
                    self.owners[&liar].0.manner,
                    Manner::Lying,
                    "a sound owner is blamed"
                );
                self.banned.insert(liar);
                self.remove(liar);
            }
        } else {
            self.picker.on_verified(run.piece);
            *self.fetched.entry(run.piece).or_default() += 1;
        }
    }

    /// Runs until complete; gives how long that took.
    fn run(&mut self) -> Duration {
        let start = self.now;
        while !self.picker.is_complete() {
            let Reverse((at, _, event)) = self.events.pop().expect("ticks go on for ever");
            self.now = at;
            assert!(
                self.now - start < Duration::from_secs(3_600),
                "it does not end: {:?}",
                self.picker
            );
            match event {
                Event::Block(id, piece, begin) => {
                    self.block(id, self.block_of(piece, begin));
                    self.ask(id);
                }
                Event::Reject(id, piece, begin) => {
                    let range = self.block_of(piece, begin);
                    if let Some(holders) = self.open_asks.get_mut(&range) {
                        holders.remove(&id);
                    }
                    self.picker.on_reject(id, range);
                    self.ask(id);
                }
                Event::Unchoke(id) => {
                    self.choking.remove(&id);
                    self.picker.on_unchoke(id);
                    self.ask(id);
                }
                Event::Tick => {
                    self.picker.check();
                    for (id, _) in self.picker.take_from_stalled(self.now) {
                        self.open_asks.values_mut().for_each(|holders| {
                            holders.remove(&id);
                        });
                    }
                    let mut ids: Vec<LinkId> = self.owners.keys().copied().collect();
                    ids.sort();
                    ids.into_iter().for_each(|id| self.ask(id));
                    self.at(Duration::from_millis(100), Event::Tick);
                }
            }
        }
        assert_eq!(self.buffers.0, 0, "a buffer is lost");
        for piece in self.lengths.all_pieces() {
            assert_eq!(self.fetched[&piece], 1);
        }
        self.now - start
    }
}

fn owner(manner: Manner, pace: u64, share: u8) -> Owner {
    Owner {
        manner,
        pace,
        share,
    }
}

fn any_owner() -> impl Strategy<Value = Owner> {
    let manner = prop_oneof![
        3 => Just(Manner::Sound),
        1 => Just(Manner::Silent),
        1 => Just(Manner::Lying),
        1 => Just(Manner::Rejecting),
        1 => (1u32..60).prop_map(Manner::Leaving),
        2 => (1u64..30_000, any::<bool>()).prop_map(|(pause, fast)| Manner::Choking { pause, fast }),
    ];
    (manner, 10u64..20_000, 0u8..=100).prop_map(|(manner, pace, share)| owner(manner, pace, share))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn every_schedule_ends_with_every_piece_fetched_once(
        total in 1u64..3_000_000,
        piece_length in prop::sample::select(vec![1_000i64, 16_384, 20_000, 65_536, 524_288, 1_500_000]),
        owners in prop::collection::vec(any_owner(), 0..6),
        buffers in 32u32..300,
        seed in any::<u64>(),
    ) {
        let lengths = Lengths::new(total, piece_length).unwrap();
        let mut all = vec![owner(Manner::Sound, 500, 100)];
        all.extend(owners);
        World::new(lengths, &all, buffers, seed).run();
    }
}

#[test]
fn owners_of_one_pace_give_alike() {
    let lengths = Lengths::new(64 << 20, 512 << 10).unwrap();
    let owners = vec![owner(Manner::Sound, 200, 100); 4];
    let mut world = World::new(lengths, &owners, 1_024, 7);
    world.run();
    let blocks = (64 << 20) / crate::torrent::BLOCK;
    for (id, sent) in &world.sent {
        assert!(
            (blocks / 5..blocks / 3).contains(sent),
            "{id:?} gave {sent} of {blocks}"
        );
    }
}

#[test]
fn outside_endgame_no_block_is_asked_for_twice() {
    let lengths = Lengths::new(32 << 20, 512 << 10).unwrap();
    let owners = [
        owner(Manner::Sound, 100, 100),
        owner(Manner::Sound, 300, 60),
        owner(Manner::Sound, 900, 30),
    ];
    let mut world = World::new(lengths, &owners, 1_024, 3);
    world.run();
    let asked: u32 = world.asked.values().sum();
    let blocks = (32 << 20) / crate::torrent::BLOCK;
    assert!(
        asked <= blocks + world.endgame_asks && world.endgame_asks < 64,
        "{asked} for {blocks}"
    );
}

#[test]
fn a_silent_owner_does_not_hold_up_the_end() {
    let lengths = Lengths::new(4 << 20, 512 << 10).unwrap();
    let owners = [
        owner(Manner::Sound, 100, 100),
        owner(Manner::Silent, 1, 100),
    ];
    let took = World::new(lengths, &owners, 1_024, 5).run();
    assert!(
        took < Duration::from_secs(1),
        "endgame comes before the time-out: {took:?}"
    );
}

#[test]
fn owners_that_choke_again_and_again_do_not_stall_a_download() {
    let lengths = Lengths::new(4 << 20, 512 << 10).unwrap();
    for fast in [false, true] {
        let pause = 2_000;
        let owners = [
            owner(Manner::Choking { pause, fast }, 100, 100),
            owner(Manner::Choking { pause, fast }, 150, 100),
        ];
        let took = World::new(lengths, &owners, 1_024, 5).run();
        // 256 blocks, eight at a time from each of the two.
        assert!(took < Duration::from_millis(16 * pause + 1_000), "{took:?}");
    }
    let owners = [
        owner(Manner::Sound, 100, 100),
        owner(
            Manner::Choking {
                pause: 3_600_000,
                fast: true,
            },
            100,
            100,
        ),
    ];
    let took = World::new(lengths, &owners, 1_024, 5).run();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn while_choked_only_allowed_pieces_are_asked_for_and_a_refusal_ends_it() {
    let lengths = Lengths::new(20 * 32_768, 32_768).unwrap();
    let piece = |number| lengths.piece(number).unwrap();
    let id = LinkId(1);
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    let now = Duration::from_secs(1);
    let ask = |picker: &mut Picker, now| {
        let mut blocks = Vec::new();
        picker.next_blocks(id, now, &mut |_| true, &mut blocks);
        blocks
            .iter()
            .map(|block| block.piece().number())
            .collect::<Vec<_>>()
    };
    picker.add_link(id, 100);
    let mut has = PieceSet::full(&lengths);
    has.remove(piece(9));
    picker.on_pieces(id, has);
    assert!(ask(&mut picker, now).is_empty());
    // One that the link does not have itself waits until it has.
    picker.on_allowed_fast(id, piece(9));
    assert!(ask(&mut picker, now).is_empty());
    picker.on_allowed_fast(id, piece(7));
    assert_eq!(ask(&mut picker, now), [7, 7]);
    picker.on_reject(id, lengths.block(piece(7), 0).unwrap());
    picker.on_reject(id, lengths.block(piece(7), 1).unwrap());
    assert!(ask(&mut picker, now).is_empty());
    assert!(ask(&mut picker, now + Duration::from_secs(1)).is_empty());
    picker.on_unchoke(id);
    assert!(!ask(&mut picker, now + Duration::from_secs(2)).is_empty());
}

#[test]
fn what_is_suggested_comes_first_and_the_list_is_bounded() {
    let lengths = Lengths::new(1_000 * 16_384, 16_384).unwrap();
    let piece = |number| lengths.piece(number).unwrap();
    let id = LinkId(1);
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    picker.add_link(id, 1);
    picker.on_pieces(id, PieceSet::full(&lengths));
    picker.on_unchoke(id);
    for number in 0..1_000 {
        picker.on_suggest(id, piece(number));
        picker.on_allowed_fast(id, piece(number));
    }
    let mut blocks = Vec::new();
    picker.next_blocks(id, Duration::from_secs(1), &mut |_| true, &mut blocks);
    assert_eq!(blocks[0].piece(), piece(999));
}

#[test]
fn a_liar_among_sound_owners_is_found_and_nobody_else_blamed() {
    let lengths = Lengths::new(8 << 20, 512 << 10).unwrap();
    let owners = [
        owner(Manner::Sound, 100, 100),
        owner(Manner::Lying, 100, 100),
        owner(Manner::Sound, 150, 100),
    ];
    let mut world = World::new(lengths, &owners, 256, 11);
    world.run();
    assert_eq!(world.banned, HashSet::from([LinkId(1)]));
}

/// Fetches everything from one sound link, a block at a time; gives the pieces in the order they were begun.
fn fetched(picker: &mut Picker, id: LinkId) -> Vec<u32> {
    let mut begun = Vec::new();
    for second in 1.. {
        let now = Duration::from_secs(second);
        let mut blocks = Vec::new();
        picker.next_blocks(id, now, &mut |_| true, &mut blocks);
        if blocks.is_empty() {
            break;
        }
        for block in blocks {
            let piece = block.piece();
            if !begun.contains(&piece.number()) {
                begun.push(piece.number());
            }
            picker.on_block(id, block, now);
            if picker.all_arrived(piece) {
                picker.on_verified(piece);
            }
        }
    }
    begun
}

#[test]
fn pieces_that_are_not_needed_are_not_asked_for_and_the_rest_is_complete_without_them() {
    let lengths = Lengths::new(40 * 32_768, 32_768).unwrap();
    let piece = |number| lengths.piece(number).unwrap();
    let mut needed = PieceSet::empty(&lengths);
    for number in [3, 7, 8, 30] {
        needed.insert(piece(number));
    }
    let mut owned = PieceSet::empty(&lengths);
    for number in [7, 20] {
        owned.insert(piece(number));
    }
    let mut picker = Picker::of(lengths, owned, needed, 1);
    let id = LinkId(1);
    picker.add_link(id, 100);
    picker.on_unchoke(id);
    picker.on_pieces(id, PieceSet::empty(&lengths));
    picker.on_have(id, piece(4));
    assert!(!picker.is_interesting(id), "nothing that is needed");
    (0..40).for_each(|number| picker.on_have(id, piece(number)));
    assert!(picker.is_interesting(id) && !picker.is_complete());
    let mut begun = fetched(&mut picker, id);
    begun.sort_unstable();
    assert_eq!(begun, [3, 8, 30]);
    assert!(picker.is_complete() && !picker.is_interesting(id));
    assert_eq!(picker.without_owner().count(), 0);
}

#[test]
fn in_order_the_first_piece_comes_first_and_again_after_it_failed() {
    let lengths = Lengths::new(60 * 32_768, 32_768).unwrap();
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    picker.go_in_order();
    let id = LinkId(1);
    picker.add_link(id, 8);
    picker.on_pieces(id, PieceSet::full(&lengths));
    picker.on_unchoke(id);
    picker.on_suggest(id, lengths.piece(50).unwrap());
    let now = Duration::from_millis(1);
    let mut blocks = Vec::new();
    picker.next_blocks(id, now, &mut |_| true, &mut blocks);
    assert_eq!(blocks[0].piece().number(), 0);
    for block in blocks.iter().filter(|block| block.piece().number() == 0) {
        picker.on_block(id, *block, now);
    }
    picker.on_failed(lengths.piece(0).unwrap());
    picker.abandon_active();
    let order: Vec<u32> = (0..60).collect();
    assert_eq!(fetched(&mut picker, id), order);
}

#[test]
fn a_server_is_asked_for_long_stretches_around_what_others_fetch() {
    let lengths = Lengths::new(60 * 32_768, 32_768).unwrap();
    let mut picker = Picker::new(lengths, PieceSet::empty(&lengths), 1);
    let (server, peer) = (LinkId(1), LinkId(2));
    picker.add_link(peer, 4);
    picker.on_pieces(peer, PieceSet::full(&lengths));
    picker.on_unchoke(peer);
    let mut taken = Vec::new();
    picker.next_blocks(peer, Duration::from_millis(1), &mut |_| true, &mut taken);
    let taken: HashSet<u32> = taken.iter().map(|block| block.piece().number()).collect();
    picker.add_server(server, 16);
    let begun = fetched(&mut picker, server);
    let free: Vec<u32> = (0..60).filter(|number| !taken.contains(number)).collect();
    assert_eq!(begun[..free.len()], free);
}
