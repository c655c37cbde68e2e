use super::*;
use crate::scenario::Scenario;
use crate::torrent::Info;
use std::num::NonZeroU16;

/// The time in which clients must report.
const WAIT: Duration = Duration::from_secs(60);

fn number(number: u32) -> ClientNumber {
    ClientNumber::new(number).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn name(name: &str) -> FileName {
    FileName::new(name).unwrap()
}

/// A file `name` with one segment, which contains `identifier`.
fn file(name: &str, identifier: &str) -> Info {
    let text = format!("1\n{name} 1\n{identifier}\n0\n");
    let scenario = Scenario::parse(text.as_bytes()).unwrap();
    scenario.owned[0].info().unwrap()
}

fn own(info: &Info) -> RunRequest {
    let parts = vec![InfoPart::of(info.raw(), 0).unwrap()];
    RunRequest::Own { parts }
}

fn want(names: &[&str]) -> RunRequest {
    let names = names.iter().copied().map(name).collect();
    RunRequest::Want { names }
}

fn complete(file: &str) -> RunRequest {
    RunRequest::Complete { name: name(file) }
}

fn lookup(file: &str) -> RunRequest {
    let (name, offset) = (name(file), 0);
    RunRequest::Lookup { name, offset }
}

fn released(connections: &[u64]) -> Vec<RunEffect> {
    let release = |id: &u64| RunEffect::Send(RunConnectionId(*id), RunNotice::Release);
    connections.iter().map(release).collect()
}

fn ended(connections: &[u64], failures: &[&str]) -> Vec<RunEffect> {
    let failures: Vec<TextLine> = failures.iter().map(|line| TextLine::new(line)).collect();
    let end = |id: &u64| {
        let (id, failures) = (RunConnectionId(*id), failures.clone());
        [
            RunEffect::Send(id, RunNotice::End { failures }),
            RunEffect::Close(id),
        ]
    };
    connections.iter().flat_map(end).collect()
}

/// A run and its time. The connection of a client has the client's number.
struct Run {
    run: ClosedRun,
    now: Duration,
}

impl Run {
    fn of(expected: u32) -> Self {
        Self {
            run: ClosedRun::new(number(expected), WAIT),
            now: Duration::ZERO,
        }
    }

    /// A run in which each client has reported its own and its wanted files, in order.
    fn released(clients: &[(u32, &[&Info], &[&str])]) -> Self {
        let mut run = Self::of(clients.len() as u32);
        for (client, files, wanted) in clients {
            run.hello(*client);
            for file in *files {
                run.ok(*client, own(file));
            }
            run.ok(*client, want(wanted));
            run.ok(*client, RunRequest::Reported);
        }
        assert_eq!(run.run.phase, Phase::Released);
        run
    }

    fn connect(&mut self, connection: u64) {
        let ip = "127.0.0.1".parse().unwrap();
        let connection = RunConnectionId(connection);
        assert_eq!(self.run.on_connected(connection, ip, self.now), []);
    }

    fn hello(&mut self, client: u32) {
        self.connect(client.into());
        self.ok(client, hello(client));
    }

    /// The answer to a request, and the other effects.
    fn ask(&mut self, connection: u32, ask: RunRequest) -> (RunAnswer, Vec<RunEffect>) {
        let connection = RunConnectionId(connection.into());
        let mut effects =
            self.run
                .on_request(connection, RunRequestMessage { id: 7, ask }, self.now);
        match effects.remove(0) {
            RunEffect::Send(to, RunNotice::Answer { id: 7, answer }) if to == connection => {
                (answer, effects)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The effects of a request that must be answered with `Ok`.
    fn ok(&mut self, connection: u32, ask: RunRequest) -> Vec<RunEffect> {
        let (answer, effects) = self.ask(connection, ask);
        assert_eq!(answer, RunAnswer::Ok);
        effects
    }

    /// The error with which a request must be answered, and the other effects.
    fn refused(
        &mut self,
        connection: u32,
        ask: RunRequest,
    ) -> (RunErrorKind, String, Vec<RunEffect>) {
        match self.ask(connection, ask) {
            (RunAnswer::Error { kind, message }, effects) => {
                (kind, message.as_str().to_owned(), effects)
            }
            (other, _) => panic!("{other:?}"),
        }
    }

    fn disconnect(&mut self, connection: u64) -> Vec<RunEffect> {
        self.run.on_disconnected(RunConnectionId(connection))
    }

    fn tick(&mut self, now: Duration) -> Vec<RunEffect> {
        self.now = now;
        self.run.tick(now)
    }

    fn failures(&self) -> Vec<&str> {
        let outcome = self.run.outcome().expect("the run has ended");
        outcome.failures.iter().map(TextLine::as_str).collect()
    }
}

fn hello(client: u32) -> RunRequest {
    RunRequest::Hello {
        client: number(client),
        port: NonZeroU16::new(1000 + client as u16).unwrap(),
    }
}

#[test]
fn all_clients_wait_until_the_last_has_reported_and_end_when_the_last_has_finished() {
    let f = file("f", "a");
    let mut run = Run::of(2);
    run.hello(1);
    assert_eq!(run.ok(1, own(&f)), []);
    assert_eq!(run.ok(1, RunRequest::Reported), []);
    run.hello(12);
    assert_eq!(run.ok(12, want(&["f"])), []);
    assert_eq!(run.refused(12, lookup("f")).0, RunErrorKind::OutOfOrder);
    assert_eq!(run.ok(12, RunRequest::Reported), released(&[1, 12]));
    assert_eq!(run.ok(1, RunRequest::Finished), []);
    let (answer, _) = run.ask(12, lookup("f"));
    let part = InfoPart::of(f.raw(), 0).unwrap();
    assert_eq!(answer, RunAnswer::Info { part });
    assert_eq!(
        run.refused(12, RunRequest::Finished).0,
        RunErrorKind::OutOfOrder
    );
    assert_eq!(run.ok(12, complete("f")), []);
    assert_eq!(run.run.outcome(), None);
    assert_eq!(run.ok(12, RunRequest::Finished), ended(&[1, 12], &[]));
    assert!(run.failures().is_empty());
    assert_eq!((run.disconnect(1), run.tick(WAIT * 2)), (vec![], vec![]));
    assert!(
        run.failures().is_empty(),
        "leaving after the end is no failure"
    );
}

#[test]
fn owners_are_living_clients_that_have_the_file_or_are_fetching_it() {
    let f = file("f", "a");
    let mut run = Run::released(&[
        (1, &[&f], &[]),
        (2, &[&f], &["f"]),
        (3, &[], &["f"]),
        (4, &[], &["f"]),
        (5, &[], &[]),
    ]);
    let owners = |run: &mut Run, client| {
        let info_hash = f.info_hash();
        match run.ask(client, RunRequest::Owners { info_hash }).0 {
            RunAnswer::Owners { addresses, whole } => {
                let ports = addresses.iter().map(|address| address.port() - 1000);
                (ports.collect(), whole)
            }
            other => panic!("{other:?}"),
        }
    };
    run.ask(3, lookup("f"));
    assert_eq!(
        owners(&mut run, 3),
        (vec![1, 2], 2),
        "the client that asks is left out"
    );
    assert_eq!(
        owners(&mut run, 2),
        (vec![1, 3], 1),
        "clients with the whole file come first"
    );
    assert_eq!(
        owners(&mut run, 1),
        (vec![2, 3], 1),
        "the list begins after the number of the client that asks"
    );
    run.ask(4, lookup("f"));
    run.ok(3, complete("f"));
    assert_eq!(owners(&mut run, 4), (vec![1, 2, 3], 3));
    run.disconnect(1);
    run.disconnect(2);
    assert_eq!(owners(&mut run, 3), (vec![4], 0));
    assert_eq!(owners(&mut run, 5), (vec![3, 4], 1));
    run.disconnect(3);
    run.disconnect(4);
    assert_eq!(owners(&mut run, 5), (vec![], 0));
    let (kind, message, _) = run.refused(5, lookup("f"));
    assert_eq!(
        (kind, message.as_str()),
        (RunErrorKind::NoOwner, NO_LIVING_OWNER)
    );
}

#[test]
fn a_wanted_file_without_an_owner_is_a_failure_and_all_clients_finish() {
    let f = file("f", "a");
    let mut run = Run::released(&[(1, &[&f], &[]), (4, &[], &["f", "file7"])]);
    assert_eq!(run.refused(4, lookup("file7")).0, RunErrorKind::NoOwner);
    assert_eq!(
        run.refused(4, complete("file7")).0,
        RunErrorKind::OutOfOrder
    );
    let failed = |file: &str| RunRequest::Failed {
        name: name(file),
        reason: TextLine::new(NO_LIVING_OWNER),
    };
    assert_eq!(run.ok(4, failed("file7")), []);
    assert_eq!(run.refused(4, failed("file7")).0, RunErrorKind::OutOfOrder);
    assert_eq!(run.refused(4, failed("other")).0, RunErrorKind::OutOfOrder);
    run.ok(4, complete("f"));
    assert_eq!(run.refused(4, complete("f")).0, RunErrorKind::OutOfOrder);
    run.ok(4, RunRequest::Finished);
    let lines = ["client 4: file7: no living owner"];
    assert_eq!(run.ok(1, RunRequest::Finished), ended(&[1, 4], &lines));
    assert_eq!(run.failures(), lines);
}

#[test]
fn a_client_that_wants_what_it_owns_completes_it() {
    let f = file("f", "a");
    let mut run = Run::released(&[(1, &[&f], &["f"])]);
    run.ok(1, complete("f"));
    assert_eq!(run.ok(1, RunRequest::Finished), ended(&[1], &[]));
}

#[test]
fn a_client_that_dies_in_any_phase_is_a_failure_and_the_others_go_on() {
    let lines = ["client 2 is gone"];

    // It dies before its report.
    let mut run = Run::of(2);
    run.hello(1);
    run.hello(2);
    run.ok(1, RunRequest::Reported);
    assert_eq!(run.disconnect(2), released(&[1]));
    let end = run.ok(1, RunRequest::Finished);
    assert_eq!(end, ended(&[1], &lines));

    // After its report.
    let mut run = Run::of(2);
    run.hello(2);
    run.ok(2, RunRequest::Reported);
    assert_eq!(run.disconnect(2), []);
    run.hello(1);
    assert_eq!(run.ok(1, RunRequest::Reported), released(&[1]));

    // After the release.
    let mut run = Run::released(&[(1, &[], &[]), (2, &[], &["f"])]);
    run.ok(1, RunRequest::Finished);
    assert_eq!(run.disconnect(2), ended(&[1], &lines));
    assert_eq!(run.failures(), lines);

    // After it has finished.
    let mut run = Run::released(&[(1, &[], &[]), (2, &[], &[])]);
    run.ok(2, RunRequest::Finished);
    assert_eq!(run.disconnect(2), []);
    assert_eq!(run.ok(1, RunRequest::Finished), ended(&[1], &lines));
}

#[test]
fn a_silent_client_counts_as_dead_and_a_client_that_pings_does_not() {
    let mut run = Run::released(&[(1, &[], &[]), (2, &[], &[])]);
    assert_eq!(run.run.next_tick(), Some(CLIENT_TIMEOUT));
    run.now = seconds(10);
    run.ok(1, RunRequest::Ping);
    assert_eq!(run.tick(CLIENT_TIMEOUT - Duration::from_millis(1)), []);
    let close = vec![RunEffect::Close(RunConnectionId(2))];
    assert_eq!(run.tick(CLIENT_TIMEOUT), close);
    assert_eq!(run.run.next_tick(), Some(seconds(30)));
    assert_eq!(run.disconnect(2), [], "it is gone already");
    let end = run.ok(1, RunRequest::Finished);
    assert_eq!(end, ended(&[1], &["client 2 is gone"]));
}

#[test]
fn clients_that_do_not_report_in_time_are_named_and_the_others_go_on() {
    let mut run = Run::of(4);
    run.hello(1);
    run.hello(3);
    run.ok(1, RunRequest::Reported);
    run.now = WAIT - seconds(1);
    run.ok(1, RunRequest::Ping);
    run.ok(3, RunRequest::Ping);
    assert_eq!(run.run.next_tick(), Some(WAIT));
    let late = "client 3 did not report within 60 s";
    let effects = [ended(&[3], &[late]), released(&[1])].concat();
    assert_eq!(run.tick(WAIT), effects);
    run.connect(4);
    let (kind, _, effects) = run.refused(4, hello(4));
    assert_eq!(kind, RunErrorKind::RunStarted);
    assert_eq!(effects, [RunEffect::Close(RunConnectionId(4))]);
    run.ok(1, RunRequest::Finished);
    let missing = [2, 4].map(|client| format!("client {client} did not report within 60 s"));
    assert_eq!(run.failures(), [late, &missing[0], &missing[1]]);
}

#[test]
fn missing_clients_are_counted_but_not_named_if_their_numbers_are_not_certain() {
    let mut run = Run::of(3);
    run.hello(7);
    run.ok(7, RunRequest::Reported);
    run.now = WAIT;
    run.ok(7, RunRequest::Ping);
    assert_eq!(run.tick(WAIT), released(&[7]));
    run.ok(7, RunRequest::Finished);
    assert_eq!(run.failures(), ["2 clients did not report within 60 s"]);
}

#[test]
fn a_run_without_clients_ends_when_the_time_to_report_is_over() {
    let mut run = Run::of(u32::MAX);
    assert_eq!(run.tick(WAIT), []);
    let failures = run.failures();
    assert_eq!(failures.len(), MAX_SENT_FAILURES + 1);
    assert_eq!(failures[0], "client 1 did not report within 60 s");
    assert_eq!(
        failures[MAX_SENT_FAILURES],
        "4294967195 more clients did not report within 60 s"
    );
}

#[test]
fn different_content_under_one_name_ends_the_run_and_both_owners_are_named() {
    let mut run = Run::of(3);
    for client in [2, 3, 1] {
        run.hello(client);
    }
    run.ok(3, own(&file("f", "a")));
    assert_eq!(run.ok(2, own(&file("f", "a"))), [], "the same content");
    run.ok(2, own(&file("g", "a")));
    let line = "clients 1 and 3 own different content under the name f";
    assert_eq!(run.ok(1, own(&file("f", "b"))), ended(&[1, 2, 3], &[line]));
    assert_eq!(run.failures(), [line]);
    assert!(!run.run.expects_more_clients());
}

#[test]
fn a_client_that_comes_after_a_conflict_gets_the_reason() {
    let mut run = Run::of(4);
    run.hello(1);
    run.hello(3);
    run.ok(3, own(&file("f", "a")));
    run.ok(1, own(&file("f", "b")));
    for (client, more) in [(2, true), (2, true), (4, false)] {
        assert!(run.run.expects_more_clients());
        run.connect(90);
        let (kind, message, effects) = run.refused(90, hello(client));
        assert_eq!(kind, RunErrorKind::RunStarted);
        let why = "the run has failed: clients 1 and 3 own different content under the name f";
        assert_eq!(message, why);
        assert_eq!(effects, [RunEffect::Close(RunConnectionId(90))]);
        assert_eq!(run.run.expects_more_clients(), more);
    }
    let ip = "127.0.0.1".parse().unwrap();
    let closed = run
        .run
        .on_connected(RunConnectionId(91), ip, Duration::ZERO);
    assert_eq!(closed, [RunEffect::Close(RunConnectionId(91))]);
    let mut aborted = Run::of(3);
    aborted.hello(1);
    aborted.hello(3);
    aborted.ok(3, own(&file("f", "a")));
    aborted.ok(1, own(&file("f", "b")));
    assert_eq!(aborted.run.abort("stopped"), []);
    assert!(!aborted.run.expects_more_clients());
}

#[test]
fn a_hello_with_a_used_number_or_in_a_full_run_and_a_request_before_the_hello_are_refused() {
    let mut run = Run::of(2);
    run.hello(1);
    for (ask, expected) in [
        (hello(1), RunErrorKind::NumberTaken),
        (RunRequest::Ping, RunErrorKind::OutOfOrder),
        (RunRequest::Reported, RunErrorKind::OutOfOrder),
    ] {
        run.connect(99);
        let (kind, _, effects) = run.refused(99, ask);
        assert_eq!(kind, expected);
        assert_eq!(effects, [RunEffect::Close(RunConnectionId(99))]);
    }
    run.hello(2);
    run.connect(99);
    assert_eq!(run.refused(99, hello(3)).0, RunErrorKind::RunFull);
    let (kind, _, effects) = run.refused(1, hello(3));
    assert_eq!((kind, effects), (RunErrorKind::OutOfOrder, vec![]));
    run.disconnect(2);
    run.connect(99);
    let (kind, message, _) = run.refused(99, hello(2));
    assert_eq!(
        kind,
        RunErrorKind::NumberTaken,
        "the number stays taken after its client has died"
    );
    assert_eq!(message, "client 2 has already connected");
}

#[test]
fn after_its_report_or_the_release_a_client_can_report_nothing_more() {
    let f = file("f", "a");
    let mut run = Run::of(2);
    run.hello(1);
    run.ok(1, RunRequest::Reported);
    for ask in [
        own(&f),
        want(&["f"]),
        RunRequest::Reported,
        RunRequest::Finished,
    ] {
        assert_eq!(run.refused(1, ask).0, RunErrorKind::OutOfOrder);
    }
    run.hello(2);
    run.ok(2, RunRequest::Reported);
    for ask in [own(&f), want(&["f"]), RunRequest::Reported] {
        assert_eq!(run.refused(1, ask).0, RunErrorKind::RunStarted);
    }
}

#[test]
fn invalid_info_dictionaries_are_refused() {
    let parts = |offset, total, bytes: &[u8]| RunRequest::Own {
        parts: vec![InfoPart::new(offset, total, bytes.to_vec()).unwrap()],
    };
    let folder = b"d5:filesld6:lengthi0e4:pathl1:aeee4:name1:x12:piece lengthi1e6:pieces0:e";
    let mut run = Run::of(1);
    run.hello(1);
    run.ok(1, own(&file("f", "a")));
    for ask in [
        parts(0, 2, b"de"),
        parts(0, 2, b"xx"),
        parts(1, 2, b"x"),
        parts(0, folder.len() as u32, folder),
        // A valid dictionary, but the client has reported other content under this name.
        own(&file("f", "b")),
    ] {
        assert_eq!(run.refused(1, ask).0, RunErrorKind::BadInfo);
    }
    run.ok(1, parts(0, 9, b"d"));
    assert_eq!(
        run.refused(1, RunRequest::Reported).0,
        RunErrorKind::BadInfo
    );
}

#[test]
fn a_silent_new_connection_is_closed_and_counts_as_no_client() {
    let mut run = Run::of(1);
    run.connect(5);
    assert_eq!(run.run.next_tick(), Some(HELLO_TIMEOUT));
    assert_eq!(
        run.tick(HELLO_TIMEOUT),
        [RunEffect::Close(RunConnectionId(5))]
    );
    run.connect(6);
    assert_eq!(run.disconnect(6), []);
    run.hello(1);
    run.ok(1, RunRequest::Reported);
    run.ok(1, RunRequest::Finished);
    assert!(run.failures().is_empty());
    let late = run
        .run
        .on_connected(RunConnectionId(8), "::1".parse().unwrap(), run.now);
    assert_eq!(late, [RunEffect::Close(RunConnectionId(8))]);
}

#[test]
fn an_aborted_run_is_a_failure() {
    let mut run = Run::of(2);
    run.hello(1);
    run.connect(5);
    let mut effects = ended(&[1], &["stopped"]);
    effects.push(RunEffect::Close(RunConnectionId(5)));
    assert_eq!(run.run.abort("stopped"), effects);
    assert_eq!(run.failures(), ["stopped"]);
    assert_eq!(run.run.abort("again"), []);
}
