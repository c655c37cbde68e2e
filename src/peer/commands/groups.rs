//! The commands for groups: log-in, and the end of shares of groups.

use crate::peer::{
    AccountError, LoggedIn, LoggedOut, Membership, Peer, PeerError, SwarmEntry, Transfer,
};
use crate::wire::access::{AccessErrorKind, DecisionEntry, DecisionOutcome, MeantVersion};
use crate::wire::name::Label;
use crate::wire::password::Password;
use std::sync::Arc;

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

    /// Ends a share or download of a group at this peer; a restart does not resume it. The name of
    /// a share means all its versions, `NAME@N` means one of them. Withdraws it from the catalogue
    /// if the user published it or owns the group, unless `scope` is this peer only. Returns
    /// whether it was withdrawn.
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
        let meant = self.account().meant_version(&membership.group, name);
        let to_end = self.transfers_named(&membership.group, name, meant.as_ref().ok());
        let seen = meant.map(|meant| meant.info_hash);
        let withdraw = || match scope {
            // The tracker withdraws only what the name meant just now.
            StopScope::Everywhere => seen
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
            self.mirrors.on_ended_by_user(transfer.info_hash());
            self.services.stop_one(&SwarmEntry::Transfer(transfer))?;
        }
        self.context.changes.notify();
        Ok(withdrawn)
    }

    /// The transfers of a group that a name means: all versions of a share, or one of them. `meant`
    /// is what the name means in the catalogue.
    fn transfers_named(
        &self,
        group: &Label,
        name: &str,
        meant: Option<&MeantVersion>,
    ) -> Vec<Arc<Transfer>> {
        let of_group = self.transfers.transfers().into_iter().filter(|transfer| {
            let other = transfer.membership();
            other.is_some_and(|other| other.group == *group)
        });
        let is_meant = |transfer: &Arc<Transfer>| {
            meant.is_some_and(|meant| {
                let is_of_share = || transfer.is_of_share(meant.share.as_str());
                transfer.info_hash() == meant.info_hash
                    || !meant.is_named_version(name) && is_of_share()
            })
        };
        let (same, others): (Vec<_>, Vec<_>) = of_group.partition(is_meant);
        if !same.is_empty() {
            return same;
        }
        // This peer may have a share of this name that the catalogue no longer lists. Then that
        // share is ended.
        let is_named = |other: &Arc<Transfer>| {
            let version = other.version().map(ToString::to_string);
            other.name() == name
                || version.as_deref() == Some(name)
                || other.info_hash().to_string() == name
        };
        others.into_iter().filter(is_named).collect()
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
