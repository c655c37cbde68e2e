//! Announces of the swarms of a group: their contents, and what follows from the answers.
//!
//! Due announces to the same [`GroupTrackers`] go into one request, over a control connection that
//! stays open. The client renews certificates before they expire.

use super::own_addresses::private_addresses;
use super::{Group, Groups, close_links_of_former_members};
use crate::certificate::Fingerprint;
use crate::peer::announce::Announced;
use crate::peer::announce::{self, AnnounceOutcome, TrackerAnswer, random_part};
use crate::peer::{Account, AccountError, GroupNames, Membership, Transfer, Transfers};
use crate::torrent::InfoHash;
use crate::wire::access::{
    AccessErrorKind, AccessRefusal, AnnounceBatch, AnnounceBatchAnswer, BarsDigest, FoundPeers,
    GroupAnnounceEvent, NamedGroup, SwarmAnnounce,
};
use crate::wire::machine::SubjectLabel;
use crate::wire::name::Label;
use crate::wire::{AnnounceEvent, PeerId};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

/// Interval at which the peer checks whether the user of a group has logged in.
const LOGIN_CHECK: Duration = Duration::from_secs(1);
/// The longest interval between announces while a download is under way.
const MAX_FETCHING_INTERVAL: Duration = Duration::from_secs(20);
/// The interval, in seconds, of a peer that does not listen. Such a peer sends no announces.
const NOT_LISTENING_INTERVAL: u32 = 60;

/// Which swarms one request can announce: those of one user and one group, whose members have
/// certificates of one authority. Shares of an earlier group with the same name have another
/// authority.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupTrackers {
    membership: Membership,
    authority: Option<Fingerprint>,
}

/// A transfer that is announced to these trackers.
#[derive(Clone, Debug)]
pub(super) struct GroupTransfer {
    pub(super) transfer: Arc<Transfer>,
}

/// An announce that is due.
pub(super) type GroupAnnounce = announce::DueAnnounce<GroupTrackers, GroupTransfer>;

impl GroupTransfer {
    /// `None` outside groups. The announcer calls this once for each transfer, and keeps the value
    /// even if the group is renamed later.
    pub(super) fn trackers(&self) -> Option<GroupTrackers> {
        Some(GroupTrackers {
            membership: self.transfer.membership()?,
            authority: self.transfer.authority(),
        })
    }

    /// Whether `is_affected` holds for the membership of the transfer, which has the present name
    /// of the group.
    pub(super) fn is_affected(&self, is_affected: impl Fn(&Membership) -> bool) -> bool {
        self.transfer.membership().as_ref().is_some_and(is_affected)
    }
}

/// Makes announces as the user who is logged in.
#[derive(Clone, Debug)]
pub(crate) struct GroupClient {
    pub(crate) peer_id: PeerId,
    /// The address that this peer listens on.
    pub(crate) address: SocketAddr,
    pub(crate) account: Arc<Account>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) names: Arc<GroupNames>,
    pub(crate) transfers: Arc<Transfers>,
}

/// The answers of the trackers for one swarm.
#[derive(Default)]
struct SwarmAnswer {
    /// At least one tracker listed the swarm.
    is_listed: bool,
    /// The other peers of the swarm, kept here while there is no certificate for links to them.
    found: Vec<FoundPeers>,
    refused: Option<AccessRefusal>,
}

/// The answers of the trackers to one request.
struct RequestAnswer {
    /// The group, under the name that the trackers have reported.
    group: Arc<Group>,
    swarms: Vec<SwarmAnswer>,
    interval: Duration,
    /// What went wrong at trackers that did not accept the request, if anything.
    trouble: Option<String>,
    /// Why there is no certificate for links to the peers, if there is none.
    uncertified: Option<AnnounceOutcome>,
}

impl GroupClient {
    /// Makes the announces, fetches a certificate if needed, and acts on the answers. All
    /// announces in `due` have the same [`GroupTrackers`].
    pub(super) fn announce_due(&self, due: &[GroupAnnounce]) -> Vec<AnnounceOutcome> {
        // All swarms of one request wait equally long, so that they are announced together again.
        let shared_part = random_part();
        let mut outcomes = self.outcomes(due);
        for outcome in &mut outcomes {
            if let AnnounceOutcome::Answered(TrackerAnswer { longer_by, .. })
            | AnnounceOutcome::Failed { longer_by, .. } = outcome
            {
                *longer_by = shared_part;
            }
        }
        outcomes
    }

