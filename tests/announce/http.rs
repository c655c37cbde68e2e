//! The tracker's HTTP: connections, deadlines, malformed requests, and bytes that are not HTTP.

use super::trackers::{open_options, start_tracker};
use crate::common::http_client::{HttpClient, INFO_HASH, announce_target};
use crate::common::process::Process;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_until;
use pieceful::certificate::Authority;
use pieceful::net::{ConnectionPurpose, Stop, TRACKER_NAME, TlsServer, TlsStream, connect_tls};
use pieceful::tracker::{
    AnnouncePolicy, CLOSED_RUN_ONLY, HttpDeadlines, TlsService, Tracker, TrackerOptions, bind,
};
use pieceful::wire::AnnounceResponse;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn connections_stay_open_or_close_as_http_demands() {
    let tracker = start_tracker();
    let mut http_1_1 = HttpClient::new(tracker.address());
    let text = http_1_1.get("/");
    assert!(text.has_status("200") && text.body.starts_with(b"pieceful "));
    assert!(http_1_1.get("/admin").has_status("404"));
    assert!(http_1_1.get(&announce_target('b', 1, "")).has_status("200"));
    http_1_1.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(http_1_1.response().head.contains("Connection: close") && http_1_1.is_closed());

    let mut http_1_0 = HttpClient::new(tracker.address());
    http_1_0.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(http_1_0.response().head.contains("Connection: keep-alive"));
    http_1_0.send("GET / HTTP/1.0\r\n\r\n");
    assert!(http_1_0.response().has_status("200") && http_1_0.is_closed());

    let mut head_client = HttpClient::new(tracker.address());
    head_client.send("HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    assert!(head_client.head().contains("Content-Length: "));
    assert!(
        head_client.response().has_status("200"),
        "the answer to HEAD has a body"
    );
}

#[test]
fn requests_may_be_pipelined_and_split_anywhere() {
    let tracker = start_tracker();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        announce_target('b', 1, "")
    );
    let mut ahead = HttpClient::new(tracker.address());
    ahead.send(request.repeat(1_000));
    for _ in 0..1_000 {
        assert!(ahead.response().has_status("200"));
    }
    let two_requests = format!("{request}GET / HTTP/1.1\r\n\r\n");
    let mut split = HttpClient::new(tracker.address());
    for cut in 1..two_requests.len() {
        // If a whole request comes before the cut, its response shows that the tracker has read the
        // bytes before the cut.
        let (before, after) = two_requests.split_at(cut);
        split.send(before);
        let early_response = (cut >= request.len()).then(|| split.response());
        split.send(after);
        let first = early_response.unwrap_or_else(|| split.response());
        assert!(AnnounceResponse::parse(&first.body).is_ok(), "cut at {cut}");
        let second = split.response();
        assert!(second.body.starts_with(b"pieceful "), "cut at {cut}");
    }
    let mut bytewise = HttpClient::new(tracker.address());
    two_requests.bytes().for_each(|byte| {
        bytewise.send([byte]);
    });
    assert!(bytewise.response().has_status("200") && bytewise.response().has_status("200"));
}

#[test]
fn a_head_that_trickles_is_refused_at_its_deadline() {
    let quick = TrackerOptions {
        deadlines: HttpDeadlines {
            head: Duration::from_millis(300),
            idle: Duration::from_millis(300),
        },
        ..open_options("127.0.0.1:0")
    };
    let tracker = Tracker::start(quick).unwrap();
    let mut client = HttpClient::new(tracker.address());
    let mut trickling = client.stream.try_clone().unwrap();
    let answered = Stop::new();
    let ended = answered.clone();
    let trickle = std::thread::spawn(move || {
        let mut head = b"GET /announce?".iter().chain([b'a'; 5_000].iter());
        while !ended.wait(Duration::from_millis(10)) {
            if head
                .next()
                .is_none_or(|byte| trickling.write_all(&[*byte]).is_err())
            {
                break;
            }
        }
    });
    let response = client.response();
    answered.stop();
    trickle.join().unwrap();
    assert!(response.has_status("408"), "{}", response.head);
}

