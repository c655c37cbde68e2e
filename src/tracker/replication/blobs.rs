//! Blobs that rows name: fetched before the rows, one at a time, and kept under their info-hash.

use super::{LineId, Moment, Replica, Report};
use crate::torrent::InfoHash;
use crate::tracker::registry::{Change, Row};
use crate::wire::control::{InfoPart, InfoParts};
use crate::wire::twin::{Message, TrackerNumber};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a twin that has not got a blob is not asked for it again.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// What rows have to do with blobs.
#[derive(Clone, Copy, Debug)]
pub struct Blobs {
    /// The blob that must be there where the row is.
    pub named_by: fn(&Row) -> Option<InfoHash>,
    /// Whether bytes are the blob of that info-hash.
    pub is_sound: fn(InfoHash, &[u8]) -> bool,
}

/// A blob that is being asked for.
#[derive(Debug)]
pub(super) struct Fetch {
    twin: TrackerNumber,
    pub(super) line: LineId,
    info_hash: InfoHash,
    parts: InfoParts,
    /// When it last got on.
    pub(super) progress: Duration,
}

impl Replica {
    /// The blobs that a change needs and that are neither here nor known to be missing.
    pub(super) fn missing_blobs(&self, change: &Change) -> BTreeSet<InfoHash> {
        let named = change.rows().filter_map(self.blobs.named_by);
        named
            .filter(|blob| !self.stored.contains(blob) && !self.lacking.contains(blob))
            .collect()
    }

    /// Asks for a blob: first those that catching up waits for, then those that are lacking.
    pub(super) fn consider_fetching(&mut self, now: Moment) {
        if self.fetch.is_some() || self.is_halted() {
            return;
        }
        let needed = self.blob_for_catching_up();
        let Some((twin, line, info_hash)) = needed.or_else(|| self.lacking_blob(now)) else {
            return;
        };
        self.fetch = Some(Fetch {
            twin,
            line,
            info_hash,
            parts: InfoParts::new(),
            progress: now.elapsed,
        });
        let offset = 0;
        self.send(line, Message::WantBlob { info_hash, offset });
    }

    fn lacking_blob(&self, now: Moment) -> Option<(TrackerNumber, LineId, InfoHash)> {
        self.lacking.iter().find_map(|blob| {
            self.twins.iter().find_map(|(number, twin)| {
                let session = twin.session.as_ref()?;
                let again = session.without.get(blob).copied().unwrap_or_default();
                let asked = again.max(twin.pause) > now.elapsed;
                (!asked).then_some((*number, session.line, *blob))
            })
        })
    }

    /// A part of a blob has come.
    pub(super) fn blob_part(
        &mut self,
        line: LineId,
        info_hash: InfoHash,
        part: &InfoPart,
        now: Moment,
    ) {
        let Some(fetch) = &mut self.fetch else {
            return;
        };
        if (fetch.line, fetch.info_hash) != (line, info_hash) {
            return;
        }
        // A part that is not due was sent twice, or answers an earlier question.
        let Ok(whole) = fetch.parts.add(part) else {
            return;
        };
        fetch.progress = now.elapsed;
        self.catching_up_got_on(now);
        let Some(bytes) = whole else {
            let offset = part.end();
            return self.send(line, Message::WantBlob { info_hash, offset });
        };
        if !(self.blobs.is_sound)(info_hash, &bytes) {
            return self.no_blob(line, info_hash, now);
        }
        self.fetch = None;
        self.stored.insert(info_hash);
        self.lacking.remove(&info_hash);
        let blobs = vec![(info_hash, bytes)];
        self.issue(Vec::new(), Vec::new(), Vec::new(), blobs);
        self.finish_catching_up(now);
    }

    /// A twin has not got a blob that it was asked for. Rows do not wait for what is not to be had.
    pub(super) fn no_blob(&mut self, line: LineId, info_hash: InfoHash, now: Moment) {
        let fetch = self
            .fetch
            .take_if(|it| (it.line, it.info_hash) == (line, info_hash));
        let Some(fetch) = fetch else {
            return;
        };
        let twin = self.twins.get_mut(&fetch.twin);
        if let Some(session) = twin.and_then(|twin| twin.session.as_mut()) {
            session.without.insert(info_hash, now.elapsed + ASK_AGAIN);
        }
        if self.lacking.insert(info_hash) {
            self.report(Report::BlobMissing { info_hash });
        }
        self.finish_catching_up(now);
    }
}
