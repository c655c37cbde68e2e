//! The best uploaders in a list of peers.

/// Number of peers kept: the most ranked peers that an answer contains.
const MAX_BEST: usize = 150;

/// Ranks and positions of the best uploaders, best first. When one leaves, no other peer takes its
/// place: a peer enters only when it uploads.
#[derive(Debug, Default)]
pub(super) struct BestUploaders(Vec<(f64, usize)>);

impl BestUploaders {
    /// Adds or moves the peer at this position.
    pub(super) fn put(&mut self, position: usize, rank: f64) {
        self.remove(position);
        let at = self.0.partition_point(|(better, _)| *better >= rank);
        if at < MAX_BEST {
            self.0.truncate(MAX_BEST - 1);
            self.0.insert(at, (rank, position));
        }
    }

    /// Removes the peer at this position, if it is in the list.
    pub(super) fn remove(&mut self, position: usize) {
        if let Some(at) = self.find(position) {
            self.0.remove(at);
        }
    }

    /// A peer has moved to another position. No peer in this list was at that position.
    pub(super) fn moved(&mut self, from: usize, to: usize) {
        if let Some((_, position)) = self.find(from).and_then(|at| self.0.get_mut(at)) {
            *position = to;
        }
    }

    /// Ranks and positions, best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (f64, usize)> {
        self.0.iter().copied()
    }

    fn find(&self, position: usize) -> Option<usize> {
        self.0.iter().position(|(_, known)| *known == position)
    }
}
