//! The events of one kind that wait for their hook. Pure.

use super::event::name_of;
use super::{HookKind, HookResult, HookStatus};
use crate::storage::WaitingEvent;
use crate::wire::name::Label;
use std::collections::VecDeque;

/// The most events of one kind that wait. What has no room is found again later.
const MAX_WAITING: usize = 1_000;
/// The most new shares of one group that wait, so that one group does not take the room of others.
const MAX_OF_GROUP: usize = 200;

/// The events of one kind. Their hooks run one after the other.
#[derive(Debug, Default)]
pub(super) struct HookQueue {
    waiting: VecDeque<WaitingEvent>,
    running: Option<WaitingEvent>,
    /// Whether the process of the running event has been started, or cannot be.
    has_begun: bool,
    /// The number of hooks that may still begin. `None`: all.
    may_begin: Option<usize>,
    last: Option<HookResult>,
}

impl HookQueue {
    /// Adds an event that waited when the peer ended.
    pub(super) fn restore(&mut self, event: WaitingEvent) {
        self.waiting.push_back(event);
    }

    /// Adds an event, if there is room for it. Returns whether it waits now.
    pub(super) fn add(&mut self, event: WaitingEvent) -> bool {
        if self.waiting.len() >= MAX_WAITING {
            return false;
        }
        if let WaitingEvent::New(share) = &event
            && self.count_of(&share.group) >= MAX_OF_GROUP
        {
            return false;
        }
        self.waiting.push_back(event);
        true
    }

    /// Whether there is room for half of the new shares of a group that may wait. For less, it is
    /// not worth while to fetch a catalogue.
    pub(super) fn has_room(&self, group: &Label) -> bool {
        const HALF: usize = MAX_OF_GROUP / 2;
        self.count_of(group) + HALF <= MAX_OF_GROUP && self.waiting.len() + HALF <= MAX_WAITING
    }

    /// The number of new shares of a group that wait.
    fn count_of(&self, group: &Label) -> usize {
        let is_of_group = |event: &&WaitingEvent| match event {
            WaitingEvent::New(share) => share.group == *group,
            WaitingEvent::Ended(_) => false,
        };
        self.waiting.iter().filter(is_of_group).count()
    }

    /// The event whose hook is to run now. `None` if none waits, or none may begin.
    pub(super) fn begin(&mut self) -> Option<WaitingEvent> {
        if self.may_begin == Some(0) {
            return None;
        }
        self.running = self.waiting.pop_front();
        self.has_begun = false;
        if self.running.is_some() {
            self.may_begin = self.may_begin.map(|count| count.saturating_sub(1));
        }
        self.running.clone()
    }

    /// The process of the running event has been started, or cannot be.
    pub(super) fn note_begun(&mut self) {
        self.has_begun = true;
    }

    /// The hook of the running event has ended.
    pub(super) fn end(&mut self, result: HookResult) {
        self.running = None;
        self.last = Some(result);
    }

    /// From now on, only events that wait now begin; with `none`, no event begins. Returns how many
    /// hooks will run to their end, with the running one.
    pub(super) fn finish(&mut self, none: bool) -> usize {
        let waiting = if none { 0 } else { self.waiting.len() };
        self.may_begin = Some(waiting);
        waiting + usize::from(self.running.is_some())
    }

    /// Whether no hook runs, and none will begin.
    pub(super) fn is_finished(&self) -> bool {
        self.running.is_none() && (self.waiting.is_empty() || self.may_begin == Some(0))
    }

    /// The event whose hook runs, and then those that wait.
    pub(super) fn events(&self) -> impl Iterator<Item = &WaitingEvent> {
        self.running.iter().chain(&self.waiting)
    }

    /// The events whose process has not been started.
    pub(super) fn not_begun(&self) -> impl Iterator<Item = &WaitingEvent> {
        let running = self.running.iter().filter(|_| !self.has_begun);
        running.chain(&self.waiting)
    }

