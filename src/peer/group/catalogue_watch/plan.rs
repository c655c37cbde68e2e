//! When the list of the user's groups and their catalogues are to be fetched. Pure.
//!
//! A catalogue is fetched when a hint or the list of the groups reports other change numbers than
//! the catalogue had when it was fetched last. So while nothing changes, only the list of the
//! groups is fetched, rarely. All requests of many peers for the same reason are spread at random
//! over a time that the tracker has chosen ([`GroupState::spread_ms`]).

use super::timing::ListTimer;
use crate::wire::access::{GroupId, GroupNumbers, GroupState, OwnGroup};
use crate::wire::name::Label;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The pause between two lists of the groups while trackers send hints: between half of it and all
/// of it. Hints can be lost with their connection, but the tracker then sends hints about all
/// groups over the next one.
const WITH_HINTS: Duration = Duration::from_secs(600);
/// The same while no tracker sends hints.
const WITHOUT_HINTS: Duration = Duration::from_secs(30);
/// The list of the groups is fetched within the longest spread of the groups after news about
/// memberships, but at least and at most within these times.
const LIST_SPREAD: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

/// What is to be fetched when, for one user.
#[derive(Debug)]
pub(super) struct WatchPlan {
    list: ListTimer,
    has_hints: bool,
    groups: BTreeMap<GroupId, WatchedGroup>,
}

/// A group of the user.
#[derive(Debug)]
struct WatchedGroup {
    name: Label,
    /// The change numbers that a tracker has reported last.
    reported: (u64, u64),
    /// When a hint has reported numbers last.
    hinted: Option<Instant>,
    /// The change numbers of the catalogue that was fetched last.
    fetched: Option<(u64, u64)>,
    /// Whether the catalogue is to be fetched although it has the reported numbers.
    again: bool,
    /// Whether this is only because a subscriber had no room for all new shares.
    waits_for_room: bool,
    spread: Duration,
    timer: ListTimer,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The list of the groups of this user.
    Groups,
    /// The catalogues of these groups, and when the next thing is due after them.
    Catalogues(Vec<(GroupId, Label)>, Option<Instant>),
}