    fn outcomes(&self, due: &[GroupAnnounce]) -> Vec<AnnounceOutcome> {
        let all = |outcome: AnnounceOutcome| vec![outcome; due.len()];
        let Some(first) = due.first() else {
            return Vec::new();
        };
        let Some(membership) = first.payload.transfer.membership() else {
            return Vec::new();
        };
        let group = self.groups.of(&membership);
        if self.account.user().as_ref() != Some(&group.membership.user) {
            suspend(&group, due);
            return all(suspended(&group));
        }
        let goes_on = due.iter().any(|due| !sends_stopped(due));
        let certified = match goes_on && group.needs_certificate() {
            true => self.groups.certify(&self.account, &group).map(drop),
            false => Ok(()),
        };
        if let Err(error) = &certified
            && !may_be_renamed(error)
        {
            return all(outcome_of_error(&group, error));
        }
        let answers = match self.request(due, &group, certified.is_err()) {
            Ok(answers) => answers,
            Err(error) => return all(outcome_of_error(&group, &error)),
        };
        let group = &answers.group;
        if let Err(error) = &certified
            && group.membership == membership
        {
            let is_listed = answers.swarms.iter().any(|swarm| swarm.is_listed);
            return all(outcome_without_certificate(group, error, is_listed));
        }
        let listed = |fetches, lacks_peers| {
            AnnounceOutcome::Answered(TrackerAnswer {
                interval: match fetches {
                    true => answers.interval.min(MAX_FETCHING_INTERVAL),
                    false => answers.interval,
                },
                min_interval: Some(Duration::ZERO),
                lacks_peers,
                longer_by: 0.0,
            })
        };
        let outcomes = due.iter().zip(answers.swarms).map(|(due, swarm)| {
            let (trouble, uncertified) = (&answers.trouble, &answers.uncertified);
            match (swarm.is_listed, swarm.refused, trouble, uncertified) {
                (true, _, _, Some(outcome)) if !sends_stopped(due) => outcome.clone(),
                (true, ..) if sends_stopped(due) => listed(false, false),
                (true, ..) => {
                    let transfer = &due.payload.transfer;
                    transfer.serve_again();
                    add_found(transfer, &swarm.found);
                    listed(transfer.phase().fetches(), transfer.lacks_peers())
                }
                // The refusal is not final: a tracker that does not answer may have newer data.
                (_, Some(refused), Some(trouble), _) => {
                    failed_with(format!("{refused}; {trouble}"))
                }
                (_, Some(refused), None, _) => {
                    outcome_of_error(group, &AccountError::Refused(refused))
                }
                (false, None, ..) => failed_with(trouble.clone().unwrap_or_default()),
            }
        });
        outcomes.collect()
    }

    /// Makes the announces and collects the answers of all trackers. `is_refused`: a tracker has
    /// refused a certificate of `group`.
    fn request(
        &self,
        due: &[GroupAnnounce],
        group: &Arc<Group>,
        is_refused: bool,
    ) -> Result<RequestAnswer, AccountError> {
        let mut names = Vec::new();
        let authority = due.first().and_then(|due| due.tracker.authority);
        let mut interval = u32::MAX;
        let mut swarms: Vec<SwarmAnswer> = due.iter().map(|_| SwarmAnswer::default()).collect();
        let announces = due.iter().map(|due| (&*due.payload.transfer, due.event));
        let seen_bars = group.seen_bars(authority);
        let trouble = self.announce(&group.membership.group, announces, seen_bars, |answer| {
            if answer.swarms.iter().any(Result::is_ok) {
                interval = interval.min(answer.interval.max(1));
            }
            names.extend(answer.group.clone());
            let certified = group.tls(authority).is_some();
            let bars_changed = group.take_answer(authority, answer, |results| {
                for ((due, swarm), result) in due.iter().zip(&mut swarms).zip(results) {
                    match result {
                        Err(refused) => swarm.refused = Some(refused),
                        // Use the addresses of one tracker before the next one answers.
                        Ok(found) if certified && !sends_stopped(due) => {
                            swarm.is_listed = true;
                            add_found(&due.payload.transfer, &[found]);
                        }
                        Ok(found) => {
                            swarm.is_listed = true;
                            swarm.found.push(found);
                        }
                    }
                }
            });
            if bars_changed {
                // At once: this thread checks all links only when all trackers have answered.
                close_links_of_former_members(&self.transfers, &self.groups);
            }
        })?;
        self.note_names(authority, &names, is_refused);
        let membership = due
            .first()
            .and_then(|due| due.payload.transfer.membership());
        let present = membership.map_or_else(|| Arc::clone(group), |it| self.groups.of(&it));
        let mut announced = due.iter().zip(&swarms);
        let goes_on = announced.any(|(due, swarm)| swarm.is_listed && !sends_stopped(due));
        // The trackers list the share, but this peer has no certificate of the share's authority.
        // The peer's present certificate may be that of an earlier group with the same name: fetch
        // a new one.
        let uncertified = if goes_on && present.tls(authority).is_none() {
            match self.groups.certify(&self.account, &present) {
                Err(error) => Some(outcome_without_certificate(&present, &error, true)),
                Ok(_) if present.tls(authority).is_none() => Some(failed_with(format!(
                    "the group {} was replaced by another group; this share belongs to the former one",
                    present.membership.group
                ))),
                Ok(_) => None,
            }
        } else {
            None
        };
        Ok(RequestAnswer {
            group: present,
            swarms,
            interval: Duration::from_secs(interval.into()),
            trouble,
            uncertified,
        })
    }