    /// What `status` shows.
    pub(super) fn status(&self, kind: HookKind) -> HookStatus {
        let running = self.running.as_ref();
        HookStatus {
            kind,
            running: running.map(|event| name_of(event).to_owned()),
            waiting: self.waiting.len(),
            last: self.last.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::NewGroupShare;
    use crate::torrent::InfoHash;
    use crate::wire::access::ShortText;

    fn event_of(group: &str, number: usize) -> WaitingEvent {
        WaitingEvent::New(NewGroupShare {
            user: "nik".parse().unwrap(),
            group: group.parse().unwrap(),
            name: ShortText::new(number.to_string()).unwrap(),
            version: 1,
            note: None,
            info_hash: InfoHash([7; 20]),
            length: 1,
            publisher: None,
        })
    }

    fn event(number: usize) -> WaitingEvent {
        event_of("lab", number)
    }

    fn result() -> HookResult {
        HookResult {
            name: "1".into(),
            ended_ms: 5,
            is_success: true,
            text: "exit code 0".into(),
        }
    }

    #[test]
    fn events_run_one_after_the_other_in_their_order() {
        let mut queue = HookQueue::default();
        assert!(queue.begin().is_none() && queue.is_finished());
        assert!(queue.add(event(1)) && queue.add(event(2)));
        assert_eq!(queue.begin(), Some(event(1)));
        assert_eq!(queue.not_begun().count(), 2);
        queue.note_begun();
        assert_eq!(queue.not_begun().count(), 1);
        let status = queue.status(HookKind::Share);
        assert_eq!((status.running, status.waiting), (Some("1".into()), 1));
        queue.end(result());
        assert!(!queue.is_finished());
        assert_eq!(queue.begin(), Some(event(2)));
        assert_eq!(queue.status(HookKind::Share).last, Some(result()));
    }

    #[test]
    fn an_event_without_room_does_not_wait_and_one_group_does_not_take_the_room_of_others() {
        let mut queue = HookQueue::default();
        let mut added = |group: &str| {
            let events = (0..MAX_WAITING).map(|number| event_of(group, number));
            events.filter(|event| queue.add(event.clone())).count()
        };
        assert_eq!(added("lab"), MAX_OF_GROUP);
        for group in ["one", "two", "three", "four"] {
            assert_eq!(added(group), MAX_OF_GROUP);
        }
        assert_eq!(added("five"), 0);
        assert_eq!(queue.begin(), Some(event(0)));
        assert!(queue.add(event_of("five", 0)));
    }

    #[test]
    fn a_group_has_room_again_when_half_of_its_events_have_begun() {
        let (lab, hall) = ("lab".parse().unwrap(), "hall".parse().unwrap());
        let mut queue = HookQueue::default();
        assert!(queue.has_room(&lab));
        for number in 0..MAX_OF_GROUP {
            assert!(queue.add(event(number)));
        }
        assert!(queue.has_room(&hall));
        for _ in 0..MAX_OF_GROUP / 2 {
            assert!(!queue.has_room(&lab));
            queue.begin();
        }
        assert!(queue.has_room(&lab));
        for number in 0..MAX_WAITING {
            queue.restore(event_of("other", number));
        }
        assert!(!queue.has_room(&hall), "other groups have taken it");
    }

    #[test]
    fn at_the_end_only_the_events_that_wait_then_begin() {
        let mut queue = HookQueue::default();
        assert!(queue.add(event(1)) && queue.add(event(2)));
        queue.begin();
        assert_eq!(queue.finish(false), 2);
        assert!(queue.add(event(3)));
        queue.end(result());
        assert_eq!(queue.begin(), Some(event(2)));
        queue.end(result());
        assert!(queue.is_finished() && queue.begin().is_none());
        let mut queue = HookQueue::default();
        assert!(queue.add(event(1)) && queue.add(event(2)));
        queue.begin();
        assert_eq!(queue.finish(true), 1);
        queue.end(result());
        assert!(queue.is_finished() && queue.begin().is_none());
        assert_eq!(queue.not_begun().count(), 1);
    }
}
