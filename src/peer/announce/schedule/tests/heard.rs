//! What trackers hear, at once and last, what is noted of them, and what holds in every state.

use super::*;

#[test]
fn each_announce_says_what_the_tracker_has_not_heard() {
    use Event::{Completed, Started, Stopped};
    for (steps, said) in [
        ("begin take ok", vec![Some(Started)]),
        (
            "begin tell take ok 3 take",
            vec![Some(Started), Some(Completed)],
        ),
        ("begin take ok 100 take", vec![Some(Started), None]),
        ("begin take fail 1 take", vec![Some(Started), Some(Started)]),
        (
            "begin take ok rest take",
            vec![Some(Started), Some(Stopped)],
        ),
        (
            "begin take ok leave take",
            vec![Some(Started), Some(Stopped)],
        ),
        (
            "begin take ok 100 take unlisted 7 take",
            vec![Some(Started), None, Some(Started)],
        ),
        ("begin rest take", vec![]),
    ] {
        assert_eq!(Steps::led(steps).said, said, "{steps}");
    }
}

#[test]
fn the_pause_after_a_failure_doubles_up_to_a_minute_and_what_is_hungry_waits_no_longer_than_it_may()
{
    for (fails, pauses) in [
        ("fail", [1, 2, 4, 8, 16, 32, 60, 60]),
        ("starve", [1, 2, 4, 5, 5, 5, 5, 5]),
    ] {
        let mut led = Steps::led("begin");
        for pause in pauses {
            led.step("take");
            led.step(fails);
            assert_eq!(led.shown(), format!("new {pause}"));
            led.step(&pause.to_string());
        }
        for step in ["take", "ok", "100", "take", "fail"] {
            led.step(step);
        }
        assert_eq!(led.shown(), "listed 1", "an answer ends that");
    }
}

#[test]
fn what_is_new_about_a_tracker_is_noted_once() {
    let trouble = || Notice::Trouble("silent".to_owned());
    let over = || Notice::Over("withdrawn".to_owned());
    for (steps, notices) in [
        ("begin take ok 100 take ok", vec![Notice::Answers]),
        ("begin take fail 1 take fail", vec![trouble()]),
        (
            "begin take fail 1 take ok",
            vec![trouble(), Notice::Answers],
        ),
        (
            "begin take ok 100 take unlisted 7 take ok",
            vec![Notice::Answers],
        ),
        ("begin take ok leave take fail", vec![Notice::Answers]),
        ("begin take over", vec![over()]),
        ("begin take leave over", vec![over()]),
        ("begin take leave unlisted", vec![]),
        ("begin take rest over", vec![]),
    ] {
        assert_eq!(Steps::led(steps).notices, notices, "{steps}");
    }
    let led = Steps::led("begin take fail");
    let task = led.schedule.task(SWARM, &"t").unwrap();
    assert_eq!(
        (task.trouble(), task.reached()),
        (Some("silent"), Some(false))
    );
    let led = Steps::led("begin take fail 1 take ok");
    let task = led.schedule.task(SWARM, &"t").unwrap();
    assert_eq!((task.trouble(), task.reached()), (None, Some(true)));
}

#[test]
fn the_farewell_is_for_those_that_list_the_swarm() {
    for (steps, is_completed) in [
        ("begin", None),
        ("begin take", None),
        ("begin rest", None),
        ("begin take leave", None),
        (LISTED, Some(false)),
        ("begin take ok tell", Some(true)),
        // It is being told.
        ("begin take ok tell take", Some(false)),
        ("begin take ok start", Some(false)),
        ("begin take ok rest", Some(false)),
        ("begin take ok rest take ok", None),
        ("begin take ok leave", Some(false)),
    ] {
        let mut led = Steps::led(steps);
        assert_eq!(
            led.schedule.is_under_way(),
            !led.taken.is_empty(),
            "{steps}"
        );
        let told = led.schedule.farewell();
        led.schedule.check();
        let farewell = |is_completed| Farewell {
            tracker: "t",
            payload: "kept",
            is_completed,
        };
        let expected: Vec<_> = is_completed.map(farewell).into_iter().collect();
        assert_eq!(told, expected, "{steps}");
        assert!(led.schedule.has_ended() && !led.schedule.has(SWARM));
        // What was under way may end after that.
        while !led.taken.is_empty() {
            led.step("ok");
        }
        assert_eq!(led.shown(), "gone");
    }
}

