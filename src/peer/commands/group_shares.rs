//! The commands `list_files` and `download_file`.

use crate::peer::{
    DownloadOptions, FileChoice, GroupPart, GroupShare, OpenedUpdate, Peer, PeerError,
    PlannedDownload, Started, SwarmEntry, Transfer, VersionsHere, accept_existing, choice_with,
    entry_exists_error, open_update, refuse_if_being_replaced, refuse_without_holder,
};
use crate::torrent::{Metainfo, Selection};
use crate::wire::access::FileEntry;
use crate::wire::machine::SubjectLabel;
use crate::wire::name::Label;
use std::sync::Arc;

/// A share, or a version of a share, in a group's catalogue.
#[derive(Clone, Debug)]
pub struct ListedFile {
    /// The entry of the catalogue.
    pub entry: FileEntry,
    /// Whether this peer shares or downloads it.
    pub here: bool,
}

impl Peer {
    /// The catalogue of a group, sorted by name: an entry for each share, or with `versions` for
    /// each version.
    ///
    /// # Errors
    /// See [`AccountError`](crate::peer::AccountError).
    pub fn list_files(&self, group: &Label, versions: bool) -> Result<Vec<ListedFile>, PeerError> {
        let files = self.account().files(group, versions)?;
        let user = self.account().user();
        let listed = files.into_iter().map(|entry| ListedFile {
            here: self
                .transfers
                .transfer(entry.info_hash)
                .is_some_and(|transfer| {
                    !transfer.has_ended() && belongs_to(&transfer, user.as_ref())
                }),
            entry,
        });
        Ok(listed.collect())
    }

    /// Starts the download of a group's share: into the destination if that is a folder, otherwise
    /// to that path. Without a named destination, the share goes where this peer has another
    /// version of it. A version that is there is replaced once the new one is complete. An existing
    /// file with the same content is kept. If the choice is forced, other content is replaced too,
    /// and files of the other version that were changed here; until the download is complete, and
    /// if it fails, they stay unchanged. If this peer has other files of the share at the same
    /// place, also of another version, the union of both choices is wanted. `progress` is called
    /// with the number of bytes of existing files hashed so far and the number of all bytes.
    ///
    /// # Errors
    /// When the user is not logged in or not a member, the catalogue does not list the share, no
    /// tracker answers, no file matches the choice, no peer has the named version, the destination
    /// cannot be used, or the share is here already.
    pub fn download_file(
        &self,
        group: &Label,
        name: &str,
        options: &DownloadOptions,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Started, PeerError> {
        let membership = self.membership(group)?;
        let found = self.account().share(&membership.group, name)?;
        Selection::of(&found.info, &options.choice.only)?;
        let metainfo = Metainfo::new(found.info.clone(), Vec::new());
        let versions = VersionsHere::of(&self.transfers, &membership, &found.version.share);
        let place = versions.place(&self.transfers, &metainfo, &options.destination)?;
        let started = Started {
            version: Some(found.version.number),
            ..Started::new(metainfo.info(), place.path())
        };
        let is_missing = found.has_no_holder() && found.is_named_version(name);
        let missing = is_missing.then(|| name.to_owned());
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
        let share = GroupShare {
            supersedes: own.map(|own| own.supersedes()).unwrap_or_default(),
            ..GroupShare::new(membership, Some(found.version.clone()))
        };
        if others.is_empty() || !is_new {
            let planned = PlannedDownload {
                group: Some(GroupPart::new(share, missing)),
                ..planned
            };
            let begun = planned.start(&self.services, progress);
            let destination = &options.destination;
            let begun = begun.map(|()| started.clone());
            return accept_existing(&self.transfers, started.info_hash, destination, begun);
        }
        refuse_without_holder(missing.as_deref())?;
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
        let mut superseded_before = share.supersedes;
        superseded_before.retain(|hash| !supersedes.contains(hash));
        supersedes.append(&mut superseded_before);
        let group = GroupShare {
            supersedes,
            ..share
        };
        let planned = PlannedDownload {
            choice,
            group: Some(GroupPart::new(group, None)),
            ..planned
        };
        planned.enter(&self.services, opened)
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
                self.services.group_announcer.resume();
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
pub(super) fn belongs_to(transfer: &Transfer, user: Option<&SubjectLabel>) -> bool {
    let share = transfer.plan.group.as_ref();
    share.map(|share| &share.membership.user) == user
}
