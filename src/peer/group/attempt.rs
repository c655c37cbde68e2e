//! One announce to the swarms of a group: what it says, and what follows from the answer.
//!
//! What is due of one group at a time goes into one request, over a line that stays open. A certificate is fetched in time.

use super::{Group, now};
use crate::peer::account::AccountError;
use crate::peer::shared::Shared;
use crate::peer::transfer::{Phase, Transfer};
use crate::torrent::PieceSet;
use crate::wire::access::{Announce, AnnounceEvent, Announces, Peers, Refused};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

/// A download that has nobody to ask announces this often.
const HUNGRY: Duration = Duration::from_secs(3);
/// The interval of a peer that listens nowhere, in seconds: it has nothing to announce.
const NOWHERE: u32 = 60;

/// An announce that is due.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) transfer: Arc<Transfer>,
    pub(super) event: Option<AnnounceEvent>,
}

/// What came of an announce.
#[derive(Clone)]
pub(super) enum Outcome {
    /// Announce again after so long.
    Again(Duration),
    /// Nobody of the group is logged in.
    Suspended(String),
    /// It is not to be shared with this user any more.
    Out(String),
    /// It could not be said.
    Failed(String),
}

impl Due {
    pub(super) fn stops(&self) -> bool {
        self.event == Some(AnnounceEvent::Stopped)
    }

    /// Whether one request may announce both: they are of one group, as one user is in it.
    pub(super) fn is_with(&self, other: &Transfer) -> bool {
        let group = |transfer: &Transfer| transfer.group.as_ref().map(Arc::as_ptr);
        group(&self.transfer) == group(other) && self.transfer.authority == other.authority
    }
}

