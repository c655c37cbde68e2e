//! Shares and downloads of a closed run: no tracker announces them, no record keeps them; owners are named by the run.

use crate::peer::{DownloadState, OpenFiles, Peer, PeerError, TransferPlan, download_state};
use crate::storage::{Download, FileLayout, Mode, Place, RecordKind, Store};
use crate::torrent::{Info, InfoHash, Metainfo};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// How far an unlisted download is.
#[derive(Clone, Debug)]
pub struct Unlisted {
    /// Its state.
    pub state: DownloadState,
    /// Pieces verified so far.
    pub verified: u32,
    /// What it lacks.
    pub missing: Missing,
}

/// What an unlisted download lacks, given all living owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing, or what can still come.
    Nothing,
    /// These owners are not linked.
    Links(Vec<SocketAddr>),
    /// All owners are linked and none of them has these many pieces.
    Owners(u32),
}

impl Peer {
    /// Offers a file to whoever is told of it.
    ///
    /// # Errors
    /// When the file cannot be opened or is offered already.
    pub fn offer_unlisted(&self, info: Info, path: &Path) -> Result<(), PeerError> {
        let store = Store::open(FileLayout::all(Arc::new(info.clone())), path)?;
        store.stamps()?;
        let kind = RecordKind::Share(path.to_owned());
        let plan = TransferPlan::unlisted(Metainfo::new(info, Vec::new()), kind);
        let transfer = self.new_transfer(plan)?;
        self.take_up(transfer, OpenFiles::Whole(Arc::new(store)), |_| Ok(()))
    }

    /// Fetches a file from the owners named later.
    ///
    /// # Errors
    /// When the place cannot be used or the file is here already.
    pub fn fetch_unlisted(&self, info: Info, place: Place) -> Result<(), PeerError> {
        let layout = FileLayout::all(Arc::new(info.clone()));
        let download = Download::open(layout, &place, Mode::New)?;
        let kind = RecordKind::Download(place);
        let plan = TransferPlan::unlisted(Metainfo::new(info, Vec::new()), kind);
        let transfer = self.new_transfer(plan)?;
        self.take_up(transfer, OpenFiles::Partial(Arc::new(download)), |_| Ok(()))
    }

    /// Names owners of a share.
    pub fn name_owners(&self, info_hash: InfoHash, owners: &[SocketAddr]) {
        if let Some(transfer) = self.transfers.transfer(info_hash) {
            let others = owners
                .iter()
                .copied()
                .filter(|owner| *owner != self.address());
            transfer.add_candidates(others);
        }
    }

    /// How far a download is; `owners` are all that live, without ourselves.
    pub fn unlisted(&self, info_hash: InfoHash, owners: &[SocketAddr]) -> Option<Unlisted> {
        let transfer = self.transfers.transfer(info_hash)?;
        let (state, verified, missing) = transfer.inspect(|core| {
            let linked: HashSet<SocketAddr> = core
                .links()
                .filter_map(|(_, link)| link.listens_at())
                .collect();
            let unlinked = owners.iter().copied();
            let unlinked: Vec<SocketAddr> =
                unlinked.filter(|owner| !linked.contains(owner)).collect();
            let without_owner = core.picker().without_owner().count() as u32;
            let mut links = core.links();
            let heard_of_all = links.all(|(id, _)| core.picker().has_announced(id));
            let waits = core.phase().fetches() && core.with_workers() == 0 && without_owner > 0;
            let missing = match (waits, unlinked.is_empty()) {
                (true, false) => Missing::Links(unlinked),
                (true, true) if heard_of_all => Missing::Owners(without_owner),
                _ => Missing::Nothing,
            };
            (download_state(core.phase()), core.owned().count(), missing)
        });
        Some(Unlisted {
            state,
            verified,
            missing,
        })
    }
}
