//! The best uploaders among the peers of a list.

use crate::wire::PeerId;

/// How many are kept: as many as the longest answer names of them.
const KEPT: usize = 150;

/// Those that lately uploaded most, most first. Which of the others follow is not known: one enters when it uploads.
#[derive(Debug, Default)]
pub(super) struct Best(Vec<(f64, PeerId)>);

impl Best {
    /// Gives a peer its place.
    pub(super) fn put(&mut self, id: PeerId, rank: f64) {
        self.remove(&id);
        let at = self.0.partition_point(|(better, _)| *better >= rank);
        if at < KEPT {
            self.0.truncate(KEPT - 1);
            self.0.insert(at, (rank, id));
        }
    }

    /// Takes a peer out, if it is among them.
    pub(super) fn remove(&mut self, id: &PeerId) {
        if let Some(at) = self.0.iter().position(|(_, known)| known == id) {
            self.0.remove(at);
        }
    }

    /// The peers with their ranks, best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (f64, &PeerId)> {
        self.0.iter().map(|(rank, id)| (*rank, id))
    }
}
