//! Bad bytes on a control connection: an error reply or a closed connection, while other users are
//! served.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{ControlConnection, User, connect_from, group_request};
use crate::common::waiting::PATIENCE;
use pieceful::bencode::Item;
use pieceful::net::{FrameIoError, FrameReader, TlsStream};
use pieceful::wire::access::{
    AccessAnswer, AccessReplyMessage, AccessRequest, MAX_FRAME, PROTOCOL,
};
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A tracker under load may act this long after a deadline.
const SLACK: Duration = Duration::from_secs(20);

/// A frame with this body.
fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&length, body].concat()
}

/// A valid request with entries added or replaced.
fn request_with(kind: &str, entries: Vec<(&'static str, Item<'_>)>) -> Vec<u8> {
    let mut all = vec![
        ("id", Item::from(7u32)),
        ("protocol", PROTOCOL.into()),
        ("type", kind.to_owned().into()),
    ];
    for (key, item) in entries {
        all.retain(|(other, _)| *other != key);
        all.push((key, item));
    }
    framed(&Item::dictionary(all).encode())
}

fn text(text: &str) -> Item<'static> {
    text.to_owned().into()
}

/// Bad bytes, each with the name of its defect.
fn bad_frames() -> Vec<(&'static str, Vec<u8>)> {
    let deep = [vec![b'l'; 20_000], vec![b'e'; 20_000]].concat();
    let many = [b"l".to_vec(), b"i0e".repeat(300_000), b"e".to_vec()].concat();
    let largest = vec![b'x'; MAX_FRAME as usize];
    vec![
        ("the longest length", vec![0xff; 4]),
        (
            "a length one too long",
            (MAX_FRAME + 1).to_be_bytes().to_vec(),
        ),
        ("a negative length", vec![0x80, 0, 0, 0]),
        ("an empty frame", framed(b"")),
        ("the largest frame, no bencode", framed(&largest)),
        ("text", framed(b"hello")),
        ("zeros", framed(&[0; 100])),
        ("a list", framed(b"le")),
        ("a number", framed(b"i7e")),
        ("nothing but the version", framed(b"d8:protocoli5ee")),
        ("a dictionary without end", framed(b"d2:idi7e8:protocoli5e")),
        ("a string longer than the frame", framed(b"99999999999:")),
        ("deeply nested lists", framed(&deep)),
        ("a great many values", framed(&many)),
        (
            "bytes after the end",
            framed(b"d2:idi7e8:protocoli5e4:type6:logoutex"),
        ),
        (
            "unsorted keys",
            framed(b"d4:type6:logout2:idi7e8:protocoli5ee"),
        ),
        (
            "a key twice",
            framed(b"d2:idi7e2:idi7e8:protocoli5e4:type6:logoute"),
        ),
        ("no id", framed(b"d8:protocoli5e4:type6:logoute")),
        ("no type", framed(b"d2:idi7e8:protocoli5ee")),
        (
            "a negative id",
            framed(b"d2:idi-1e8:protocoli5e4:type6:logoute"),
        ),
        (
            "an id too large",
            framed(b"d2:idi4294967296e8:protocoli5e4:type6:logoute"),
        ),
        (
            "an id that is text",
            request_with("logout", vec![("id", text("7"))]),
        ),
        (
            "a type that is a number",
            framed(b"d2:idi7e8:protocoli5e4:typei7ee"),
        ),
        ("an unknown request", request_with("become_owner", vec![])),
        ("an answer", request_with("done", vec![])),
        (
            "a key too many",
            request_with("logout", vec![("zebra", text("x"))]),
        ),
        (
            "a group too many",
            request_with("logout", vec![("group", text("lab"))]),
        ),
        (
            "an empty token",
            request_with("logout", vec![("token", text(""))]),
        ),
        (
            "a token too long",
            request_with("logout", vec![("token", text(&"x".repeat(257)))]),
        ),
        (
            "a token that is a number",
            request_with("logout", vec![("token", Item::from(7u32))]),
        ),
        ("no group", request_with("join_group", vec![])),
        (
            "a name with control characters",
            request_with("join_group", vec![("group", text("a\u{1b}[2J"))]),
        ),
        (
            "a name too long",
            request_with("create_group", vec![("group", text(&"x".repeat(65)))]),
        ),
        (
            "a name that is no UTF-8",
            framed(b"d5:group2:\xff\xfe2:idi7e8:protocoli5e4:type10:join_groupe"),
        ),
        (
            "an empty name",
            request_with(
                "create_user",
                vec![("user", text("")), ("password", text("x"))],
            ),
        ),
        (
            "an empty password",
            request_with(
                "create_user",
                vec![("user", text("x")), ("password", text(""))],
            ),
        ),
        (
            "a password too long",
            request_with(
                "login",
                vec![("user", text("x")), ("password", text(&"p".repeat(1025)))],
            ),
        ),
        (
            "a flag that is neither 0 nor 1",
            request_with(
                "leave_group",
                vec![("end", Item::from(2u32)), ("group", text("lab"))],
            ),
        ),
        (
            "a list of seen news that is too long",
            request_with("news", vec![("seen", text(&"x".repeat((64 << 10) + 1)))]),
        ),
    ]
}