    /// Takes the name of the group from the answers to one request. If it is new, the group keeps
    /// its certificate, and the records of its transfers get the name, so that the next start
    /// knows it.
    fn note_names(&self, authority: Option<Fingerprint>, reports: &[NamedGroup], is_refused: bool) {
        let Some(authority) = authority else { return };
        if !self.names.on_reports(authority, reports, is_refused) {
            return;
        }
        if let [report, ..] = reports {
            let name = self.names.present(Some(authority), &report.name);
            self.groups.rename(authority, &name);
        }
        for transfer in self.transfers.of_groups() {
            if transfer.authority() == Some(authority) {
                transfer.record_group_name();
            }
        }
    }

    /// The addresses of the peers that have a share of a group or a part of it, as the trackers of
    /// the group know them. None if no tracker answers. If this peer does not serve the share, it
    /// asks as a peer that is about to fetch `length` bytes, and takes that back at once.
    pub(crate) fn addresses(
        &self,
        group: &Label,
        info_hash: InfoHash,
        length: u64,
    ) -> Vec<SocketAddr> {
        let transfer = self.transfers.transfer(info_hash);
        let served = || {
            transfer
                .as_ref()
                .filter(|transfer| transfer.phase().serves())
        };
        let amounts = served().map(|transfer| transfer.contents(None));
        let announce = |event| SwarmAnnounce {
            info_hash,
            uploaded: amounts.as_ref().map_or(0, |amounts| amounts.uploaded),
            downloaded: amounts.as_ref().map_or(0, |amounts| amounts.downloaded),
            left: amounts.as_ref().map_or(length, |amounts| amounts.left),
            event,
        };
        let mut addresses = BTreeSet::new();
        let mut ask = |event| {
            let batch = self.batch(vec![announce(event)])?;
            let asked = self.account.announce(group, batch, |answer| {
                let found = answer.swarms.iter().flatten();
                addresses.extend(found.flat_map(|found| found.addresses.iter()));
            });
            asked.inspect_err(|error| log::debug!("{error}")).ok()
        };
        let is_answered = ask(None).is_some();
        // A transfer that is not served is not announced, so nothing else would take this back.
        if is_answered && served().is_none() {
            ask(Some(GroupAnnounceEvent::Stopped));
        }
        addresses.into_iter().collect()
    }

    /// Sends announces of one group to its trackers, and calls `on_answer` with each answer.
    /// If at least one tracker accepts, returns what went wrong at the others, if anything.
    pub(super) fn announce<'a>(
        &self,
        group: &Label,
        announces: impl Iterator<Item = (&'a Transfer, Option<AnnounceEvent>)>,
        seen_bars: Option<BarsDigest>,
        mut on_answer: impl FnMut(AnnounceBatchAnswer),
    ) -> Result<Option<String>, AccountError> {
        let swarms = announces.map(|(transfer, event)| {
            let amounts = transfer.contents(event);
            SwarmAnnounce {
                info_hash: transfer.info_hash(),
                uploaded: amounts.uploaded,
                downloaded: amounts.downloaded,
                left: amounts.left,
                event: event.and_then(to_wire_event),
            }
        });
        let swarms: Vec<_> = swarms.collect();
        let count = swarms.len();
        match self.batch(swarms) {
            Some(announces) => {
                let announces = announces.with_seen_bars(seen_bars);
                self.account.announce(group, announces, on_answer)
            }
            None => {
                on_answer(AnnounceBatchAnswer {
                    swarms: (0..count).map(|_| Ok(FoundPeers::default())).collect(),
                    interval: NOT_LISTENING_INTERVAL,
                    barred: Some(Vec::new()),
                    placement: None,
                    group: None,
                });
                Ok(None)
            }
        }
    }

    /// A request with these announces. `None` if this peer does not listen, or if one request
    /// cannot have them.
    fn batch(&self, swarms: Vec<SwarmAnnounce>) -> Option<AnnounceBatch> {
        let port = NonZeroU16::new(self.address.port())?;
        let batch = AnnounceBatch::new(self.peer_id, port, swarms)?;
        Some(batch.with_private(private_addresses(self.address.ip())))
    }
}

