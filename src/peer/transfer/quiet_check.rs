//! The quiet check of a complete share. If only inode numbers of its files have changed, the files
//! are read again while the share is served. Either they were replaced by other files of the same
//! length and time, or the inode numbers of unchanged files can change on this file system.
//!
//! If the content is the same, the inode numbers that have changed are ignored from now on, also
//! after a restart. So the files are read once, and not again and again.

use super::transfer::Transfer;
use crate::storage::{FileStamp, Store, StoreError, verify};
use crate::swarm::Phase;
use crate::torrent::{PieceIndex, PieceSet};
use std::sync::Arc;

/// Number of pieces that are hashed between two checks that the share is still complete.
const PIECES_AT_ONCE: usize = 64;

impl Transfer {
    /// Hashes the files on the calling thread. Files with other content are not served any more.
    pub(crate) fn check_quietly(&self) {
        let Some(former) = self.store().filter(|_| self.is_complete()) else {
            return;
        };
        log::info!(
            "{}: inode numbers have changed; checking the content",
            self.name()
        );
        match self.hash_again() {
            Ok(Some((store, stamps))) => self.confirm(&former, store, &stamps),
            Ok(None) | Err(StoreError::Stopped) => {}
            // If the error lasts, the thread `watch` finds it too.
            Err(error) => log::warn!("{}: cannot be checked: {error}", self.name()),
        }
    }

    /// Opens the files at their paths and hashes them. Returns them with their stamps, if all are
    /// good. If one has other content, calls [`Transfer::lose`] and returns `None`. Also returns
    /// `None` if the share is not complete any more.
    fn hash_again(&self) -> Result<Option<(Store, Vec<FileStamp>)>, StoreError> {
        let store = Store::open(self.plan.layout(self.info()), &self.plan.path())?;
        let stamps = store.stamps()?;
        let mut good = PieceSet::empty(self.info().lengths());
        let needed = self.plan.selection.needed();
        let pieces = self.info().lengths().all_pieces();
        let pieces: Vec<PieceIndex> = pieces.filter(|piece| needed.contains(*piece)).collect();
        for part in pieces.chunks(PIECES_AT_ONCE) {
            let interrupt = &self.context.tasks.interrupt;
            let verified = verify(&store, part.iter().copied(), 1, interrupt, &|_| {})?;
            for piece in part.iter().filter(|piece| verified.contains(**piece)) {
                good.insert(*piece);
            }
            if !self.is_complete() {
                return Ok(None);
            }
        }
        // A piece that needs a missing parts file does not count: it was not served before.
        let mut bad = pieces.into_iter().filter(|piece| !good.contains(*piece));
        if bad.any(|piece| store.can_read(piece)) {
            let reason = StoreError::Changed(self.plan.path());
            self.lose(&reason.to_string(), Some(stamps));
            return Ok(None);
        }
        Ok(Some((store, stamps)))
    }

    /// Serves the files that were just opened and hashed.
    fn confirm(&self, former: &Arc<Store>, store: Store, stamps: &[FileStamp]) {
        let sealed = former.sealed().unwrap_or_default();
        let mut before = sealed.iter();
        let confirmed = stamps
            .iter()
            .map(|stamp| stamp.confirmed_since(before.next()));
        store.seal(&confirmed.collect::<Vec<_>>());
        if self.files.replace_whole(former, store) {
            self.update_record();
            log::info!("{}: the content is unchanged", self.name());
        }
    }

    /// Whether the share is complete. A withdrawn share counts too, because it may be served again.
    fn is_complete(&self) -> bool {
        matches!(self.phase(), Phase::Complete | Phase::Withdrawn { .. })
    }
}
