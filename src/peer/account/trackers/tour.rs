//! Announces of a group: which trackers get them.
//!
//! If there are at most two trackers, each gets all announces. If there are more, a group is
//! announced at two of them: those that live and that the group prefers ([`preferred_trackers`]).
//! An answer names the trackers of the group as that tracker sees them. If it names others, they
//! get the announces too.

use super::{AccountError, ClusterTrackers, TimeLimits, Trouble};
use crate::system::lock;
use crate::wire::access::{
    AccessAnswer, AccessReplyMessage, AccessRequest, Placement, TRACKERS_OF_GROUP, Token,
    preferred_trackers,
};
use crate::wire::name::Label;
use crate::wire::{HostPort, TrackerInfo};
use std::collections::BTreeSet;

/// One request to the trackers of a group.
#[derive(Debug)]
struct Tour {
    /// The numbers of all trackers, in the order in which they are asked.
    order: Vec<u32>,
    asked: BTreeSet<u32>,
    /// Trackers that an answer has named.
    named: Vec<u32>,
    /// The number of trackers that have carried out the request.
    accepted: usize,
}

impl Tour {
    fn new(order: Vec<u32>) -> Self {
        Self {
            order,
            asked: BTreeSet::new(),
            named: Vec::new(),
            accepted: 0,
        }
    }

    /// The tracker that is asked next.
    fn next(&mut self) -> Option<u32> {
        let is_new = |number: &u32| !self.asked.contains(number);
        let named = self.named.iter().copied().find(is_new);
        let in_order = || self.order.iter().copied().find(is_new);
        let next = named.or_else(|| in_order().filter(|_| self.accepted < TRACKERS_OF_GROUP))?;
        self.asked.insert(next);
        Some(next)
    }

    /// A tracker has carried out the request.
    fn on_accepted(&mut self, placement: Option<&Placement>) {
        self.accepted += 1;
        let named = placement.map_or(&[][..], |placement| &placement.trackers_of_group);
        let is_listed = |number: &&u32| self.order.contains(number);
        self.named.extend(named.iter().filter(is_listed));
    }
}

impl ClusterTrackers {
    /// Asks the trackers of a group, one after the other, and passes each reply to `each`. A
    /// tracker that failed lately is not asked for a while.
    ///
    /// # Errors
    /// TRACKER_INFO is not readable, or its only tracker cannot be trusted.
    pub(in crate::peer::account) fn ask_trackers_of_group(
        &self,
        group: &Label,
        ask: &AccessRequest,
        token: Option<&Token>,
        mut each: impl FnMut(Result<AccessReplyMessage, String>),
    ) -> Result<(), AccountError> {
        let info = self.info()?;
        let trust = self.trust(&info);
        let is_only = info.addresses.len() == 1;
        let limits = TimeLimits::of(ask, is_only);
        let numbered = self.numbered(&info);
        let mut tour = Tour::new(self.numbers_in_order(group, &numbered));
        while let Some(number) = tour.next() {
            let found = numbered.iter().find(|(known, _)| *known == number);
            let Some((_, tracker)) = found else { continue };
            if !is_only && self.is_avoided(tracker) {
                each(Err(format!(
                    "the tracker at {tracker} did not answer lately"
                )));
                continue;
            }
            match self.ask_at(tracker, &trust, ask, token, limits) {
                Ok(reply) => {
                    if let Ok(answer) = &reply.result {
                        let placement = placement_of(answer);
                        self.learn_number(tracker, placement);
                        tour.on_accepted(placement);
                    }
                    each(Ok(reply));
                }
                Err(Trouble::Untrusted(error)) if is_only => {
                    return Err(AccountError::Untrusted(error));
                }
                Err(Trouble::Untrusted(error)) => each(Err(error.to_string())),
                Err(Trouble::Silent { what, .. }) => each(Err(what)),
            }
        }
        Ok(())
    }

    /// The trackers in the order in which a group prefers them; those that failed lately come last.
    pub(super) fn in_order_of<'a>(
        &self,
        group: &Label,
        info: &'a TrackerInfo,
    ) -> Vec<&'a HostPort> {
        let numbered = self.numbered(info);
        let order = self.numbers_in_order(group, &numbered).into_iter();
        let find = |number| numbered.iter().find(|(known, _)| *known == number);
        order
            .filter_map(find)
            .map(|(_, tracker)| *tracker)
            .collect()
    }

    fn numbers_in_order(&self, group: &Label, numbered: &[(u32, &HostPort)]) -> Vec<u32> {
        let (live, avoided): (Vec<_>, Vec<_>) = numbered
            .iter()
            .partition(|(_, tracker)| !self.is_avoided(tracker));
        let in_order = |trackers: Vec<(u32, &HostPort)>| {
            preferred_trackers(group, trackers.into_iter().map(|(number, _)| number))
        };
        let mut order = in_order(live);
        order.extend(in_order(avoided));
        order
    }

    /// The listed trackers with their numbers. The number of a tracker is its position in its own
    /// TRACKER_INFO, if it has reported that; otherwise its position in the file of this peer,
    /// which may have another order.
    fn numbered<'a>(&self, info: &'a TrackerInfo) -> Vec<(u32, &'a HostPort)> {
        let known = lock(&self.known);
        let told = |tracker| known.get(tracker)?.number();
        let trackers = info.addresses.iter().zip(1..);
        trackers
            .map(|(tracker, position)| (told(tracker).unwrap_or(position), tracker))
            .collect()
    }

    fn learn_number(&self, tracker: &HostPort, placement: Option<&Placement>) {
        if let Some(placement) = placement
            && let Some(known) = lock(&self.known).get_mut(tracker)
        {
            known.set_number(placement.tracker);
        }
    }
}

/// Where the group is announced, as the answer says.
fn placement_of(answer: &AccessAnswer) -> Option<&Placement> {
    match answer {
        AccessAnswer::Peers(peers) => peers.placement.as_ref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The trackers that are asked, in their order. `answer` is the answer of each: the trackers
    /// that it names, or None if it does not answer.
    fn asked(order: &[u32], answer: impl Fn(u32) -> Option<Vec<u32>>) -> Vec<u32> {
        let mut tour = Tour::new(order.to_vec());
        let mut asked = Vec::new();
        while let Some(tracker) = tour.next() {
            asked.push(tracker);
            if let Some(trackers_of_group) = answer(tracker) {
                tour.on_accepted(Some(&Placement {
                    tracker,
                    trackers_of_group,
                }));
            }
        }
        asked
    }

    #[test]
    fn two_trackers_are_asked_and_the_next_one_if_one_of_them_is_silent() {
        assert_eq!(asked(&[4, 2, 1, 3], |_| Some(vec![4, 2])), [4, 2]);
        let without_four = |tracker| (tracker != 4).then(|| vec![2, 1]);
        assert_eq!(asked(&[4, 2, 1, 3], without_four), [4, 2, 1]);
        assert_eq!(asked(&[1, 2], |_| None), [1, 2]);
        assert_eq!(asked(&[7], |_| Some(Vec::new())), [7]);
    }

    #[test]
    fn trackers_that_an_answer_names_are_asked_too_and_unlisted_ones_are_not() {
        assert_eq!(asked(&[4, 2, 1, 3], |_| Some(vec![3, 9])), [4, 3]);
        let silent_three = |tracker| (tracker != 3).then(|| vec![3, 1]);
        assert_eq!(asked(&[4, 2, 1, 3], silent_three), [4, 3, 1]);
    }
}