impl WatchPlan {
    /// Of a user whose groups are not known yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            list: ListTimer::at(now),
            has_hints: false,
            groups: BTreeMap::new(),
        }
    }

    /// What is due now. `has_hints`: whether a tracker sends hints now. `random` is from 0 to 1.
    pub(super) fn due(&mut self, now: Instant, has_hints: bool, random: f64) -> Due {
        if self.has_hints && !has_hints {
            // Hints may be missed from now on. All peers may see this at the same moment.
            self.list.fetch_within(now, WITHOUT_HINTS, random);
        }
        self.has_hints = has_hints;
        let list_due = self.list.due();
        if list_due.is_some_and(|at| at <= now) {
            return Due::Groups;
        }
        let (mut due, mut next) = (Vec::new(), list_due);
        for (id, group) in &mut self.groups {
            if group.is_current() {
                group.timer.clear();
            }
            match group.timer.due() {
                Some(at) if at <= now => due.push((*id, group.name.clone())),
                Some(at) => next = Some(next.map_or(at, |next| next.min(at))),
                None => {}
            }
        }
        Due::Catalogues(due, next)
    }

    /// A tracker hints at the present change numbers of a group.
    pub(super) fn on_hint(&mut self, numbers: &GroupNumbers, now: Instant, random: f64) {
        let mut groups = self.groups.values_mut();
        match groups.find(|group| group.name == numbers.group) {
            Some(group) => {
                group.hinted = Some(now);
                group.on_report((numbers.added, numbers.ended), now, random);
            }
            None => self.on_news(now, random),
        }
    }

    /// The user may be a member of other groups than before.
    pub(super) fn on_news(&mut self, now: Instant, random: f64) {
        let spreads = self.groups.values().map(|group| group.spread);
        let spread = spreads.max().unwrap_or_default();
        let spread = spread.clamp(LIST_SPREAD.0, LIST_SPREAD.1);
        self.list.fetch_within(now, spread, random);
    }

    /// The list of the groups is being fetched.
    pub(super) fn on_list_begun(&mut self) {
        self.list.on_begun();
    }

    /// The list of the groups was fetched between `begun` and `now`.
    pub(super) fn on_list(
        &mut self,
        listed: Vec<OwnGroup>,
        begun: Instant,
        now: Instant,
        random: &mut impl FnMut() -> f64,
    ) {
        self.list.on_fetched(begun, now, Duration::ZERO);
        self.list.settle();
        let pause = match self.has_hints {
            true => WITH_HINTS,
            false => WITHOUT_HINTS,
        };
        let half = pause / 2;
        self.list.fetch_within(now + half, half, random());
        let mut before = std::mem::take(&mut self.groups);
        for OwnGroup { name, state } in listed {
            let known = before.remove(&state.id);
            let mut group = known.unwrap_or_else(|| WatchedGroup::new(&name, &state));
            group.name = name;
            group.spread = state.spread();
            // The list may have been read at the tracker before a hint that has come meanwhile.
            if group.hinted.is_none_or(|hinted| hinted < begun) {
                group.on_report(state.numbers(), now, random());
            }
            self.groups.insert(state.id, group);
        }
    }

    /// The list of the groups could not be fetched.
    pub(super) fn on_list_failed(&mut self, now: Instant, random: f64) {
        self.list.retry(now, random);
    }

    /// The catalogue of a group is being fetched.
    pub(super) fn on_begun(&mut self, id: GroupId) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.timer.on_begun();
        }
    }

    /// The catalogue of the group `id` was fetched between `begun` and `now`, in this state.
    pub(super) fn on_catalogue(
        &mut self,
        id: GroupId,
        state: &GroupState,
        (begun, now): (Instant, Instant),
        random: f64,
    ) {
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        group.spread = state.spread();
        group.timer.on_fetched(begun, now, group.spread);
        if state.id != id {
            // A later group has its name now.
            self.groups.remove(&id);
            return self.list.fetch_within(now, LIST_SPREAD.0, random);
        }
        group.fetched = Some(state.numbers());
        group.again = false;
        group.waits_for_room = false;
        if group.is_current() {
            group.timer.settle();
        } else {
            // One of two trackers lags behind: the one that has reported, or the one that was asked
            // for the catalogue.
            group.timer.retry(now, random);
        }
    }

    /// The catalogue of a group was fetched between `begun` and `now`, but not all its pages are in
    /// the same state. So it is not current, whatever state is reported.
    pub(super) fn on_mixed(&mut self, id: GroupId, (begun, now): (Instant, Instant), random: f64) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.fetched = None;
            group.timer.on_fetched(begun, now, group.spread);
            group.timer.retry(now, random);
        }
    }

    /// The catalogue of a group could not be fetched. `is_over`: the user is no longer a member, or
    /// the group does not exist.
    pub(super) fn on_failed(&mut self, id: GroupId, is_over: bool, now: Instant, random: f64) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.timer.retry(now, random);
        }
        if is_over {
            self.on_news(now, random);
        }
    }

    /// The catalogue of a group is to be fetched again soon after `at`, whatever the numbers are.
    pub(super) fn fetch_again(&mut self, id: GroupId, at: Instant, random: f64) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.again = true;
            group.timer.fetch_within(at, group.spread, random);
        }
    }

    /// Like [`WatchPlan::fetch_again`], because a subscriber had no room for all new shares.
    pub(super) fn wait_for_room(&mut self, id: GroupId, at: Instant, random: f64) {
        self.fetch_again(id, at, random);
        if let Some(group) = self.groups.get_mut(&id) {
            group.waits_for_room = true;
        }
    }

    /// Whether the catalogue of a group has the reported numbers, so that there is no reason to
    /// fetch it before the subscriber has room.
    pub(super) fn only_waits_for_room(&self, id: GroupId) -> bool {
        let group = self.groups.get(&id);
        group.is_some_and(|it| it.waits_for_room && it.fetched == Some(it.reported))
    }

    /// The number of groups.
    pub(super) fn groups(&self) -> usize {
        self.groups.len()
    }
}