#[test]
fn somebody_may_wait_until_what_rests_has_stopped() {
    for (steps, stopping) in [
        (LISTED, false),
        ("begin take ok rest", true),
        ("begin take ok rest take", true),
        ("begin take ok rest take fail", false),
        ("begin take ok leave", false),
    ] {
        assert_eq!(
            Steps::led(steps).schedule.is_stopping(),
            stopping,
            "{steps}"
        );
    }
}

#[test]
fn what_is_said_of_one_tracker_or_swarm_is_not_said_of_another() {
    let mut led = Steps::led(LISTED);
    let other = InfoHash([2; 20]);
    led.schedule.begin(other, &"u", "also kept", led.now);
    for step in ["tell", "rest", "drop"] {
        led.step(step);
        let there = led.schedule.task(other, &"u").unwrap();
        assert_eq!(there.state(), State::New { then: None }, "{step}");
    }
    led.schedule.wake(led.now);
    assert!(led.schedule.task(SWARM, &"t").unwrap().is_leaving());
    led.schedule.update(SWARM, |kept| *kept = "unchanged");
    led.schedule.update(other, |kept| *kept = "changed");
    let kept = led.schedule.all().map(|(_, task)| task.payload);
    let kept: BTreeSet<_> = kept.collect();
    assert_eq!(
        kept,
        BTreeSet::from(["kept", "changed"]),
        "what leaves says what it was"
    );
}

#[test]
fn one_request_announces_what_is_due_at_one_tracker_the_longest_due_first() {
    let mut led = Steps::new();
    let swarm = |number| InfoHash([number; 20]);
    let places = [(1, "t"), (2, "u"), (3, "t"), (4, "t"), (5, "u")];
    for (number, tracker) in places {
        led.schedule.begin(swarm(number), &tracker, "kept", led.now);
        led.step("1");
    }
    let begun = led.now;
    assert_eq!(led.schedule.next(), Some(begun - Duration::from_secs(5)));
    led.schedule.tell(swarm(5), Some(Event::Completed), begun);
    let mut batches = Vec::new();
    loop {
        let batch = led.schedule.take(led.now);
        led.schedule.check();
        let Some(first) = batch.first() else { break };
        let numbers: Vec<u8> = batch.iter().map(|due| due.info_hash.0[0]).collect();
        batches.push((first.tracker, numbers));
    }
    assert_eq!(
        batches,
        [("t", vec![1, 3]), ("u", vec![2, 5]), ("t", vec![4])]
    );
    assert_eq!(led.schedule.next(), None);
}

#[test]
fn the_invariants_hold_whatever_happens() {
    const STEPS: [&str; 20] = [
        "begin", "ask", "start", "tell", "rest", "wake", "keep", "drop", "leave", "take", "take",
        "take", "withdraw", "ok", "ok", "fail", "unlisted", "over", "1", "100",
    ];
    let mut random = fastrand::Rng::with_seed(1);
    let mut shown = BTreeSet::new();
    let mut led = Steps::new();
    for _ in 0..20_000 {
        let step = STEPS[random.usize(..STEPS.len())];
        let ends = matches!(step, "withdraw" | "ok" | "fail" | "unlisted" | "over");
        if ends && led.taken.is_empty() {
            continue;
        }
        led.step(step);
        led.schedule.check();
        let state = led.shown();
        shown.insert(state.split(' ').next().unwrap().to_owned());
    }
    assert_eq!(shown.len(), 9, "not every state was reached: {shown:?}");
}
