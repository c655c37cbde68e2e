//! Every state and every transition, with a clock that the tests set.
//!
//! A task is one swarm at one tracker. A test applies steps, one word each, and compares the state
//! of the task as a short text.

mod events;

use super::task::State;
use super::*;
use crate::peer::announce::{AnnounceNotice, TrackerAnswer};
use std::time::Duration;

const PACE: Pace = Pace {
    without_peers: Duration::from_secs(5),
    retry: (Duration::from_secs(1), Duration::from_secs(60)),
    event_delay: Duration::from_secs(3),
    event_retry: Duration::from_secs(2),
    batch: 2,
};
const SWARM: InfoHash = InfoHash([1; 20]);
/// The steps that bring a task to `Listed`.
const LISTED: &str = "begin take ok";
/// The answer of the tracker: announce again after 100 s, and never sooner than after 30 s.
const ANSWER: TrackerAnswer = TrackerAnswer {
    interval: Duration::from_secs(100),
    min_interval: Some(Duration::from_secs(30)),
    lacks_peers: false,
    longer_by: 0.0,
};

struct Steps {
    schedule: Schedule<&'static str, &'static str>,
    now: Instant,
    /// The announces in progress, the oldest first.
    in_progress: Vec<DueAnnounce<&'static str, &'static str>>,
    /// The events of all announces that were taken from the schedule.
    events_taken: Vec<Option<AnnounceEvent>>,
    notices: Vec<AnnounceNotice>,
}

impl Steps {
    fn new() -> Self {
        Self {
            schedule: Schedule::new(PACE),
            now: Instant::now(),
            in_progress: Vec::new(),
            events_taken: Vec::new(),
            notices: Vec::new(),
        }
    }

    fn run(steps: &str) -> Self {
        let mut test = Self::new();
        for step in steps.split_whitespace() {
            test.step(step);
            test.schedule.check();
        }
        test
    }

    fn step(&mut self, step: &str) {
        let Self { schedule, now, .. } = self;
        match step {
            "begin" => schedule.begin(SWARM, &"t", "payload", *now),
            "ask" => schedule.announce_soon(SWARM, None, *now),
            "start" => schedule.announce_soon(SWARM, Some(AnnounceEvent::Started), *now),
            "complete" => schedule.announce_soon(SWARM, Some(AnnounceEvent::Completed), *now),
            "within-2" => schedule.announce_earlier(|_| true, *now + Duration::from_secs(2)),
            "within-9" => schedule.announce_earlier(|_| true, *now + Duration::from_secs(9)),
            "suspend" => schedule.suspend(|payload| *payload == "payload", *now),
            "resume" => schedule.resume(*now),
            "leave-others" => schedule.leave_unless(SWARM, |tracker| *tracker == "t", *now),
            "drop" => schedule.leave_unless(SWARM, |_| false, *now),
            "leave" => schedule.leave(SWARM, *now),
            "end" => schedule.end(),
            "take" => {
                let announces = schedule.take(*now);
                let events = announces.iter().map(|due| due.event);
                self.events_taken.extend(events);
                self.in_progress.extend(announces);
            }
            "withdraw" => schedule.withdraw(&self.in_progress.remove(0)),
            "ok" => self.settle(AnnounceOutcome::Answered(ANSWER)),
            "ok-lacks-peers" => self.settle(AnnounceOutcome::Answered(TrackerAnswer {
                lacks_peers: true,
                ..ANSWER
            })),
            "ok-any-time" => self.settle(AnnounceOutcome::Answered(TrackerAnswer {
                min_interval: Some(Duration::ZERO),
                ..ANSWER
            })),
            "fail" | "fail-lacks-peers" => self.settle(AnnounceOutcome::Failed {
                trouble: "silent".to_owned(),
                lacks_peers: step == "fail-lacks-peers",
                longer_by: 0.0,
            }),
            "unlisted" => self.settle(AnnounceOutcome::Unlisted {
                pause: Duration::from_secs(7),
                trouble: None,
            }),
            "ended" => self.settle(AnnounceOutcome::Ended("withdrawn".to_owned())),
            seconds => self.now += Duration::from_secs(seconds.parse().unwrap()),
        }
    }

