//! Repairs a complete download whose files are bad: it becomes a download again that keeps what is
//! good and fetches the rest.

use super::of_group::GroupPart;
use super::opened_files::OpenedFiles;
use super::planned::PlannedDownload;
use super::recorded_place::{is_used_by_others, refuse_if_being_replaced};
use crate::peer::{GroupShare, PeerError, Services, SwarmEntry, Transfer, transfer_exists_error};
use crate::storage::{
    CheckReport, Destination, Download, DownloadMode, FileLayout, RecordKind, RecordedFiles,
    SetAside, StoreError,
};
use crate::torrent::Layout;
use std::path::Path;
use std::sync::Arc;

/// Begins the repair of a download that is not served any more, because of the bad files in
/// `report`. The good files stay in place and are not written.
///
/// # Errors
/// A bad file may not be written, or the download cannot begin. Then all files are where they were.
pub(crate) fn repair(
    services: &Services,
    former: &Arc<Transfer>,
    report: &CheckReport,
) -> Result<(), PeerError> {
    let RecordKind::Download(place) = &former.plan.kind else {
        return Err(transfer_exists_error(former));
    };
    refuse_if_being_replaced(&services.transfers, &place.path())?;
    let info_hash = former.info_hash();
    let is_used = |path: &Path| is_used_by_others(&services.transfers, info_hash, path);
    let selection = Arc::clone(&former.plan.selection);
    let layout = FileLayout::chosen(Arc::clone(former.info()), Arc::clone(&selection));
    let bad = report.bad_files();
    former.wait_for_workers();
    let aside = SetAside::new(&layout, place, &bad, &is_used)?;
    let begun = open(&layout, place, aside.partial())
        .map_err(PeerError::from)
        .and_then(|download| {
            let opened = OpenedFiles {
                extends: layout.info().layout() == Layout::Folder,
                ..OpenedFiles::partial(download, &selection)
            };
            planned(former, place).enter(services, opened)
        });
    if begun.is_err() {
        aside.put_back();
    }
    begun
}

fn open(layout: &FileLayout, place: &Destination, partial: &str) -> Result<Download, StoreError> {
    let mode = DownloadMode::extend_or_new(layout, place)?;
    let recorded = RecordedFiles {
        partial: Some(partial),
        is_recorded: true,
        ..RecordedFiles::NONE
    };
    Download::open(layout.clone(), place, mode, recorded)
}

/// The download that takes the place of `former`.
fn planned(former: &Arc<Transfer>, place: &Destination) -> PlannedDownload {
    let share = former.plan.group.as_ref();
    let share = share.zip(former.membership()).map(|(share, membership)| {
        let share = GroupShare {
            supersedes: former.supersedes(),
            ..GroupShare::new(membership, share.version.clone())
        };
        GroupPart::new(share, None)
    });
    PlannedDownload {
        metainfo: former.metainfo(),
        place: place.clone(),
        choice: former.plan.choice.clone(),
        peers: former.sources().peers,
        former: Some(SwarmEntry::Transfer(Arc::clone(former))),
        group: share,
    }
}
