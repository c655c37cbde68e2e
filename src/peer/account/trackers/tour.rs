//! Announces of a group: which trackers get them.
//!
//! If there are at most two trackers, each gets all announces. If there are more, a group is
//! announced at two of them. A hash of the group's name puts the trackers into an order
//! ([`preferred_trackers`]): the first two in this order that did not fail lately are asked.
//! The answer of a tracker names the trackers of the group as that tracker sees them. The named
//! trackers are asked next. Other trackers are asked only until two have carried out the request.

use super::{AccountError, ClusterTrackers, TimeLimits, Trouble};
use crate::system::lock;
use crate::wire::access::{
    AccessAnswer, AccessReplyMessage, AccessRequest, Placement, TRACKERS_OF_GROUP, Token,
    preferred_trackers,
};
use crate::wire::name::Label;
use crate::wire::{HostPort, TrackerInfo};

/// One request to the trackers of a group. A position is that of a tracker in the TRACKER_INFO of
/// this peer, counted from 0.
#[derive(Debug)]
struct Tour {
    trackers: Vec<Tracker>,
    /// The positions in the order in which the trackers are asked.
    order: Vec<usize>,
    /// The trackers that answers have named, each by its [`Number`].
    named: Vec<u32>,
    /// How many trackers have carried out the request.
    accepted: usize,
}

/// A tracker of a tour.
#[derive(Clone, Copy, Debug)]
struct Tracker {
    number: Number,
    was_asked: bool,
}

/// The number that a tracker has in its own TRACKER_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    /// The tracker has reported it.
    Reported(u32),
    /// Its position in our TRACKER_INFO, counted from 1: the files probably have the same order.
    Guessed(u32),
    /// The files do not have the same order.
    Unknown,
}

impl Number {
    fn get(self) -> Option<u32> {
        match self {
            Self::Reported(number) | Self::Guessed(number) => Some(number),
            Self::Unknown => None,
        }
    }
}

impl Tour {
    fn new(numbers: &[Number], order: Vec<usize>) -> Self {
        let trackers = numbers.iter().map(|number| Tracker {
            number: *number,
            was_asked: false,
        });
        Self {
            trackers: trackers.collect(),
            order,
            named: Vec::new(),
            accepted: 0,
        }
    }

    /// Returns the position of the tracker to ask next, and marks that tracker as asked. Returns
    /// `None` if no further tracker is to be asked.
    fn next(&mut self) -> Option<usize> {
        let in_order = || {
            let is_new =
                |position: &usize| self.trackers.get(*position).is_some_and(|it| !it.was_asked);
            self.order.iter().copied().find(is_new)
        };
        let named = self
            .named
            .iter()
            .find_map(|number| self.named_position(*number));
        let next = named.or_else(|| in_order().filter(|_| self.accepted < TRACKERS_OF_GROUP))?;
        self.trackers.get_mut(next)?.was_asked = true;
        Some(next)
    }

    /// The position of the tracker with this number (reported or guessed), unless it was asked
    /// already. If no tracker has the number, the position of the first tracker that was not asked
    /// and has an unknown number.
    fn named_position(&self, number: u32) -> Option<usize> {
        let position_of = |number| {
            self.trackers
                .iter()
                .position(|it| it.number.get() == number)
        };
        let new_position_of = |number| {
            let mut trackers = self.trackers.iter();
            trackers.position(|it| it.number.get() == number && !it.was_asked)
        };
        match position_of(Some(number)) {
            Some(_) => new_position_of(Some(number)),
            None => new_position_of(None),
        }
    }

