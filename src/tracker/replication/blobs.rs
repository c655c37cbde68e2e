//! Blobs: the info dictionaries that rows name. A blob is fetched before the rows that name it are
//! merged. Blobs are fetched one at a time, and stored under their info-hash.

use super::{ANSWER_TIMEOUT, Moment, ReplicaConnectionId};
use crate::torrent::InfoHash;
use crate::tracker::registry::{Change, Registry, Row};
use crate::wire::control::{InfoAssembly, InfoPart};
use crate::wire::replica::TrackerNumber;
use std::collections::BTreeSet;
use std::time::Duration;

/// How rows name blobs, and when a blob is valid.
#[derive(Clone, Copy, Debug)]
pub struct BlobRules {
    /// The blob that a row names.
    pub named_by: fn(&Row) -> Option<InfoHash>,
    /// Whether the bytes are the blob with that info-hash.
    pub is_valid: fn(InfoHash, &[u8]) -> bool,
}

/// Which blobs are stored, which are missing, and the one that is being fetched.
#[derive(Debug)]
pub(super) struct BlobFetcher {
    rules: BlobRules,
    /// Blobs that are stored here.
    pub(super) stored: BTreeSet<InfoHash>,
    /// Blobs that rows name and that could not be fetched so far.
    pub(super) missing: BTreeSet<InfoHash>,
    /// Stored blobs that no row named at the last garbage collection.
    unnamed: BTreeSet<InfoHash>,
    pub(super) fetch: Option<BlobFetch>,
}

/// A blob that is being fetched.
#[derive(Debug)]
pub(super) struct BlobFetch {
    other: TrackerNumber,
    connection: ReplicaConnectionId,
    info_hash: InfoHash,
    parts: InfoAssembly,
    /// When the fetch last made progress, as [`Moment::elapsed`].
    last_progress: Duration,
}

/// Result of a received part of a blob.
pub(super) enum PartOutcome {
    /// It was not expected: a duplicate, or the answer to an earlier request.
    Ignored,
    /// The next part begins at this byte.
    Next(u32),
    /// It was the last part. These are the bytes of the blob.
    Whole(Vec<u8>),
    /// It was the last part, but the bytes are not the requested blob. The caller then calls
    /// [`BlobFetcher::on_no_blob`], which ends the fetch.
    Invalid,
}

impl BlobFetcher {
    pub(super) fn new(
        rules: BlobRules,
        stored: impl IntoIterator<Item = InfoHash>,
        registry: &Registry,
    ) -> Self {
        let mut fetcher = Self {
            rules,
            stored: stored.into_iter().collect(),
            missing: BTreeSet::new(),
            unnamed: BTreeSet::new(),
            fetch: None,
        };
        fetcher.add(registry.rows(), [], registry);
        fetcher
    }

    /// Blobs that a change names and that are neither stored nor known to be missing. A share of a
    /// removed publisher needs no blob.
    pub(super) fn to_fetch(&self, change: &Change, registry: &Registry) -> BTreeSet<InfoHash> {
        let rows = change.rows();
        let needs_blob = |row: &&Row| !registry.is_of_removed_publisher(row, change);
        rows.filter(needs_blob)
            .filter_map(self.rules.named_by)
            .filter(|blob| !self.stored.contains(blob) && !self.missing.contains(blob))
            .collect()
    }

    /// The first blob that these rows name and that is neither stored nor in `new`.
    pub(super) fn first_unavailable(
        &self,
        rows: &[Row],
        new: &[(InfoHash, Vec<u8>)],
    ) -> Option<InfoHash> {
        let mut named = rows.iter().filter_map(self.rules.named_by);
        let is_new = |blob: &InfoHash| new.iter().any(|(hash, _)| hash == blob);
        named.find(|blob| !self.stored.contains(blob) && !is_new(blob))
    }

