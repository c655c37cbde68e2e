//! One announce to the swarms of a group: what it says, and what follows from the answer.
//!
//! What is due of one group at a time goes into one request, over a control connection that stays
//! open. A certificate is fetched in time.

use super::{Group, Groups};
use crate::certificate::Fingerprint;
use crate::peer::{Account, AccountError, Announced};
use crate::wire::PeerId;
use crate::wire::access::{Announce, AnnounceEvent, Announces, ErrorKind, Peers, Refused};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

/// A download that has nobody to ask announces this often.
const HUNGRY: Duration = Duration::from_secs(3);
/// The interval of a peer that listens nowhere, in seconds: it has nothing to announce.
const NOWHERE: u32 = 60;

/// A share or download of a group.
pub(crate) trait GroupSwarm: Announced {
    /// The authority whose certificates its links need.
    fn authority(&self) -> Option<Fingerprint>;

    /// Ends its links.
    fn close_links(&self, reason: &str);

    /// Its user may have it: what was suspended goes on.
    fn may_be_shared(&self);

    /// Its user may no longer have it, or it is off the catalogue. Returns whether it stays here, so
    /// that it may come back: what is complete does, as the file is its user's.
    fn may_not_be_shared(&self, reason: &str) -> bool;

    /// Ends it for good.
    fn fail(&self, reason: &str);
}

/// An announce that is due.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) swarm: Arc<dyn GroupSwarm>,
    pub(super) group: Arc<Group>,
    pub(super) event: Option<AnnounceEvent>,
}

/// What came of an announce.
#[derive(Clone)]
pub(super) enum Outcome {
    /// Announce again after this long.
    Again(Duration),
    /// Nobody of the group is logged in.
    Suspended(String),
    /// It is not to be shared with this user any longer.
    Out(String),
    /// No tracker took it.
    Failed(String),
}

impl Due {
    pub(super) fn stops(&self) -> bool {
        self.event == Some(AnnounceEvent::Stopped)
    }

    /// Whether one request may announce both: they are of one group, as one user is in it.
    pub(super) fn is_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.group, &other.group) && self.swarm.authority() == other.swarm.authority()
    }
}

/// Makes announces, in the name of the user who is logged in.
#[derive(Clone, Debug)]
pub(crate) struct Speaker {
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

impl Speaker {
    /// Makes the announces, with a certificate at hand, and acts on the answers. All of `due` is of
    /// one group.
    pub(super) fn attempt(&self, due: &[Due]) -> Vec<Outcome> {
        let all = |outcome: Outcome| vec![outcome; due.len()];
        let Some(first) = due.first() else {
            return Vec::new();
        };
        let group = &*first.group;
        if self.account.user().as_ref() != Some(&group.user) {
            group.suspend();
            for due in due {
                due.swarm.close_links("its user is not logged in");
            }
            return all(Outcome::Suspended(suspended(group)));
        }
        let goes_on = due.iter().any(|due| !due.stops());
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
        let outcomes = due.iter().zip(answers.heard).map(|(due, heard)| {
            let (trouble, uncertified) = (&answers.trouble, &answers.uncertified);
            match (heard.taken, heard.refused, trouble, uncertified) {
                (true, _, _, Some(outcome)) if !due.stops() => outcome.clone(),
                (true, ..) if due.stops() => Outcome::Again(answers.interval),
                (true, ..) => {
                    due.swarm.may_be_shared();
                    due.swarm.found(heard.addresses);
                    Outcome::Again(match due.swarm.is_hungry() {
                        true => answers.interval.min(HUNGRY),
                        false => answers.interval,
                    })
                }
                // A tracker that does not answer may know better.
                (_, Some(refused), Some(trouble), _) => {
                    Outcome::Failed(format!("{refused}; {trouble}"))
                }
                (_, Some(refused), None, _) => failed(group, &AccountError::Refused(refused)),
                (false, None, ..) => Outcome::Failed(trouble.clone().unwrap_or_default()),
            }
        });
        outcomes.collect()
    }

    /// Makes the announces and collects the answers of all trackers.
    fn ask(&self, due: &[Due], group: &Group) -> Result<Answers, AccountError> {
        let authority = due.first().and_then(|due| due.swarm.authority());
        let (mut interval, mut barred) = (u32::MAX, Vec::new());
        let mut heard: Vec<Heard> = due.iter().map(|_| Heard::default()).collect();
        let trouble = self.say(due, |peers| {
            if peers.swarms.iter().any(Result::is_ok) {
                interval = interval.min(peers.interval.max(1));
            }
            barred.extend(peers.barred);
            let certified = group.tls(authority).is_some();
            for ((due, heard), swarm) in due.iter().zip(&mut heard).zip(peers.swarms) {
                match swarm {
                    Err(refused) => heard.refused = Some(refused),
                    // What one tracker knows is of use before the next has answered.
                    Ok(addresses) if certified && !due.stops() => {
                        heard.taken = true;
                        due.swarm.found(addresses);
                    }
                    Ok(addresses) => {
                        heard.taken = true;
                        heard.addresses.extend(addresses);
                    }
                }
            }
        })?;
        let mut goes_on = due.iter().zip(&heard);
        let goes_on = goes_on.any(|(due, heard)| heard.taken && !due.stops());
        // The group of the share is the asker's, but the certificate is of another one: that of an
        // earlier group of that name.
        let uncertified = if goes_on && group.tls(authority).is_none() {
            match self.groups.certify(&self.account, group) {
                Err(error) => Some(failed(group, &error)),
                Ok(_) if group.tls(authority).is_none() => Some(Outcome::Failed(format!(
                    "{} is another group now than the one that has this share",
                    group.label
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
    pub(super) fn say(
        &self,
        due: &[Due],
        mut found: impl FnMut(Peers),
    ) -> Result<Option<String>, AccountError> {
        let swarms = due.iter().map(|due| {
            let amounts = due.swarm.snapshot(None);
            Announce {
                info_hash: due.swarm.info_hash(),
                uploaded: amounts.uploaded,
                downloaded: amounts.downloaded,
                left: amounts.left,
                event: due.event,
            }
        });
        let announces = NonZeroU16::new(self.address.port())
            .and_then(|port| Announces::new(self.peer_id, port, swarms.collect()));
        match announces {
            Some(announces) => self.account.announce(announces, found),
            None => {
                found(Peers {
                    swarms: due.iter().map(|_| Ok(Vec::new())).collect(),
                    interval: NOWHERE,
                    barred: Vec::new(),
                });
                Ok(None)
            }
        }
    }
}

fn suspended(group: &Group) -> String {
    format!("suspended until {} is logged in here", group.user)
}

fn failed(group: &Group, error: &AccountError) -> Outcome {
    match error.refusal() {
        // One share may be off the catalogue while others of the group are on it.
        Some(ErrorKind::NotInCatalogue) => {
            group.doubt();
            Outcome::Out(format!("{}: {error}", group.label))
        }
        Some(ErrorKind::NotAMember | ErrorKind::UnknownGroup) => {
            group.suspend();
            Outcome::Out(format!("{}: {error}", group.label))
        }
        Some(ErrorKind::NotLoggedIn | ErrorKind::SessionEnded | ErrorKind::AccountGone) => {
            group.suspend();
            Outcome::Suspended(suspended(group))
        }
        _ => Outcome::Failed(error.to_string()),
    }
}
