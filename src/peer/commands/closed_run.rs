//! Shares and downloads of a closed run. They are not announced and not recorded. The tracker of
//! the run names the owners of each file: the clients that have it or a part of it.

use crate::peer::{
    DownloadState, OpenFiles, Peer, PeerError, RecordedPlace, TransferPlan, check_unused,
    download_state,
};
use crate::storage::{Destination, Download, DownloadMode, FileLayout, RecordKind, Store};
use crate::torrent::{Info, InfoHash, Metainfo};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Progress of a download in a closed run.
#[derive(Clone, Debug)]
pub struct ClosedRunProgress {
    /// Its state.
    pub state: DownloadState,
    /// Pieces verified so far.
    pub verified: u32,
    /// What prevents it from completing.
    pub obstacle: Obstacle,
}

/// What prevents a download in a closed run from completing. Only living owners count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Nothing: it is complete, or the owners can still send the missing pieces.
    Nothing,
    /// No link to these owners exists.
    NoLinkTo(Vec<SocketAddr>),
    /// The number of missing pieces that no owner has. There is a link to each owner.
    NoOwnerOf(u32),
}

impl Peer {
    /// Serves a file to peers that call.
    ///
    /// # Errors
    /// When the file cannot be opened or does not have the length in `info`, when this peer has a
    /// transfer of it already, or when the peer is stopping.
    pub fn offer_in_closed_run(&self, info: Info, path: &Path) -> Result<(), PeerError> {
        let store = Store::open(FileLayout::all(Arc::new(info.clone())), path)?;
        // Fails if the file is missing or has another length.
        store.stamps()?;
        let kind = RecordKind::share(path.to_owned());
        let plan = TransferPlan::in_closed_run(Metainfo::new(info, Vec::new()), kind);
        let transfer = self.new_transfer(plan)?;
        self.start_transfer(transfer, OpenFiles::Whole(Arc::new(store)), |_| Ok(()))
    }

    /// Downloads a file from owners that are named later.
    ///
    /// # Errors
    /// When the place cannot be used, when this peer has a transfer of the file already, or when
    /// the peer is stopping.
    pub fn fetch_in_closed_run(&self, info: Info, place: Destination) -> Result<(), PeerError> {
        let layout = FileLayout::all(Arc::new(info.clone()));
        check_unused(&self.transfers, info.info_hash(), &place, false)?;
        // There are no records, so nothing is recorded about this place either.
        let (recorded, mode) = (RecordedPlace::in_closed_run(), DownloadMode::New);
        let download = Arc::new(recorded.open(&self.transfers, &layout, &place, &mode)?);
        let started = self.start_in_closed_run(info, place, Arc::clone(&download));
        if started.is_err() {
            download.undo();
        }
        started
    }

    fn start_in_closed_run(
        &self,
        info: Info,
        place: Destination,
        download: Arc<Download>,
    ) -> Result<(), PeerError> {
        let kind = RecordKind::Download(place);
        download.make_files()?;
        let plan = TransferPlan {
            partial: Some(download.partial_name().to_owned()),
            ..TransferPlan::in_closed_run(Metainfo::new(info, Vec::new()), kind)
        };
        let transfer = self.new_transfer(plan)?;
        self.start_transfer(transfer, OpenFiles::Partial(download), |_| Ok(()))
    }

    /// Adds owners of a share.
    pub fn add_owners(&self, info_hash: InfoHash, owners: &[SocketAddr]) {
        if let Some(transfer) = self.transfers.transfer(info_hash) {
            let others = owners
                .iter()
                .copied()
                .filter(|owner| *owner != self.address());
            transfer.add_candidates(others);
        }
    }

    /// The progress of a download. `None` if this peer has no such transfer. `owners` lists all
    /// living owners, without this peer.
    pub fn closed_run_progress(
        &self,
        info_hash: InfoHash,
        owners: &[SocketAddr],
    ) -> Option<ClosedRunProgress> {
        let transfer = self.transfers.transfer(info_hash)?;
        let (state, verified, obstacle) = transfer.inspect(|core| {
            let linked: HashSet<SocketAddr> = core
                .links()
                .filter_map(|(_, link)| link.listens_at())
                .collect();
            let owners = owners.iter().copied();
            let unlinked: Vec<SocketAddr> =
                owners.filter(|owner| !linked.contains(owner)).collect();
            let unavailable = core.picker().unavailable().count() as u32;
            let mut links = core.links();
            let pieces_are_known = links.all(|(id, _)| core.picker().has_announced(id));
            let links_lack_pieces =
                core.phase().fetches() && core.blocks_at_workers() == 0 && unavailable > 0;
            let obstacle = match (links_lack_pieces, unlinked.is_empty()) {
                (true, false) => Obstacle::NoLinkTo(unlinked),
                (true, true) if pieces_are_known => Obstacle::NoOwnerOf(unavailable),
                _ => Obstacle::Nothing,
            };
            (
                download_state(core.phase(), 0),
                core.owned().count(),
                obstacle,
            )
        });
        Some(ClosedRunProgress {
            state,
            verified,
            obstacle,
        })
    }
}