impl WatchedGroup {
    fn new(name: &Label, state: &GroupState) -> Self {
        Self {
            name: name.clone(),
            reported: state.numbers(),
            hinted: None,
            fetched: None,
            again: false,
            waits_for_room: false,
            spread: state.spread(),
            timer: ListTimer::default(),
        }
    }

    /// Whether nothing is to be fetched.
    fn is_current(&self) -> bool {
        !self.again && self.fetched == Some(self.reported)
    }

    /// A tracker reports these change numbers.
    fn on_report(&mut self, numbers: (u64, u64), now: Instant, random: f64) {
        self.reported = numbers;
        if !self.is_current() {
            self.timer.fetch_within(now, self.spread, random);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_RANDOM: f64 = 0.0;

    fn own(name: &str, id: u8, added: u64) -> OwnGroup {
        OwnGroup {
            name: name.parse().unwrap(),
            state: GroupState {
                id: GroupId([id; 16]),
                added,
                ended: 1,
                spread_ms: 2_000,
            },
        }
    }

    fn hint(name: &str, added: u64) -> GroupNumbers {
        GroupNumbers {
            group: name.parse().unwrap(),
            former: None,
            added,
            ended: 1,
            has_reports: true,
        }
    }

    /// A plan of a user with the group `lab`, whose catalogue was fetched with the number 1.
    fn watching(now: Instant) -> WatchPlan {
        let mut plan = WatchPlan::new(now);
        assert_eq!(plan.due(now, true, NO_RANDOM), Due::Groups);
        plan.on_list_begun();
        plan.on_list(vec![own("lab", 1, 1)], now, now, &mut || NO_RANDOM);
        fetch(&mut plan, now, 1);
        plan
    }

    /// The catalogue of `lab` is due, and is fetched with this number.
    fn fetch(plan: &mut WatchPlan, now: Instant, added: u64) {
        let own = own("lab", 1, added);
        let due = plan.due(now, true, NO_RANDOM);
        let expected = vec![(own.state.id, own.name.clone())];
        assert!(matches!(due, Due::Catalogues(due, _) if due == expected));
        plan.on_begun(own.state.id);
        plan.on_catalogue(own.state.id, &own.state, (now, now), NO_RANDOM);
    }

    /// The time until the next thing is due, in seconds. Nothing is due now.
    fn next(plan: &mut WatchPlan, now: Instant) -> u64 {
        match plan.due(now, true, NO_RANDOM) {
            Due::Catalogues(due, Some(next)) if due.is_empty() => (next - now).as_secs(),
            due => panic!("{due:?}"),
        }
    }

    #[test]
    fn only_other_numbers_make_a_catalogue_due() {
        let now = Instant::now();
        let mut plan = watching(now);
        assert_eq!(next(&mut plan, now), 300);
        plan.on_hint(&hint("lab", 1), now, NO_RANDOM);
        plan.on_list(vec![own("lab", 1, 1)], now, now, &mut || NO_RANDOM);
        assert_eq!(next(&mut plan, now), 300);
        plan.on_hint(&hint("lab", 2), now, NO_RANDOM);
        assert_eq!(next(&mut plan, now), 2);
        // The catalogue came from a tracker that lags behind.
        let now = now + Duration::from_secs(2);
        fetch(&mut plan, now, 1);
        assert_eq!(next(&mut plan, now), 2);
        fetch(&mut plan, now + Duration::from_secs(2), 2);
        assert!(next(&mut plan, now + Duration::from_secs(2)) > 100);
    }

    #[test]
    fn a_catalogue_of_pages_in_two_states_is_fetched_again() {
        let now = Instant::now();
        let mut plan = watching(now);
        plan.on_hint(&hint("lab", 2), now, NO_RANDOM);
        plan.on_begun(GroupId([1; 16]));
        plan.on_mixed(GroupId([1; 16]), (now, now), NO_RANDOM);
        // The other tracker reports the state of the first page, too.
        plan.on_hint(&hint("lab", 2), now, NO_RANDOM);
        assert_eq!(next(&mut plan, now), 2);
        fetch(&mut plan, now + Duration::from_secs(2), 2);
        assert!(next(&mut plan, now + Duration::from_secs(2)) > 100);
    }

    #[test]
    fn the_hint_of_a_tracker_that_was_late_is_answered_by_what_was_fetched() {
        let now = Instant::now();
        let mut plan = watching(now);
        // A tracker that lags behind reports old numbers, and then the present ones.
        plan.on_hint(&hint("lab", 9), now, NO_RANDOM);
        plan.on_hint(&hint("lab", 1), now, NO_RANDOM);
        assert_eq!(next(&mut plan, now), 300);
    }

    #[test]
    fn a_list_that_began_before_a_hint_does_not_undo_it() {
        let begun = Instant::now();
        let mut plan = watching(begun);
        plan.on_list_begun();
        let hinted = begun + Duration::from_secs(1);
        plan.on_hint(&hint("lab", 2), hinted, NO_RANDOM);
        let now = begun + Duration::from_secs(2);
        plan.on_list(vec![own("lab", 1, 1)], begun, now, &mut || NO_RANDOM);
        fetch(&mut plan, now, 2);
        // A later list counts.
        plan.on_list(vec![own("lab", 1, 3)], now, now, &mut || NO_RANDOM);
        assert_eq!(next(&mut plan, now), 2);
    }

    #[test]
    fn news_makes_only_the_list_due_and_a_renamed_group_is_the_same() {
        let now = Instant::now();
        let mut plan = watching(now);
        plan.on_news(now, 1.0);
        assert_eq!(next(&mut plan, now), 2);
        let mut plan = watching(now);
        plan.on_hint(&hint("hall", 1), now, 1.0);
        assert_eq!(next(&mut plan, now), 2);
        plan.on_list_begun();
        plan.on_list(vec![own("hall", 1, 1)], now, now, &mut || NO_RANDOM);
        assert_eq!(next(&mut plan, now), 300);
        // A later group of the same name is another one.
        plan.on_list(vec![own("hall", 2, 1)], now, now, &mut || NO_RANDOM);
        let due = plan.due(now, true, NO_RANDOM);
        assert!(matches!(due, Due::Catalogues(due, _) if due.len() == 1));
    }

    #[test]
    fn what_is_to_be_fetched_again_is_fetched_with_the_same_numbers() {
        let now = Instant::now();
        let mut plan = watching(now);
        let id = GroupId([1; 16]);
        plan.fetch_again(id, now + Duration::from_secs(10), NO_RANDOM);
        assert_eq!(next(&mut plan, now), 10);
        fetch(&mut plan, now + Duration::from_secs(10), 1);
        assert!(next(&mut plan, now + Duration::from_secs(10)) > 100);
    }

    #[test]
    fn a_catalogue_waits_for_room_only_while_it_has_the_reported_numbers() {
        let now = Instant::now();
        let mut plan = watching(now);
        let id = GroupId([1; 16]);
        assert!(!plan.only_waits_for_room(id));
        plan.wait_for_room(id, now, NO_RANDOM);
        assert!(plan.only_waits_for_room(id));
        plan.on_hint(&hint("lab", 2), now, NO_RANDOM);
        assert!(!plan.only_waits_for_room(id));
        fetch(&mut plan, now + Duration::from_secs(2), 2);
        assert!(!plan.only_waits_for_room(id), "all shares had room");
    }

    #[test]
    fn what_is_to_be_fetched_again_is_still_so_after_a_fetch_that_failed() {
        let now = Instant::now();
        let mut plan = watching(now);
        let id = GroupId([1; 16]);
        plan.fetch_again(id, now + Duration::from_secs(10), NO_RANDOM);
        let now = now + Duration::from_secs(10);
        assert!(
            matches!(plan.due(now, true, NO_RANDOM), Due::Catalogues(due, _) if due.len() == 1)
        );
        plan.on_begun(id);
        plan.on_failed(id, false, now, NO_RANDOM);
        assert_eq!(next(&mut plan, now), 2);
        let now = now + Duration::from_secs(2);
        fetch(&mut plan, now, 1);
        assert!(next(&mut plan, now) > 100);
    }
}
