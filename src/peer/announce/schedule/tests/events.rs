//! The events that trackers receive, the final announces, the notices, and the invariants.

use super::*;

#[test]
fn each_announce_has_the_event_that_the_tracker_has_not_received() {
    use AnnounceEvent::{Completed, Started, Stopped};
    for (steps, events) in [
        ("begin take ok", vec![Some(Started)]),
        (
            "begin complete take ok 3 take",
            vec![Some(Started), Some(Completed)],
        ),
        ("begin take ok 100 take", vec![Some(Started), None]),
        ("begin take fail 1 take", vec![Some(Started), Some(Started)]),
        (
            "begin take ok suspend take",
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
        ("begin suspend take", vec![]),
    ] {
        assert_eq!(Steps::run(steps).events_taken, events, "{steps}");
    }
}

#[test]
fn the_pause_after_a_failure_doubles_up_to_a_minute_or_up_to_5_s_if_peers_are_lacking() {
    for (fails, pauses) in [
        ("fail", [1, 2, 4, 8, 16, 32, 60, 60]),
        ("fail-lacks-peers", [1, 2, 4, 5, 5, 5, 5, 5]),
    ] {
        let mut test = Steps::run("begin");
        for pause in pauses {
            test.step("take");
            test.step(fails);
            assert_eq!(test.state_text(), format!("new {pause}"));
            test.step(&pause.to_string());
        }
        for step in ["take", "ok", "100", "take", "fail"] {
            test.step(step);
        }
        assert_eq!(test.state_text(), "listed 1", "an answer resets the pause");
    }
}

#[test]
fn a_change_at_a_tracker_is_reported_once() {
    let trouble = || AnnounceNotice::Trouble("silent".to_owned());
    let ended = || AnnounceNotice::Ended("withdrawn".to_owned());
    for (steps, notices) in [
        ("begin take ok 100 take ok", vec![AnnounceNotice::Answers]),
        ("begin take fail 1 take fail", vec![trouble()]),
        (
            "begin take fail 1 take ok",
            vec![trouble(), AnnounceNotice::Answers],
        ),
        (
            "begin take ok 100 take unlisted 7 take ok",
            vec![AnnounceNotice::Answers],
        ),
        (
            "begin take ok leave take fail",
            vec![AnnounceNotice::Answers],
        ),
        ("begin take ended", vec![ended()]),
        ("begin take leave ended", vec![ended()]),
        ("begin take leave unlisted", vec![]),
        ("begin take suspend ended", vec![]),
    ] {
        assert_eq!(Steps::run(steps).notices, notices, "{steps}");
    }
    let test = Steps::run("begin take fail");
    let task = test.schedule.task(SWARM, &"t").unwrap();
    assert_eq!(
        (task.trouble(), task.last_succeeded()),
        (Some("silent"), Some(false))
    );
    let test = Steps::run("begin take fail 1 take ok");
    let task = test.schedule.task(SWARM, &"t").unwrap();
    assert_eq!((task.trouble(), task.last_succeeded()), (None, Some(true)));
}

#[test]
fn final_announces_go_to_trackers_that_may_list_the_swarm() {
    // `None`: the tracker gets no final announce.
    for (steps, sends_completed) in [
        ("begin", None),
        ("begin suspend", None),
        ("begin take withdraw", None),
        ("begin take fail", None),
        // `started` is in progress.
        ("begin take", Some(false)),
        ("begin take suspend", Some(false)),
        ("begin take leave", Some(false)),
        (LISTED, Some(false)),
        ("begin take ok complete", Some(true)),
        // `completed` is in progress.
        ("begin take ok complete take", Some(false)),
        ("begin take ok start", Some(false)),
        ("begin take ok suspend", Some(false)),
        ("begin take ok suspend take ok", None),
        ("begin take ok leave", Some(false)),
    ] {
        let mut test = Steps::run(steps);
        assert_eq!(
            test.schedule.has_announce_in_progress(),
            !test.in_progress.is_empty(),
            "{steps}"
        );
        let announces = test.schedule.take_final_announces();
        test.schedule.check();
        let final_announce = |sends_completed| FinalAnnounce {
            tracker: "t",
            payload: "payload",
            sends_completed,
        };
        let expected: Vec<_> = sends_completed.map(final_announce).into_iter().collect();
        assert_eq!(announces, expected, "{steps}");
        assert!(test.schedule.has_ended() && test.schedule.tasks().count() == 0);
        // Announces in progress may end after that.
        while !test.in_progress.is_empty() {
            test.step("ok");
        }
        assert_eq!(test.state_text(), "gone");
    }
}

#[test]
fn after_suspend_a_task_is_stopping_until_its_announce_of_stopped_ends() {
    for (steps, stopping) in [
        (LISTED, false),
        ("begin take ok suspend", true),
        ("begin take ok suspend take", true),
        ("begin take ok suspend take fail", false),
        ("begin take ok leave", false),
    ] {
        assert_eq!(
            Steps::run(steps).schedule.any_stopping(),
            stopping,
            "{steps}"
        );
    }
}

#[test]
fn a_change_to_one_tracker_or_swarm_affects_no_other() {
    let mut test = Steps::run(LISTED);
    let other = InfoHash([2; 20]);
    test.schedule.begin(other, &"u", "other payload", test.now);
    for step in ["complete", "suspend", "drop"] {
        test.step(step);
        let there = test.schedule.task(other, &"u").unwrap();
        assert_eq!(there.state(), State::New { pending: None }, "{step}");
    }
    test.schedule.resume(test.now);
    assert!(test.schedule.task(SWARM, &"t").unwrap().is_leaving());
    test.schedule.update(SWARM, |payload| *payload = "ignored");
    test.schedule.update(other, |payload| *payload = "changed");
    let payloads = test.schedule.tasks().map(|(_, task)| task.payload);
    let payloads: BTreeSet<_> = payloads.collect();
    assert_eq!(
        payloads,
        BTreeSet::from(["payload", "changed"]),
        "a leaving task keeps its payload"
    );
}

#[test]
fn each_batch_goes_to_the_tracker_whose_announce_has_been_due_longest() {
    let mut test = Steps::new();
    let swarm = |number| InfoHash([number; 20]);
    let places = [(1, "t"), (2, "u"), (3, "t"), (4, "t"), (5, "u")];
    for (number, tracker) in places {
        test.schedule
            .begin(swarm(number), &tracker, "payload", test.now);
        test.step("1");
    }
    let now = test.now;
    assert_eq!(test.schedule.next(), Some(now - Duration::from_secs(5)));
    test.schedule
        .announce_soon(swarm(5), Some(AnnounceEvent::Completed), now);
    // A batch has at most two announces (`PACE`).
    let mut batches = Vec::new();
    loop {
        let batch = test.schedule.take(test.now);
        test.schedule.check();
        let Some(first) = batch.first() else { break };
        let numbers: Vec<u8> = batch.iter().map(|due| due.info_hash.0[0]).collect();
        batches.push((first.tracker, numbers));
    }
    assert_eq!(
        batches,
        [("t", vec![1, 3]), ("u", vec![2, 5]), ("t", vec![4])]
    );
    assert_eq!(test.schedule.next(), None);
}

#[test]
fn the_invariants_hold_whatever_happens() {
    const STEPS: [&str; 20] = [
        "begin",
        "ask",
        "start",
        "complete",
        "suspend",
        "resume",
        "leave-others",
        "drop",
        "leave",
        "take",
        "take",
        "take",
        "withdraw",
        "ok",
        "ok",
        "fail",
        "unlisted",
        "ended",
        "1",
        "100",
    ];
    let mut random = fastrand::Rng::with_seed(1);
    let mut states = BTreeSet::new();
    let mut test = Steps::new();
    for _ in 0..20_000 {
        let step = STEPS[random.usize(..STEPS.len())];
        let ends = matches!(step, "withdraw" | "ok" | "fail" | "unlisted" | "ended");
        if ends && test.in_progress.is_empty() {
            continue;
        }
        test.step(step);
        test.schedule.check();
        let state = test.state_text();
        states.insert(state.split(' ').next().unwrap().to_owned());
    }
    assert_eq!(states.len(), 9, "not every state was reached: {states:?}");
}
