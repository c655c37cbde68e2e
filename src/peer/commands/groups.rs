//! The commands for groups: log-in, and the shares of groups.

use crate::peer::{
    AccountError, LoggedIn, LoggedOut, Membership, OpenFiles, OpenedFiles, Peer, PeerError,
    RecordedPlace, Started, SwarmEntry, Transfer, TransferPlan, WantedPlace, accept_existing,
    check_nothing_inside, check_same_kind, check_unused, enter, entry_exists_error, place_of,
    whole_at,
};
use crate::storage::{Destination, DownloadMode, ExtraFiles, FileLayout, RecordKind, StoreError};
use crate::torrent::{Info, Metainfo, Selection};
use crate::wire::access::{AccessErrorKind, DecisionEntry, DecisionOutcome, FileEntry};
use crate::wire::machine::SubjectLabel;
use crate::wire::name::Label;
use crate::wire::password::Password;
use std::sync::Arc;

/// A share in a group's catalogue.
#[derive(Clone, Debug)]
pub struct ListedFile {
    /// The entry of the catalogue.
    pub entry: FileEntry,
    /// Whether this peer shares or downloads it.
    pub here: bool,
}

/// Where [`Peer::stop_share`] ends a share of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopScope {
    /// At this peer and in the catalogue.
    Everywhere,
    /// At this peer only. Other peers, also those of the same user, go on sharing it.
    ThisPeer,
}

