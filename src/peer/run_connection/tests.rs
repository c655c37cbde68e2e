use super::*;
use crate::net::{IncomingConnection, OnThreads, PlaceLimits, Server, tls_testing};
use crate::peer::{FirstUse, TrustError};
use crate::scenario::Scenario;
use crate::tracker::RunningRun;
use crate::wire::control::RunErrorKind;
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::time::Instant;

const LONG: Duration = Duration::from_secs(60);

/// The tracker of a run.
struct Tracker {
    run: Arc<RunningRun>,
    server: Server,
}

impl Tracker {
    /// The tracker of a run with `clients` clients, which must report within `wait`.
    fn of(clients: u32, wait: Duration) -> Self {
        let run = RunningRun::start(NonZeroU32::new(clients).unwrap(), wait).unwrap();
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

    fn connect(&self, client: u32) -> Result<ClosedRunConnection, ClosedRunConnectionError> {
        let port = NonZeroU16::new(1000 + client as u16).unwrap();
        let client = ClientNumber::new(client).unwrap();
        connect(self.server.address(), client, port)
    }

    fn failures(&self) -> Vec<String> {
        let failures = self.run.wait_until_ended().failures;
        failures.iter().map(TextLine::to_string).collect()
    }
}

/// Connects as a client that trusts any tracker.
fn connect(
    tracker: SocketAddr,
    client: ClientNumber,
    port: NonZeroU16,
) -> Result<ClosedRunConnection, ClosedRunConnectionError> {
    let folder = tempfile::tempdir().unwrap();
    let first_use = |_: FirstUse<'_>| {};
    let trust = Trust::new(None, folder.path(), &first_use);
    ClosedRunConnection::connect(tracker, client, port, &trust)
}

fn name(name: &str) -> FileName {
    FileName::new(name).unwrap()
}

fn infos(text: &str) -> Vec<Info> {
    let scenario = Scenario::parse(text.as_bytes()).unwrap();
    let infos = scenario.owned.iter().map(|file| file.info().unwrap());
    infos.collect()
}

#[test]
fn clients_report_then_look_up_files_and_owners_then_finish_without_failures() {
    let tracker = Tracker::of(2, LONG);
    let owned = infos("2\nf 2\na\nb\nempty 0\n0\n");
    let (first, second) = (tracker.connect(1).unwrap(), tracker.connect(2).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            first.report(&owned, &[]).unwrap();
            first.wait_released().unwrap();
            first.report_finished().unwrap();
            assert_eq!(first.wait_end().unwrap(), []);
        });
        let wanted = [name("f"), name("empty")];
        second.report(&[], &wanted).unwrap();
        second.wait_released().unwrap();
        for (wanted, owned) in wanted.iter().zip(&owned) {
            assert_eq!(second.lookup(wanted).unwrap(), *owned);
            let owners = second.owners(owned.info_hash()).unwrap();
            let addresses = vec!["127.0.0.1:1001".parse().unwrap()];
            assert_eq!(
                owners,
                Owners {
                    addresses,
                    whole: 1
                }
            );
            second.report_complete(wanted).unwrap();
        }
        assert!(second.end_error().is_none());
        second.report_finished().unwrap();
        assert_eq!(second.wait_end().unwrap(), []);
        assert!(matches!(
            second.lookup(&wanted[0]),
            Err(ClosedRunConnectionError::Ended(_))
        ));
    });
    assert!(tracker.failures().is_empty());
}

#[test]
fn a_large_info_dictionary_goes_both_ways_in_parts() {
    let tracker = Tracker::of(1, LONG);
    let owned = infos(&format!("1\nf 60000\n{}0\n", "x\n".repeat(60_000)));
    let connection = tracker.connect(1).unwrap();
    connection.report(&owned, &[]).unwrap();
    connection.wait_released().unwrap();
    assert_eq!(connection.lookup(&name("f")).unwrap(), owned[0]);
}

#[test]
fn many_threads_ask_at_once_and_get_their_own_answers() {
    let tracker = Tracker::of(1, LONG);
    let files: String = (0..20)
        .map(|file| format!("f{file} 1\n{file:02}\n"))
        .collect();
    let owned = infos(&format!("20\n{files}0\n"));
    let connection = tracker.connect(1).unwrap();
    connection.report(&owned, &[]).unwrap();
    connection.wait_released().unwrap();
    thread::scope(|scope| {
        for info in &owned {
            let connection = &connection;
            scope.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(connection.lookup(info.name()).unwrap(), *info);
                }
            });
        }
    });
}

