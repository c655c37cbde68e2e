//! Runs whose blocks are all local: no link begins them. And what happens when local blocks cannot
//! be read.

use super::Pieces;
use crate::swarm::active::{ActivePiece, Delivery};
#[cfg(test)]
use crate::swarm::mutation::{Mutation, is_planted};
use crate::swarm::picker::local::LocalPieces;
use crate::swarm::{BlockRun, LocalBlocks};
use crate::torrent::PieceIndex;

/// Sets the local blocks. To be called before a piece is begun.
pub(in crate::swarm::picker) fn set(pieces: &mut Pieces, blocks: LocalBlocks) {
    let local = LocalPieces::new(blocks, &pieces.lengths, |piece| pieces.wants(piece));
    for piece in local.waiting() {
        pieces.rarity.remove(*piece);
    }
    pieces.local = local;
}

/// Begins the next run of an active piece if all blocks of that run are local. If there is no such
/// piece, begins the first waiting piece whose blocks are all local. `reserve` reserves buffers for
/// the blocks of the run. Returns whether a run was begun.
pub(in crate::swarm::picker) fn begin(
    pieces: &mut Pieces,
    reserve: &mut dyn FnMut(u32) -> bool,
) -> bool {
    let run = continued(pieces).or_else(|| {
        let piece = pieces.local.waiting().first()?;
        Some(BlockRun::numbered(&pieces.lengths, *piece, 0))
    });
    let Some(run) = run.filter(|run| reserve(run.blocks)) else {
        return false;
    };
    if pieces.local.on_begun(run.piece) {
        activate(pieces, run.piece);
    }
    pieces.begin_next_run(run.piece, None);
    true
}

/// The next run of an active piece, if all blocks of that run are local.
fn continued(pieces: &Pieces) -> Option<BlockRun> {
    if pieces.local.blocks().is_empty() {
        return None;
    }
    let open = pieces.open_pieces.iter();
    let mut open = open.filter_map(|piece| pieces.active.get(piece));
    open.find(|active| active.is_next_run_local())?.next_run()
}

/// A piece whose blocks are all local becomes active.
fn activate(pieces: &mut Pieces, piece: PieceIndex) {
    let (lengths, local) = (&pieces.lengths, pieces.local.blocks());
    let active = ActivePiece::new(piece, lengths, Delivery::SeveralLinks, local);
    pieces.open_pieces.push_back(piece);
    pieces.active.insert(piece, active);
}

/// The local blocks of this run, which is complete, cannot be read. The piece loses its local
/// blocks. Returns whether the piece is active: then links have to deliver these blocks.
pub(in crate::swarm::picker) fn on_unreadable(pieces: &mut Pieces, run: BlockRun) -> bool {
    pieces.local.forget(run.piece);
    let Some(active) = pieces.active.get_mut(&run.piece) else {
        return false;
    };
    #[cfg(test)]
    if is_planted(Mutation::UnreadableNotFetched) {
        return true;
    }
    active.lose_local(run.number);
    if active.has_free() && !pieces.open_pieces.contains(&run.piece) {
        pieces.open_pieces.push_front(run.piece);
    }
    true
}
