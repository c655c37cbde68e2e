//! A write waits a moment for the other replica, and nothing else waits.

use super::pair::Pair;
use crate::common::control_connection::{User, group_request, login_request};
use crate::common::waiting::{PATIENCE, wait_until};
use pieceful::net::{FrameReader, write_frame};
use pieceful::wire::access::{AccessReplyMessage, AccessRequest, AccessRequestMessage, MAX_FRAME};
use std::thread;
use std::time::{Duration, Instant};

/// The longest wait of a write for a paused replica, with room for a busy machine.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Reads the reply to a write of `writer`, while `reader` sends requests. Returns the number of
/// answers to `reader`, and the time from `start` to the reply.
fn count_answers_while_write_waits(
    writer: &User,
    reader: &mut User,
    start: Instant,
) -> (usize, Duration) {
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut frames = FrameReader::new(&writer.connection.stream, MAX_FRAME);
            let reply =
                AccessReplyMessage::decode(frames.next(PATIENCE, PATIENCE).unwrap()).unwrap();
            assert!(reply.result.is_ok() && reply.only_here, "{reply:?}");
            start.elapsed()
        });
        let mut answered = 0;
        while !waiting.is_finished() {
            reader.groups();
            answered += 1;
        }
        (answered, waiting.join().unwrap())
    })
}

#[test]
fn a_tracker_answers_others_while_a_write_waits_for_the_other_replica() {
    let mut pair = Pair::new();
    let mut nik = pair.user(1, "nik");
    let mut reader = pair.user(1, "reader");
    pair.wait_until_in_sync();
    pair.tracker(2).signal("-STOP");
    let start = Instant::now();
    let request = AccessRequestMessage {
        id: 7,
        token: Some(nik.token.clone()),
        watch: false,
        ask: group_request("create_group lab"),
    };
    write_frame(
        &nik.connection.stream,
        &request.encode(),
        MAX_FRAME,
        PATIENCE,
    )
    .unwrap();
    let (answered, waited) = count_answers_while_write_waits(&nik, &mut reader, start);
    assert!(
        waited >= Duration::from_secs(1),
        "the write waited {waited:?}"
    );
    assert!(waited < LONGEST_WAIT, "the write waited {waited:?}");
    assert!(
        answered > 1,
        "only {answered} requests were answered meanwhile"
    );
    // The next write does not wait for the paused replica again.
    let start = Instant::now();
    let reply = ask(&mut nik, group_request("create_group second"));
    assert!(reply.only_here && start.elapsed() < waited, "{reply:?}");
    pair.tracker(2).signal("-CONT");
    pair.wait_until_in_sync();
    let reply = ask(&mut nik, group_request("create_group third"));
    assert!(!reply.only_here, "{reply:?}");
    assert_eq!(pair.assert_same()["groups"].as_array().unwrap().len(), 3);
}

/// Sends a request and returns the whole reply.
fn ask(user: &mut User, ask: AccessRequest) -> AccessReplyMessage {
    let request = AccessRequestMessage {
        id: 9,
        token: Some(user.token.clone()),
        watch: false,
        ask,
    };
    user.connection.exchange(&request.encode()).unwrap()
}

#[test]
fn a_tracker_that_starts_without_the_other_replica_serves_after_a_moment() {
    let mut pair = Pair::stopped();
    pair.start(1, &[]);
    // A peer waits by itself until the tracker serves.
    let mut peer = pair.peer("nik", 1);
    assert_eq!(peer.run("create_user nik pw-of-nik")["copies"], 1);
    // On a busy machine the tracker may serve before the request comes. Then the test tries again.
    wait_until("a request comes before the tracker serves", || {
        pair.kill(1);
        pair.start(1, &[]);
        let mut connection = pair.connect(1);
        let log_in = login_request("nik", &"pw-of-nik".parse().unwrap());
        match connection.ask(None, log_in) {
            Ok(_) => false,
            Err(refused) => {
                assert_eq!(refused.kind.as_str(), "starting", "{refused}");
                true
            }
        }
    });
    peer.run("login nik pw-of-nik");
}
