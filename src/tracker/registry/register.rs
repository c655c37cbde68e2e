//! A field of a row: a value and the write that set it.

use super::stamp::Version;

/// A value and its version. Where the last writer wins, two registers merge into the greater one;
/// where the first writer wins, into the lesser one.
///
/// Two different values never have the same version. If damaged data contain such a pair, the order
/// of the values decides, so that merging stays commutative.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Register<T> {
    /// The write that set the value.
    pub version: Version,
    /// The value.
    pub value: T,
}

impl<T> Register<T> {
    pub(super) fn new(version: Version, value: T) -> Self {
        Self { version, value }
    }
}

/// Merges two optional fields. If both are set, `rule` merges their registers.
pub(super) fn merge_optional<T>(
    ours: Option<Register<T>>,
    theirs: Option<Register<T>>,
    rule: impl FnOnce(Register<T>, Register<T>) -> Register<T>,
) -> Option<Register<T>> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => Some(rule(ours, theirs)),
        (ours, theirs) => ours.or(theirs),
    }
}
