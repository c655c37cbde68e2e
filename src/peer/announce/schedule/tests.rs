//! Every state and every transition, by a clock of the tests' own.
//!
//! A swarm at a tracker is led through steps, one word each; then a word or two tell where it is.

mod heard;

use super::task::State;
use super::*;
use crate::peer::announce::{Answer, Notice};
use std::time::Duration;

const PACE: Pace = Pace {
    hungry: Duration::from_secs(5),
    retry: (Duration::from_secs(1), Duration::from_secs(60)),
    news: Duration::from_secs(3),
    retry_news: Duration::from_secs(2),
    batch: 2,
};
const SWARM: InfoHash = InfoHash([1; 20]);
/// What brings a task to `Listed`.
const LISTED: &str = "begin take ok";
/// What a tracker wants: an announce in 100 s, and none in less than 30 s.
const ANSWER: Answer = Answer {
    interval: Duration::from_secs(100),
    min_interval: Some(Duration::from_secs(30)),
    is_hungry: false,
};

struct Steps {
    schedule: Schedule<&'static str, &'static str>,
    now: Instant,
    /// What is under way, and the events of all that was taken.
    taken: Vec<Due<&'static str, &'static str>>,
    said: Vec<Option<Event>>,
    notices: Vec<Notice>,
}

impl Steps {
    fn new() -> Self {
        Self {
            schedule: Schedule::new(PACE),
            now: Instant::now(),
            taken: Vec::new(),
            said: Vec::new(),
            notices: Vec::new(),
        }
    }

    fn led(steps: &str) -> Self {
        let mut led = Self::new();
        for step in steps.split_whitespace() {
            led.step(step);
            led.schedule.check();
        }
        led
    }

    fn step(&mut self, step: &str) {
        let Self { schedule, now, .. } = self;
        match step {
            "begin" => schedule.begin(SWARM, &"t", "kept", *now),
            "ask" => schedule.tell(SWARM, None, *now),
            "start" => schedule.tell(SWARM, Some(Event::Started), *now),
            "tell" => schedule.tell(SWARM, Some(Event::Completed), *now),
            "rest" => schedule.rest(|kept| *kept == "kept", *now),
            "wake" => schedule.wake(*now),
            "keep" => schedule.leave_unless(SWARM, |tracker| *tracker == "t", *now),
            "drop" => schedule.leave_unless(SWARM, |_| false, *now),
            "leave" => schedule.leave(SWARM, *now),
            "end" => schedule.end(),
            "take" => {
                let taken = schedule.take(*now);
                self.said.extend(taken.iter().map(|due| due.event));
                self.taken.extend(taken);
            }
            "withdraw" => schedule.withdraw(&self.taken.remove(0)),
            "ok" => self.settle(Outcome::Answered(ANSWER)),
            "hungry" => self.settle(Outcome::Answered(Answer {
                is_hungry: true,
                ..ANSWER
            })),
            "fail" | "starve" => self.settle(Outcome::Failed {
                trouble: "silent".to_owned(),
                is_hungry: step == "starve",
            }),
            "unlisted" => self.settle(Outcome::Unlisted {
                pause: Duration::from_secs(7),
                trouble: None,
            }),
            "over" => self.settle(Outcome::Over("withdrawn".to_owned())),
            seconds => self.now += Duration::from_secs(seconds.parse().unwrap()),
        }
    }

    /// What was taken first has ended.
    fn settle(&mut self, outcome: Outcome) {
        let due = self.taken.remove(0);
        let notice = self.schedule.settle(&due, outcome, self.now);
        self.notices.extend(notice);
    }

    /// The state, in capitals if an event is kept in it, and in how many seconds an announce is
    /// due.
    fn shown(&self) -> String {
        let Some(task) = self.schedule.task(SWARM, &"t") else {
            return "gone".to_owned();
        };
        let state = match task.state() {
            State::New { then: None } => "new",
            State::New { then: Some(_) } => "NEW",
            State::Listed { news: None } => "listed",
            State::Listed { news: Some(_) } => "LISTED",
            State::Stopping => "stopping",
            State::Asleep => "asleep",
            State::Leaving { is_listed: true } => "leaving",
            State::Leaving { is_listed: false } => "leaving?",
        };
        let due = match (task.ticket(), task.next()) {
            (Some(_), None) => "under way".to_owned(),
            (None, Some(due)) => due
                .saturating_duration_since(self.now)
                .as_secs()
                .to_string(),
            (None, None) => "never".to_owned(),
            (Some(_), Some(_)) => panic!("it is due, and under way"),
        };
        format!("{state} {due}")
    }
}

/// Leads a swarm through what `before` says and then through each of the steps.
fn leads(before: &str, cases: &[(&str, &str)]) {
    for (steps, shown) in cases {
        let steps = format!("{before} {steps}");
        assert_eq!(Steps::led(&steps).shown(), *shown, "{steps}");
    }
}

