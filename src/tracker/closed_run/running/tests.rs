use super::*;
use crate::net::{IncomingConnection, OnThreads, PlaceLimits, Server, tls_testing};
use crate::wire::control::{
    ClientNumber, RunAnswer, RunErrorKind, RunNotice, RunRequest, TextLine,
};
use std::net::TcpListener;
use std::num::NonZeroU16;
use std::sync::mpsc;

const LONG: Duration = Duration::from_secs(60);

struct Tracker {
    run: Arc<RunningRun>,
    server: Server,
}

impl Tracker {
    fn of(expected: u32) -> Self {
        let run = RunningRun::start(NonZeroU32::new(expected).unwrap(), LONG).unwrap();
        let run = Arc::new(run);
        let serving = Arc::clone(&run);
        let limits = PlaceLimits::fixed(100, 100);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tls = tls_testing::server();
        let server = Server::start(
            "test",
            listener,
            limits,
            256 << 10,
            OnThreads::new(LONG, move |incoming: IncomingConnection| {
                let connection = tls.accept(incoming.stream, LONG).unwrap();
                serving.serve(&connection, incoming.address);
            }),
        );
        let server = server.unwrap();
        Self { run, server }
    }

    fn connect(&self) -> TlsStream {
        tls_testing::connect(self.server.address())
    }

    /// Connects a client and sends its hello.
    fn client(&self, client: u32) -> TlsStream {
        let connection = self.connect();
        let ask = RunRequest::Hello {
            client: ClientNumber::new(client).unwrap(),
            port: NonZeroU16::MIN,
        };
        send(&connection, ask);
        assert_eq!(answer(&connection), RunAnswer::Ok);
        connection
    }
}

fn send(connection: &TlsStream, ask: RunRequest) {
    let body = RunRequestMessage { id: 7, ask }.encode();
    write_frame(connection, &body, MAX_FRAME, LONG).unwrap();
}

fn write(connection: &TlsStream, bytes: &[u8]) {
    connection
        .write_all_until(bytes, Instant::now() + LONG)
        .unwrap();
}

fn read_exact(connection: &TlsStream, mut buffer: &mut [u8]) {
    while !buffer.is_empty() {
        let read = connection
            .read_until(buffer, Instant::now() + LONG)
            .unwrap();
        assert_ne!(read, 0, "the connection ended");
        buffer = &mut buffer[read..];
    }
}

/// Reads the next notice, and no byte after it.
fn notice(connection: &TlsStream) -> RunNotice {
    let mut header = [0; 4];
    read_exact(connection, &mut header);
    let mut body = vec![0; u32::from_be_bytes(header) as usize];
    read_exact(connection, &mut body);
    RunNotice::decode(&body).unwrap()
}

fn answer(connection: &TlsStream) -> RunAnswer {
    match notice(connection) {
        RunNotice::Answer { id: 7, answer } => answer,
        other => panic!("{other:?}"),
    }
}

fn assert_closed(connection: &TlsStream) {
    let end = FrameReader::new(connection, MAX_FRAME)
        .next(LONG, LONG)
        .err();
    assert!(
        matches!(
            end,
            Some(FrameIoError::Closed | FrameIoError::Io(_) | FrameIoError::CutOff)
        ),
        "{end:?}"
    );
}

#[test]
fn invalid_bytes_close_their_own_connection_and_the_run_goes_on() {
    let tracker = Tracker::of(2);
    let good = tracker.client(1);
    for bytes in [
        &b"\xff\xff\xff\xff"[..],
        b"\0\x10\0\x01",
        b"\0\0\0\0",
        b"\0\0\0\x05hello",
        b"\0\0\0\x02le",
        b"\0\0\0\x15d2:idi7e4:type4:pinge\0\0\0\x01x",
    ] {
        let bad = tracker.connect();
        write(&bad, bytes);
        // The longest input begins with a valid request, which must not come before the hello.
        if bytes.len() > 20 {
            let refused = answer(&bad);
            assert!(matches!(
                refused,
                RunAnswer::Error {
                    kind: RunErrorKind::OutOfOrder,
                    ..
                }
            ));
        }
        assert_closed(&bad);
    }
    let bad = tracker.client(2);
    send(&good, RunRequest::Reported);
    assert_eq!(answer(&good), RunAnswer::Ok);
    write(&bad, b"\0\0\0\x02xx");
    assert_eq!(notice(&good), RunNotice::Release);
    send(&good, RunRequest::Finished);
    assert_eq!(answer(&good), RunAnswer::Ok);
    let failures = vec![TextLine::new("client 2 is gone")];
    let end = RunNotice::End {
        failures: failures.clone(),
    };
    assert_eq!(notice(&good), end);
    assert_closed(&good);
    drop(good);
    assert_eq!(tracker.run.wait_until_ended(), RunOutcome { failures });
}

#[test]
fn requests_that_arrive_in_parts_or_together_are_answered_in_order() {
    let tracker = Tracker::of(1);
    let connection = tracker.client(1);
    let mut bytes = Vec::new();
    for id in 0..100 {
        let ask = if id % 2 == 0 {
            RunRequest::Ping
        } else {
            RunRequest::Finished
        };
        let body = RunRequestMessage { id, ask }.encode();
        crate::wire::frame::encode(&body, MAX_FRAME, &mut bytes).unwrap();
    }
    let (first, rest) = bytes.split_at(7);
    write(&connection, first);
    write(&connection, rest);
    for expected in 0..100 {
        match notice(&connection) {
            RunNotice::Answer { id, answer } => {
                assert_eq!(id, expected);
                // `Finished` is refused, because the clients have not been released.
                assert_eq!(answer == RunAnswer::Ok, id % 2 == 0);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn wait_until_ended_returns_when_all_clients_were_notified_and_have_left() {
    let tracker = Tracker::of(20);
    let connections: Vec<TlsStream> = (1..=20).map(|client| tracker.client(client)).collect();
    let (ended, outcome) = mpsc::channel();
    let run = Arc::clone(&tracker.run);
    let waiting = thread::spawn(move || ended.send(run.wait_until_ended()).unwrap());
    tracker.run.abort("the tracker was stopped");
    let failures = vec![TextLine::new("the tracker was stopped")];
    for connection in &connections {
        let end = RunNotice::End {
            failures: failures.clone(),
        };
        assert_eq!(notice(connection), end);
        assert_closed(connection);
    }
    assert!(outcome.recv_timeout(Duration::from_millis(100)).is_err());
    for connection in &connections {
        connection.hang_up();
    }
    let left_at = Instant::now();
    assert_eq!(outcome.recv_timeout(LONG), Ok(RunOutcome { failures }));
    assert!(
        left_at.elapsed() < LEAVE_TIMEOUT / 2,
        "clients that left cause no delay"
    );
    waiting.join().unwrap();
    assert_closed(&tracker.connect());
}

#[test]
fn a_client_that_reads_nothing_does_not_delay_the_others() {
    let tracker = Tracker::of(2);
    let deaf = tracker.client(1);
    let body = RunRequestMessage {
        id: 7,
        ask: RunRequest::Ping,
    }
    .encode();
    // Sends until the answers fill the buffers of both ends, and the tracker stops reading.
    while write_frame(&deaf, &body, MAX_FRAME, Duration::from_millis(200)).is_ok() {}
    let other = tracker.client(2);
    send(&other, RunRequest::Reported);
    assert_eq!(answer(&other), RunAnswer::Ok);
    tracker.run.abort("enough");
    assert!(matches!(notice(&other), RunNotice::End { .. }));
    drop((deaf, other));
    assert_eq!(tracker.run.wait_until_ended().failures.len(), 1);
}
