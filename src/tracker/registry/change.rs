//! What trackers tell each other: version vectors, and changes that say which writes they cover.

use super::{Contradiction, Origin, Row, RowId, Sequence};
use std::collections::BTreeMap;

/// Of each origin, up to which of its writes one has all that still stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionVector(BTreeMap<Origin, Sequence>);

impl VersionVector {
    /// Knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Up to which write of `origin`; [`Sequence::ZERO`] if none.
    pub fn of(&self, origin: Origin) -> Sequence {
        self.0.get(&origin).copied().unwrap_or_default()
    }

    /// Notes that the writes of `origin` up to `sequence` are known; never takes one back.
    pub fn note(&mut self, origin: Origin, sequence: Sequence) {
        if sequence > self.of(origin) {
            self.0.insert(origin, sequence);
        }
    }

    /// Notes all that `other` knows.
    pub fn join(&mut self, other: &Self) {
        for (origin, sequence) in other.entries() {
            self.note(origin, sequence);
        }
    }

    /// Whether it knows all that `other` knows.
    pub fn includes(&self, other: &Self) -> bool {
        other
            .entries()
            .all(|(origin, sequence)| self.of(origin) >= sequence)
    }

    /// How many writes that `other` knows are not known here.
    pub fn behind(&self, other: &Self) -> u64 {
        let missing = other.entries().map(|(origin, theirs)| {
            let ours = self.of(origin).number();
            theirs.number().saturating_sub(ours)
        });
        missing.fold(0, u64::saturating_add)
    }

    /// The origins of which something is known, sorted.
    pub fn entries(&self) -> impl Iterator<Item = (Origin, Sequence)> {
        self.0.iter().map(|(origin, sequence)| (*origin, *sequence))
    }
}

/// Writes of one origin, one after another: those past `after`, up to and with `upto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The last write before them.
    pub after: Sequence,
    /// The last of them.
    pub upto: Sequence,
}

/// Rows, and the writes they cover: whoever knows each origin's writes up to the start of its span knows them up to its
/// end once the rows are merged. What an operation returns, what is pushed to the twin and what a tracker catches up with.
///
/// Each row is there whole, so that none is ever seen half; fields from writes outside the spans do no harm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub(super) covers: BTreeMap<Origin, Span>,
    pub(super) rows: BTreeMap<RowId, Row>,
}

impl Change {
    /// The writes it covers, by origin.
    pub fn covers(&self) -> impl Iterator<Item = (Origin, Span)> {
        self.covers.iter().map(|(origin, span)| (*origin, *span))
    }

    /// Its rows, sorted by id.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Notes in `known` what whoever merges this change knows from then on.
    pub fn extend(&self, known: &mut VersionVector) {
        for (origin, span) in self.covers() {
            if known.of(origin) >= span.after {
                known.note(origin, span.upto);
            }
        }
    }

    /// Whether one who knows `known` and merges it knows every write that its rows bear: those it covers and all those in
    /// whose knowledge they were made.
    pub fn complete_for(&self, known: &VersionVector) -> bool {
        let mut after = known.clone();
        self.extend(&mut after);
        let covered = self
            .covers()
            .all(|(origin, span)| after.of(origin) >= span.upto);
        let versions = self.rows().flat_map(Row::versions);
        covered
            && versions
                .into_iter()
                .all(|version| after.of(version.stamp.origin()) >= version.sequence)
    }

    /// Takes in a later batch of the same catching up, so that all of it can be merged in one step.
    ///
    /// # Errors
    /// Two different rows under one id.
    pub fn join(&mut self, later: Self) -> Result<(), Contradiction> {
        for (origin, span) in later.covers {
            // What is covered for the first time joins with itself.
            let ours = self.covers.entry(origin).or_insert(span);
            if ours.upto >= span.after && span.upto >= ours.after {
                ours.after = ours.after.min(span.after);
                ours.upto = ours.upto.max(span.upto);
            }
        }
        for (id, row) in later.rows {
            let row = match self.rows.get(&id) {
                Some(ours) => ours.clone().merge(row)?,
                None => row,
            };
            self.rows.insert(id, row);
        }
        Ok(())
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.covers.is_empty() && self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Origin = Origin([1; 16]);
    const B: Origin = Origin([2; 16]);

    fn number(number: u64) -> Sequence {
        Sequence::new(number).unwrap()
    }

    #[test]
    fn a_version_vector_grows_and_compares() {
        let mut ours = VersionVector::new();
        ours.note(A, number(5));
        ours.note(A, number(3));
        assert_eq!(ours.of(A), number(5));
        let mut theirs = VersionVector::new();
        theirs.note(A, number(4));
        theirs.note(B, number(2));
        assert!(!ours.includes(&theirs) && !theirs.includes(&ours));
        assert_eq!((ours.behind(&theirs), theirs.behind(&ours)), (2, 1));
        ours.join(&theirs);
        assert!(ours.includes(&theirs));
        assert_eq!((ours.of(A), ours.of(B)), (number(5), number(2)));
    }
}
