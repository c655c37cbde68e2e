//! The events of one kind that wait for their hook. Pure.

use super::event::HookEvent;
use super::{HookKind, HookResult, HookStatus};
use std::collections::VecDeque;

/// The most events of one kind that wait.
const MAX_WAITING: usize = 1_000;

/// The events of one kind. Their hooks run one after the other.
#[derive(Debug, Default)]
pub(super) struct HookQueue {
    waiting: VecDeque<HookEvent>,
    running: Option<HookEvent>,
    /// Whether the process of the running event has been started, or cannot be.
    has_begun: bool,
    left_out: u64,
    last: Option<HookResult>,
}

impl HookQueue {
    /// Adds an event. If too many wait, the event is left out. Returns whether it waits.
    pub(super) fn add(&mut self, event: HookEvent) -> bool {
        if self.waiting.len() >= MAX_WAITING {
            self.left_out = self.left_out.saturating_add(1);
            return false;
        }
        self.waiting.push_back(event);
        true
    }

    /// The event whose hook is to run now. `None` if none waits.
    pub(super) fn begin(&mut self) -> Option<HookEvent> {
        self.running = self.waiting.pop_front();
        self.has_begun = false;
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

    /// Whether no event waits and no hook runs.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_none()
    }

    /// The event whose hook runs, and then those that wait.
    pub(super) fn events(&self) -> impl Iterator<Item = &HookEvent> {
        self.running.iter().chain(&self.waiting)
    }

    /// The events whose process has not been started.
    pub(super) fn not_begun(&self) -> impl Iterator<Item = &HookEvent> {
        let running = self.running.iter().filter(|_| !self.has_begun);
        running.chain(&self.waiting)
    }

    /// What `status` shows.
    pub(super) fn status(&self, kind: HookKind) -> HookStatus {
        let running = self.running.as_ref();
        HookStatus {
            kind,
            running: running.map(|event| event.share.name.clone()),
            waiting: self.waiting.len(),
            left_out: self.left_out,
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

    fn event(number: usize) -> HookEvent {
        HookEvent::of_new_share(NewGroupShare {
            user: "nik".parse().unwrap(),
            group: "lab".parse().unwrap(),
            name: ShortText::new(number.to_string()).unwrap(),
            info_hash: InfoHash([7; 20]),
            length: 1,
            publisher: None,
        })
    }

    #[test]
    fn events_run_one_after_the_other_in_their_order() {
        let mut queue = HookQueue::default();
        assert!(queue.begin().is_none() && queue.is_idle());
        assert!(queue.add(event(1)) && queue.add(event(2)));
        assert_eq!(queue.begin(), Some(event(1)));
        assert_eq!(queue.not_begun().count(), 2);
        queue.note_begun();
        assert_eq!(queue.not_begun().count(), 1);
        let status = queue.status(HookKind::Share);
        assert_eq!((status.running, status.waiting), (Some("1".into()), 1));
        let result = HookResult {
            name: "1".into(),
            ended_ms: 5,
            is_success: true,
            text: "exit code 0".into(),
        };
        queue.end(result.clone());
        assert!(!queue.is_idle());
        assert_eq!(queue.begin(), Some(event(2)));
        assert_eq!(queue.status(HookKind::Share).last, Some(result));
    }

    #[test]
    fn when_too_many_events_wait_the_newest_is_left_out_and_counted() {
        let mut queue = HookQueue::default();
        let added = (0..MAX_WAITING + 5).filter(|number| queue.add(event(*number)));
        assert_eq!(added.count(), MAX_WAITING);
        assert_eq!(queue.status(HookKind::Share).left_out, 5);
        assert_eq!(queue.begin(), Some(event(0)));
    }
}