    /// Ends the oldest announce in progress.
    fn settle(&mut self, outcome: AnnounceOutcome) {
        let due = self.in_progress.remove(0);
        let notice = self.schedule.settle(&due, outcome, self.now);
        self.notices.extend(notice);
    }

    /// The state, in capitals if an event is pending, with `?` if it is unknown whether the tracker
    /// lists this peer in the swarm; and the number of seconds until an announce is due.
    fn state_text(&self) -> String {
        let Some(task) = self.schedule.task(SWARM, &"t") else {
            return "gone".to_owned();
        };
        let state = match task.state() {
            State::New { pending: None } => "new",
            State::New { pending: Some(_) } => "NEW",
            State::Listed { pending: None } => "listed",
            State::Listed { pending: Some(_) } => "LISTED",
            State::Stopping => "stopping",
            State::Suspended => "suspended",
            State::Leaving { is_listed: true } => "leaving",
            State::Leaving { is_listed: false } => "leaving?",
        };
        let due = match (task.ticket(), task.next()) {
            (Some(_), None) => "in progress".to_owned(),
            (None, Some(due)) => due
                .saturating_duration_since(self.now)
                .as_secs()
                .to_string(),
            (None, None) => "never".to_owned(),
            (Some(_), Some(_)) => panic!("an announce is due while another is in progress"),
        };
        format!("{state} {due}")
    }
}

/// Runs the steps of `before` and then those of each case, and checks the state.
fn check_states(before: &str, cases: &[(&str, &str)]) {
    for (steps, expected) in cases {
        let steps = format!("{before} {steps}");
        assert_eq!(Steps::run(&steps).state_text(), *expected, "{steps}");
    }
}

#[test]
fn announce_earlier_sets_the_latest_time_of_an_announce_but_respects_the_minimum_interval() {
    check_states("begin", &[("within-2", "new 0")]);
    check_states(
        LISTED,
        &[
            ("within-9", "listed 30"),
            ("30 within-9", "listed 9"),
            ("30 within-9 within-2", "listed 2"),
            ("30 within-2 within-9", "listed 2"),
            ("100 within-2", "listed 0"),
            ("suspend within-2", "stopping 0"),
        ],
    );
    // An announce in progress may be older than the reason for `announce_earlier`, so another one
    // follows.
    check_states(
        &format!("{LISTED} 100 take"),
        &[
            ("within-9 ok-any-time", "listed 9"),
            ("within-2 within-9 ok-any-time", "listed 2"),
            ("within-9 within-2 ok-any-time", "listed 2"),
            ("within-2 5 ok-any-time", "listed 0"),
            ("within-9 fail", "listed 1"),
        ],
    );
}

#[test]
fn transitions_at_a_tracker_that_does_not_know_the_swarm() {
    check_states(
        "begin",
        &[
            ("", "new 0"),
            ("begin ask start leave-others", "new 0"),
            ("complete", "NEW 0"),
            ("take", "new in progress"),
            ("take begin complete", "NEW in progress"),
            ("take ok", "listed 100"),
            ("take ok-lacks-peers", "listed 30"),
            ("take complete ok", "LISTED 3"),
            ("take fail", "new 1"),
            ("take fail 1 take fail", "new 2"),
            ("take fail ask complete", "NEW 1"),
            ("take fail resume", "new 0"),
            ("take unlisted", "new 7"),
            ("take complete unlisted", "NEW 7"),
            ("take ended", "gone"),
            ("take withdraw", "new 0"),
            ("suspend", "suspended never"),
            ("resume", "new 0"),
            ("leave", "gone"),
            ("drop", "gone"),
            ("take leave", "leaving? in progress"),
        ],
    );
}

#[test]
fn transitions_at_a_tracker_that_lists_the_swarm() {
    check_states(
        LISTED,
        &[
            ("begin leave-others", "listed 100"),
            // An announce with an event does not wait for `min_interval`. An announce without an
            // event does.
            ("ask", "listed 30"),
            ("resume", "listed 30"),
            ("complete", "LISTED 0"),
            ("complete take ok", "listed 100"),
            ("complete take start ok", "LISTED 3"),
            ("complete take fail", "LISTED 1"),
            ("complete take fail 1 take fail 2 take fail", "LISTED 2"),
            ("complete take unlisted", "NEW 7"),
            ("100 take", "listed in progress"),
            ("100 take ok", "listed 100"),
            ("100 take complete ok", "LISTED 3"),
            ("100 take fail", "listed 1"),
            ("100 take fail 1 take fail 2 take fail", "listed 4"),
            ("100 take unlisted", "new 7"),
            ("100 take ended", "gone"),
            ("100 take withdraw", "listed 0"),
            ("suspend", "stopping 0"),
            ("100 take suspend", "stopping in progress"),
            ("leave", "leaving 0"),
            ("drop", "leaving 0"),
            ("100 take leave", "leaving in progress"),
        ],
    );
}

