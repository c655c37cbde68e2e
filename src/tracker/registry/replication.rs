//! How a registry comes to know rows: at its start, by its own writes, and by what other trackers tell it.

use super::change::{Change, Span, VersionVector};
use super::id::{Origin, RowId, Sequence};
use super::row::{Contradiction, Row};
use super::stamp::{Drift, Version, millis};
use super::{Refusal, Registry};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included};
use std::time::Duration;

/// What an operation or a merge would make of the registry: to be made durable, then applied.
#[derive(Clone, Debug)]
pub struct Update {
    basis: u64,
    rows: Vec<Row>,
    versions: VersionVector,
    change: Option<Change>,
    gaps: Vec<Origin>,
    drift: Option<Drift>,
}

impl Update {
    /// The rows that are new or other than before, whole: each replaces what is stored under its id.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// An own write of one more row.
    pub(super) fn with(mut self, row: Row) -> Self {
        if let Some(change) = &mut self.change {
            change.rows.insert(row.id(), row.clone());
        }
        self.rows.push(row);
        self
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

impl Registry {
    /// The registry of that origin from what was stored: every update's rows and its version vector.
    ///
    /// # Errors
    /// The rows contradict each other or the version vector.
    pub fn load(
        origin: Origin,
        versions: VersionVector,
        rows: impl IntoIterator<Item = Row>,
    ) -> Result<Self, LoadError> {
        let mut registry = Self::new(origin);
        let known = versions.of(origin);
        for row in rows {
            let id = row.id();
            if own_writes(origin, &row).any(|sequence| sequence > known) {
                return Err(LoadError::Newer(id));
            }
            if registry.rows.contains_key(&id) {
                return Err(LoadError::Twice(id));
            }
            registry.insert(row);
        }
        registry.versions = versions;
        Ok(registry)
    }

    /// What another registry's change would make of this one. Changes may come in any order and more than once.
    ///
    /// # Errors
    /// Any [`MergeError`].
    pub fn merge(&self, change: &Change, now: Duration) -> Result<Update, MergeError> {
        let origin = self.origin();
        let known = self.versions.of(origin);
        let covered = change.covers.get(&origin).map(|span| span.upto);
        let written = change.rows().flat_map(|row| own_writes(origin, row));
        if let Some(heard) = covered.into_iter().chain(written).max()
            && heard > known
        {
            return Err(MergeError::Rewound {
                known: known.number(),
                heard: heard.number(),
            });
        }
        let mut rows = Vec::new();
        let mut drift: Option<Drift> = None;
        for theirs in change.rows() {
            for version in theirs.versions() {
                let found = self.clock.drift(&version.stamp, now);
                drift = [drift, found]
                    .into_iter()
                    .flatten()
                    .max_by_key(|it| it.ahead);
            }
            let merged = match self.rows.get(&theirs.id()) {
                None => theirs.clone(),
                Some(ours) => {
                    let merged = ours.clone().merge(theirs.clone())?;
                    if merged == *ours {
                        continue;
                    }
                    merged
                }
            };
            rows.push(merged);
        }
        let mut versions = self.versions.clone();
        let mut gaps = Vec::new();
        for (origin, span) in change.covers() {
            if versions.of(origin) >= span.after {
                versions.note(origin, span.upto);
            } else {
                gaps.push(origin);
            }
        }
        Ok(Update {
            basis: self.applied,
            rows,
            versions,
            change: None,
            gaps,
            drift,
        })
    }

    /// Makes an update the registry's state. It must be durable before anyone is told.
    ///
    /// # Errors
    /// Another update was applied since this one was made.
    pub fn apply(&mut self, update: Update) -> Result<(), Stale> {
        if update.basis != self.applied {
            return Err(Stale);
        }
        for row in update.rows {
            self.insert(row);
        }
        self.versions = update.versions;
        self.applied += 1;
        Ok(())
    }

    /// Whether all that a change says is known here already, or over and forgotten by `now`.
    pub fn holds(&self, change: &Change, now: Duration) -> bool {
        change
            .rows()
            .all(|theirs| match self.rows.get(&theirs.id()) {
                Some(ours) => ours.clone().merge(theirs.clone()).as_ref() == Ok(ours),
                None => theirs.expires().is_some_and(|it| it <= millis(now)),
            })
    }

    /// From now on own writes bear that origin, which is to have made none; those made so far are another's.
    pub fn renew(&mut self, origin: Origin) {
        self.clock.renew(origin);
        self.applied += 1;
    }

    /// The next batch of what a registry that knows `known` lacks, of about `max_bytes` when encoded (more only when one
    /// write alone is longer); none when it lacks nothing. The batch after it is found from `known` with
    /// [`Change::extend`].
    pub fn since(&self, known: &VersionVector, max_bytes: usize) -> Option<Change> {
        let mut change = Change::default();
        let mut bytes = 0;
        for (origin, upto) in self.versions.entries() {
            let after = known.of(origin);
            if after >= upto {
                continue;
            }
            let mut reached = after;
            let mut full = false;
            let range = (Excluded((origin, after)), Included((origin, upto)));
            for ((_, sequence), ids) in self.index.writes.range(range) {
                let new: BTreeMap<RowId, &Row> = ids
                    .iter()
                    .filter(|id| !change.rows.contains_key(id))
                    .filter_map(|id| Some((*id, self.rows.get(id)?)))
                    .collect();
                let length: usize = new.values().map(|row| row.encode().len()).sum();
                if bytes > 0 && bytes + length > max_bytes {
                    full = true;
                    break;
                }
                bytes += length;
                let new = new.into_iter().map(|(id, row)| (id, row.clone()));
                change.rows.extend(new);
                reached = *sequence;
            }
            let upto = if full { reached } else { upto };
            if upto > after {
                change.covers.insert(origin, Span { after, upto });
            }
            if full {
                break;
            }
        }
        (!change.covers.is_empty()).then_some(change)
    }

    /// The rows that say nothing any more at `now` and that every other tracker has, by their version vectors.
    pub fn droppable(&self, now: Duration, others: &[VersionVector]) -> Vec<RowId> {
        let known = |version: &Version| {
            let (origin, sequence) = (version.stamp.origin(), version.sequence);
            others.iter().all(|other| other.of(origin) >= sequence)
        };
        let over = |row: &&Row| {
            let over = row.expires().is_some_and(|expires| expires <= millis(now));
            over && row.versions().iter().all(known)
        };
        self.rows().filter(over).map(Row::id).collect()
    }

    /// Drops rows that [`Registry::droppable`] named, after they were deleted from what is stored. Others stay.
    pub fn forget(&mut self, ids: &[RowId]) {
        for id in ids {
            if self.rows.get(id).and_then(Row::expires).is_some() {
                let before = self.rows.remove(id);
                self.index.follow(&self.rows, *id, before.as_ref());
            }
        }
        self.applied += 1;
    }

    /// The version of the next own write.
    pub(super) fn next_version(&self, now: Duration) -> Version {
        Version {
            stamp: self.clock.next(now),
            sequence: self.versions.of(self.origin()).next(),
        }
    }

    /// An own write of these rows, made under [`Registry::next_version`]; `fresh` are the ids it gives to new ones.
    pub(super) fn write(
        &self,
        version: Version,
        fresh: &[RowId],
        rows: impl IntoIterator<Item = Row>,
    ) -> Result<Update, Refusal> {
        let mut drawn = BTreeSet::new();
        for id in fresh {
            if self.rows.contains_key(id) || !drawn.insert(id) {
                return Err(Refusal::IdInUse(*id));
            }
        }
        let rows: BTreeMap<RowId, Row> = rows.into_iter().map(|row| (row.id(), row)).collect();
        let origin = self.origin();
        let mut versions = self.versions.clone();
        let span = Span {
            after: versions.of(origin),
            upto: version.sequence,
        };
        versions.note(origin, version.sequence);
        Ok(Update {
            basis: self.applied,
            rows: rows.values().cloned().collect(),
            versions,
            change: Some(Change {
                covers: BTreeMap::from([(origin, span)]),
                rows,
            }),
            gaps: Vec::new(),
            drift: None,
        })
    }

    fn insert(&mut self, row: Row) {
        for version in row.versions() {
            self.clock.witness(&version.stamp);
        }
        let id = row.id();
        let before = self.rows.insert(id, row);
        self.index.follow(&self.rows, id, before.as_ref());
    }
}

impl Change {
    /// Notes in `known` what whoever merges this change knows from then on.
    pub fn extend(&self, known: &mut VersionVector) {
        for (origin, span) in self.covers() {
            if known.of(origin) >= span.after {
                known.note(origin, span.upto);
            }
        }
    }
}

fn own_writes(origin: Origin, row: &Row) -> impl Iterator<Item = Sequence> {
    row.versions()
        .into_iter()
        .filter(move |version| version.stamp.origin() == origin)
        .map(|version| version.sequence)
}
