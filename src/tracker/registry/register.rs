//! A field of a row: a value together with the write it came by.

use super::stamp::Version;

/// A value and its version. Two of them merge into one of them, whichever way round: the greater where the last writer wins,
/// the lesser where the first one does. (Of two values under one version, which cannot be, the order of the values decides:
/// merging is commutative whatever arrives.)
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Register<T> {
    /// The write it came by.
    pub version: Version,
    /// The value.
    pub value: T,
}

impl<T> Register<T> {
    pub(super) fn new(version: Version, value: T) -> Self {
        Self { version, value }
    }
}

/// Merges fields that may not have been written yet.
pub(super) fn merge<T>(
    ours: Option<Register<T>>,
    theirs: Option<Register<T>>,
    rule: impl FnOnce(Register<T>, Register<T>) -> Register<T>,
) -> Option<Register<T>> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => Some(rule(ours, theirs)),
        (ours, theirs) => ours.or(theirs),
    }
}
