//! Announces of the swarms of a group: their contents, and what follows from the answers.
//!
//! Due announces to the same [`GroupTrackers`] go into one request, over a control connection that
//! stays open. The client renews certificates before they expire.

use super::{Group, Groups, close_links_of_former_members};
use crate::certificate::Fingerprint;
use crate::peer::announce::Announced;
use crate::peer::announce::{self, AnnounceOutcome, TrackerAnswer, random_part};
use crate::peer::{Account, AccountError, Membership, Transfer, Transfers};
use crate::torrent::InfoHash;
use crate::wire::access::{
    AccessErrorKind, AccessRefusal, AnnounceBatch, AnnounceBatchAnswer, GroupAnnounceEvent,
    SwarmAnnounce,
};
use crate::wire::name::Label;
use crate::wire::{AnnounceEvent, CompactAddresses, PeerId};
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

/// The trackers of a group, for one user and the swarms of one authority. One request can announce
/// all of these swarms. Shares of an earlier group with the same name have another authority.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupTrackers {
    membership: Membership,
    authority: Option<Fingerprint>,
}

/// A transfer that is announced to these trackers, and its group.
#[derive(Clone, Debug)]
pub(super) struct GroupTransfer {
    pub(super) transfer: Arc<Transfer>,
    pub(super) group: Arc<Group>,
}

/// An announce that is due.
pub(super) type GroupAnnounce = announce::DueAnnounce<GroupTrackers, GroupTransfer>;

impl GroupTransfer {
    pub(super) fn trackers(&self) -> GroupTrackers {
        GroupTrackers {
            membership: self.group.membership.clone(),
            authority: self.transfer.authority(),
        }
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
    pub(crate) transfers: Arc<Transfers>,
}

/// The answers of the trackers for one swarm.
#[derive(Default)]
struct SwarmAnswer {
    /// At least one tracker listed the swarm.
    is_listed: bool,
    /// The other peers of the swarm, kept here while there is no certificate for links to them.
    addresses: Vec<SocketAddr>,
    refused: Option<AccessRefusal>,
}

/// The answers of the trackers to one request.
struct RequestAnswer {
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
        let group = &*first.payload.group;
        if self.account.user().as_ref() != Some(&group.membership.user) {
            group.suspend();
            for due in due {
                due.payload
                    .transfer
                    .close_links("its user is not logged in");
            }
            return all(suspended(group));
        }
        let goes_on = due.iter().any(|due| !sends_stopped(due));
        if goes_on
            && group.needs_certificate()
            && let Err(error) = self.groups.certify(&self.account, group)
        {
            return all(outcome_of_error(group, &error));
        }
        let answers = match self.request(due, group) {
            Ok(answers) => answers,
            Err(error) => return all(outcome_of_error(group, &error)),
        };
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
                    transfer.add_peers(swarm.addresses);
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

    /// Makes the announces and collects the answers of all trackers.
    fn request(&self, due: &[GroupAnnounce], group: &Group) -> Result<RequestAnswer, AccountError> {
        let authority = due.first().and_then(|due| due.tracker.authority);
        let mut interval = u32::MAX;
        let mut swarms: Vec<SwarmAnswer> = due.iter().map(|_| SwarmAnswer::default()).collect();
        let announces = due.iter().map(|due| (&*due.payload.transfer, due.event));
        let trouble = self.announce(&group.membership.group, announces, |answer| {
            if answer.swarms.iter().any(Result::is_ok) {
                interval = interval.min(answer.interval.max(1));
            }
            let certified = group.tls(authority).is_some();
            let bars_changed = group.take_answer(authority, answer, |results| {
                for ((due, swarm), result) in due.iter().zip(&mut swarms).zip(results) {
                    match result {
                        Err(refused) => swarm.refused = Some(refused),
                        // Use the addresses of one tracker before the next one answers.
                        Ok(addresses) if certified && !sends_stopped(due) => {
                            swarm.is_listed = true;
                            due.payload.transfer.add_peers(addresses.iter().collect());
                        }
                        Ok(addresses) => {
                            swarm.is_listed = true;
                            swarm.addresses.extend(addresses.iter());
                        }
                    }
                }
            });
            if bars_changed {
                // The check once a second would wait until all trackers have answered.
                close_links_of_former_members(&self.transfers, &self.groups);
            }
        })?;
        let mut announced = due.iter().zip(&swarms);
        let goes_on = announced.any(|(due, swarm)| swarm.is_listed && !sends_stopped(due));
        // The trackers list the share, but this peer has no certificate of the share's authority.
        // The peer's present certificate may be that of an earlier group with the same name: fetch
        // a new one.
        let uncertified = if goes_on && group.tls(authority).is_none() {
            match self.groups.certify(&self.account, group) {
                Err(error) => Some(outcome_of_error(group, &error)),
                Ok(_) if group.tls(authority).is_none() => Some(failed_with(format!(
                    "the group {} was replaced by another group; this share belongs to the former one",
                    group.membership.group
                ))),
                Ok(_) => None,
            }
        } else {
            None
        };
        Ok(RequestAnswer {
            swarms,
            interval: Duration::from_secs(interval.into()),
            trouble,
            uncertified,
        })
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
            let port = NonZeroU16::new(self.address.port())?;
            let batch = AnnounceBatch::new(self.peer_id, port, vec![announce(event)])?;
            let asked = self.account.announce(group, batch, |answer| {
                let found = answer.swarms.iter().flatten();
                addresses.extend(found.flat_map(CompactAddresses::iter));
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
        mut on_answer: impl FnMut(AnnounceBatchAnswer),
    ) -> Result<Option<String>, AccountError> {
        let swarms = announces.map(|(transfer, event)| {
            let amounts = transfer.contents(None);
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
        let announces = NonZeroU16::new(self.address.port())
            .and_then(|port| AnnounceBatch::new(self.peer_id, port, swarms));
        match announces {
            Some(announces) => self.account.announce(group, announces, on_answer),
            None => {
                on_answer(AnnounceBatchAnswer {
                    swarms: (0..count)
                        .map(|_| Ok(CompactAddresses::default()))
                        .collect(),
                    interval: NOT_LISTENING_INTERVAL,
                    barred: Vec::new(),
                    placement: None,
                });
                Ok(None)
            }
        }
    }
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
pub(super) fn suspended_until(user: &Label) -> String {
    format!("suspended until {user} is logged in here")
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
            | AccessErrorKind::AccountGone,
        ) => {
            group.suspend();
            suspended(group)
        }
        _ => failed_with(error.to_string()),
    }
}
