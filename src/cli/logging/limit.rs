//! Limits how many events of one kind go to the log in a minute, so that a stranger cannot fill the
//! log with one event.
//!
//! In scope: which event is written, and the line that counts the others. Out of scope: files and
//! clocks. Two events are of one kind if one place in the code logs them. Some kinds name the
//! source of an event: the address that caused it. One address can cause only a tenth of the
//! written events of one kind. So one address cannot keep the events of others out of the log; ten
//! addresses together can.
//!
//! Invariant: the number of entries is bounded, because the number of places in the code is, and
//! because of [`MAX_SOURCES`].

use log::Level;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The time for which events are counted.
const PERIOD: Duration = Duration::from_secs(60);
/// The maximum number of events of one kind that are written in a period.
const MAX_PER_KIND: u32 = 300;
/// The maximum number of events of one kind and one source that are written in a period.
const MAX_PER_SOURCE: u32 = 30;
/// The maximum number of sources of one kind that are counted separately. For further sources, only
/// the limit of the kind applies.
const MAX_SOURCES: usize = 64;

/// An event that may be written to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// How serious the event is.
    pub(super) level: Level,
    /// The module that logs it.
    pub(super) target: String,
    /// What happened.
    pub(super) message: String,
}

/// The place in the code that logs an event: file and line.
pub(super) type Kind = (&'static str, u32);

/// How many events of each kind were logged in the present period.
#[derive(Debug, Default)]
pub(super) struct RateLimit {
    /// When the present period began. `None` before the first event.
    began: Option<Instant>,
    kinds: HashMap<Kind, Count>,
}

#[derive(Debug, Default)]
struct Count {
    written: u32,
    /// The number of events of each source.
    by_source: HashMap<String, u32>,
    left_out: u64,
    /// The last event that was left out.
    last_left_out: Option<Event>,
}

impl RateLimit {
    /// Whether this event is to be written now. Otherwise it is counted.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        kind: Kind,
        source: Option<&str>,
        event: &Event,
    ) -> bool {
        self.began.get_or_insert(now);
        let count = self.kinds.entry(kind).or_default();
        if count.has_room(source) {
            count.written += 1;
            return true;
        }
        count.left_out += 1;
        count.last_left_out = Some(event.clone());
        false
    }

    /// When [`RateLimit::end_period`] is due. `None` if no event was left out.
    pub(super) fn due(&self) -> Option<Instant> {
        let left_out = self.kinds.values().any(|count| count.left_out > 0);
        self.began.filter(|_| left_out).map(|began| began + PERIOD)
    }

    /// Ends the period if it is over. For each kind of which events were left out, returns one
    /// event that says how many.
    pub(super) fn end_period(&mut self, now: Instant) -> Vec<Event> {
        match self.began {
            Some(began) if now.saturating_duration_since(began) >= PERIOD => self.summaries(),
            _ => Vec::new(),
        }
    }

    /// Like [`RateLimit::end_period`], but does not wait until the period is over.
    pub(super) fn summaries(&mut self) -> Vec<Event> {
        self.began = None;
        let mut kinds: Vec<_> = self.kinds.drain().collect();
        kinds.sort_unstable_by_key(|(kind, _)| *kind);
        let counts = kinds.into_iter().map(|(_, count)| count);
        counts.filter_map(Count::summary).collect()
    }
}

impl Count {
    fn has_room(&mut self, source: Option<&str>) -> bool {
        if self.written >= MAX_PER_KIND {
            return false;
        }
        let Some(source) = source else { return true };
        match self.by_source.get_mut(source) {
            Some(count) => {
                *count += 1;
                *count <= MAX_PER_SOURCE
            }
            None => {
                if self.by_source.len() < MAX_SOURCES {
                    self.by_source.insert(source.to_owned(), 1);
                }
                true
            }
        }
    }

    fn summary(self) -> Option<Event> {
        let number = self.left_out;
        self.last_left_out.map(|last| Event {
            message: format!(
                "{number} more of these in the last minute; the last one: {}",
                last.message
            ),
            ..last
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = ("src/a.rs", 1);

    fn event(message: &str) -> Event {
        Event {
            level: Level::Info,
            target: "pieceful::a".to_owned(),
            message: message.to_owned(),
        }
    }

    /// The number of `count` events that are written.
    fn written(limit: &mut RateLimit, now: Instant, source: Option<&str>, count: u32) -> usize {
        let events = (0..count).map(|n| event(&format!("event {n}")));
        events
            .filter(|event| limit.admit(now, KIND, source, event))
            .count()
    }

    #[test]
    fn a_source_and_a_kind_have_limits_of_their_own() {
        let (mut limit, now) = (RateLimit::default(), Instant::now());
        assert_eq!(written(&mut limit, now, Some("10.0.0.1"), 1000), 30);
        assert_eq!(written(&mut limit, now, Some("10.0.0.2"), 5), 5);
        assert_eq!(written(&mut limit, now, None, 1000), 265);
        assert_eq!(written(&mut limit, now, Some("10.0.0.3"), 1), 0);
        assert!(limit.admit(now, ("src/a.rs", 2), Some("10.0.0.1"), &event("other")));
    }

    #[test]
    fn events_that_were_left_out_are_counted_at_the_end_of_the_period() {
        let (mut limit, now) = (RateLimit::default(), Instant::now());
        assert_eq!(limit.due(), None);
        assert_eq!(written(&mut limit, now, Some("10.0.0.1"), 42), 30);
        assert_eq!(limit.due(), Some(now + PERIOD));
        assert_eq!(limit.end_period(now + PERIOD / 2), []);
        let counted = event("12 more of these in the last minute; the last one: event 41");
        assert_eq!(limit.end_period(now + PERIOD), [counted]);
        assert_eq!(limit.due(), None);
        assert_eq!(written(&mut limit, now + PERIOD, Some("10.0.0.1"), 31), 30);
        assert_eq!(limit.summaries().len(), 1);
    }

    #[test]
    fn many_sources_take_bounded_memory_and_together_have_the_limit_of_their_kind() {
        let (mut limit, now) = (RateLimit::default(), Instant::now());
        let sources = (0..10_000).map(|n| format!("10.0.{}.{}", n / 256, n % 256));
        let admitted = sources.filter(|it| limit.admit(now, KIND, Some(it), &event("refused")));
        assert_eq!(admitted.count() as u32, MAX_PER_KIND);
        assert_eq!(limit.kinds[&KIND].by_source.len(), MAX_SOURCES);
        assert_eq!(limit.kinds[&KIND].left_out, 9_700);
    }
}
