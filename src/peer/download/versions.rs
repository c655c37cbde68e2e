//! The versions of a share of a group at this peer: where they are, and how another version takes
//! the place of one.

use super::opened_files::OpenedFiles;
use super::place::{check_same_kind, place_of};
use super::recorded_place::{RecordedPlace, check_nothing_inside};
use crate::peer::{
    FileChoice, Membership, PeerError, Transfer, Transfers, WantedPlace, superseded,
};
use crate::storage::{
    Destination, DownloadMode, ExtraFiles, FileLayout, RecordKind, StoreError, is_same_entry,
};
use crate::swarm::Phase;
use crate::torrent::{Info, InfoHash, Metainfo, Selection};
use std::path::Path;
use std::sync::Arc;

/// The transfers of all versions of a share at this peer, the latest first.
pub(crate) struct VersionsHere {
    transfers: Vec<Arc<Transfer>>,
}

impl VersionsHere {
    /// The versions of the share that the catalogue of the group calls `share`.
    pub(crate) fn of(transfers: &Transfers, membership: &Membership, share: &str) -> Self {
        let is_version = |transfer: &Arc<Transfer>| {
            transfer.is_of_share(share) && transfer.membership().as_ref() == Some(membership)
        };
        let mut transfers = transfers.of_groups();
        transfers.retain(is_version);
        transfers.sort_by_key(|transfer| std::cmp::Reverse(transfer.plan.added_ms));
        Self { transfers }
    }

    /// The place for a version of the share. Without a named destination, that is where a version
    /// of the share is.
    ///
    /// # Errors
    /// The destination cannot be used, or this peer publishes a version that is there.
    pub(crate) fn place(
        &self,
        transfers: &Transfers,
        metainfo: &Metainfo,
        destination: &WantedPlace,
    ) -> Result<Destination, PeerError> {
        let info_hash = metainfo.info().info_hash();
        let mut all = self.transfers.iter();
        let own = all.find(|transfer| transfer.info_hash() == info_hash);
        if let Some(own) = own {
            // The place of this version itself is remembered too.
            return match destination.named {
                None if own.plan.is_download() => {
                    place_of(transfers, metainfo, &destination.at(own.plan.path()))
                }
                _ => place_of(transfers, metainfo, destination),
            };
        }
        let place = match self.remembered(metainfo, destination) {
            Some(place) => place,
            None => {
                if destination.named.is_none() {
                    // All versions here, if there are any, are published here.
                    self.refuse_own_share(|_| true)?;
                }
                place_of(transfers, metainfo, destination)?
            }
        };
        let path = place.path();
        self.refuse_own_share(|published| is_same_entry(&published.plan.path(), &path))?;
        Ok(place)
    }

    /// The place of a download of another version that the destination means.
    fn remembered(&self, metainfo: &Metainfo, destination: &WantedPlace) -> Option<Destination> {
        let mut downloads = self.transfers.iter().filter_map(|it| it.destination());
        let Some(named) = &destination.named else {
            return downloads.next().cloned();
        };
        let named = std::path::absolute(named).ok()?;
        // In a folder, the share has the name that the torrent says.
        let inside = named.join(metainfo.info().name().as_str());
        let is_meant = |place: &&Destination| {
            let path = place.path();
            let is_in_folder = !destination.is_exact && is_same_entry(&inside, &path);
            is_same_entry(&named, &path) || is_in_folder
        };
        downloads.find(is_meant).cloned()
    }

    /// The transfers of other versions at a place.
    pub(crate) fn others_at(&self, info_hash: InfoHash, place: &Destination) -> Vec<Arc<Transfer>> {
        let path = place.path();
        let others = self.transfers.iter().filter(|transfer| {
            transfer.info_hash() != info_hash && is_same_entry(&transfer.plan.path(), &path)
        });
        others.cloned().collect()
    }

