//! Remembers who sent which block of a bad piece. The piece is fetched again until it is verified.
//! Then the hashes of its blocks show who lied, even if the bad piece came from several sources.
//!
//! Blocks are hashed while they are in memory. If they were read back from the disk, an honest peer
//! would look like a liar when the disk is bad. The blocks of a piece of one run are still in
//! memory when the piece turns out to be bad. Those of a longer piece are not. So its blocks are
//! hashed before the run that they belong to is written, from the first bad piece of the download
//! on. Before that, hashing each byte twice would only cost time.

use super::block::{BlockHash, Source};
use crate::torrent::{PieceIndex, Sha1};
use std::collections::HashMap;

/// The largest number of block hashes that are remembered for one download. The blocks of further
/// bad pieces are not remembered.
pub(super) const MAX_HASHES: usize = 16_384;

/// The block hashes of bad pieces.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// For each bad piece, a list of the failed attempts to fetch it. An attempt has the hash
    /// and the sender of each block of the piece, in order.
    attempts: HashMap<PieceIndex, Vec<Vec<BlockHash>>>,
    /// The number of hashes in `attempts`.
    count: usize,
    /// Whether a piece of the download was bad.
    is_wanted: bool,
}

impl Evidence {
    /// A piece of the download is bad.
    pub(super) fn on_bad_piece(&mut self) {
        self.is_wanted = true;
    }

    /// Whether the blocks of long pieces are to be hashed before they are written.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// A piece is bad. `blocks` has the hash and the sender of each of its blocks, in order. It is
    /// empty if they are not known.
    pub(super) fn add(&mut self, piece: PieceIndex, blocks: Vec<BlockHash>) {
        if !blocks.is_empty() && self.count + blocks.len() <= MAX_HASHES {
            self.count += blocks.len();
            self.attempts.entry(piece).or_default().push(blocks);
        }
    }

    /// Whether there is evidence about a piece.
    pub(super) fn has(&self, piece: PieceIndex) -> bool {
        self.attempts.contains_key(&piece)
    }

    /// The piece is verified. `good` has the hashes of its blocks, in order. Returns each source
    /// that sent a bad block in an earlier attempt, and forgets these attempts.
    pub(super) fn take_liars(&mut self, piece: PieceIndex, good: &[Sha1]) -> Vec<Source> {
        let attempts = self.attempts.remove(&piece).unwrap_or_default();
        self.count -= attempts.iter().map(Vec::len).sum::<usize>().min(self.count);
        let mut liars = Vec::new();
        for ((hash, source), good) in attempts.into_iter().flat_map(|it| it.into_iter().zip(good)) {
            // A local block that is wrong comes from a file that has changed.
            let is_bad = hash != *good && source != Source::Local;
            if is_bad && !liars.contains(&source) {
                liars.push(source);
            }
        }
        liars
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::Lengths;

    fn source(port: u16) -> Source {
        Source::Peer(([192, 0, 2, 1], port).into(), None)
    }

    #[test]
    fn each_sender_of_a_block_that_differs_from_the_good_one_is_a_liar() {
        let lengths = Lengths::new(2, 1).unwrap();
        let [piece, other] = [0, 1].map(|number| lengths.piece(number).unwrap());
        let [good, bad] = [b"good", b"evil"].map(|bytes| Sha1::of(bytes));
        let mut evidence = Evidence::default();
        evidence.add(piece, vec![(good, source(1)), (bad, source(2))]);
        evidence.add(piece, vec![(bad, source(2)), (bad, source(3))]);
        evidence.add(other, vec![(bad, source(4))]);
        assert!(evidence.has(piece));
        assert_eq!(
            evidence.take_liars(piece, &[good, good]),
            [source(2), source(3)]
        );
        assert!(!evidence.has(piece) && evidence.has(other));
        assert_eq!(evidence.take_liars(piece, &[good, good]), []);
        assert_eq!(evidence.count, 1);
    }

    #[test]
    fn the_number_of_hashes_is_bounded() {
        let lengths = Lengths::new(2, 1).unwrap();
        let [piece, other] = [0, 1].map(|number| lengths.piece(number).unwrap());
        let block = (Sha1::of(b""), source(1));
        let mut evidence = Evidence::default();
        evidence.add(piece, vec![block.clone(); MAX_HASHES]);
        evidence.add(other, vec![block.clone()]);
        assert!(evidence.has(piece) && !evidence.has(other));
        evidence.take_liars(piece, &[Sha1::of(b"")]);
        evidence.add(other, vec![block]);
        assert!(evidence.has(other));
    }
}