/// The refusal that the tracker sends, or None if it closes the connection without one. After the
/// refusal the connection must end.
fn read_refusal(connection: &TlsStream) -> Option<AccessReplyMessage> {
    let mut reader = FrameReader::new(connection, MAX_FRAME);
    let reply = match reader.next(PATIENCE, PATIENCE) {
        Ok(body) => AccessReplyMessage::decode(body).expect("a reply"),
        Err(FrameIoError::TooSlow(limit)) => panic!("neither an answer nor an end in {limit:?}"),
        Err(_) => return None,
    };
    match reader.next(PATIENCE, PATIENCE) {
        Ok(more) => panic!("more than one answer: {more:?}"),
        Err(FrameIoError::TooSlow(_)) => panic!("the connection stays open"),
        Err(_) => Some(reply),
    }
}

fn send(connection: &ControlConnection, bytes: &[u8]) {
    // The tracker may close the connection before everything is sent.
    let _ = connection
        .stream
        .write_all_until(bytes, Instant::now() + PATIENCE);
}

fn is_served(user: &mut User) -> bool {
    matches!(
        user.ask(group_request("list_groups")),
        Ok(AccessAnswer::Groups(_))
    )
}

#[test]
fn bad_bytes_get_an_error_or_a_closed_connection() {
    let tracker = AccountTracker::new();
    let mut nik = tracker.user("nik");
    let mut refusals = 0;
    for (what, bytes) in bad_frames() {
        let connection = tracker.connect();
        send(&connection, &bytes);
        if let Some(reply) = read_refusal(&connection.stream) {
            let error = reply.result.expect_err(what);
            assert_eq!(error.kind.as_str(), "bad-request", "{what}: {error}");
            let message = error.message.as_str();
            assert!(
                message.len() < 300 && !message.contains("xxxx"),
                "{what}: {message}"
            );
            refusals += 1;
        }
        assert!(is_served(&mut nik), "{what}");
    }
    assert!(refusals >= 30, "only {refusals} errors were sent");
    // Valid requests before the bad bytes are all answered.
    let connection = tracker.connect();
    let valid = request_with("list_groups", vec![]);
    send(&connection, &[valid.repeat(100), framed(b"hello")].concat());
    let mut reader = FrameReader::new(&connection.stream, MAX_FRAME);
    for _ in 0..100 {
        let reply = AccessReplyMessage::decode(reader.next(PATIENCE, PATIENCE).unwrap()).unwrap();
        assert_eq!(reply.result.unwrap_err().kind.as_str(), "not-logged-in");
    }
    let last = AccessReplyMessage::decode(reader.next(PATIENCE, PATIENCE).unwrap()).unwrap();
    assert_eq!(last.result.unwrap_err().kind.as_str(), "bad-request");
    assert!(is_served(&mut nik));
}