#[test]
fn a_silent_client_is_disconnected_at_the_deadline_of_its_state() {
    let (quick, slow) = (Duration::from_millis(200), Duration::from_secs(60));
    let start_with_deadlines = |head, idle| {
        let deadlines = HttpDeadlines { head, idle };
        let options = open_options("127.0.0.1:0");
        Tracker::start(TrackerOptions {
            deadlines,
            ..options
        })
        .unwrap()
    };
    let tracker = start_with_deadlines(quick, slow);
    assert!(
        HttpClient::new(tracker.address()).is_closed(),
        "a client that sends nothing"
    );
    let mut first = HttpClient::new(tracker.address());
    assert!(first.send("GE").response().has_status("408"));
    let mut second = HttpClient::new(tracker.address());
    second.send("GET / HTTP/1.1\r\n\r\nGE");
    assert!(second.response().has_status("200") && second.response().has_status("408"));
    let mut later = HttpClient::new(tracker.address());
    assert!(later.get("/").has_status("200") && later.send("GE").response().has_status("408"));

    let tracker = start_with_deadlines(slow, quick);
    let mut idle = HttpClient::new(tracker.address());
    assert!(idle.get("/").has_status("200") && idle.is_closed());
}

#[test]
fn a_client_that_reads_no_response_is_disconnected_at_the_deadline() {
    let quick = TrackerOptions {
        deadlines: HttpDeadlines {
            head: Duration::from_millis(300),
            idle: Duration::from_secs(60),
        },
        ..open_options("127.0.0.1:0")
    };
    let tracker = Tracker::start(quick).unwrap();
    let stream = TcpStream::connect(tracker.address()).unwrap();
    let request = "GET / HTTP/1.1\r\n\r\n".repeat(1_000);
    // The client sends until the buffers of both sockets are full. Later, the tracker closes the
    // connection without having read everything, and the client gets an error.
    stream
        .set_write_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let sent = || (&stream).write_all(request.as_bytes());
    let error = std::iter::repeat_with(|| sent().err())
        .flatten()
        .next()
        .unwrap();
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    assert!(
        matches!(error.kind(), BrokenPipe | ConnectionReset),
        "{error}"
    );
}

#[test]
fn bad_requests_and_bytes_that_are_not_http_end_the_connection() {
    let tracker = start_tracker();
    let lines = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(9_000));
    for (sent, status) in [
        ("GET / HTTP/3\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n",
            "400",
        ),
        (
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        (
            "GET / HTTP/1.1\r\nContent-Length: 28\r\n\r\nGET /announce HTTP/1.1\r\n\r\n",
            "400",
        ),
        ("POST /announce HTTP/1.1\r\n\r\n", "405"),
        (&lines(65), "431"),
        (&lines(10_000), "431"),
        (&long, "431"),
        (&"x".repeat(100_000), "431"),
    ] {
        let mut client = HttpClient::new(tracker.address());
        let response = client.send(sent).response();
        let start_of_bytes: String = sent.chars().take(60).collect();
        assert!(
            response.has_status(status),
            "{start_of_bytes}: {}",
            response.head
        );
        assert!(response.head.contains("Connection: close"));
        assert!(client.is_closed(), "{start_of_bytes}");
    }
    for unanswered in [[0, 0, 0, 2], [0x16, 3, 1, 0], [0xff; 4]] {
        let mut client = HttpClient::new(tracker.address());
        client
            .send(unanswered)
            .stream
            .shutdown(Shutdown::Write)
            .unwrap();
        assert!(client.is_closed());
    }
    assert!(
        HttpClient::new(tracker.address())
            .get("/")
            .has_status("200"),
        "the tracker no longer answers"
    );
}

#[test]
fn a_tracker_without_open_accepts_no_announces() {
    let not_open = Tracker::start(TrackerOptions {
        access: AnnouncePolicy::NotOpen,
        ..open_options("127.0.0.1:0")
    });
    let mut client = HttpClient::new(not_open.as_ref().unwrap().address());
    let reason = "this tracker serves no open swarms (start it with --open)";
    assert_eq!(client.get(&announce_target('b', 1, "")).refusal(), reason);
    assert_eq!(
        client.get(&format!("/scrape?{INFO_HASH}")).refusal(),
        reason
    );
}

