//! The waiting pieces (wanted, not begun), ordered by the number of links that have them.

use crate::torrent::PieceIndex;
use fastrand::Rng;

const ABSENT: u32 = u32::MAX;

/// Waiting pieces in buckets of equal availability, the rarest first; in random order inside a
/// bucket.
///
/// The availability of a piece is the number of partial links that have it. A partial link is one
/// whose peer has some pieces, but not all. Links to seeds are not counted, because they do not
/// change the order. A change of one piece's availability costs two swaps, whatever the number of
/// pieces.
#[derive(Debug)]
pub(super) struct Rarity {
    /// All waiting pieces, bucket after bucket.
    order: Vec<PieceIndex>,
    /// Position of each piece in `order`, or `ABSENT`.
    position: Vec<u32>,
    /// Availability of each piece, waiting or not.
    availability: Vec<u32>,
    /// For each availability, the position in `order` at which its bucket ends.
    ends: Vec<usize>,
    rng: Rng,
}

impl Rarity {
    /// The pieces in `waiting` wait, and there is no link yet.
    pub(super) fn new(
        pieces: u32,
        waiting: impl Iterator<Item = PieceIndex>,
        mut rng: Rng,
    ) -> Self {
        let mut order: Vec<PieceIndex> = waiting.collect();
        rng.shuffle(&mut order);
        let mut position = vec![ABSENT; pieces as usize];
        for (at, piece) in order.iter().enumerate() {
            position[piece.index()] = at as u32;
        }
        let ends = vec![order.len()];
        Self {
            order,
            position,
            availability: vec![0; pieces as usize],
            ends,
            rng,
        }
    }

    /// The number of partial links that have a piece.
    pub(super) fn availability(&self, piece: PieceIndex) -> u32 {
        self.availability[piece.index()]
    }

    /// The waiting pieces, the rarest first.
    pub(super) fn rarest_first(&self) -> impl Iterator<Item = PieceIndex> {
        self.order.iter().copied()
    }

    /// The waiting pieces that at least one partial link has, the rarest first.
    pub(super) fn rarest_of_partial_links(&self) -> impl Iterator<Item = PieceIndex> {
        let start = self.ends.first().copied().unwrap_or(0);
        self.order.iter().skip(start).copied()
    }

    /// One more partial link has the piece.
    pub(super) fn increase(&mut self, piece: PieceIndex) {
        let old_bucket = self.availability[piece.index()] as usize;
        self.availability[piece.index()] += 1;
        if self.waits(piece) {
            self.move_up(piece, old_bucket);
            self.swap_with_random(piece, old_bucket + 1);
        }
    }

    /// One partial link fewer has the piece.
    pub(super) fn decrease(&mut self, piece: PieceIndex) {
        let Some(new_bucket) = (self.availability[piece.index()] as usize).checked_sub(1) else {
            return;
        };
        self.availability[piece.index()] -= 1;
        if self.waits(piece) {
            self.move_down(piece, new_bucket + 1);
            self.swap_with_random(piece, new_bucket);
        }
    }

    /// The piece no longer waits: it was begun or is owned.
    pub(super) fn remove(&mut self, piece: PieceIndex) {
        if !self.waits(piece) {
            return;
        }
        for bucket in self.availability(piece) as usize..self.ends.len() {
            self.move_up(piece, bucket);
        }
        // The piece is now at the end of `order`, alone in a new last bucket.
        self.ends.truncate(self.ends.len() - 1);
        self.order.pop();
        self.position[piece.index()] = ABSENT;
    }

    /// The piece waits again, because it failed or was given up.
    pub(super) fn insert(&mut self, piece: PieceIndex) {
        if self.waits(piece) {
            return;
        }
        let bucket = self.availability(piece) as usize;
        while self.ends.len() <= bucket {
            self.ends.push(self.order.len());
        }
        self.position[piece.index()] = self.order.len() as u32;
        self.order.push(piece);
        if let Some(last) = self.ends.last_mut() {
            *last += 1;
        }
        for above in (bucket + 1..self.ends.len()).rev() {
            self.move_down(piece, above);
        }
        self.swap_with_random(piece, bucket);
    }

    pub(super) fn waits(&self, piece: PieceIndex) -> bool {
        self.position[piece.index()] != ABSENT
    }

    /// Moves the piece from its bucket to the start of the next one.
    fn move_up(&mut self, piece: PieceIndex, bucket: usize) {
        self.swap(piece, self.ends[bucket] - 1);
        self.ends[bucket] -= 1;
        if self.ends.len() == bucket + 1 {
            self.ends.push(self.order.len());
        }
    }

    /// Moves the piece from its bucket to the end of the previous one.
    fn move_down(&mut self, piece: PieceIndex, bucket: usize) {
        self.swap(piece, self.ends[bucket - 1]);
        self.ends[bucket - 1] += 1;
    }

    /// Swaps the piece with a random one of its bucket.
    fn swap_with_random(&mut self, piece: PieceIndex, bucket: usize) {
        let start = bucket.checked_sub(1).map_or(0, |below| self.ends[below]);
        let to = self.rng.usize(start..self.ends[bucket]);
        self.swap(piece, to);
    }

    fn swap(&mut self, piece: PieceIndex, to: usize) {
        let from = self.position[piece.index()] as usize;
        let other = self.order[to];
        self.order.swap(from, to);
        self.position[piece.index()] = to as u32;
        self.position[other.index()] = from as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::Lengths;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn after_any_changes_the_rarest_pieces_come_first(
            steps in prop::collection::vec((0u32..12, 0..4), 0..300),
            seed in any::<u64>(),
        ) {
            let lengths = Lengths::new(12, 1).unwrap();
            let rng = Rng::with_seed(seed);
            let mut rarity = Rarity::new(12, lengths.all_pieces(), rng);
            let mut model: Vec<(u32, bool)> = vec![(0, true); 12];
            for (number, step) in steps {
                let piece = lengths.piece(number).unwrap();
                let entry = &mut model[piece.index()];
                match step {
                    0 => { rarity.increase(piece); entry.0 += 1; }
                    1 => { rarity.decrease(piece); entry.0 = entry.0.saturating_sub(1); }
                    2 => { rarity.remove(piece); entry.1 = false; }
                    _ => { rarity.insert(piece); entry.1 = true; }
                }
                let listed: Vec<PieceIndex> = rarity.rarest_first().collect();
                let of_partial: Vec<PieceIndex> = rarity.rarest_of_partial_links().collect();
                let absent = listed.iter().take_while(|piece| model[piece.index()].0 == 0).count();
                prop_assert_eq!(&of_partial, &listed[absent..]);
                let counts: Vec<u32> = listed.iter().map(|piece| model[piece.index()].0).collect();
                prop_assert!(counts.is_sorted(), "{counts:?}");
                let mut waiting: Vec<usize> = listed.iter().map(|piece| piece.index()).collect();
                waiting.sort_unstable();
                let expected: Vec<usize> = (0..12).filter(|at| model[*at].1).collect();
                prop_assert_eq!(waiting, expected);
            }
        }
    }

    #[test]
    fn pieces_of_equal_rarity_come_in_random_order() {
        let lengths = Lengths::new(50, 1).unwrap();
        let first = |seed| {
            let rng = Rng::with_seed(seed);
            let rarity = Rarity::new(50, lengths.all_pieces(), rng);
            rarity.rarest_first().next().unwrap()
        };
        let firsts: std::collections::HashSet<PieceIndex> = (0..40).map(first).collect();
        assert!(firsts.len() > 10, "{firsts:?}");
    }
}
