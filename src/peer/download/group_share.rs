//! Starts the download of a share of a group, for a person or for a mirror.

use crate::peer::{
    FoundShare, GroupShare, Membership, OpenFiles, OpenedFiles, OpenedUpdate, PeerError,
    RecordedPlace, Services, Started, SwarmEntry, Transfer, TransferPlan, VersionsHere,
    WantedPlace, accept_existing, check_nothing_inside, check_same_kind, check_unused, enter,
    entry_exists_error, open_update, refuse_if_being_replaced, whole_at,
};
use crate::storage::{Destination, DownloadMode, ExtraFiles, FileLayout, RecordKind, StoreError};
use crate::torrent::{InfoHash, Metainfo, Selection};
use crate::wire::machine::SubjectLabel;
use std::sync::Arc;

/// A share of a group that is to be downloaded.
pub(crate) struct WantedGroupShare<'a> {
    /// The group, and the member whose download it is.
    pub(crate) membership: Membership,
    /// A name in the catalogue.
    pub(crate) name: &'a str,
    /// Refuses another version than this one.
    pub(crate) only: Option<InfoHash>,
    pub(crate) destination: &'a WantedPlace,
    /// Whether it may replace other content, and files that were changed here.
    pub(crate) force: bool,
}

impl Services {
    /// See [`Peer::download_file`](crate::peer::Peer::download_file).
    pub(crate) fn download_group_share(
        &self,
        wanted: WantedGroupShare<'_>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Started, PeerError> {
        let WantedGroupShare {
            membership,
            name,
            only,
            destination,
            force,
        } = wanted;
        let found = self.account.share(&membership.group, name)?;
        if self.context.stop.is_stopped() {
            return Err(PeerError::Stopping);
        }
        if only.is_some_and(|only| only != found.info.info_hash()) {
            return Err(PeerError::OtherVersion(name.chars().take(80).collect()));
        }
        let metainfo = Metainfo::new(found.info.clone(), Vec::new());
        let versions = VersionsHere::of(&self.transfers, &membership, &found.version.share);
        let place = versions.place(&self.transfers, &metainfo, destination)?;
        let started = Started {
            version: Some(found.version.number),
            ..Started::new(metainfo.info(), place.path())
        };
        let mut superseded_before = Vec::new();
        if let Some(entry) = self.transfers.entry(started.info_hash) {
            let user = &membership.user;
            if let Some(here) = self.use_entry(&entry, user, &started, destination)? {
                return Ok(here);
            }
            let ended = entry.into_transfer();
            superseded_before = ended.map(|it| it.supersedes()).unwrap_or_default();
        }
        let others = versions.others_at(started.info_hash, &place);
        let started = Started {
            replaces: replaced_number(&others),
            ..started
        };
        let is_missing = found.has_no_holder() && found.is_named_version(name);
        let missing = is_missing.then_some(name);
        let (opened, mut supersedes) = match others.is_empty() {
            true => {
                let opened = self.open_group_download(&found, &place, force, missing, progress)?;
                (opened, Vec::new())
            }
            false => {
                refuse_without_holder(missing)?;
                let OpenedUpdate { opened, supersedes } =
                    open_update(&self.transfers, &found.info, &place, others, force)?;
                (opened, supersedes)
            }
        };
        superseded_before.retain(|hash| !supersedes.contains(hash));
        supersedes.append(&mut superseded_before);
        let transfer = self.new_transfer(TransferPlan {
            group: Some(GroupShare {
                supersedes,
                forced: force,
                ..GroupShare::new(membership, Some(found.version))
            }),
            partial: opened.partial_name(),
            replaces: opened.replaces,
            ..TransferPlan::new(metainfo, RecordKind::Download(place))
        });
        enter(&self.transfers, &transfer, None, opened)?;
        Ok(started)
    }

