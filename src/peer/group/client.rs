//! One announce to the swarms of a group: what it says, and what follows from the answer.
//!
//! What is due of one group at a time goes into one request, over a control connection that stays
//! open. A certificate is fetched in time.

use super::{Group, Groups};
use crate::certificate::Fingerprint;
use crate::peer::announce::Announced;
use crate::peer::announce::{self, Answer, Outcome};
use crate::peer::{Account, AccountError, Membership, Transfer};
use crate::wire::access::{Announce, AnnounceEvent, Announces, ErrorKind, Peers, Refused};
use crate::wire::name::Label;
use crate::wire::{Event, PeerId};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether the user of a group has logged in.
const SUSPENDED: Duration = Duration::from_secs(1);
/// The interval of a peer that listens nowhere, in seconds: it has nothing to announce.
const NOWHERE: u32 = 60;

/// The trackers of a group, as one user asks them about the swarms of one authority: one request may
/// announce all of these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupTrackers {
    membership: Membership,
    authority: Option<Fingerprint>,
}

/// What is kept of a swarm that is announced to them.
#[derive(Clone, Debug)]
pub(super) struct OfGroup {
    pub(super) transfer: Arc<Transfer>,
    pub(super) group: Arc<Group>,
}

/// An announce that is due.
pub(super) type Due = announce::Due<GroupTrackers, OfGroup>;

impl OfGroup {
    pub(super) fn trackers(&self) -> GroupTrackers {
        GroupTrackers {
            membership: self.group.membership.clone(),
            authority: self.transfer.authority(),
        }
    }
}

/// Makes announces, in the name of the user who is logged in.
#[derive(Clone, Debug)]
pub(crate) struct GroupClient {
    pub(crate) peer_id: PeerId,
    /// Where this peer listens.
    pub(crate) address: SocketAddr,
    pub(crate) account: Arc<Account>,
    pub(crate) groups: Arc<Groups>,
}

/// What trackers answered to one announce.
#[derive(Default)]
struct Heard {
    /// One of them took it.
    taken: bool,
    /// Who else is in the swarm, as long as we have no certificate to show to them.
    addresses: Vec<SocketAddr>,
    refused: Option<Refused>,
}

/// The same for all announces of one request.
struct Answers {
    heard: Vec<Heard>,
    interval: Duration,
    /// Why some trackers did not answer, if so.
    trouble: Option<String>,
    /// Why there is no certificate to show to those named, if there is none.
    uncertified: Option<Outcome>,
}

impl GroupClient {
    /// Makes the announces, with a certificate at hand, and acts on the answers. All of `due` is of
    /// one group.
    pub(super) fn attempt(&self, due: &[Due]) -> Vec<Outcome> {
        let all = |outcome: Outcome| vec![outcome; due.len()];
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
        let goes_on = due.iter().any(|due| !stops(due));
        if goes_on
            && group.needs_certificate()
            && let Err(error) = self.groups.certify(&self.account, group)
        {
            return all(failed(group, &error));
        }
        let answers = match self.ask(due, group) {
            Ok(answers) => answers,
            Err(error) => return all(failed(group, &error)),
        };
        let taken = |is_hungry| {
            Outcome::Answered(Answer {
                interval: answers.interval,
                min_interval: Some(Duration::ZERO),
                is_hungry,
            })
        };
        let outcomes = due.iter().zip(answers.heard).map(|(due, heard)| {
            let (trouble, uncertified) = (&answers.trouble, &answers.uncertified);
            match (heard.taken, heard.refused, trouble, uncertified) {
                (true, _, _, Some(outcome)) if !stops(due) => outcome.clone(),
                (true, ..) if stops(due) => taken(false),
                (true, ..) => {
                    due.payload.transfer.restore();
                    due.payload.transfer.found(heard.addresses);
                    taken(due.payload.transfer.is_hungry())
                }
                // A tracker that does not answer may know better.
                (_, Some(refused), Some(trouble), _) => untaken(format!("{refused}; {trouble}")),
                (_, Some(refused), None, _) => failed(group, &AccountError::Refused(refused)),
                (false, None, ..) => untaken(trouble.clone().unwrap_or_default()),
            }
        });
        outcomes.collect()
    }

