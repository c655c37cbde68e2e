//! Version vectors, and the changes that trackers send each other.

use super::{Contradiction, Origin, Row, RowId, Sequence};
use std::collections::BTreeMap;

/// For each origin, the last write up to which a registry is complete.
///
/// A row contains a write until later writes have replaced all fields that the write has set. A
/// registry is complete up to write N of an origin if it has every row that contains one of the
/// writes 1 to N of that origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionVector(BTreeMap<Origin, Sequence>);

impl VersionVector {
    /// A vector of a registry without any writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last known write of `origin`; [`Sequence::ZERO`] if none is known.
    pub fn of(&self, origin: Origin) -> Sequence {
        self.0.get(&origin).copied().unwrap_or_default()
    }

    /// Records that the writes of `origin` up to `sequence` are known. Never goes back.
    pub fn note(&mut self, origin: Origin, sequence: Sequence) {
        if sequence > self.of(origin) {
            self.0.insert(origin, sequence);
        }
    }

    /// Records everything that `other` knows.
    pub fn join(&mut self, other: &Self) {
        for (origin, sequence) in other.entries() {
            self.note(origin, sequence);
        }
    }

    /// Whether this vector covers all writes that `other` covers.
    pub fn includes(&self, other: &Self) -> bool {
        other
            .entries()
            .all(|(origin, sequence)| self.of(origin) >= sequence)
    }

    /// The number of writes that `other` covers and this vector does not.
    pub fn behind(&self, other: &Self) -> u64 {
        let missing = other.entries().map(|(origin, theirs)| {
            let ours = self.of(origin).number();
            theirs.number().saturating_sub(ours)
        });
        missing.fold(0, u64::saturating_add)
    }

    /// All known origins with their last known writes, sorted by origin.
    pub fn entries(&self) -> impl Iterator<Item = (Origin, Sequence)> {
        self.0.iter().map(|(origin, sequence)| (*origin, *sequence))
    }
}

/// A range of consecutive writes of one origin: after `after`, up to and including `upto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The last write before the range.
    pub after: Sequence,
    /// The last write of the range.
    pub upto: Sequence,
}

/// Rows, and the writes that they cover. Each operation makes one change, and the tracker pushes it
/// to the other trackers. A tracker that catches up receives changes as batches.
///
/// If a registry is complete up to the start of a span and merges the rows, it is complete up to
/// the end of that span. Each row is sent whole, so no tracker ever has a part of a row. A row may
/// contain fields from writes outside the spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub(super) covers: BTreeMap<Origin, Span>,
    pub(super) rows: BTreeMap<RowId, Row>,
}

impl Change {
    /// The covered writes, by origin.
    pub fn covers(&self) -> impl Iterator<Item = (Origin, Span)> {
        self.covers.iter().map(|(origin, span)| (*origin, *span))
    }

    /// The rows, sorted by id.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Advances `known`, the version vector of a registry, to its state after the registry has
    /// merged this change.
    pub fn advance(&self, known: &mut VersionVector) {
        for (origin, span) in self.covers() {
            if known.of(origin) >= span.after {
                known.note(origin, span.upto);
            }
        }
    }

    /// Whether a registry with the version vector `known` can merge this change without a gap:
    /// afterwards it knows each covered write, and each write that the rows contain.
    pub fn leaves_no_gap(&self, known: &VersionVector) -> bool {
        let mut merged = known.clone();
        self.advance(&mut merged);
        let covered = self
            .covers()
            .all(|(origin, span)| merged.of(origin) >= span.upto);
        let versions = self.rows().flat_map(Row::versions);
        covered
            && versions
                .into_iter()
                .all(|version| merged.of(version.stamp.origin()) >= version.sequence)
    }

    /// Adds a later batch of the same catch-up, so that the registry can merge all batches in one
    /// step.
    ///
    /// # Errors
    /// Two rows have the same id but different kinds or attributes.
    pub fn join(&mut self, later: Self) -> Result<(), Contradiction> {
        for (origin, span) in later.covers {
            // A span of a new origin is inserted here and then joined with itself, which changes
            // nothing.
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

    /// Whether the change has no rows and covers no writes.
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