    /// Uses what this peer has of the version already. Returns `None` if a download is to be
    /// started.
    fn use_entry(
        &self,
        entry: &SwarmEntry,
        user: &SubjectLabel,
        started: &Started,
        destination: &WantedPlace,
    ) -> Result<Option<Started>, PeerError> {
        if !entry.has_ended() {
            return match entry {
                SwarmEntry::Transfer(other) if !belongs_to(other, Some(user)) => {
                    Err(here_for_another_user(other))
                }
                _ => {
                    let already = Err(entry_exists_error(entry));
                    let hash = started.info_hash;
                    let here = accept_existing(&self.transfers, hash, destination, already)?;
                    // Otherwise the version that the user has asked for would go soon.
                    if entry.is_complete() {
                        refuse_if_being_replaced(&self.transfers, &here.path)?;
                    }
                    Ok(Some(here))
                }
            };
        }
        if let SwarmEntry::Transfer(other) = entry
            && belongs_to(other, Some(user))
        {
            // The user has access again: share the copy that is here.
            if other.plan.path() == started.path && other.serve_again() {
                self.group_announcer.resume();
                return Ok(Some(started.clone()));
            }
            // The earlier download may have been interrupted while it was renamed to its final
            // name.
            other.recover_rename()?;
        }
        Ok(None)
    }

    /// Opens the files of a new download of a group's share. If the files at the place are the
    /// complete share already, opens those. `missing`: the name of the version, if no other peer
    /// has anything of it.
    fn open_group_download(
        &self,
        found: &FoundShare,
        place: &Destination,
        force: bool,
        missing: Option<&str>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<OpenedFiles, PeerError> {
        let (transfers, info_hash) = (&self.transfers, found.info.info_hash());
        check_unused(transfers, info_hash, place, force)?;
        let path = place.path();
        if path.symlink_metadata().is_err() {
            refuse_without_holder(missing)?;
        }
        let recorded = RecordedPlace::of(transfers, info_hash, place);
        let info = Arc::new(found.info.clone());
        let selection = Arc::new(Selection::all(&info));
        let layout = FileLayout::all(Arc::clone(&info));
        let path = match recorded.open(transfers, &layout, place, &DownloadMode::New) {
            Err(StoreError::Exists(path)) => path,
            opened => return Ok(OpenedFiles::partial(opened?, &selection)),
        };
        let command = self.commands.current();
        if let Some(store) = whole_at(&info, &path, progress, command.flag())? {
            let files = OpenFiles::Whole(Arc::new(store));
            return Ok(OpenedFiles::new(files, &info, &selection));
        }
        refuse_without_holder(missing)?;
        check_same_kind(&info, &path)?;
        if !force {
            return Err(PeerError::OtherContent(path));
        }
        check_nothing_inside(transfers, info_hash, place)?;
        let mode = DownloadMode::Replace(ExtraFiles::Remove);
        let download = recorded.open(transfers, &layout, place, &mode)?;
        Ok(OpenedFiles::replacement(download, &selection, false))
    }
}

/// Fails if the version that was asked for is at no other peer: `missing` is its name.
fn refuse_without_holder(missing: Option<&str>) -> Result<(), PeerError> {
    match missing {
        Some(name) => Err(PeerError::NoHolder(name.chars().take(80).collect())),
        None => Ok(()),
    }
}

/// The number of the version that is replaced: of a complete one, if there is one.
fn replaced_number(others: &[Arc<Transfer>]) -> Option<u32> {
    let mut all: Vec<&Arc<Transfer>> = others.iter().collect();
    all.sort_by_key(|other| !other.phase().was_complete());
    all.first().and_then(|other| Some(other.version()?.number))
}

/// The error for a share that belongs to another user of this peer, who is not logged in. The share
/// is not served now.
fn here_for_another_user(other: &Transfer) -> PeerError {
    let what = "here for another user who is not logged in";
    PeerError::already(other.name(), what, other.plan.path())
}

/// Whether the transfer runs for this user.
pub(crate) fn belongs_to(transfer: &Transfer, user: Option<&SubjectLabel>) -> bool {
    let share = transfer.plan.group.as_ref();
    share.map(|share| &share.membership.user) == user
}
