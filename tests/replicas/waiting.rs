//! A write waits for the twin for a moment, and nothing else does.

use super::pair::Pair;
use crate::common::control_connection::group_request;
use crate::common::waiting::{PATIENCE, wait_until};
use pieceful::net::write_frame;
use pieceful::wire::access::{Ask, MAX_FRAME, Reply, Request};
use std::thread;
use std::time::{Duration, Instant};

/// The longest that a write may wait for a twin that stands still, with room for a busy machine.
const MOMENT: Duration = Duration::from_secs(20);

#[test]
fn a_tracker_answers_others_while_a_write_waits_for_its_twin() {
    let mut pair = Pair::new();
    let mut nik = pair.user(1, "nik");
    let mut reader = pair.user(1, "reader");
    pair.wait_until_in_step();
    pair.tracker(2).signal("-STOP");
    let begun = Instant::now();
    let request = Request {
        id: 7,
        token: Some(nik.token.clone()),
        ask: group_request("create_group lab"),
    };
    write_frame(
        &nik.connection.stream,
        &request.encode(),
        MAX_FRAME,
        PATIENCE,
    )
    .unwrap();
    let (asked, waited) = thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut frames = pieceful::net::FrameReader::new(&nik.connection.stream, MAX_FRAME);
            let reply = Reply::decode(frames.next(PATIENCE, PATIENCE).unwrap()).unwrap();
            assert!(reply.result.is_ok() && reply.only_here, "{reply:?}");
            begun.elapsed()
        });
        let mut asked = 0;
        while !waiting.is_finished() {
            reader.groups();
            asked += 1;
        }
        (asked, waiting.join().unwrap())
    });
    assert!(waited >= Duration::from_secs(1), "it waited {waited:?}");
    assert!(waited < MOMENT, "it waited {waited:?}");
    assert!(asked > 1, "only {asked} requests were answered meanwhile");
    // One that stands still is not waited for again.
    let begun = Instant::now();
    let reply = ask(&mut nik, group_request("create_group second"));
    assert!(reply.only_here && begun.elapsed() < waited, "{reply:?}");
    pair.tracker(2).signal("-CONT");
    pair.wait_until_in_step();
    let reply = ask(&mut nik, group_request("create_group third"));
    assert!(!reply.only_here, "{reply:?}");
    assert_eq!(pair.same()["groups"].as_array().unwrap().len(), 3);
}

fn ask(user: &mut crate::common::control_connection::User, ask: Ask) -> Reply {
    let request = Request {
        id: 9,
        token: Some(user.token.clone()),
        ask,
    };
    user.connection.exchange(&request.encode()).unwrap()
}

#[test]
fn a_tracker_that_starts_without_its_twin_serves_after_a_moment() {
    let mut pair = Pair::none();
    pair.start(1, &[]);
    // A peer does not notice.
    let mut peer = pair.peer("nik", 1);
    assert_eq!(peer.run("create_user nik pw-of-nik")["copies"], 1);
    // On a busy machine the moment may be over before it can be asked.
    wait_until("it is asked before it serves", || {
        pair.kill(1);
        pair.start(1, &[]);
        let mut line = pair.connect(1);
        match line.ask(
            None,
            Ask::Login {
                user: "nik".parse().unwrap(),
                password: "pw-of-nik".parse().unwrap(),
            },
        ) {
            Ok(_) => false,
            Err(refused) => {
                assert_eq!(refused.kind.as_str(), "starting", "{refused}");
                true
            }
        }
    });
    peer.run("login nik pw-of-nik");
}