    /// The tracker at `position` has carried out the request.
    fn on_accepted(&mut self, position: usize, placement: Option<&Placement>) {
        self.accepted += 1;
        let (Some(placement), Some(tracker)) = (placement, self.trackers.get_mut(position)) else {
            return;
        };
        let has_other_order = tracker
            .number
            .get()
            .is_some_and(|it| it != placement.tracker);
        tracker.number = Number::Reported(placement.tracker);
        if has_other_order {
            for tracker in &mut self.trackers {
                if matches!(tracker.number, Number::Guessed(_)) {
                    tracker.number = Number::Unknown;
                }
            }
        }
        self.named.extend(&placement.trackers_of_group);
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
        let numbers = self.numbers(&info);
        let mut tour = Tour::new(&numbers, self.positions_in_order(group, &info, &numbers));
        while let Some(position) = tour.next() {
            let Some(tracker) = info.addresses.get(position) else {
                continue;
            };
            if !is_only && self.is_avoided(tracker) {
                each(Err(format!(
                    "the tracker at {tracker} failed lately; it is asked again later"
                )));
                continue;
            }
            match self.ask_at(tracker, &trust, ask, token, limits) {
                Ok(reply) => {
                    if let Ok(answer) = &reply.result {
                        let placement = placement_of(answer);
                        self.learn_number(tracker, placement);
                        tour.on_accepted(position, placement);
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
    pub(super) fn in_preferred_order<'a>(
        &self,
        group: &Label,
        info: &'a TrackerInfo,
    ) -> Vec<&'a HostPort> {
        let order = self.positions_in_order(group, info, &self.numbers(info));
        let trackers = order.into_iter();
        trackers
            .filter_map(|position| info.addresses.get(position))
            .collect()
    }

    /// The positions of the trackers, in the order in which a group prefers them: first those that
    /// did not fail lately, then the others. In both parts, trackers whose number is unknown come
    /// last.
    fn positions_in_order(
        &self,
        group: &Label,
        info: &TrackerInfo,
        numbers: &[Number],
    ) -> Vec<usize> {
        let preferred = preferred_trackers(group, numbers.iter().filter_map(|it| it.get()));
        let preference = |number: Option<u32>| {
            let position = preferred.iter().position(|known| Some(*known) == number);
            position.unwrap_or(preferred.len())
        };
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        order.sort_by_cached_key(|position| {
            let is_avoided = info
                .addresses
                .get(*position)
                .is_none_or(|it| self.is_avoided(it));
            (
                is_avoided,
                preference(numbers.get(*position).and_then(|it| it.get())),
            )
        });
        order
    }

    /// The numbers of the listed trackers.
    fn numbers(&self, info: &TrackerInfo) -> Vec<Number> {
        let known = lock(&self.known);
        let reported = |tracker| known.get(tracker)?.number();
        let reported: Vec<Option<u32>> = info.addresses.iter().map(reported).collect();
        let same_order = (1..)
            .zip(&reported)
            .all(|(position, it)| it.is_none_or(|it| it == position));
        let numbers = (1..).zip(reported).map(|(position, it)| match it {
            Some(number) => Number::Reported(number),
            None if same_order => Number::Guessed(position),
            None => Number::Unknown,
        });
        numbers.collect()
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

    /// The numbers of the trackers, in the order in which they are asked. In TRACKER_INFO,
    /// tracker 1 is listed first, and so on. `order` is the order in which the group prefers the
    /// trackers. `answer` returns the trackers that the answer of a tracker names, or `None` if the
    /// tracker does not answer.
    fn asked(order: &[u32], answer: impl Fn(u32) -> Option<Vec<u32>>) -> Vec<u32> {
        let count = u32::try_from(order.len()).unwrap();
        let numbers: Vec<Number> = (1..=count).map(Number::Guessed).collect();
        asked_at(&numbers, order, |number| number, answer)
    }

    /// Like [`asked`], for a TRACKER_INFO in another order. `order` has positions, counted from 1.
    /// `at` returns the tracker that is listed at a position.
    fn asked_at(
        numbers: &[Number],
        order: &[u32],
        at: impl Fn(u32) -> u32,
        answer: impl Fn(u32) -> Option<Vec<u32>>,
    ) -> Vec<u32> {
        let positions = order
            .iter()
            .map(|position| *position as usize - 1)
            .collect();
        let mut tour = Tour::new(numbers, positions);
        let mut asked = Vec::new();
        while let Some(position) = tour.next() {
            let tracker = at(u32::try_from(position).unwrap() + 1);
            asked.push(tracker);
            if let Some(trackers_of_group) = answer(tracker) {
                let placement = Placement {
                    tracker,
                    trackers_of_group,
                };
                tour.on_accepted(position, Some(&placement));
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
        assert_eq!(asked(&[1], |_| Some(Vec::new())), [1]);
    }

    #[test]
    fn trackers_that_an_answer_names_are_asked_next_if_they_are_listed() {
        assert_eq!(asked(&[4, 2, 1, 3], |_| Some(vec![3, 9])), [4, 3]);
        let silent_three = |tracker| (tracker != 3).then(|| vec![3, 1]);
        assert_eq!(asked(&[4, 2, 1, 3], silent_three), [4, 3, 1]);
    }

    #[test]
    fn trackers_are_asked_until_the_named_ones_are_found_if_tracker_info_has_another_order() {
        let rotated = |position: u32| position % 4 + 1;
        let numbers = [1, 2, 3, 4].map(Number::Guessed);
        let order = [4, 1, 2, 3];
        let all = asked_at(&numbers, &order, rotated, |_| Some(vec![4, 1]));
        assert_eq!(all, [1, 2, 3, 4]);
        let reported = [2, 3, 4, 1].map(Number::Reported);
        let two = asked_at(&reported, &[3, 4, 1, 2], rotated, |_| Some(vec![4, 1]));
        assert_eq!(two, [4, 1]);
    }
}