#[test]
fn a_tracker_of_a_closed_run_accepts_no_announces_and_no_plain_frames() {
    let authority = Authority::generate("test").unwrap();
    let identity = authority.issue(TRACKER_NAME).unwrap();
    let echo = |connection: &TlsStream, _: SocketAddr, _: ConnectionPurpose| {
        let mut frame = [0; 6];
        let deadline = Instant::now() + Duration::from_secs(20);
        assert_eq!(connection.read_until(&mut frame, deadline).unwrap(), 6);
        connection.write_all_until(&frame, deadline).unwrap();
    };
    let closed = Tracker::start(TrackerOptions {
        access: CLOSED_RUN_ONLY,
        tls_service: Some(TlsService::on_threads(
            TlsServer::new(identity).unwrap(),
            echo,
        )),
        ..open_options("127.0.0.1:0")
    });
    let closed = closed.unwrap();
    let mut client = HttpClient::new(closed.address());
    let refusal = client.get(&announce_target('b', 1, "")).refusal();
    assert!(
        refusal.starts_with("this tracker serves a closed run"),
        "{refusal}"
    );
    let socket = Arc::new(TcpStream::connect(closed.address()).unwrap());
    let limit = Duration::from_secs(20);
    let (connection, found) = connect_tls(socket, Some(authority.fingerprint()), limit).unwrap();
    assert_eq!(found, authority.fingerprint());
    let deadline = Instant::now() + limit;
    connection
        .write_all_until(b"\0\0\0\x02de", deadline)
        .unwrap();
    let mut echoed = [0; 10];
    assert_eq!(connection.read_until(&mut echoed, deadline).unwrap(), 6);
    assert_eq!(&echoed[..6], b"\0\0\0\x02de");
    let mut plain = HttpClient::new(closed.address());
    plain.send(b"\0\0\0\x02de");
    assert!(plain.is_closed(), "the tracker answers a plain frame");
}

#[test]
fn a_stop_ends_tracker_and_connections_at_once() {
    let stop = Stop::new();
    let tracker = Tracker::start(TrackerOptions {
        stop: stop.clone(),
        ..open_options("127.0.0.1:0")
    });
    let tracker = tracker.unwrap();
    let mut idle = HttpClient::new(tracker.address());
    assert!(idle.get("/").has_status("200"));
    let stopping = Instant::now();
    stop.stop();
    tracker.wait_until_stopped();
    assert!(stopping.elapsed() < Duration::from_secs(5));
    assert!(idle.is_closed());
    tracker.stop();
}

#[test]
fn the_error_of_a_port_in_use_names_the_address() {
    let tracker = start_tracker();
    let address = tracker.address().to_string().parse().unwrap();
    let error = bind(&address).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("cannot listen on {address}: ")),
        "{error}"
    );
}

/// Sends a GET request with `host` in its field `Host`. Returns the status line and the body of the
/// answer.
fn get_with_host(tracker: SocketAddr, target: &str, host: &str) -> (String, String) {
    let mut stream = TcpStream::connect(tracker).unwrap();
    write!(stream, "GET {target} HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn a_request_for_another_host_is_refused() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("info.txt"), "tracker.lab:5000\n").unwrap();
    let info = sandbox.path("info.txt");
    let arguments = ["tracker", info.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let more = ["--open", "--host-name", "files.example", "--data"];
    let data = sandbox.folder("data");
    let arguments = [&arguments[..], &more, &[data.to_str().unwrap()]].concat();
    let tracker = Process::start(&sandbox.folder("home"), &arguments);
    let status = |target: &str, host: &str| get_with_host(tracker.address, target, host).0;
    wait_until("the tracker has read TRACKER_INFO", || {
        status("/stats", "tracker.lab:5000") == "HTTP/1.1 200 OK"
    });
    for own_name in [
        "127.0.0.1:5000",
        "localhost",
        "files.example",
        "Files.Example.:80",
    ] {
        let status = status("/stats", own_name);
        assert_eq!(status, "HTTP/1.1 200 OK", "{own_name}");
    }
    for target in [
        "/",
        "/stats",
        "/metrics",
        "/nothing",
        "http://evil.example/stats",
    ] {
        let (status, body) = get_with_host(tracker.address, target, "evil.example");
        assert_eq!(status, "HTTP/1.1 421 Misdirected Request", "{target}");
        assert!(body.contains("not called evil.example"), "{body}");
    }
    // If the target is a whole URL, its host decides, and the field `Host` is ignored.
    let status_of_url = status("http://evil.example/stats", "127.0.0.1");
    assert_eq!(status_of_url, "HTTP/1.1 421 Misdirected Request");
    // Clients show the reason of a refused announce only if the status is 200.
    let target = announce_target('b', 1, "");
    let (status, body) = get_with_host(tracker.address, &target, "evil.example");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(
        body.contains("14:failure reason") && body.contains("--host-name"),
        "{body}"
    );
}
