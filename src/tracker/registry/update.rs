//! The result of an operation or a merge, and the errors of merging, applying and loading.

use super::{Change, Contradiction, Done, Drift, Origin, Row, RowId, VersionVector};

/// The result of an operation or a merge. The caller applies it and makes it durable.
#[derive(Clone, Debug)]
pub struct Update {
    /// The revision of the registry that this update was made from.
    pub(super) base_revision: u64,
    pub(super) rows: Vec<Row>,
    pub(super) versions: VersionVector,
    pub(super) change: Option<Change>,
    pub(super) gaps: Vec<Origin>,
    pub(super) drift: Option<Drift>,
    pub(super) confirms_earlier: bool,
    /// What the write does, for the audit log, if its rows do not show it.
    pub(super) action: Option<Done>,
}

impl Update {
    /// The same write. Its rows do not show that it does `action`.
    #[must_use]
    pub(super) fn of_action(self, action: Done) -> Self {
        Self {
            action: Some(action),
            ..self
        }
    }

    /// The new and changed rows. Each row is whole and replaces the stored row of the same id.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The version vector that must be stored in the same commit as the rows.
    pub fn versions(&self) -> &VersionVector {
        &self.versions
    }

    /// The change to push to the other trackers. `None` for a merge.
    pub fn change(&self) -> Option<&Change> {
        self.change.as_ref()
    }

    /// The merged change has writes of these origins, but this registry lacks earlier writes of
    /// them. The caller must ask the sender of the change for all writes that the version vector of
    /// this registry does not include.
    pub fn gaps(&self) -> &[Origin] {
        &self.gaps
    }

    /// The drift of the stamp that is furthest ahead of the local clock, if it exceeds
    /// [`MAX_DRIFT`](super::MAX_DRIFT). The caller should report it, because either the local clock
    /// or the clock that made the stamp is wrong.
    pub fn drift(&self) -> Option<Drift> {
        self.drift
    }

    /// Whether the answer to this write also confirms an earlier write. Then another tracker must
    /// not get this write before it has everything that this tracker has now.
    pub fn confirms_earlier(&self) -> bool {
        self.confirms_earlier
    }
}

/// The update was made from an earlier revision of the registry. Nothing was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the registry has changed since this update was made; run the operation again")]
pub struct Stale;

/// Why a change cannot be merged. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Two different rows have the same id.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// Another tracker knows a write of this registry's origin that this registry does not know.
    #[error(
        "another tracker knows write {known_elsewhere} of this tracker, but this tracker itself knows only {known}: these data are an older copy; start with --restore, which gives them a new origin"
    )]
    Rewound {
        /// The last own write that this registry knows.
        known: u64,
        /// The own write that the other tracker knows.
        known_elsewhere: u64,
    },
}

/// Why a registry cannot be loaded from the stored rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Two stored rows have the same id.
    #[error("the stored rows hold {0} twice; the database is damaged")]
    Twice(RowId),
    /// A row comes from a write of this registry's origin that the stored version vector does not
    /// include.
    #[error("the stored row {0} is newer than the stored version vector; the database is damaged")]
    Newer(RowId),
}
