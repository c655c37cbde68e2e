//! Which transfer uses which paths at a destination, according to the records of this peer.

use crate::base::command_text;
use crate::peer::{PeerError, Transfer, Transfers};
use crate::storage::{
    Destination, Download, DownloadMode, FileLayout, RecordKind, RecordState, RecordedFiles,
    StoreError, is_same_entry,
};
use crate::torrent::InfoHash;
use std::path::Path;
use std::sync::Arc;

/// What the records say about a share at a place.
#[derive(Debug)]
pub(crate) struct RecordedPlace {
    /// The partial file of an unfinished download.
    partial: Option<String>,
    /// Whether a record says that the share is downloaded, or was downloaded, to this place.
    is_recorded: bool,
    /// Whether the records outlive this process.
    records_are_kept: bool,
}

impl RecordedPlace {
    /// Uses the transfer of this share if there is one. Otherwise uses the record that a stopped
    /// download has left.
    pub(crate) fn of(transfers: &Transfers, info_hash: InfoHash, place: &Destination) -> Self {
        if let Some(transfer) = transfers.transfer(info_hash) {
            let is_complete = transfer.phase().was_complete();
            return Self::of_transfer(&transfer, place, is_complete);
        }
        let record = transfers.context.records.find(info_hash);
        let record = record.filter(|record| record.kind == RecordKind::Download(place.clone()));
        Self {
            records_are_kept: transfers.context.records.are_kept(),
            is_recorded: record.is_some(),
            partial: record
                .filter(|record| !matches!(record.state, RecordState::Complete { .. }))
                .and_then(|record| record.unfinished.partial),
        }
    }

    /// For a closed run, which has no records.
    pub(crate) fn in_closed_run() -> Self {
        Self {
            partial: None,
            is_recorded: false,
            records_are_kept: false,
        }
    }

    /// What the record of this transfer says.
    pub(crate) fn of_transfer(transfer: &Transfer, place: &Destination, is_complete: bool) -> Self {
        let is_recorded = transfer.plan.kind == RecordKind::Download(place.clone());
        let is_continued = is_recorded && !is_complete;
        Self {
            records_are_kept: transfer.context.records.are_kept(),
            is_recorded,
            partial: transfer.plan.partial.clone().filter(|_| is_continued),
        }
    }

    /// Opens a download that a person asked for, at this place. If its recorded partial file is
    /// gone, makes a new one.
    pub(crate) fn open(
        &self,
        transfers: &Transfers,
        layout: &FileLayout,
        place: &Destination,
        mode: &DownloadMode,
    ) -> Result<Download, StoreError> {
        let info_hash = layout.info().info_hash();
        let is_used = |path: &Path| is_used_by_others(transfers, info_hash, path);
        let open = |partial| {
            let recorded = RecordedFiles {
                partial,
                is_recorded: self.is_recorded,
                is_used: &is_used,
                records_are_kept: self.records_are_kept,
            };
            Download::open(layout.clone(), place, mode.clone(), recorded)
        };
        match open(self.partial.as_deref()) {
            Err(StoreError::Missing(_)) if self.partial.is_some() => open(None),
            opened => opened,
        }
    }
}

/// Whether another transfer uses a path.
pub(super) fn is_used_by_others(transfers: &Transfers, info_hash: InfoHash, path: &Path) -> bool {
    !other_transfers_at(transfers, info_hash, path).is_empty()
}

/// The other transfers that use a path.
fn other_transfers_at(
    transfers: &Transfers,
    info_hash: InfoHash,
    path: &Path,
) -> Vec<Arc<Transfer>> {
    let uses = |transfer: &Arc<Transfer>| {
        let mut paths = transfer.paths().into_iter();
        transfer.info_hash() != info_hash && paths.any(|used| is_same_entry(&used, path))
    };
    transfers.transfers().into_iter().filter(uses).collect()
}

/// Refuses a destination that belongs to other transfers. If all of them are complete, the
/// destination is accepted with `force`, and also if files exist there: the caller compares them
/// with the new share.
pub(crate) fn check_unused(
    transfers: &Transfers,
    info_hash: InfoHash,
    place: &Destination,
    force: bool,
) -> Result<(), PeerError> {
    let path = place.path();
    let may_share = force || path.symlink_metadata().is_ok();
    let mut others = other_transfers_at(transfers, info_hash, &path).into_iter();
    let refuses = |other: &Arc<Transfer>| {
        let is_complete = !other.plan.is_download() || other.phase().was_complete();
        !is_complete || !may_share
    };
    match others.find(refuses) {
        Some(other) => Err(PeerError::PlaceInUse {
            path,
            name: other.name().to_owned(),
        }),
        None => Ok(()),
    }
}

/// Fails if an unfinished download will replace what is at `path`, or a folder that contains it.
pub(crate) fn refuse_if_being_replaced(
    transfers: &Transfers,
    path: &Path,
) -> Result<(), PeerError> {
    let replaces = |transfer: &Arc<Transfer>| {
        let is_unfinished = transfer.plan.is_download() && !transfer.phase().was_complete();
        let place = transfer.plan.path();
        is_unfinished
            && transfer.plan.replaces
            && (is_same_entry(&place, path) || path.starts_with(place))
    };
    match transfers.transfers().into_iter().find(replaces) {
        Some(other) => Err(PeerError::BeingReplaced {
            path: path.to_owned(),
            name: other.name_of_version(),
            command: command_text("cancel", &[&other.name_of_version()], &[]),
        }),
        None => Ok(()),
    }
}

/// Refuses to replace a folder, with all that is in it, if another transfer has files in it.
pub(crate) fn check_nothing_inside(
    transfers: &Transfers,
    info_hash: InfoHash,
    place: &Destination,
) -> Result<(), PeerError> {
    let folder = place.path();
    let is_inside = |path: &Path| path != folder && path.starts_with(&folder);
    let others = transfers.transfers().into_iter();
    for other in others.filter(|other| other.info_hash() != info_hash) {
        if let Some(path) = other.paths().into_iter().find(|path| is_inside(path)) {
            let name = other.name().to_owned();
            return Err(PeerError::PlaceInUse { path, name });
        }
    }
    Ok(())
}
