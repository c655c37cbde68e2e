//! The state of the registry: its rows and what is derived from them.
//!
//! The state changes when it is loaded, by own writes, and by merging changes from other trackers.
//! The functions for own writes and [`Registry::merge`] only compute an [`Update`];
//! [`Registry::apply`] then changes the state.
//!
//! Invariants:
//!
//! - The index is a function of the rows, except its list of what has changed.
//! - If a row has the version of an own write, the version vector includes this write.
//! - An update is applied to the revision that it was made from, or not at all.

use super::{
    Change, ChangeNumbers, Changed, Clock, Drift, GroupMembers, Index, LoadError, MAX_AUDIT,
    Membership, MergeError, Origin, Refusal, Row, RowId, Rows, Sequence, Share, Span, Stale,
    Update, Version, VersionVector, membership, millis, removal, responsible,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// All rows that one tracker knows, and what is derived from them.
#[derive(Debug)]
pub struct Registry {
    clock: Clock,
    versions: VersionVector,
    rows: Rows,
    pub(super) index: Index,
    /// Grows with each change of the state. An update can be applied only to the revision that it
    /// was made from.
    revision: u64,
}

impl Registry {
    /// An empty registry that writes under `origin`.
    pub fn new(origin: Origin) -> Self {
        Self {
            clock: Clock::new(origin),
            versions: VersionVector::new(),
            rows: Rows::new(),
            index: Index::default(),
            revision: 0,
        }
    }

    /// The origin of this registry's own writes.
    pub fn origin(&self) -> Origin {
        self.clock.origin
    }

    /// For each origin, the number of the write up to which this registry has all writes.
    pub fn version_vector(&self) -> &VersionVector {
        &self.versions
    }

    /// The row with this id.
    pub fn row(&self, id: RowId) -> Option<&Row> {
        self.rows.get(&id)
    }

    /// The membership rows of an account in a group, sorted by id.
    pub(super) fn memberships(
        &self,
        group: RowId,
        account: RowId,
    ) -> impl Iterator<Item = &Membership> + Clone {
        let members = self.index.members.get(&group).into_iter();
        members
            .flat_map(move |members| members.rows_of(account))
            .filter_map(|id| membership(&self.rows, id))
    }

    /// All membership rows of a group, ended ones included.
    pub(super) fn memberships_of_group(&self, group: RowId) -> impl Iterator<Item = &Membership> {
        let members = self.index.members.get(&group).into_iter();
        members
            .flat_map(GroupMembers::all_rows)
            .filter_map(|id| membership(&self.rows, id))
    }

    /// All rows, sorted by id.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Loads a registry from its stored rows and version vector.
    ///
    /// # Errors
    /// Two rows have the same id, or a row has the version of an own write that the version vector
    /// does not include.
    pub fn load(
        origin: Origin,
        versions: VersionVector,
        rows: impl IntoIterator<Item = Row>,
    ) -> Result<Self, LoadError> {
        let mut registry = Self::new(origin);
        let known = versions.of(origin);
        for row in rows {
            let id = row.id();
            if own_sequences(origin, &row).any(|sequence| sequence > known) {
                return Err(LoadError::Newer(id));
            }
            if registry.rows.contains_key(&id) {
                return Err(LoadError::Twice(id));
            }
            registry.insert(row);
        }
        registry.versions = versions;
        // Loaded rows do not count as changed.
        registry.take_changed();
        Ok(registry)
    }

    /// Computes the update that merges a change of another registry. Changes may arrive in any
    /// order and more than once. The update has own writes too if this tracker must keep a log-out
    /// longer (see `logins`) or suspend a machine (see `machines`): [`Registry::merge_writes`].
    ///
    /// # Errors
    /// [`MergeError::Rewound`] if the change has a later write of this registry's origin than this
    /// registry knows, which means that this registry was loaded from an old copy of its data;
    /// [`MergeError::Contradiction`] if a row does not match the local row of the same id.
    pub fn merge(&self, change: &Change, now: Duration) -> Result<Update, MergeError> {
        let origin = self.origin();
        let known = self.versions.of(origin);
        let covered = change.covers.get(&origin).map(|span| span.upto);
        let in_rows = change.rows().flat_map(|row| own_sequences(origin, row));
        if let Some(known_elsewhere) = covered.into_iter().chain(in_rows).max()
            && known_elsewhere > known
        {
            return Err(MergeError::Rewound {
                known: known.number(),
                known_elsewhere: known_elsewhere.number(),
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
        self.keep_log_outs_longer(&mut rows, &mut versions, now);
        self.suspend_machines(&mut rows, &mut versions, now);
        Ok(Update {
            base_revision: self.revision,
            rows,
            versions,
            change: None,
            gaps,
            drift,
            confirms_earlier: false,
            action: None,
        })
    }

    /// Whether a merge of this change makes own writes.
    pub fn merge_writes(&self, change: &Change, now: Duration) -> bool {
        self.must_keep_log_outs_longer(change, now) || self.must_suspend_machines(change)
    }

    /// Applies an update. The caller must make the update durable before sending it or a reply.
    ///
    /// # Errors
    /// The registry has changed since the update was made.
    pub fn apply(&mut self, update: Update) -> Result<(), Stale> {
        if update.base_revision != self.revision {
            return Err(Stale);
        }
        for row in update.rows {
            self.insert(row);
        }
        self.versions = update.versions;
        self.revision += 1;
        Ok(())
    }

    /// What has changed since the last call.
    pub fn take_changed(&mut self) -> Changed {
        self.index.changes.take()
    }

    /// The change numbers of a group. They show a peer whether it missed a hint.
    pub fn change_numbers(&self, group: RowId) -> ChangeNumbers {
        self.index.changes.numbers(group)
    }

    /// Whether merging the change at `now` would change no row. A row that is missing here and has
    /// expired counts as contained: it was dropped. So may an entry of the audit log be.
    pub fn contains(&self, change: &Change, now: Duration) -> bool {
        change
            .rows()
            .all(|theirs| match self.rows.get(&theirs.id()) {
                Some(ours) => ours.clone().merge(theirs.clone()).as_ref() == Ok(ours),
                None => {
                    let is_expired = theirs.expires().is_some_and(|it| it <= millis(now));
                    is_expired || matches!(theirs, Row::Audit(_))
                }
            })
    }

    /// Changes the origin of all later own writes. The new origin must not have any writes yet. The
    /// earlier own writes then count as writes of another registry.
    pub fn change_origin(&mut self, origin: Origin) {
        self.clock.origin = origin;
        self.revision += 1;
    }

    /// The next batch of writes for a registry with the version vector `known`: writes that it
    /// lacks. `None` if it lacks none. The encoded rows have at most `max_bytes`, except if the
    /// first write alone is longer. Apply [`Change::advance`] to `known` before asking for the next
    /// batch.
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
            for (sequence, ids) in self.index.writes(origin, Span { after, upto }) {
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
                change
                    .rows
                    .extend(new.into_iter().map(|(id, row)| (id, row.clone())));
                reached = sequence;
            }
            let upto = if full { reached } else { upto };
            if upto > after {
                change.covers.insert(origin, Span { after, upto });
            }
            if full {
                break;
            }
        }
        (!change.is_empty()).then_some(change)
    }

    /// The entries of the audit log that are too many. They may be dropped at any time, also if
    /// other trackers lack them: the number of entries must have a bound whatever happens.
    pub fn surplus_audit(&self) -> BTreeSet<RowId> {
        self.index
            .audit
            .beyond(MAX_AUDIT, |who| self.account_of(who))
    }

    /// The rows that have expired at `now` and that all other trackers have. `others` are the
    /// version vectors of these trackers. None if this registry lacks writes of another tracker:
    /// one of them may give a row a later expiry.
    pub fn droppable(&self, now: Duration, others: &[VersionVector]) -> Vec<RowId> {
        if !others.iter().all(|other| self.versions.includes(other)) {
            return Vec::new();
        }
        let is_known_to_all = |version: &Version| {
            let (origin, sequence) = (version.stamp.origin(), version.sequence);
            others.iter().all(|other| other.of(origin) >= sequence)
        };
        let is_droppable = |row: &&Row| {
            let is_expired = row.expires().is_some_and(|expires| expires <= millis(now));
            is_expired && row.versions().iter().all(is_known_to_all)
        };
        self.rows().filter(is_droppable).map(Row::id).collect()
    }

    /// Whether the row is a share whose publisher was removed: by this registry or by `change`.
    pub fn is_of_removed_publisher(&self, row: &Row, change: &Change) -> bool {
        let Row::Share(Share { publisher, .. }) = row else {
            return false;
        };
        let sources = [&change.rows, &self.rows];
        let row = |id| sources.iter().find_map(|rows| rows.get(&id));
        let Some(account) = responsible(row, *publisher) else {
            return false;
        };
        let mut removals = sources.iter().map(|rows| removal(rows, account));
        removals.any(|removal| removal.is_some())
    }

    /// Drops rows that [`Registry::droppable`] or [`Registry::surplus_audit`] returned. The caller
    /// also deletes them from the disk. Rows of kinds that do not expire are kept.
    pub fn drop_rows(&mut self, ids: &[RowId]) {
        for id in ids {
            if self.rows.get(id).and_then(Row::expires).is_some() {
                let before = self.rows.remove(id);
                self.index.update_row(&self.rows, *id, before.as_ref());
            }
        }
        self.revision += 1;
    }

    /// The clock as it is when it has witnessed all stamps of these rows.
    pub(super) fn clock_after(&self, rows: &[Row]) -> Clock {
        let mut clock = self.clock.clone();
        for version in rows.iter().flat_map(Row::versions) {
            clock.witness(&version.stamp);
        }
        clock
    }

    /// The version of the next own write.
    pub(super) fn next_version(&self, now: Duration) -> Version {
        Version {
            stamp: self.clock.next(now),
            sequence: self.versions.of(self.origin()).next(),
        }
    }

    /// The update of an own write that sets `rows`. `version` comes from
    /// [`Registry::next_version`]. `fresh` lists the ids of the rows that the write creates.
    ///
    /// # Errors
    /// [`Refusal::IdInUse`] if an id of `fresh` is already in use, or occurs twice.
    pub(super) fn write(
        &self,
        version: Version,
        fresh: &[RowId],
        rows: impl IntoIterator<Item = Row>,
    ) -> Result<Update, Refusal> {
        let mut seen = BTreeSet::new();
        for id in fresh {
            if self.rows.contains_key(id) || !seen.insert(id) {
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
            base_revision: self.revision,
            rows: rows.values().cloned().collect(),
            versions,
            change: Some(Change {
                covers: BTreeMap::from([(origin, span)]),
                rows,
            }),
            gaps: Vec::new(),
            drift: None,
            confirms_earlier: false,
            action: None,
        })
    }

    fn insert(&mut self, row: Row) {
        for version in row.versions() {
            self.clock.witness(&version.stamp);
        }
        let id = row.id();
        let before = self.rows.insert(id, row);
        self.index.update_row(&self.rows, id, before.as_ref());
    }
}

fn own_sequences(origin: Origin, row: &Row) -> impl Iterator<Item = Sequence> {
    row.versions()
        .into_iter()
        .filter(move |version| version.stamp.origin() == origin)
        .map(|version| version.sequence)
}
