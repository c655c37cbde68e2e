//! Complete shares whose files have changed since they were verified ("lost"), and how they return.

use super::files::{OpenFiles, ScanResult, StampScan};
use super::transfer::Transfer;
use crate::storage::{FileStamp, RecordState, Store, StoreError};
use crate::swarm::Phase;
use crate::torrent::PieceSet;
use std::sync::Arc;

impl Transfer {
    /// Why a complete share is not served. Says what to do if its files are missing.
    pub(crate) fn reason_of_loss(&self, error: &StoreError) -> String {
        if let StoreError::Length { path, .. } = error {
            return StoreError::Changed(path.clone()).to_string();
        }
        if !error.is_absence() {
            return error.to_string();
        }
        let again = match self.plan.is_download() {
            true => " and download it again",
            false => "",
        };
        format!(
            "{error}, and it was complete: mount its disk or put the files back, then it is \
             served again by itself; or run {}{again}",
            self.command_to_end()
        )
    }

    /// Handles files that have changed since they were verified, or cannot be read. A complete
    /// share is no longer served.
    pub(crate) fn on_files_unservable(&self, reason: &str) {
        self.lose(reason, None);
    }

    /// Like [`Transfer::on_files_unservable`]. `mismatch`: the stamps that the files had when
    /// hashing found other content.
    pub(super) fn lose(&self, reason: &str, mismatch: Option<Vec<FileStamp>>) {
        // Another version has taken its place, and ends it soon.
        if self.is_place_taken() {
            return;
        }
        let (was_lost, becomes_lost) = self.decide(|core, now| {
            let was_lost = matches!(core.phase(), Phase::Lost { .. });
            let becomes_lost = core.on_unservable(reason, now);
            if becomes_lost {
                self.files.begin_loss(mismatch);
            }
            (was_lost, becomes_lost)
        });
        if !becomes_lost {
            if !was_lost {
                log::warn!("{}: cannot serve it: {reason}", self.name());
            }
            return;
        }
        log::warn!("{}: not served any more: {reason}", self.name());
        self.files.close();
        self.leave_swarm();
        // Only now may scans bring the share back: it must have left the swarm before.
        self.files.set_idle();
        self.context.changes.notify();
    }

    /// At the start of the peer: handles files that cannot be used as recorded. A complete share
    /// is lost, a download waits if the disk is full, any other transfer fails.
    pub(super) fn on_unusable_files(&self, recorded: &RecordState, error: &StoreError) {
        let RecordState::Complete { stamps } = recorded else {
            return self.wait_or_fail(error);
        };
        let reason = &self.reason_of_loss(error);
        self.files.set_sealed(Some(stamps.clone()));
        // It may have been lost before too.
        self.files.forget_scans();
        self.decide(|core, now| core.lose(reason, now));
        log::warn!("{}: not served: {reason}", self.name());
        self.context.changes.notify();
    }

    /// Does one step of a scan of the files of a lost share. If all files have the stamps with
    /// which they were verified, the share is served again. Otherwise they are hashed as soon as
    /// they no longer change. If hashing finds other content, it is not repeated until the files
    /// change again. Scans at most `count` files. Returns the number of scanned files and whether
    /// more remain.
    pub(crate) fn scan_lost(&self, count: usize) -> (usize, bool) {
        let Some(scan) = self.files.take_scan() else {
            return (0, false);
        };
        let opened = scan.map_or_else(|| self.open_scan(), Ok);
        let file_count = self.info().files().len();
        let mut scanned = 0;
        let step = opened.and_then(|mut scan| {
            scanned = count.min(file_count.saturating_sub(scan.next));
            let StampScan {
                store,
                stamps,
                next,
            } = &mut scan;
            let next_file = store.stamps_from(*next, count, stamps)?;
            *next = next_file.unwrap_or(file_count);
            Ok((scan, next_file.is_some()))
        });
        match step {
            Ok((scan, true)) => {
                self.files.put_scan(scan);
                return (scanned, true);
            }
            Ok((StampScan { store, stamps, .. }, false)) => {
                self.on_scanned(store, stamps);
            }
            Err(error) => {
                self.files.forget_scans();
                let reason = self.reason_of_loss(&error);
                self.decide(|core, now| core.on_still_lost(&reason, now));
            }
        }
        (scanned, false)
    }

    fn open_scan(&self) -> Result<StampScan, StoreError> {
        Ok(StampScan {
            store: Store::open(self.plan.layout(self.info()), &self.plan.path())?,
            stamps: Vec::new(),
            next: 0,
        })
    }

    /// Acts on the stamps of a complete scan.
    fn on_scanned(&self, store: Store, stamps: Vec<FileStamp>) {
        match self
            .files
            .on_scanned(&stamps, self.plan.kind.follows_links())
        {
            ScanResult::AsSealed => {
                store.seal(&self.files.sealed().unwrap_or(stamps));
                let owned = self.readable_pieces(&store);
                self.regain(store, owned);
            }
            ScanResult::Wait => {}
            ScanResult::Hash => {
                // These stamps are from before the hashing, so a change meanwhile is found.
                store.seal(&stamps);
                let reason = "the files have changed and are being checked";
                self.decide(|core, now| core.on_still_lost(reason, now));
                let Some(transfer) = self.to_arc() else {
                    return;
                };
                let spawned = self.context.tasks.spawn("check", move || {
                    transfer.check_lost(store, stamps);
                });
                if let Err(error) = spawned {
                    log::warn!("{}: cannot be checked: {error}", self.name());
                    self.files.set_idle();
                }
            }
        }
    }

    fn check_lost(&self, store: Store, stamps: Vec<FileStamp>) {
        let verified = self.verify_files(&store);
        let sealed = self.files.sealed();
        let error = match verified {
            Ok(owned) if self.has_all_wanted(&store, &owned, sealed.as_deref()) => {
                return self.regain(store, owned);
            }
            Ok(_) => StoreError::Changed(self.plan.path()),
            Err(error) => error,
        };
        self.files.on_mismatch(stamps);
        let reason = self.reason_of_loss(&error);
        self.decide(|core, now| core.on_still_lost(&reason, now));
        log::warn!("{}: not served: {reason}", self.name());
        self.context.changes.notify();
    }

    /// Serves the share again with these verified, open and sealed files. Does nothing if the share
    /// was replaced or removed in the meantime.
    fn regain(&self, store: Store, owned: PieceSet) {
        if !self.decide(|core, now| core.regain(now)) {
            return;
        }
        self.files.forget_scans();
        if !self.set_files(OpenFiles::Whole(Arc::new(store))) {
            return;
        }
        log::info!("{}: served again", self.name());
        if self.begin(owned, true) {
            self.update_record();
        }
    }
}