/// Sends the length of a frame, and some bytes of it. Returns whether the tracker closes the
/// connection before the deadline of the frame.
fn is_refused_at_its_length(connection: &ControlConnection, length: usize) -> bool {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    send(connection, &[&length[..], b"d2:id"].concat());
    // The deadline of a frame is 10 s.
    let until = Instant::now() + Duration::from_secs(7);
    let read = connection.stream.read_until(&mut [0; 100], until);
    !matches!(read, Err(error) if error.kind() == ErrorKind::TimedOut)
}

#[test]
fn a_frame_that_is_too_long_is_refused_when_its_length_arrives() {
    let tracker = AccountTracker::new();
    let stranger = tracker.connect();
    assert!(is_refused_at_its_length(&stranger, (16 << 10) + 1));
    let mut nik = tracker.user("nik");
    // The first request with a token makes long frames possible.
    assert!(is_served(&mut nik));
    let long = request_with("create_group", vec![("group", text(&"x".repeat(20_000)))]);
    let reply = nik.connection.exchange(&long[4..]).unwrap();
    assert_eq!(reply.result.unwrap_err().kind.as_str(), "bad-request");
    let mut nik = User::log_in(tracker.connect(), "nik");
    assert!(is_served(&mut nik));
    assert!(is_refused_at_its_length(
        &nik.connection,
        MAX_FRAME as usize + 1
    ));
}

#[test]
fn a_request_that_is_cut_off_disturbs_no_other_user() {
    let tracker = AccountTracker::new();
    let mut nik = tracker.user("nik");
    let request = request_with("create_group", vec![("group", text("cut"))]);
    for length in 0..request.len() {
        let connection = tracker.connect();
        send(&connection, &request[..length]);
        // By turns, the test closes its writing side first, or both sides at once.
        if length % 2 == 0 {
            drop(connection);
        } else {
            connection.stream.hang_up();
        }
        assert!(length % 10 != 0 || is_served(&mut nik));
    }
    assert!(is_served(&mut nik));
}

#[test]
fn a_frame_that_trickles_is_ended_and_delays_no_other_user() {
    let tracker = AccountTracker::new();
    let mut nik = tracker.user("nik");
    let connection = tracker.connect();
    let start = Instant::now();
    let mut frame = framed(&vec![b'x'; 1000]).into_iter();
    // At one byte in 100 ms the frame would take 100 s. Its deadline is 10 s.
    let lasted = loop {
        let byte = frame.next().expect("the frame was accepted");
        let until = Instant::now() + PATIENCE;
        if connection.stream.write_all_until(&[byte], until).is_err() {
            break start.elapsed();
        }
        let asked_at = Instant::now();
        assert!(is_served(&mut nik) && asked_at.elapsed() < SLACK);
        match connection
            .stream
            .read_until(&mut [0; 100], Instant::now() + Duration::from_millis(100))
        {
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            _ => break start.elapsed(),
        }
    };
    assert!(lasted >= Duration::from_secs(9), "{lasted:?}");
    assert!(lasted < Duration::from_secs(10) + SLACK, "{lasted:?}");
}

#[test]
fn silent_connections_of_one_host_take_no_place_from_others() {
    // Without a login, one host may have 100 connections, and 64 more because it is this machine.
    let tracker = AccountTracker::with(&["--max-connections", "400"]);
    let mut nik = tracker.user("nik");
    // One host opens some connections with TLS. Another host opens more connections than it may,
    // and makes no TLS handshake.
    let mut idle: Vec<ControlConnection> = (0..50).map(|_| tracker.connect()).collect();
    let silent: Vec<TcpStream> = (0..250)
        .map(|_| connect_from(1, tracker.address()))
        .collect();
    // The oldest connection of that other host gives way.
    let mut oldest = &silent[0];
    oldest.set_read_timeout(Some(PATIENCE)).unwrap();
    let ended = oldest.read(&mut [0; 1]);
    assert!(!matches!(&ended, Err(error) if error.kind() == ErrorKind::WouldBlock));
    assert!(idle[0].try_ask(None, AccessRequest::Cluster).is_ok());
    assert!(is_served(&mut nik));
    assert!(ControlConnection::over(connect_from(2, tracker.address())).is_some());
    drop((idle, silent));
    assert!(is_served(&mut nik));
}
