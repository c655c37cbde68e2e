//! A simulated tracker: its replica while it runs, its disk, and the commits that are not durable
//! yet.

use super::super::{
    BlobRules, Commit, Moment, Replica, ReplicaConnectionId, ReplicaSettings, StartData,
};
use super::Failure;
use super::oracle::Promise;
use crate::torrent::InfoHash;
use crate::tracker::registry::{Origin, Registry, Row, RowId, Sequence, VersionVector};
use crate::wire::replica::TrackerNumber;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What survives a crash.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) origin: Origin,
    pub(super) rows: BTreeMap<RowId, Row>,
    pub(super) versions: VersionVector,
    pub(super) blobs: BTreeSet<InfoHash>,
    /// The logins whose log-outs were ever stored, also those that were dropped since.
    pub(super) log_outs: BTreeSet<RowId>,
    /// Whether it is an older copy: another disk may hold later writes of this origin.
    pub(super) is_older_copy: bool,
}

impl Disk {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            rows: BTreeMap::new(),
            versions: VersionVector::new(),
            blobs: BTreeSet::new(),
            log_outs: BTreeSet::new(),
            is_older_copy: false,
        }
    }

    pub(super) fn store(&mut self, commit: Commit) {
        for id in commit.dropped_rows {
            self.rows.remove(&id);
        }
        let log_outs = commit.rows.iter().filter_map(|row| match row {
            Row::Revocation(row) => Some(row.id),
            _ => None,
        });
        self.log_outs.extend(log_outs);
        self.rows
            .extend(commit.rows.into_iter().map(|row| (row.id(), row)));
        self.versions = commit.versions;
        if let Some(origin) = commit.origin {
            self.change_origin(origin);
        }
        for blob in commit.dropped_blobs {
            self.blobs.remove(&blob);
        }
        self.blobs
            .extend(commit.blobs.into_iter().map(|(hash, _)| hash));
    }

    /// Gives the disk a new origin. No other disk holds writes of the new origin, so this disk is
    /// no longer an older copy.
    pub(super) fn change_origin(&mut self, origin: Origin) {
        self.origin = origin;
        self.is_older_copy = false;
    }
}

pub(super) struct Node {
    /// `None` while the process is down.
    pub(super) replica: Option<Replica>,
    /// Number of crashes so far. Events for an earlier generation are ignored.
    pub(super) generation: u32,
    pub(super) disk: Disk,
    pub(super) backup: Option<Disk>,
    /// Commits that are handed out and not durable yet.
    pub(super) commits: VecDeque<Commit>,
    /// Its open connections, and the tracker at the other end of each.
    pub(super) connections: BTreeMap<ReplicaConnectionId, usize>,
    /// Error of its wall clock in milliseconds.
    pub(super) skew: i64,
    /// The process gets no processor until this time, in milliseconds of the simulation.
    pub(super) starved_until: u64,
    /// Time of its last event in milliseconds of the simulation, and its wall clock then.
    pub(super) last_event: (u64, i64),
    /// Milliseconds that neither of its clocks counts, because a built-in fault
    /// ([`super::Mutation`]) hides a pause from it. Negative if the fault makes a pause seem
    /// longer.
    pub(super) uncounted: i64,
    /// Whether it was restored from a backup and has not served since.
    pub(super) restored: bool,
    /// Promises of the writes that wait for an acknowledgement.
    pub(super) promises: BTreeMap<Sequence, Promise>,
}

impl Node {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            replica: None,
            generation: 0,
            disk: Disk::new(origin),
            backup: None,
            commits: VecDeque::new(),
            connections: BTreeMap::new(),
            skew: 0,
            starved_until: 0,
            last_event: (0, 0),
            uncounted: 0,
            restored: false,
            promises: BTreeMap::new(),
        }
    }

    /// Starts the process with the data on its disk. `at` is the index of this tracker among all
    /// `nodes` trackers.
    pub(super) fn start(
        &mut self,
        at: usize,
        nodes: usize,
        batch: usize,
        spare: Origin,
        now: Moment,
    ) -> Result<(), Failure> {
        let Disk {
            origin,
            rows,
            versions,
            blobs,
            ..
        } = self.disk.clone();
        let start = match (self.restored, versions == VersionVector::new()) {
            (true, _) => StartData::Restored,
            (false, true) => StartData::Empty,
            (false, false) => StartData::Resumed,
        };
        let loaded = Registry::load(origin, versions, rows.into_values());
        let registry = loaded.map_err(|error| Failure(format!("tracker {at}: {error}")))?;
        let settings = ReplicaSettings {
            number: number(at),
            listed: (0..nodes).map(number).collect(),
            batch,
            spare,
            blobs: BlobRules {
                named_by,
                is_valid: |hash, bytes| bytes == blob(hash),
            },
        };
        self.replica = Some(Replica::new(settings, registry, blobs, start, now));
        Ok(())
    }

    /// Ends the process. Of the commits in progress, the first `durable` are on the disk, although
    /// no client knows about them. The others are lost.
    pub(super) fn crash(&mut self, durable: usize) {
        for commit in self.commits.drain(..).take(durable) {
            self.disk.store(commit);
        }
        self.replica = None;
        self.generation += 1;
        self.uncounted = 0;
        self.connections.clear();
        self.promises.clear();
    }
}

pub(super) fn number(at: usize) -> TrackerNumber {
    TrackerNumber::new(at as u32 + 1).unwrap()
}

/// In the simulation, every group names a blob.
pub(super) fn named_by(row: &Row) -> Option<InfoHash> {
    let Row::Group(row) = row else { return None };
    let mut hash = [0; 20];
    hash[..16].copy_from_slice(&row.id.0);
    Some(InfoHash(hash))
}

pub(super) fn blob(hash: InfoHash) -> Vec<u8> {
    hash.0.repeat(3)
}
