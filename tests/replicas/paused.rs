//! A tracker whose process was paused. It executes no request whose client has closed its
//! connection meanwhile. If it notices the pause, it serves only after it has caught up with the
//! other tracker.

use super::pair::{Pair, create_and_log_in};
use crate::common::control_connection::{User, group_request};
use crate::common::waiting::{PATIENCE, wait_until};
use pieceful::net::{FrameReader, write_frame};
use pieceful::wire::access::{
    AccessReplyMessage, AccessRequest, AccessRequestMessage, GroupRole, MAX_FRAME,
};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The length of a pause that the tracker notices.
pub(super) const PAUSE: Duration = Duration::from_secs(5);

/// Pauses a tracker. When this returns, none of its threads runs any more.
pub(super) fn pause(pair: &mut Pair, number: usize) {
    let tracker = pair.tracker(number);
    tracker.signal("-STOP");
    let tasks = format!("/proc/{}/task", tracker.id());
    let is_stopped = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // The state follows the name, which is in brackets.
        stat.rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with('T'))
    };
    wait_until("the tracker is paused", || {
        let mut tasks = fs::read_dir(&tasks).unwrap();
        tasks.all(|task| task.is_ok_and(is_stopped))
    });
}

/// Sends a request and does not wait for the answer.
fn send(user: &User, ask: AccessRequest) {
    let request = AccessRequestMessage {
        id: 7,
        token: Some(user.token.clone()),
        watch: false,
        ask,
    };
    write_frame(
        &user.connection.stream,
        &request.encode(),
        MAX_FRAME,
        PATIENCE,
    )
    .unwrap();
}

/// Reads the answer to a request.
fn receive(user: &User) -> AccessReplyMessage {
    let mut frames = FrameReader::new(&user.connection.stream, MAX_FRAME);
    AccessReplyMessage::decode(frames.next(PATIENCE, PATIENCE).unwrap()).unwrap()
}

#[test]
fn requests_in_the_buffers_of_a_paused_tracker_do_not_undo_later_writes() {
    let mut pair = Pair::new();
    let (mut owner, mut eve) = (pair.user(1, "owner"), pair.user(1, "eve"));
    owner.perform(group_request("create_group lab"));
    eve.perform(group_request("join_group lab"));
    owner.perform(group_request("accept_request lab eve"));
    pair.wait_until_in_sync();
    let patient = User::log_in(pair.connect(1), "owner");
    pause(&mut pair, 1);
    let start = Instant::now();
    // Two requests at the paused tracker: one user waits for the answer, one closes the connection.
    let remove = || group_request("remove_member lab eve");
    send(&patient, remove());
    send(&owner, remove());
    owner.connection.stream.hang_up();
    // The second tracker removes eve, and then she is accepted again.
    let mut owner = User::log_in(pair.connect(2), "owner");
    let mut eve = User::log_in(pair.connect(2), "eve");
    owner.perform(remove());
    eve.perform(group_request("join_group lab"));
    owner.perform(group_request("accept_request lab eve"));
    thread::sleep(PAUSE.saturating_sub(start.elapsed()));
    // The first tracker cannot reach the second, so it waits a moment before it serves.
    pair.proxy.cut();
    pair.tracker(1).signal("-CONT");
    let refused = receive(&patient).result.unwrap_err();
    assert_eq!(refused.kind.as_str(), "starting", "{refused}");
    pair.wait_for_log(1, "stalled for");
    pair.proxy.mend();
    pair.wait_until_in_sync();
    for number in [1, 2] {
        let mut eve = User::log_in(pair.connect(number), "eve");
        assert_eq!(eve.groups()[0].role, GroupRole::Member, "at {number}");
    }
    let memberships = pair.assert_same()["memberships"].as_array().unwrap().len();
    assert_eq!(
        memberships, 3,
        "the owner's row, eve's ended row and eve's new row"
    );
}

#[test]
fn a_write_whose_connection_is_closed_is_not_executed() {
    let mut pair = Pair::new();
    let nik = pair.user(1, "nik");
    pair.wait_until_in_sync();
    // This pause is too short for the tracker to notice.
    pause(&mut pair, 1);
    send(&nik, group_request("create_group lab"));
    nik.connection.stream.hang_up();
    pair.tracker(1).signal("-CONT");
    pair.wait_for_log(1, "has given up create_group");
    let mut nik = User::log_in(pair.connect(1), "nik");
    wait_until("the tracker serves", || {
        pair.view(1).is_some_and(|view| view.serving)
    });
    assert!(nik.groups().is_empty());
}

#[test]
fn trackers_that_are_starved_in_turn_go_on_serving() {
    let mut pair = Pair::new();
    let mut nik = pair.peer("nik", 1);
    create_and_log_in(&mut nik, "nik");
    pair.wait_until_in_sync();
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let writing = thread::spawn(move || {
        let (mut written, mut slowest) = (0, Duration::ZERO);
        while !stopping.load(Ordering::Relaxed) {
            let begun = Instant::now();
            nik.run(&format!("create_group group{written}"));
            slowest = slowest.max(begun.elapsed());
            written += 1;
        }
        (written, slowest)
    });
    for pause_millis in [2_000, 2_500, 3_000] {
        for number in [1, 2] {
            pause(&mut pair, number);
            thread::sleep(Duration::from_millis(pause_millis));
            pair.tracker(number).signal("-CONT");
        }
    }
    stop.store(true, Ordering::Relaxed);
    let (written, slowest) = writing.join().unwrap();
    assert!(slowest < Duration::from_secs(12), "{slowest:?} for a write");
    pair.wait_until_in_sync();
    let groups = pair.assert_same()["groups"].as_array().unwrap().len();
    assert_eq!(groups, written, "each write is done, once");
    for number in [1, 2] {
        pair.wait_for_log(number, "got no processor for");
        // These pauses are too short to count as a stall. If a slow machine makes one longer, the
        // tracker may log `stalled for`, but only from 4 s on.
        let log = pair.log(number);
        for line in log.lines().filter(|line| line.contains("stalled for")) {
            let seconds = line.split("stalled for ").nth(1).unwrap();
            let seconds: u64 = seconds.split(' ').next().unwrap().parse().unwrap();
            assert!(seconds >= 4, "{line}");
        }
    }
}

#[test]
fn catching_up_completes_over_a_very_slow_connection() {
    let mut pair = Pair::new();
    let mut nik = pair.user(1, "nik");
    pair.kill(2);
    for number in 0..60 {
        nik.perform(group_request(&format!("create_group group{number}")));
    }
    // At 8 KiB/s, it takes longer to send one batch of writes than a replica connection may be
    // silent.
    pair.proxy.slow_down(8 << 10);
    pair.start(2, &[]);
    pair.wait_until_in_sync();
    assert_eq!(pair.log(2).matches("lost tracker 1").count(), 0);
    pair.proxy.mend();
    assert_eq!(pair.assert_same()["groups"].as_array().unwrap().len(), 60);
}
