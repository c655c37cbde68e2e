//! What an operation or a merge would make of a registry, and why it makes nothing of it.

use super::{Change, Contradiction, Drift, Origin, Row, RowId, VersionVector};

/// What an operation or a merge would make of the registry: to be made durable, then applied.
#[derive(Clone, Debug)]
pub struct Update {
    /// Which state of the registry it was made from.
    pub(super) basis: u64,
    pub(super) rows: Vec<Row>,
    pub(super) versions: VersionVector,
    pub(super) change: Option<Change>,
    pub(super) gaps: Vec<Origin>,
    pub(super) drift: Option<Drift>,
}

impl Update {
    /// The rows that are new or other than before, whole: each replaces what is stored under its id.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The version vector to be stored with them, in the same commit.
    pub fn versions(&self) -> &VersionVector {
        &self.versions
    }

    /// What to push to the other trackers: there for an operation of this registry, none for a merge.
    pub fn change(&self) -> Option<&Change> {
        self.change.as_ref()
    }

    /// The origins of which earlier writes are missing: ask the sender for what it has since one's own version vector.
    pub fn gaps(&self) -> &[Origin] {
        &self.gaps
    }

    /// The worst stamp from too far ahead, if there is one: to be reported, since one of the two clocks is wrong.
    pub fn drift(&self) -> Option<Drift> {
        self.drift
    }
}

/// An update that was made from another state of the registry than the present one. Nothing was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the registry has changed since this update was made; run the operation again")]
pub struct Stale;

/// Why a change cannot be merged. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Two different rows under one id.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// Others know writes of this origin that it does not know itself.
    #[error(
        "another tracker knows write {heard} of this one, which knows only {known}: these data are an older copy; start them by a restore, which gives them a new origin"
    )]
    Rewound {
        /// The last own write known here.
        known: u64,
        /// The own write another one knows.
        heard: u64,
    },
}

/// Why stored rows are no registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// One id twice.
    #[error("the stored rows hold {0} twice; the database is damaged")]
    Twice(RowId),
    /// A row from a later own write than the stored version vector knows.
    #[error("the stored row {0} is newer than the stored version vector; the database is damaged")]
    Newer(RowId),
}