impl Peer {
    /// Logs in. The user's transfers in groups are resumed.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn login(&self, user: &Label, password: Password) -> Result<LoggedIn, AccountError> {
        let login = self.account().login(user, password)?;
        self.services.group_announcer.resume();
        Ok(login)
    }

    /// Logs the machine of this peer in, if it is not logged in. Does nothing at a person's peer.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn log_in_machine(&self) -> Result<(), AccountError> {
        if self.account().machine().is_none() || self.account().user().is_some() {
            return Ok(());
        }
        let account = Arc::clone(&self.services.account);
        // An attempt of the thread `machine` may be under way: a command does not wait for it
        // without a way to interrupt it.
        self.account()
            .wait_for(move || account.log_in_machine())??;
        self.services.group_announcer.resume();
        Ok(())
    }

    /// Logs out. The user's transfers in groups are suspended until the next log-in.
    ///
    /// # Errors
    /// See [`AccountError`]; the login is then unchanged.
    pub fn logout(&self) -> Result<LoggedOut, AccountError> {
        self.account().check_is_of_a_person()?;
        let user = self.account().user().ok_or(AccountError::NotLoggedIn)?;
        let is_of_user = |membership: &Membership| membership.user == user;
        self.end_access("its user has logged out", is_of_user, || {
            self.account().logout()
        })
    }

    /// Leaves a group, and ends its transfers here. The last member can leave only with `end`,
    /// which ends the group.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn leave_group(&self, label: &Label, end: bool) -> Result<(), AccountError> {
        self.account().check_is_of_a_person()?;
        let user = self.account().user().ok_or(AccountError::NotLoggedIn)?;
        let is_this_membership =
            |membership: &Membership| membership.user == user && membership.group == *label;
        self.end_access("its user has left the group", is_this_membership, || {
            self.account().leave_group(label.clone(), end)
        })
    }

    /// Runs `end`, which ends a login or a membership. The trackers receive `stopped` first,
    /// because nothing can be announced for the user afterwards. If `end` succeeds, the affected
    /// groups lose their certificates, and their links end with `reason`. If `end` fails, the
    /// affected groups are announced again.
    fn end_access<T>(
        &self,
        reason: &str,
        is_affected: impl Fn(&Membership) -> bool,
        end: impl FnOnce() -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        self.services.group_announcer.suspend(&is_affected);
        let ended = end();
        if ended.is_ok() {
            for group in self.services.groups.all() {
                if is_affected(&group.membership) {
                    group.suspend();
                }
            }
            for transfer in self.transfers.transfers() {
                if transfer.membership().as_ref().is_some_and(&is_affected) {
                    transfer.close_links(reason);
                }
            }
        }
        // This is needed after a success too: the next announce of each affected transfer then
        // finds that its user is not logged in or not a member, and the transfer reports this.
        self.services.group_announcer.resume();
        self.context.changes.notify();
        ended
    }

    /// The catalogue of a group, sorted by name.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn list_files(&self, group: &Label) -> Result<Vec<ListedFile>, AccountError> {
        let files = self.account().files(group)?;
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

    /// Starts the download of a group's share: into `destination` if that is a folder, otherwise to
    /// that path. An existing file with the same content is kept. With `force`, other content is
    /// replaced once the download is complete; until then, and if the download fails, it stays
    /// unchanged. `progress` is called with the number of bytes of existing files hashed so far and
    /// the number of all bytes.
    ///
    /// # Errors
    /// When the user is not logged in or not a member, the catalogue does not list the share, no
    /// tracker answers, the destination cannot be used, or the share is here already.
    pub fn download_file(
        &self,
        group: &Label,
        name: &str,
        destination: &WantedPlace,
        force: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Started, PeerError> {
        let membership = self.membership(group)?;
        let info = self.account().metainfo(&membership.group, name)?;
        let metainfo = Metainfo::new(info, Vec::new());
        let place = place_of(&self.transfers, &metainfo, destination)?;
        let started = Started::new(metainfo.info(), place.path());
        if let Some(entry) = self.transfers.entry(started.info_hash) {
            if !entry.has_ended() {
                return match &entry {
                    SwarmEntry::Transfer(other) if !belongs_to(other, Some(&membership.user)) => {
                        Err(here_for_another_user(other))
                    }
                    _ => {
                        let already = Err(entry_exists_error(&entry));
                        accept_existing(&self.transfers, started.info_hash, destination, already)
                    }
                };
            }
            if let SwarmEntry::Transfer(other) = entry
                && belongs_to(&other, Some(&membership.user))
            {
                // The user has access again: share the copy that is here.
                if other.plan.path() == started.path && other.serve_again() {
                    self.services.group_announcer.resume();
                    return Ok(started);
                }
                // The earlier download may have been interrupted while it was renamed to its final
                // name.
                other.recover_rename()?;
            }
        }
        let opened = self.open_group_download(metainfo.info(), &place, force, progress)?;
        let transfer = self.new_transfer(TransferPlan {
            group: Some(membership),
            partial: opened.partial_name(),
            replaces: opened.replaces,
            ..TransferPlan::new(metainfo, RecordKind::Download(place))
        })?;
        enter(&self.transfers, &transfer, None, opened)?;
        Ok(started)
    }

    /// Opens the files of a new download of a group's share. If the files at the place are the
    /// complete share already, opens those.
    fn open_group_download(
        &self,
        info: &Info,
        place: &Destination,
        force: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<OpenedFiles, PeerError> {
        let (transfers, info_hash) = (&self.transfers, info.info_hash());
        check_unused(transfers, info_hash, place, force)?;
        let recorded = RecordedPlace::of(transfers, info_hash, place);
        let info = Arc::new(info.clone());
        let selection = Arc::new(Selection::all(&info));
        let layout = FileLayout::all(Arc::clone(&info));
        let path = match recorded.open(transfers, &layout, place, &DownloadMode::New) {
            Err(StoreError::Exists(path)) => path,
            opened => return Ok(OpenedFiles::partial(opened?, &selection)),
        };
        let command = self.services.commands.current();
        if let Some(store) = whole_at(&info, &path, progress, command.flag())? {
            let files = OpenFiles::Whole(Arc::new(store));
            return Ok(OpenedFiles::new(files, &info, &selection));
        }
        check_same_kind(&info, &path)?;
        if !force {
            return Err(PeerError::OtherContent(path));
        }
        check_nothing_inside(transfers, info_hash, place)?;
        let mode = DownloadMode::Replace(ExtraFiles::Remove);
        let download = recorded.open(transfers, &layout, place, &mode)?;
        Ok(OpenedFiles::replacement(download, &selection, false))
    }

    /// Ends a share or download of a group at this peer; a restart does not resume it. Withdraws it
    /// from the catalogue if the user published it or owns the group, unless `scope` is this peer
    /// only. Returns whether it was withdrawn.
    ///
    /// # Errors
    /// When this peer neither has the share nor withdraws it, or `scope` is
    /// [`StopScope::Everywhere`] and no tracker answers.
    pub fn stop_share(
        &self,
        group: &Label,
        name: &str,
        scope: StopScope,
    ) -> Result<bool, PeerError> {
        let membership = self.membership(group)?;
        let found = self.account().metainfo(&membership.group, name);
        let found = found.map(|info| info.info_hash());
        let info_hash = found.as_ref().ok().copied();
        let of_group = self.transfers.transfers().into_iter().filter(|transfer| {
            let other = transfer.membership();
            other.is_some_and(|other| other.group == membership.group)
        });
        let (same, others): (Vec<_>, Vec<_>) =
            of_group.partition(|transfer| Some(transfer.info_hash()) == info_hash);
        // This peer may have a share of this name that the catalogue no longer lists. Then that
        // share is ended.
        let to_end = if same.is_empty() {
            let with_this_name = others
                .into_iter()
                .filter(|other| other.name() == name || other.info_hash().to_string() == name);
            with_this_name.collect()
        } else {
            same
        };
        let withdraw = || match scope {
            // The tracker withdraws only what the name meant just now.
            StopScope::Everywhere => found
                .and_then(|seen| self.account().withdraw(&membership.group, name, seen))
                .map(|()| true),
            StopScope::ThisPeer if to_end.is_empty() => {
                Err(AccountError::NotHere(name.chars().take(80).collect()))
            }
            StopScope::ThisPeer => Ok(false),
        };
        let withdrawn = match withdraw() {
            Ok(withdrawn) => withdrawn,
            Err(AccountError::Refused(refused))
                if matches!(
                    refused.kind,
                    AccessErrorKind::NotThePublisher
                        | AccessErrorKind::NotAPublisher
                        | AccessErrorKind::UnknownShare
                        | AccessErrorKind::NotAMember
                        | AccessErrorKind::UnknownGroup
                ) =>
            {
                if to_end.is_empty() {
                    return Err(AccountError::Refused(refused).into());
                }
                false
            }
            Err(error) => return Err(error.into()),
        };
        for transfer in to_end {
            self.stop_one(&SwarmEntry::Transfer(transfer))?;
        }
        self.context.changes.notify();
        Ok(withdrawn)
    }

    /// The user who is logged in, as a member of `group`. Only a tracker can check whether the user
    /// is a member.
    pub(super) fn membership(&self, group: &Label) -> Result<Membership, AccountError> {
        let user = self.account().user().ok_or(AccountError::NotLoggedIn)?;
        let group = group.clone();
        Ok(Membership { user, group })
    }

    /// The decisions of others about the user; see [`crate::peer::Account::news`]. If a group has
    /// accepted the user, the announces are resumed: the user may share there again. A machine has
    /// no news.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn news(&self) -> Result<Vec<DecisionEntry>, AccountError> {
        if self.account().machine().is_some() {
            return Ok(Vec::new());
        }
        let news = self.account().news()?;
        if news
            .iter()
            .any(|entry| entry.outcome == DecisionOutcome::Accepted)
        {
            self.services.group_announcer.resume();
        }
        Ok(news)
    }
}

/// Records a transfer for the next start.
pub(super) fn save(transfer: &Transfer) -> Result<(), PeerError> {
    transfer.create_record()?;
    Ok(())
}

/// The error for a share that belongs to another user of this peer, who is not logged in. The share
/// is not served now.
fn here_for_another_user(other: &Transfer) -> PeerError {
    let what = "here for another user who is not logged in";
    PeerError::already(other.name(), what, other.plan.path())
}

/// Whether the transfer runs for this user.
fn belongs_to(transfer: &Transfer, user: Option<&SubjectLabel>) -> bool {
    transfer
        .plan
        .group
        .as_ref()
        .map(|membership| &membership.user)
        == user
}