    /// Notes that the blobs `new` are stored here now. If one of `rows`, which are rows of the
    /// registry, names a blob that is not stored, notes that this blob is missing.
    pub(super) fn add<'a>(
        &mut self,
        rows: impl IntoIterator<Item = &'a Row>,
        new: impl IntoIterator<Item = InfoHash>,
        registry: &Registry,
    ) {
        self.stored.extend(new);
        let named = self.named(rows, registry);
        let missing: Vec<_> = named.filter(|it| !self.stored.contains(it)).collect();
        self.missing.extend(missing);
    }

    /// The blobs that are named by `rows`, which are rows of the registry. A share of a removed
    /// publisher needs no blob.
    fn named<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a Row>,
        registry: &Registry,
    ) -> impl Iterator<Item = InfoHash> {
        let nothing = Change::default();
        let rows = rows.into_iter();
        rows.filter(move |row| !registry.is_of_removed_publisher(row, &nothing))
            .filter_map(self.rules.named_by)
    }

    pub(super) fn start_fetch(
        &mut self,
        other: TrackerNumber,
        connection: ReplicaConnectionId,
        info_hash: InfoHash,
        now: Moment,
    ) {
        self.fetch = Some(BlobFetch {
            other,
            connection,
            info_hash,
            parts: InfoAssembly::new(),
            last_progress: now.elapsed,
        });
    }

    /// A part of a blob has arrived.
    pub(super) fn on_part(
        &mut self,
        connection: ReplicaConnectionId,
        info_hash: InfoHash,
        part: &InfoPart,
        now: Moment,
    ) -> PartOutcome {
        let fetch = self.fetch.as_mut();
        let Some(fetch) =
            fetch.filter(|it| (it.connection, it.info_hash) == (connection, info_hash))
        else {
            return PartOutcome::Ignored;
        };
        let Ok(whole) = fetch.parts.add(part) else {
            return PartOutcome::Ignored;
        };
        fetch.last_progress = now.elapsed;
        let Some(bytes) = whole else {
            return PartOutcome::Next(part.end());
        };
        if !(self.rules.is_valid)(info_hash, &bytes) {
            return PartOutcome::Invalid;
        }
        self.fetch = None;
        self.stored.insert(info_hash);
        self.missing.remove(&info_hash);
        PartOutcome::Whole(bytes)
    }

    /// The other tracker does not have the blob that it was asked for. Ends the fetch, and rows no
    /// longer wait for that blob. Returns the tracker, and whether the blob was not yet known to be
    /// missing.
    pub(super) fn on_no_blob(
        &mut self,
        connection: ReplicaConnectionId,
        info_hash: InfoHash,
    ) -> Option<(TrackerNumber, bool)> {
        let fetch = self
            .fetch
            .take_if(|it| (it.connection, it.info_hash) == (connection, info_hash))?;
        Some((fetch.other, self.missing.insert(info_hash)))
    }

    /// A part of a message has arrived over a connection.
    pub(super) fn note_progress(&mut self, connection: ReplicaConnectionId, now: Moment) {
        if let Some(fetch) = self.fetch.as_mut().filter(|it| it.connection == connection) {
            fetch.last_progress = now.elapsed;
        }
    }

    /// A connection was closed. Ends the fetch that used it.
    pub(super) fn on_disconnected(&mut self, connection: ReplicaConnectionId) {
        self.fetch.take_if(|it| it.connection == connection);
    }

    /// Gives up the fetch if it has made no progress for [`ANSWER_TIMEOUT`]. Returns its
    /// connection.
    pub(super) fn give_up_if_stuck(&mut self, now: Moment) -> Option<ReplicaConnectionId> {
        let stuck = |fetch: &mut BlobFetch| now.elapsed >= fetch.last_progress + ANSWER_TIMEOUT;
        self.fetch.take_if(stuck).map(|fetch| fetch.connection)
    }

    /// Removes and returns the blobs that no row names now and that no row named at the last
    /// garbage collection. So a blob that was fetched before its rows stays for at least one
    /// interval.
    pub(super) fn drop_unnamed(&mut self, registry: &Registry) -> Vec<InfoHash> {
        let named: BTreeSet<InfoHash> = self.named(registry.rows(), registry).collect();
        self.missing.retain(|blob| named.contains(blob));
        let unnamed: BTreeSet<InfoHash> = self.stored.difference(&named).copied().collect();
        let gone: Vec<InfoHash> = unnamed.intersection(&self.unnamed).copied().collect();
        self.unnamed = unnamed;
        for blob in &gone {
            self.unnamed.remove(blob);
            self.stored.remove(blob);
        }
        gone
    }
}
