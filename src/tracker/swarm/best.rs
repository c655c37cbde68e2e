//! The best uploaders among the peers of a list.

/// How many are kept: as many as the longest answer names of them.
const KEPT: usize = 150;

/// Where those stand that lately uploaded most, most first. Which of the others follow is not known: one enters when it uploads.
#[derive(Debug, Default)]
pub(super) struct Best(Vec<(f64, usize)>);

impl Best {
    /// Gives the peer at this position its place.
    pub(super) fn put(&mut self, position: usize, rank: f64) {
        self.remove(position);
        let at = self.0.partition_point(|(better, _)| *better >= rank);
        if at < KEPT {
            self.0.truncate(KEPT - 1);
            self.0.insert(at, (rank, position));
        }
    }

    /// Takes the peer at this position out, if it is among them.
    pub(super) fn remove(&mut self, position: usize) {
        if let Some(at) = self.find(position) {
            self.0.remove(at);
        }
    }

    /// A peer stands at another position by now, at which none of these stood.
    pub(super) fn moved(&mut self, from: usize, to: usize) {
        if let Some((_, position)) = self.find(from).and_then(|at| self.0.get_mut(at)) {
            *position = to;
        }
    }

    /// The ranks and positions, best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (f64, usize)> {
        self.0.iter().copied()
    }

    fn find(&self, position: usize) -> Option<usize> {
        self.0.iter().position(|(_, known)| *known == position)
    }
}
