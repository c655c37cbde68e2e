//! Starts the download of a share of a group, for a person or for a mirror.

use super::missing_version::MissingVersion;
use crate::peer::{
    DownloadOptions, FileChoice, GroupPart, GroupShare, Membership, OpenedUpdate, PeerError,
    PlannedDownload, Services, Started, SwarmEntry, Transfer, VersionsHere, accept_existing,
    choice_with, entry_exists_error, open_update, refuse_if_being_replaced,
};
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
    pub(crate) options: &'a DownloadOptions,
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
            options,
            only,
        } = wanted;
        let found = self.account.share(&membership.group, name)?;
        if self.context.stop.is_stopped() {
            return Err(PeerError::Stopping);
        }
        if only.is_some_and(|only| only != found.info.info_hash()) {
            return Err(PeerError::OtherVersion(name.chars().take(80).collect()));
        }
        Selection::of(&found.info, &options.choice.only)?;
        let metainfo = Metainfo::new(found.info.clone(), Vec::new());
        let versions = VersionsHere::of(&self.transfers, &membership, &found.version.share);
        let place = versions.place(&self.transfers, &metainfo, &options.destination)?;
        let started = Started {
            version: Some(found.version.number),
            ..Started::new(metainfo.info(), place.path())
        };
        let is_missing = found.has_no_holder() && found.is_named_version(name);
        let missing = is_missing.then(|| MissingVersion::new(&membership.group, name));
        let user = membership.user.clone();
        let planned = PlannedDownload {
            metainfo,
            place,
            choice: options.choice.clone(),
            peers: Vec::new(),
            former: None,
            group: None,
        };
        if let Some(entry) = self.transfers.entry(started.info_hash)
            && let Some(here) = self.use_entry(&entry, &user, &started, options)?
        {
            return Ok(here);
        }
        let others = versions.others_at(started.info_hash, &planned.place);
        let own = self.transfers.transfer(started.info_hash);
        let is_new = own.as_ref().is_none_or(|own| own.has_ended());
        let supersedes = own.map(|own| own.supersedes()).unwrap_or_default();
        let share = GroupShare::new(membership, Some(found.version.clone()));
        let share = share.superseding(supersedes, false);
        if others.is_empty() || !is_new {
            let planned = PlannedDownload {
                group: Some(GroupPart::new(share, missing)),
                ..planned
            };
            let begun = planned.start(self, progress);
            let destination = &options.destination;
            let begun = begun.map(|()| started.clone());
            return accept_existing(&self.transfers, started.info_hash, destination, begun);
        }
        if let Some(missing) = &missing {
            missing.require_holder(self)?;
        }
        let replaces = replaced_number(&others);
        self.start_update(planned, share, others)?;
        Ok(Started {
            replaces,
            ..started
        })
    }

    /// Starts the download of a version at the place of `others`, which are other versions.
    fn start_update(
        &self,
        mut planned: PlannedDownload,
        share: GroupShare,
        others: Vec<Arc<Transfer>>,
    ) -> Result<(), PeerError> {
        let own = self.transfers.transfer(planned.metainfo.info().info_hash());
        if let Some(own) = own {
            planned = planned.inherit_choice(&own).0;
        }
        let choice = choice_with(&planned.choice, &others);
        let info = planned.metainfo.info();
        let OpenedUpdate {
            opened,
            mut supersedes,
        } = open_update(&self.transfers, info, &planned.place, others, &choice)?;
        let mut superseded_before = share.supersedes.clone();
        superseded_before.retain(|hash| !supersedes.contains(hash));
        supersedes.append(&mut superseded_before);
        let planned = PlannedDownload {
            choice,
            group: Some(GroupPart::new(share.superseding(supersedes, false), None)),
            ..planned
        };
        planned.enter(self, opened)
    }

    /// Uses what this peer has of the version already. Returns `None` if a download is to be
    /// started, or the running one extended.
    fn use_entry(
        &self,
        entry: &SwarmEntry,
        user: &SubjectLabel,
        started: &Started,
        options: &DownloadOptions,
    ) -> Result<Option<Started>, PeerError> {
        if !entry.has_ended() {
            return match entry {
                SwarmEntry::Transfer(other) if !belongs_to(other, Some(user)) => {
                    Err(here_for_another_user(other))
                }
                SwarmEntry::Transfer(other) if adds_files(other, &options.choice) => {
                    if entry.is_complete() {
                        refuse_if_being_replaced(&self.transfers, &other.plan.path())?;
                    }
                    Ok(None)
                }
                _ => {
                    let already = Err(entry_exists_error(entry));
                    let (hash, destination) = (started.info_hash, &options.destination);
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
                return match adds_files(other, &options.choice) {
                    true => Ok(None),
                    false => Ok(Some(started.clone())),
                };
            }
            // The earlier download may have been interrupted while it was renamed to its final
            // name.
            other.recover_rename()?;
        }
        Ok(None)
    }
}

/// Whether a choice has files that a transfer does not want.
fn adds_files(transfer: &Transfer, choice: &FileChoice) -> bool {
    let all = transfer.plan.choice.union(choice);
    let selection = Selection::of(transfer.info(), &all.only);
    transfer.plan.is_download() && selection.is_ok_and(|it| it != *transfer.plan.selection)
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