    /// Fails if this peer publishes a version for which `is_meant` is true.
    fn refuse_own_share(&self, is_meant: impl Fn(&Transfer) -> bool) -> Result<(), PeerError> {
        let mut published = self.transfers.iter().filter(|it| !it.plan.is_download());
        match published.find(|transfer| is_meant(transfer)) {
            Some(transfer) => Err(PeerError::OwnShare {
                name: transfer.name().to_owned(),
                path: transfer.plan.path(),
            }),
            None => Ok(()),
        }
    }
}

/// The open files of a version that takes the place of others.
pub(crate) struct OpenedUpdate {
    pub(crate) opened: OpenedFiles,
    /// The info-hashes of the other versions.
    pub(crate) supersedes: Vec<InfoHash>,
}

/// Opens the chosen files of a version at the place of `others`, other versions of the share. A
/// complete one stays there until this version is complete. Downloads that are not complete end
/// when this one is recorded.
///
/// # Errors
/// The files of the complete version are missing, or were changed and the choice does not force it.
/// The place is used otherwise. The new files cannot be made.
pub(crate) fn open_update(
    transfers: &Transfers,
    info: &Info,
    place: &Destination,
    others: Vec<Arc<Transfer>>,
    choice: &FileChoice,
) -> Result<OpenedUpdate, PeerError> {
    let (info_hash, path) = (info.info_hash(), place.path());
    let supersedes: Vec<InfoHash> = others.iter().map(|other| other.info_hash()).collect();
    if let Some(other) = superseded::other_user(transfers, info_hash, &supersedes, &path) {
        let name = other.name().to_owned();
        return Err(PeerError::PlaceInUse { path, name });
    }
    let info = Arc::new(info.clone());
    let force = choice.force;
    let selection = Arc::new(Selection::of(&info, &choice.only)?);
    let layout = FileLayout::chosen(Arc::clone(&info), Arc::clone(&selection));
    let mut unfinished = Vec::new();
    let mut replaces = false;
    for other in others {
        let phase = other.settled_phase()?;
        // If what it had left is gone, the new partial file may get that name.
        other.left();
        match other.as_former_version() {
            None if phase.was_complete() || phase == Phase::Finishing => {
                let name = other.name_of_version();
                return Err(PeerError::BeingCompleted { name, path });
            }
            None => unfinished.push(other),
            Some(former) => {
                replaces = true;
                check_files_exist(&other, &path)?;
                check_same_kind(&info, &path)?;
                former.forced(force).check_replaceable(&layout, &path)?;
                check_nothing_inside(transfers, info_hash, place)?;
            }
        }
    }
    if !replaces && path.symlink_metadata().is_ok() {
        match force {
            true => check_same_kind(&info, &path)?,
            false => return Err(PeerError::OtherContent(path)),
        }
        replaces = true;
    }
    let recorded = RecordedPlace::of(transfers, info_hash, place);
    let mode = match replaces {
        true => DownloadMode::Replace(ExtraFiles::Keep),
        false => DownloadMode::New,
    };
    let download = recorded.open(transfers, &layout, place, &mode)?;
    let opened = match replaces {
        true => OpenedFiles::replacement(download, &selection, false),
        false => OpenedFiles::partial(download, &selection),
    };
    Ok(OpenedUpdate {
        opened: opened.ending(unfinished),
        supersedes,
    })
}

/// Fails if nothing is at the path of a complete version: its disk may not be mounted.
fn check_files_exist(former: &Transfer, path: &Path) -> Result<(), PeerError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(()),
        Err(_) => Err(PeerError::FilesMissing(
            former.reason_of_loss(&StoreError::Missing(path.to_owned())),
        )),
    }
}

impl Transfer {
    /// Where it is downloaded to. `None` if it is no download.
    fn destination(&self) -> Option<&Destination> {
        match &self.plan.kind {
            RecordKind::Download(place) => Some(place),
            RecordKind::Share(_) => None,
        }
    }
}