/// The transfer calls these peers.
fn add_found(transfer: &Transfer, found: &[FoundPeers]) {
    let addresses = found.iter().flat_map(|found| found.addresses.iter());
    transfer.add_peers(addresses.collect());
    let private = found.iter().flat_map(FoundPeers::private);
    transfer.contacts(|contacts| contacts.add_private(private));
}

/// Whether the refusal of a certificate may mean that the group has another name now. An announce
/// does not contain the name of the group, so it works nevertheless, and its answer contains the
/// present name.
fn may_be_renamed(error: &AccountError) -> bool {
    matches!(
        error.refusal(),
        Some(AccessErrorKind::NotAMember | AccessErrorKind::UnknownGroup)
    )
}

fn sends_stopped(due: &GroupAnnounce) -> bool {
    due.event == Some(AnnounceEvent::Stopped)
}

/// The event in the form of a control connection.
fn to_wire_event(event: AnnounceEvent) -> Option<GroupAnnounceEvent> {
    match event {
        AnnounceEvent::Started => Some(GroupAnnounceEvent::Started),
        AnnounceEvent::Completed => Some(GroupAnnounceEvent::Completed),
        AnnounceEvent::Stopped => Some(GroupAnnounceEvent::Stopped),
        // Groups have no partial seeds.
        AnnounceEvent::Paused => None,
    }
}

/// Why nothing is announced for a user.
pub(super) fn suspended_until(user: &SubjectLabel) -> String {
    format!("suspended until {user} is logged in here")
}

/// Drops the certificate of a group whose user is not logged in, and ends the links.
fn suspend(group: &Group, due: &[GroupAnnounce]) {
    group.suspend();
    for due in due {
        let transfer = &due.payload.transfer;
        transfer.close_links("its user is not logged in");
    }
}

fn suspended(group: &Group) -> AnnounceOutcome {
    AnnounceOutcome::Unlisted {
        pause: LOGIN_CHECK,
        trouble: Some(suspended_until(&group.membership.user)),
    }
}

/// The outcome if no tracker accepted the announce.
fn failed_with(trouble: String) -> AnnounceOutcome {
    AnnounceOutcome::Failed {
        trouble,
        lacks_peers: false,
        longer_by: 0.0,
    }
}

/// The outcome if a tracker refused a certificate. If a tracker lists a swarm of the group, the
/// refusal is not final: one of them lags behind, and perhaps knows the group under another name.
fn outcome_without_certificate(
    group: &Group,
    error: &AccountError,
    is_listed: bool,
) -> AnnounceOutcome {
    match is_listed && may_be_renamed(error) {
        true => failed_with(error.to_string()),
        false => outcome_of_error(group, error),
    }
}

fn outcome_of_error(group: &Group, error: &AccountError) -> AnnounceOutcome {
    match error.refusal() {
        // The group is not suspended, because its other shares may still be listed. But it may be a
        // new group with the same name, so the certificate may be out of date.
        Some(AccessErrorKind::NotInCatalogue) => {
            group.renew_certificate_soon();
            AnnounceOutcome::Ended(format!("{}: {error}", group.membership.group))
        }
        Some(AccessErrorKind::NotAMember | AccessErrorKind::UnknownGroup) => {
            group.suspend();
            AnnounceOutcome::Ended(format!("{}: {error}", group.membership.group))
        }
        Some(
            AccessErrorKind::NotLoggedIn
            | AccessErrorKind::SessionEnded
            | AccessErrorKind::AccountGone
            | AccessErrorKind::MachineRevoked
            | AccessErrorKind::MachineSuspended
            | AccessErrorKind::TokenEnded,
        ) => {
            group.suspend();
            suspended(group)
        }
        _ => failed_with(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::MemberKey;
    use crate::peer::group::KnownMembers;
    use crate::wire::control::TextLine;

    #[test]
    fn a_refused_certificate_ends_no_share_that_a_tracker_lists() {
        let folder = tempfile::tempdir().unwrap();
        let key = MemberKey::generate().unwrap();
        let groups = Groups::new(key, KnownMembers::open(folder.path()).unwrap());
        let group = groups.of(&Membership {
            user: "nik".parse().unwrap(),
            group: "lab".parse().unwrap(),
        });
        for kind in [AccessErrorKind::NotAMember, AccessErrorKind::UnknownGroup] {
            let error = AccountError::Refused(AccessRefusal {
                kind,
                message: TextLine::new("no"),
                retry_seconds: None,
            });
            let outcome = |is_listed| outcome_without_certificate(&group, &error, is_listed);
            assert!(matches!(outcome(true), AnnounceOutcome::Failed { .. }));
            assert!(matches!(outcome(false), AnnounceOutcome::Ended(_)));
        }
    }
}
