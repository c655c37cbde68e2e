//! Blobs that rows name: fetched before the rows, one at a time, and kept under their info-hash.

use super::{LineId, Moment, PATIENCE};
use crate::torrent::InfoHash;
use crate::tracker::registry::{Change, Registry, Row};
use crate::wire::control::{InfoPart, InfoParts};
use crate::wire::replica::TrackerNumber;
use std::collections::BTreeSet;
use std::time::Duration;

/// What rows have to do with blobs.
#[derive(Clone, Copy, Debug)]
pub struct Blobs {
    /// The blob that must be there where the row is.
    pub named_by: fn(&Row) -> Option<InfoHash>,
    /// Whether bytes are the blob of that info-hash.
    pub is_sound: fn(InfoHash, &[u8]) -> bool,
}

/// Which blobs are here, which are not, and the one that is being asked for.
#[derive(Debug)]
pub(super) struct BlobFetcher {
    blobs: Blobs,
    /// The blobs that are here.
    pub(super) stored: BTreeSet<InfoHash>,
    /// Blobs that rows name and that are not here.
    pub(super) lacking: BTreeSet<InfoHash>,
    /// Blobs that no row named at the last look.
    unnamed: BTreeSet<InfoHash>,
    pub(super) fetch: Option<Fetch>,
}

/// A blob that is being asked for.
#[derive(Debug)]
pub(super) struct Fetch {
    other: TrackerNumber,
    line: LineId,
    info_hash: InfoHash,
    parts: InfoParts,
    /// When it last got on.
    progress: Duration,
}

/// What came of a part of a blob.
pub(super) enum Part {
    /// It was not due: sent twice, or the answer to an earlier question.
    Ignored,
    /// The next one begins there.
    Next(u32),
    /// It was the last one; the blob is here.
    Whole(Vec<u8>),
    /// It was the last one, and the blob is another than the one asked for.
    Unsound,
}

impl BlobFetcher {
    pub(super) fn new(
        blobs: Blobs,
        stored: impl IntoIterator<Item = InfoHash>,
        registry: &Registry,
    ) -> Self {
        let mut fetcher = Self {
            blobs,
            stored: stored.into_iter().collect(),
            lacking: BTreeSet::new(),
            unnamed: BTreeSet::new(),
            fetch: None,
        };
        fetcher.note(registry.rows(), []);
        fetcher
    }

    /// The blobs that a change needs and that are neither here nor known to be missing.
    pub(super) fn missing(&self, change: &Change) -> BTreeSet<InfoHash> {
        let named = change.rows().filter_map(self.blobs.named_by);
        named
            .filter(|blob| !self.stored.contains(blob) && !self.lacking.contains(blob))
            .collect()
    }

    /// A blob that rows name and that is neither here nor among the given ones.
    pub(super) fn not_given(
        &self,
        rows: &[Row],
        given: &[(InfoHash, Vec<u8>)],
    ) -> Option<InfoHash> {
        let mut named = rows.iter().filter_map(self.blobs.named_by);
        let given = |blob: &InfoHash| given.iter().any(|(hash, _)| hash == blob);
        named.find(|blob| !self.stored.contains(blob) && !given(blob))
    }

    /// These rows are here now, and these blobs with them.
    pub(super) fn note<'a>(
        &mut self,
        rows: impl IntoIterator<Item = &'a Row>,
        new: impl IntoIterator<Item = InfoHash>,
    ) {
        self.stored.extend(new);
        let named = rows.into_iter().filter_map(self.blobs.named_by);
        let lacking = named.filter(|blob| !self.stored.contains(blob));
        self.lacking.extend(lacking);
    }

    pub(super) fn fetch(
        &mut self,
        other: TrackerNumber,
        line: LineId,
        info_hash: InfoHash,
        now: Moment,
    ) {
        self.fetch = Some(Fetch {
            other,
            line,
            info_hash,
            parts: InfoParts::new(),
            progress: now.elapsed,
        });
    }

    /// A part of a blob has come.
    pub(super) fn part(
        &mut self,
        line: LineId,
        info_hash: InfoHash,
        part: &InfoPart,
        now: Moment,
    ) -> Part {
        let fetch = self.fetch.as_mut();
        let Some(fetch) = fetch.filter(|it| (it.line, it.info_hash) == (line, info_hash)) else {
            return Part::Ignored;
        };
        let Ok(whole) = fetch.parts.add(part) else {
            return Part::Ignored;
        };
        fetch.progress = now.elapsed;
        let Some(bytes) = whole else {
            return Part::Next(part.end());
        };
        if !(self.blobs.is_sound)(info_hash, &bytes) {
            return Part::Unsound;
        }
        self.fetch = None;
        self.stored.insert(info_hash);
        self.lacking.remove(&info_hash);
        Part::Whole(bytes)
    }

    /// The tracker that is asked for a blob has not got it: rows do not wait for what is not to be had. Returns which
    /// tracker, and whether the blob has not been known to be missing before.
    pub(super) fn is_missing(
        &mut self,
        line: LineId,
        info_hash: InfoHash,
    ) -> Option<(TrackerNumber, bool)> {
        let fetch = self
            .fetch
            .take_if(|it| (it.line, it.info_hash) == (line, info_hash))?;
        Some((fetch.other, self.lacking.insert(info_hash)))
    }

    /// A part of a message has come over a line.
    pub(super) fn arriving(&mut self, line: LineId, now: Moment) {
        if let Some(fetch) = self.fetch.as_mut().filter(|it| it.line == line) {
            fetch.progress = now.elapsed;
        }
    }

    /// Ends what goes on over a line.
    pub(super) fn line_down(&mut self, line: LineId) {
        self.fetch.take_if(|it| it.line == line);
    }

    /// Gives up what does not get on; returns the line it was asked for over.
    pub(super) fn give_up_if_stuck(&mut self, now: Moment) -> Option<LineId> {
        let stuck = |fetch: &mut Fetch| now.elapsed >= fetch.progress + PATIENCE;
        self.fetch.take_if(stuck).map(|fetch| fetch.line)
    }

    /// Drops blobs that no row named at the look before, nor does now; returns which. What is fetched for rows that are
    /// still to come has as long to be named.
    pub(super) fn drop_unnamed(&mut self, registry: &Registry) -> Vec<InfoHash> {
        let rows = registry.rows();
        let named: BTreeSet<InfoHash> = rows.filter_map(self.blobs.named_by).collect();
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