#[test]
fn transitions_while_suspended() {
    check_states(
        &format!("{LISTED} suspend"),
        &[
            ("complete suspend resume", "new 0"),
            ("take", "stopping in progress"),
            // `stopped` is tried once.
            ("take ok", "suspended never"),
            ("take fail", "suspended never"),
            ("take unlisted", "suspended never"),
            ("take ended", "suspended never"),
            ("take withdraw", "stopping 0"),
            ("take resume", "new in progress"),
            ("take resume ok", "new 0"),
            ("take resume fail", "new 0"),
            ("leave", "leaving 0"),
            ("take leave", "leaving in progress"),
            ("take leave ok", "gone"),
            ("take ok complete suspend", "suspended never"),
            ("take ok resume", "new 0"),
            ("take ok leave", "gone"),
        ],
    );
    check_states(
        "begin take suspend",
        &[
            ("", "suspended in progress"),
            // The announce began before the task was suspended. The tracker lists this peer in the
            // swarm now, so `stopped` must follow.
            ("ok", "stopping 0"),
            ("fail", "suspended never"),
            ("unlisted", "suspended never"),
            ("ended", "suspended never"),
            ("resume ok", "listed 100"),
            ("leave", "leaving? in progress"),
        ],
    );
    check_states(
        &format!("{LISTED} 100 take suspend"),
        &[
            ("ok", "stopping 0"),
            ("fail", "stopping 0"),
            ("unlisted", "stopping 0"),
            ("resume ok", "new 0"),
        ],
    );
}

#[test]
fn transitions_while_leaving() {
    check_states(
        &format!("{LISTED} leave"),
        &[
            ("leave suspend complete resume drop", "leaving 0"),
            ("take", "leaving in progress"),
            ("take ok", "gone"),
            ("take fail", "gone"),
            ("take unlisted", "gone"),
            ("take ended", "gone"),
            ("take withdraw", "leaving 0"),
            ("begin", "new 0"),
            // A `started` does not overtake the earlier `stopped`.
            ("take begin", "new in progress"),
            ("take begin take", "new in progress"),
            ("take begin ok", "new 0"),
            ("take begin fail", "new 0"),
            ("take begin ended", "new 0"),
            ("take begin withdraw", "new 0"),
            ("take begin ok take ok", "listed 100"),
            ("take begin leave ok", "gone"),
            ("take begin suspend ok", "suspended never"),
        ],
    );
    check_states(
        "begin take leave",
        &[
            ("ok", "leaving 3"),
            ("ok 3 take fail", "gone"),
            ("fail", "leaving? 1"),
            ("fail drop", "leaving? 1"),
            ("fail 1 take fail", "gone"),
            ("unlisted", "gone"),
            ("ended", "gone"),
            ("withdraw", "gone"),
            ("leave", "leaving? in progress"),
            // The announce in progress belongs to the former task. The new task waits for it.
            ("begin", "new in progress"),
            ("begin ok", "new 0"),
            ("begin ended", "new 0"),
            ("begin suspend ok", "stopping 0"),
            ("begin leave ok", "leaving 3"),
            ("begin withdraw", "new 0"),
            ("begin ok take", "new in progress"),
            ("begin ok take withdraw", "new 0"),
            ("begin ok take ok", "listed 100"),
        ],
    );
    check_states(
        &format!("{LISTED} 100 take leave"),
        &[
            ("ok", "leaving 3"),
            ("fail", "leaving 1"),
            ("withdraw", "leaving 0"),
        ],
    );
}

#[test]
fn no_task_begins_after_the_end_but_existing_tasks_go_on() {
    check_states("end", &[("begin", "gone"), ("begin take", "gone")]);
    check_states(LISTED, &[("end complete take ok", "listed 100")]);
}