/// Says it, with a certificate at hand, and takes in what the answer tells. What is due is of one group.
pub(super) fn attempt(shared: &Shared, due: &[Due]) -> Vec<Outcome> {
    let all = |outcome: Outcome| vec![outcome; due.len()];
    let Some(first) = due.first() else {
        return Vec::new();
    };
    let Some(group) = &first.transfer.group else {
        return all(Outcome::Failed("it is of no group".to_owned()));
    };
    if shared.account.user().as_ref() != Some(&group.user) {
        group.suspend();
        for due in due {
            due.transfer.close_links("its user is not logged in");
        }
        let user = &group.user;
        let trouble = format!("suspended until {user} is logged in here");
        return all(Outcome::Suspended(trouble));
    }
    let authority = first.transfer.authority;
    let goes_on = due.iter().any(|due| !due.stops());
    if goes_on
        && group.needs_certificate()
        && let Err(error) = shared.groups.certify(&shared.account, group)
    {
        return all(failed(group, &error));
    }
    let (mut interval, mut barred) = (u32::MAX, Vec::new());
    let mut heard: Vec<Heard> = due.iter().map(|_| Heard::default()).collect();
    let said = say(shared, due, |peers| {
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
                    due.transfer.add_candidates(shared, addresses);
                }
                Ok(addresses) => {
                    heard.taken = true;
                    heard.addresses.extend(addresses);
                }
            }
        }
    });
    let trouble = match said {
        Ok(trouble) => trouble,
        Err(error) => return all(failed(group, &error)),
    };
    // The group of the share is the asker's, but the certificate is of another one: that of an earlier group of that name.
    let goes_on = due.iter().zip(&heard);
    let mut goes_on = goes_on.filter(|(due, heard)| heard.taken && !due.stops());
    let uncertified = if goes_on.next().is_some() && group.tls(authority).is_none() {
        match shared.groups.certify(&shared.account, group) {
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
    let pause = Duration::from_secs(interval.into());
    let outcomes = due.iter().zip(heard).map(|(due, heard)| {
        match (heard.taken, heard.refused, &trouble, &uncertified) {
            (true, _, _, Some(outcome)) if !due.stops() => outcome.clone(),
            (true, ..) if due.stops() => Outcome::Again(pause),
            (true, ..) => {
                due.transfer.comes_back(shared);
                due.transfer.add_candidates(shared, heard.addresses);
                Outcome::Again(if due.transfer.is_without_owner() {
                    pause.min(HUNGRY)
                } else {
                    pause
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

/// What trackers said to one announce.
#[derive(Default)]
struct Heard {
    /// One of them took it.
    taken: bool,
    /// Who else is in the swarm, as long as there is nothing to show to them.
    addresses: Vec<SocketAddr>,
    refused: Option<Refused>,
}

fn failed(group: &Group, error: &AccountError) -> Outcome {
    match error.kind() {
        // One share may be off the catalogue while others of the group are on it.
        "not-in-catalogue" => {
            group.doubt();
            Outcome::Out(format!("{}: {error}", group.label))
        }
        "not-a-member" | "unknown-group" => {
            group.suspend();
            Outcome::Out(format!("{}: {error}", group.label))
        }
        "not-logged-in" | "session-ended" | "account-gone" => {
            group.suspend();
            Outcome::Suspended(format!("suspended until {} is logged in here", group.user))
        }
        _ => Outcome::Failed(error.to_string()),
    }
}

/// Tells all trackers, of announces of one group; `found` takes in what each answers. Gives back why some did not, if so.
pub(super) fn say(
    shared: &Shared,
    due: &[Due],
    mut found: impl FnMut(Peers),
) -> Result<Option<String>, AccountError> {
    let swarms = due.iter().map(|due| Announce {
        info_hash: due.transfer.info_hash(),
        uploaded: due.transfer.uploaded_bytes(),
        downloaded: due.transfer.downloaded_bytes(),
        left: due.transfer.bytes_left(),
        event: due.event,
    });
    let announces = NonZeroU16::new(shared.address.port())
        .and_then(|port| Announces::new(shared.peer_id, port, swarms.collect()));
    match announces {
        Some(announces) => shared.account.announce(announces, found),
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

/// Ends links whose other side is no member any more, or whose certificate has ended.
pub(super) fn look_at_links(shared: &Shared) {
    let now = now();
    for transfer in shared.transfers() {
        let Some(group) = &transfer.group else {
            continue;
        };
        let links: Vec<_> = transfer.state().links.values().cloned().collect();
        for link in links {
            let Some(member) = &link.member else { continue };
            if group.is_barred(&member.user) {
                link.close(format!("{} is no member any more", member.user));
            } else if member.validity.not_after.since_1970() <= now {
                link.close(format!("the certificate of {} has ended", member.user));
            }
        }
    }
}

impl Transfer {
    /// A download that has nobody to ask.
    fn is_without_owner(&self) -> bool {
        let state = self.state();
        let asks = |id| state.picker.is_interesting(id);
        state.phase == Phase::Active && !state.links.keys().any(|id| asks(*id))
    }

    /// Its user may not have it any more, or it is off the catalogue. Says whether it stays here, to come back: what is
    /// complete does, as the file is its user's.
    pub(super) fn goes_out(&self, shared: &Shared, reason: &str) -> bool {
        {
            let mut state = self.state();
            match state.phase {
                Phase::Complete if state.out => return true,
                Phase::Complete => state.out = true,
                // These are not announced, and say why themselves.
                Phase::Lost(_) | Phase::Failed(_) => return true,
                _ => return false,
            }
        }
        shared.owned.remove(self.info_hash());
        self.close_links(reason);
        self.set_trouble(format!("not shared any more: {reason}"));
        shared.notify_change();
        true
    }

    /// Its user may have it: if it was complete and could not be shared, it is from now on. Says whether that is so.
    pub(super) fn comes_back(self: &Arc<Self>, shared: &Shared) -> bool {
        let current = shared.transfer(self.info_hash());
        if !current.is_some_and(|current| Arc::ptr_eq(&current, self)) {
            return false;
        }
        {
            let mut state = self.state();
            if !std::mem::take(&mut state.out) {
                return false;
            }
            state.trouble = None;
            if state.phase != Phase::Complete {
                return false;
            }
            let whole = PieceSet::full(self.info().lengths());
            shared.owned.insert(Arc::clone(self), whole);
        }
        log::info!("{}: shared again", self.name());
        shared.notify_change();
        true
    }
}