#[test]
fn a_tracker_that_has_not_heard_of_the_swarm() {
    leads(
        "begin",
        &[
            ("", "new 0"),
            ("begin ask start keep", "new 0"),
            ("tell", "NEW 0"),
            ("take", "new under way"),
            ("take begin tell", "NEW under way"),
            ("take ok", "listed 100"),
            ("take hungry", "listed 30"),
            ("take tell ok", "LISTED 3"),
            ("take fail", "new 1"),
            ("take fail 1 take fail", "new 2"),
            ("take fail ask tell", "NEW 1"),
            ("take fail wake", "new 0"),
            ("take unlisted", "new 7"),
            ("take tell unlisted", "NEW 7"),
            ("take over", "gone"),
            ("take withdraw", "new 0"),
            ("rest", "asleep never"),
            ("wake", "new 0"),
            ("leave", "gone"),
            ("drop", "gone"),
            ("take leave", "leaving? under way"),
        ],
    );
}

#[test]
fn a_tracker_that_lists_the_swarm() {
    leads(
        LISTED,
        &[
            ("begin keep", "listed 100"),
            // News does not wait for the shortest interval, what is none does.
            ("ask", "listed 30"),
            ("wake", "listed 30"),
            ("tell", "LISTED 0"),
            ("tell take ok", "listed 100"),
            ("tell take start ok", "LISTED 3"),
            ("tell take fail", "LISTED 1"),
            ("tell take fail 1 take fail 2 take fail", "LISTED 2"),
            ("tell take unlisted", "NEW 7"),
            ("100 take", "listed under way"),
            ("100 take ok", "listed 100"),
            ("100 take tell ok", "LISTED 3"),
            ("100 take fail", "listed 1"),
            ("100 take fail 1 take fail 2 take fail", "listed 4"),
            ("100 take unlisted", "new 7"),
            ("100 take over", "gone"),
            ("100 take withdraw", "listed 0"),
            ("rest", "stopping 0"),
            ("100 take rest", "stopping under way"),
            ("leave", "leaving 0"),
            ("drop", "leaving 0"),
            ("100 take leave", "leaving under way"),
        ],
    );
}

#[test]
fn what_rests_until_it_is_woken() {
    leads(
        &format!("{LISTED} rest"),
        &[
            ("tell rest wake", "new 0"),
            ("take", "stopping under way"),
            // It is tried once.
            ("take ok", "asleep never"),
            ("take fail", "asleep never"),
            ("take unlisted", "asleep never"),
            ("take over", "asleep never"),
            ("take withdraw", "stopping 0"),
            ("take wake", "new under way"),
            ("take wake ok", "new 0"),
            ("take wake fail", "new 0"),
            ("leave", "leaving 0"),
            ("take leave", "leaving under way"),
            ("take leave ok", "gone"),
            ("take ok tell rest", "asleep never"),
            ("take ok wake", "new 0"),
            ("take ok leave", "gone"),
        ],
    );
    leads(
        "begin take rest",
        &[
            ("", "asleep under way"),
            // It was heard all the same.
            ("ok", "stopping 0"),
            ("fail", "asleep never"),
            ("unlisted", "asleep never"),
            ("over", "asleep never"),
            ("wake ok", "listed 100"),
            ("leave", "leaving? under way"),
        ],
    );
    leads(
        &format!("{LISTED} 100 take rest"),
        &[
            ("ok", "stopping 0"),
            ("fail", "stopping 0"),
            ("unlisted", "stopping 0"),
            ("wake ok", "new 0"),
        ],
    );
}

#[test]
fn what_leaves() {
    leads(
        &format!("{LISTED} leave"),
        &[
            ("leave rest tell wake drop", "leaving 0"),
            ("take", "leaving under way"),
            ("take ok", "gone"),
            ("take fail", "gone"),
            ("take unlisted", "gone"),
            ("take over", "gone"),
            ("take withdraw", "leaving 0"),
            ("begin", "new 0"),
            // A `started` does not overtake the `stopped` before.
            ("take begin", "new under way"),
            ("take begin take", "new under way"),
            ("take begin ok", "new 0"),
            ("take begin fail", "new 0"),
            ("take begin over", "new 0"),
            ("take begin withdraw", "new 0"),
            ("take begin ok take ok", "listed 100"),
            ("take begin leave ok", "gone"),
            ("take begin rest ok", "asleep never"),
        ],
    );
    leads(
        "begin take leave",
        &[
            ("ok", "leaving 3"),
            ("ok 3 take fail", "gone"),
            ("fail", "leaving? 1"),
            ("fail drop", "leaving? 1"),
            ("fail 1 take fail", "gone"),
            ("unlisted", "gone"),
            ("over", "gone"),
            ("withdraw", "gone"),
            ("leave", "leaving? under way"),
            // What ends then is another task's announce, for which the new one waits.
            ("begin", "new under way"),
            ("begin ok", "new 0"),
            ("begin over", "new 0"),
            ("begin rest ok", "stopping 0"),
            ("begin leave ok", "leaving 3"),
            ("begin withdraw", "new 0"),
            ("begin ok take", "new under way"),
            ("begin ok take withdraw", "new 0"),
            ("begin ok take ok", "listed 100"),
        ],
    );
    leads(
        &format!("{LISTED} 100 take leave"),
        &[
            ("ok", "leaving 3"),
            ("fail", "leaving 1"),
            ("withdraw", "leaving 0"),
        ],
    );
}

#[test]
fn nothing_begins_once_all_has_ended() {
    leads("end", &[("begin", "gone"), ("begin take", "gone")]);
    leads(LISTED, &[("end tell take ok", "listed 100")]);
}