#[test]
fn refusals_have_a_kind_and_a_reason() {
    let tracker = Tracker::of(1, LONG);
    let connection = tracker.connect(1).unwrap();
    let refused = |result: Result<(), ClosedRunConnectionError>| match result {
        Err(ClosedRunConnectionError::Refused { kind, .. }) => kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        refused(tracker.connect(1).map(drop)),
        RunErrorKind::NumberTaken
    );
    assert_eq!(refused(tracker.connect(2).map(drop)), RunErrorKind::RunFull);
    assert_eq!(
        refused(connection.report_finished()),
        RunErrorKind::OutOfOrder
    );
    connection.report(&[], &[name("file7")]).unwrap();
    connection.wait_released().unwrap();
    let error = connection.lookup(&name("file7")).unwrap_err();
    assert_eq!(error.to_string(), "the tracker refuses: no living owner");
    assert_eq!(
        refused(connection.report(&[], &[])),
        RunErrorKind::RunStarted
    );
    connection
        .report_failed(&name("file7"), "no living owner")
        .unwrap();
    connection.report_finished().unwrap();
    let failures = ["client 1: file7: no living owner"];
    assert_eq!(connection.wait_end().unwrap(), failures.map(TextLine::new));
    assert_eq!(tracker.failures(), failures);
}

#[test]
fn two_contents_under_one_name_end_the_run_for_all_clients() {
    let tracker = Tracker::of(3, LONG);
    let connections = [1, 2, 3].map(|client| tracker.connect(client).unwrap());
    connections[1]
        .report(&infos("1\nf 1\na\n0\n"), &[])
        .unwrap();
    let _ = connections[2].report(&infos("1\nf 1\nb\n0\n"), &[]);
    let failures = ["clients 2 and 3 own different content under the name f"];
    for connection in &connections {
        assert_eq!(connection.wait_end().unwrap(), failures.map(TextLine::new));
        let error = connection.wait_released().unwrap_err();
        assert!(matches!(error, ClosedRunConnectionError::Ended(lines) if lines.len() == 1));
    }
    assert_eq!(tracker.failures(), failures);
}

#[test]
fn dead_and_silent_clients_are_named_and_the_others_finish() {
    let tracker = Tracker::of(4, Duration::from_secs(1));
    let dead = tracker.connect(1).unwrap();
    let silent = tracker.connect(2).unwrap();
    let other = tracker.connect(4).unwrap();
    dead.report(&[], &[]).unwrap();
    drop(dead);
    other.report(&[], &[]).unwrap();
    other.wait_released().unwrap();
    let failures = [
        "client 1 is gone",
        "client 2 did not report within 1 s",
        "client 3 did not report within 1 s",
    ];
    assert_eq!(silent.wait_end().unwrap(), [TextLine::new(failures[1])]);
    other.report_finished().unwrap();
    assert_eq!(other.wait_end().unwrap(), failures.map(TextLine::new));
    assert_eq!(tracker.failures(), failures);
}

#[test]
fn a_stop_ends_all_waits() {
    let tracker = Tracker::of(2, LONG);
    let connection = tracker.connect(1).unwrap();
    connection.report(&[], &[]).unwrap();
    let started = Instant::now();
    thread::scope(|scope| {
        let waiting = [
            scope.spawn(|| connection.wait_released().unwrap_err()),
            scope.spawn(|| connection.wait_end().unwrap_err()),
        ];
        connection.stop();
        for waiting in waiting {
            assert!(matches!(
                waiting.join().unwrap(),
                ClosedRunConnectionError::Stopped
            ));
        }
    });
    assert!(started.elapsed() < LONG / 2);
}

#[test]
fn a_tracker_that_closes_or_sends_invalid_frames_ends_the_connection() {
    for (sent, expected) in [
        (
            &b""[..],
            "the connection to the tracker is lost: the other side closed the connection",
        ),
        (
            b"\0\0\0\x05hello",
            "the tracker sent an invalid control message: unexpected byte in bencode at byte 0",
        ),
        (
            b"\xff\xff\xff\xff",
            "the connection to the tracker is lost: a frame of 4294967295 bytes is larger than the limit of 1048576 bytes",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = thread::scope(|scope| {
            scope.spawn(|| {
                let socket = Arc::new(listener.accept().unwrap().0);
                let connection = tls_testing::server().accept(socket, LONG).unwrap();
                let mut reader = FrameReader::new(&connection, MAX_FRAME);
                reader.next(LONG, LONG).unwrap();
                connection
                    .write_all_until(sent, Instant::now() + LONG)
                    .unwrap();
                connection.finish(LONG);
                while reader.next(LONG, LONG).is_ok() {}
            });
            let address = listener.local_addr().unwrap();
            connect(address, ClientNumber::MIN, NonZeroU16::MIN).unwrap_err()
        });
        assert_eq!(error.to_string(), expected);
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let refused = connect(address, ClientNumber::MIN, NonZeroU16::MIN);
    assert!(matches!(
        refused,
        Err(ClosedRunConnectionError::NoConnection(
            TrustError::Connect { .. }
        ))
    ));
}