    /// Makes the announces and collects the answers of all trackers.
    fn ask(&self, due: &[Due], group: &Group) -> Result<Answers, AccountError> {
        let authority = due.first().and_then(|due| due.tracker.authority);
        let (mut interval, mut barred) = (u32::MAX, Vec::new());
        let mut heard: Vec<Heard> = due.iter().map(|_| Heard::default()).collect();
        let said = due.iter().map(|due| (&*due.payload.transfer, due.event));
        let trouble = self.say(said, |peers| {
            if peers.swarms.iter().any(Result::is_ok) {
                interval = interval.min(peers.interval.max(1));
            }
            barred.extend(peers.barred);
            let certified = group.tls(authority).is_some();
            for ((due, heard), swarm) in due.iter().zip(&mut heard).zip(peers.swarms) {
                match swarm {
                    Err(refused) => heard.refused = Some(refused),
                    // What one tracker knows is of use before the next has answered.
                    Ok(addresses) if certified && !stops(due) => {
                        heard.taken = true;
                        due.payload.transfer.found(addresses);
                    }
                    Ok(addresses) => {
                        heard.taken = true;
                        heard.addresses.extend(addresses);
                    }
                }
            }
        })?;
        let mut goes_on = due.iter().zip(&heard);
        let goes_on = goes_on.any(|(due, heard)| heard.taken && !stops(due));
        // The group of the share is the asker's, but the certificate is of another one: that of an
        // earlier group of that name.
        let uncertified = if goes_on && group.tls(authority).is_none() {
            match self.groups.certify(&self.account, group) {
                Err(error) => Some(failed(group, &error)),
                Ok(_) if group.tls(authority).is_none() => Some(untaken(format!(
                    "{} is another group now than the one that has this share",
                    group.membership.group
                ))),
                Ok(_) => None,
            }
        } else {
            None
        };
        if heard.iter().any(|heard| heard.taken) {
            group.bar(&barred);
        }
        Ok(Answers {
            heard,
            interval: Duration::from_secs(interval.into()),
            trouble,
            uncertified,
        })
    }

    /// Sends announces of one group to all trackers; `found` gets what each answers. Returns why some
    /// did not answer, if so.
    pub(super) fn say<'a>(
        &self,
        said: impl Iterator<Item = (&'a Transfer, Option<Event>)>,
        mut found: impl FnMut(Peers),
    ) -> Result<Option<String>, AccountError> {
        let swarms = said.map(|(transfer, event)| {
            let amounts = transfer.snapshot(None);
            Announce {
                info_hash: transfer.info_hash(),
                uploaded: amounts.uploaded,
                downloaded: amounts.downloaded,
                left: amounts.left,
                event: event.and_then(on_wire),
            }
        });
        let swarms: Vec<_> = swarms.collect();
        let count = swarms.len();
        let announces = NonZeroU16::new(self.address.port())
            .and_then(|port| Announces::new(self.peer_id, port, swarms));
        match announces {
            Some(announces) => self.account.announce(announces, found),
            None => {
                found(Peers {
                    swarms: (0..count).map(|_| Ok(Vec::new())).collect(),
                    interval: NOWHERE,
                    barred: Vec::new(),
                });
                Ok(None)
            }
        }
    }
}

fn stops(due: &Due) -> bool {
    due.event == Some(Event::Stopped)
}

/// An event as the control connection has it.
fn on_wire(event: Event) -> Option<AnnounceEvent> {
    match event {
        Event::Started => Some(AnnounceEvent::Started),
        Event::Completed => Some(AnnounceEvent::Completed),
        Event::Stopped => Some(AnnounceEvent::Stopped),
        // Groups have no partial seeds.
        Event::Paused => None,
    }
}

/// Why nothing is announced in the name of a user.
pub(super) fn suspended_until(user: &Label) -> String {
    format!("suspended until {user} is logged in here")
}

fn suspended(group: &Group) -> Outcome {
    Outcome::Unlisted {
        pause: SUSPENDED,
        trouble: Some(suspended_until(&group.membership.user)),
    }
}

/// No tracker took it.
fn untaken(trouble: String) -> Outcome {
    Outcome::Failed {
        trouble,
        is_hungry: false,
    }
}

fn failed(group: &Group, error: &AccountError) -> Outcome {
    match error.refusal() {
        // One share may be off the catalogue while others of the group are on it.
        Some(ErrorKind::NotInCatalogue) => {
            group.doubt();
            Outcome::Over(format!("{}: {error}", group.membership.group))
        }
        Some(ErrorKind::NotAMember | ErrorKind::UnknownGroup) => {
            group.suspend();
            Outcome::Over(format!("{}: {error}", group.membership.group))
        }
        Some(ErrorKind::NotLoggedIn | ErrorKind::SessionEnded | ErrorKind::AccountGone) => {
            group.suspend();
            suspended(group)
        }
        _ => untaken(error.to_string()),
    }
}
