//! Announces and scrapes as strangers send them: raw HTTP to a real tracker on loopback.

use pieceful::bencode::{KeyOrder, Value};
use pieceful::net::Stop;
use pieceful::tracker::{Deadlines, Options, Tracker, bind};
use pieceful::wire::{AnnounceResponse, ResponseError, ScrapeResponse};
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

const HASH: &str = "info_hash=aaaaaaaaaaaaaaaaaaaa";

fn options(address: &str) -> Options {
    let listener = bind(&address.parse().unwrap()).unwrap();
    Options {
        open: true,
        ..Options::new(listener)
    }
}

fn tracker() -> Tracker {
    Tracker::start(options("127.0.0.1:0")).unwrap()
}

/// An HTTP client that sends what it is told and reads one response at a time.
struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

struct Response {
    head: String,
    body: Vec<u8>,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .response()
    }

    /// The announce of a peer, given what the query adds to info-hash, id and port.
    fn announce(&mut self, id: char, port: u16, more: &str) -> AnnounceResponse {
        let response = self.get(&announce(id, port, more));
        AnnounceResponse::parse(&response.body).unwrap()
    }

    fn read(&mut self) -> usize {
        let mut bytes = [0; 4096];
        let read = self.stream.read(&mut bytes).unwrap();
        self.unread.extend(&bytes[..read]);
        read
    }

    fn head(&mut self) -> String {
        loop {
            let end = self.unread.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert_ne!(self.read(), 0, "the connection ended inside a head");
        }
    }

    fn response(&mut self) -> Response {
        let head = self.head();
        let length = head.split("Content-Length: ").nth(1).unwrap();
        let length = length.lines().next().unwrap().parse().unwrap();
        while self.unread.len() < length {
            assert_ne!(self.read(), 0, "the connection ended inside a body");
        }
        let body = self.unread.drain(..length).collect();
        Response { head, body }
    }

    fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && self.read() == 0
    }
}

impl Response {
    fn is(&self, status: &str) -> bool {
        self.head.starts_with(&format!("HTTP/1.1 {status} "))
    }

    fn refusal(&self) -> String {
        assert!(self.is("200"), "{}", self.head);
        match AnnounceResponse::parse(&self.body) {
            Err(ResponseError::Refused(reason)) => reason,
            other => panic!("not refused: {other:?}"),
        }
    }
}

fn announce(id: char, port: u16, more: &str) -> String {
    let id = String::from(id).repeat(20);
    format!("/announce?{HASH}&peer_id={id}&port={port}&left=1{more}")
}

fn addresses(response: &AnnounceResponse) -> Vec<SocketAddr> {
    response.peers.iter().map(|peer| peer.address).collect()
}

#[test]
fn two_peers_see_each_other_over_ipv4_and_over_ipv6() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let tracker = Tracker::start(options(address)).unwrap();
        let mut client = Client::new(tracker.address());
        let at = |port| SocketAddr::new(tracker.address().ip(), port);
        let first = client.announce('b', 1001, "&event=started");
        assert_eq!((addresses(&first), first.incomplete), (vec![], Some(1)));
        assert_eq!(first.interval, Duration::from_secs(120));
        assert_eq!(first.external_ip, Some(tracker.address().ip()));
        let second = client.announce('c', 1002, "&pieceful=1");
        assert_eq!(
            (addresses(&second), second.incomplete),
            (vec![at(1001)], Some(2))
        );
        assert_eq!(second.interval, Duration::from_secs(20));
        assert_eq!(addresses(&client.announce('b', 1001, "")), [at(1002)]);
        tracker.stop();
    }
}

#[test]
fn one_socket_of_both_families_gives_each_peer_as_the_other_reaches_it() {
    let tracker = Tracker::start(options("[::]:0")).unwrap();
    let port = tracker.address().port();
    let (v4, v6) = (
        IpAddr::from([127, 0, 0, 1]),
        "::1".parse::<IpAddr>().unwrap(),
    );
    Client::new((v4, port).into()).announce('b', 1001, "");
    let told = Client::new((v6, port).into()).announce('c', 1002, "");
    assert_eq!(addresses(&told), [SocketAddr::new(v4, 1001)]);
    let told = Client::new((v4, port).into()).get(&announce('b', 1001, ""));
    let told = Value::parse(&told.body, KeyOrder::Sorted).unwrap();
    let peers6 = told.dictionary().unwrap().value("peers6");
    assert_eq!(peers6.and_then(Value::bytes).map(<[u8]>::len), Some(18));
}

#[test]
fn a_list_that_is_not_compact_names_ids() {
    let tracker = tracker();
    let mut client = Client::new(tracker.address());
    client.announce('b', 1001, "");
    let listed = client.announce('c', 1002, "&compact=0");
    assert_eq!(listed.peers[0].id.unwrap().0, [b'b'; 20]);
    let bare = client.announce('c', 1002, "&compact=0&no_peer_id=1");
    assert_eq!((bare.peers[0].id, bare.peers.len()), (None, 1));
}

#[test]
fn one_that_stops_is_gone_at_once_and_a_scrape_counts() {
    let tracker = tracker();
    let mut client = Client::new(tracker.address());
    client.announce('b', 1001, "&event=started");
    client.announce('c', 1002, "");
    let mut scrape = || {
        let response = client.get(&format!("/scrape?{HASH}&info_hash={}", "%00".repeat(20)));
        let response = ScrapeResponse::parse(&response.body).unwrap();
        let counts = response.files.values();
        counts
            .map(|swarm| (swarm.complete, swarm.downloaded, swarm.incomplete))
            .collect::<Vec<_>>()
    };
    assert_eq!(scrape(), [(0, 0, 2)]);
    let mut other = Client::new(tracker.address());
    let query = announce('c', 1002, "&event=completed").replace("left=1", "left=0");
    other.get(&query);
    assert_eq!(scrape(), [(1, 1, 1)]);
    let told = other.announce('c', 1002, "&event=stopped");
    assert_eq!((addresses(&told), told.complete), (vec![], Some(0)));
    assert_eq!(scrape(), [(0, 1, 1)]);
    assert_eq!(addresses(&other.announce('d', 1003, "")).len(), 1);
    other.announce('b', 1001, "&event=stopped");
    other.announce('d', 1003, "&event=stopped");
    assert_eq!(scrape(), [], "an empty swarm is forgotten");
    assert_eq!(
        client.get("/scrape").refusal(),
        "a scrape must name an info_hash"
    );
}

#[test]
fn silent_peers_are_dropped_without_anybody_asking() {
    let quick = Options {
        interval: Duration::from_millis(40),
        ..options("127.0.0.1:0")
    };
    let tracker = Tracker::start(quick).unwrap();
    let mut client = Client::new(tracker.address());
    client.announce('b', 1001, "&pieceful=1");
    let started = Instant::now();
    while client.get(&format!("/scrape?{HASH}")).body != b"d5:filesdee" {
        assert!(started.elapsed() < Duration::from_secs(20), "still there");
    }
}

#[test]
fn an_address_in_the_query_is_not_believed() {
    let tracker = tracker();
    let mut client = Client::new(tracker.address());
    client.announce('b', 1001, "&ip=192.0.2.1&ipv6=2001:db8::1&ipv4=192.0.2.1");
    let told = client
        .send(format!(
            "GET {} HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
            announce('c', 1002, "")
        ))
        .response();
    let told = AnnounceResponse::parse(&told.body).unwrap();
    assert_eq!(addresses(&told), ["127.0.0.1:1001".parse().unwrap()]);
    assert_eq!(told.external_ip, Some([127, 0, 0, 1].into()));
}

#[test]
fn bad_announces_get_a_reason_and_the_connection_goes_on() {
    let tracker = tracker();
    let mut client = Client::new(tracker.address());
    let id = format!("peer_id={}", "b".repeat(20));
    let (short, long) = ("a".repeat(19), "a".repeat(21));
    for (query, reason) in [
        (format!("{HASH}&{id}&port=0"), "port must be"),
        (format!("{HASH}&{id}&port=65536"), "port must be"),
        (
            format!("info_hash={short}&{id}&port=1"),
            "info_hash must be 20 bytes",
        ),
        (
            format!("info_hash={long}&{id}&port=1"),
            "info_hash must be 20 bytes",
        ),
        (
            format!("info_hash=%zz&{id}&port=1"),
            "the query holds a malformed %-escape",
        ),
        (
            format!("{HASH}&{HASH}&{id}&port=1"),
            "the announce holds info_hash twice",
        ),
        (
            format!("{HASH}&{id}&port"),
            "the query holds a part without =",
        ),
        (
            format!("{HASH}&{id}&port=1&left=all"),
            "left must be a number",
        ),
        (
            format!("{HASH}&{id}&port=1&numwant=all"),
            "numwant must be a number",
        ),
        (String::new(), "the announce lacks info_hash"),
    ] {
        let refusal = client.get(&format!("/announce?{query}")).refusal();
        assert!(refusal.starts_with(reason), "{query}: {refusal}");
    }
    for number in 0..=250 {
        let query = format!("{HASH}&peer_id={number:020}&port={}", 2000 + number);
        assert!(client.get(&format!("/announce?{query}")).is("200"));
    }
    for (want, given) in [
        ("-1", 50),
        ("", 50),
        ("0", 0),
        ("99999999999999999999", 200),
    ] {
        let more = if want.is_empty() {
            String::new()
        } else {
            format!("&numwant={want}")
        };
        assert_eq!(
            client.announce('b', 1001, &more).peers.len(),
            given,
            "{want}"
        );
    }
}

#[test]
fn an_id_in_use_cannot_be_stopped_from_another_address() {
    let tracker = Tracker::start(options("[::]:0")).unwrap();
    let port = tracker.address().port();
    let mut victim = Client::new(([127, 0, 0, 1], port).into());
    victim.announce('b', 1001, "&key=secret");
    let mut thief = Client::new(("::1".parse::<IpAddr>().unwrap(), port).into());
    for more in ["&event=stopped", "&event=stopped&key=guess", ""] {
        let refusal = thief.get(&announce('b', 1001, more)).refusal();
        assert!(
            refusal.starts_with("another peer uses this peer_id"),
            "{refusal}"
        );
    }
    assert_eq!(addresses(&victim.announce('c', 1002, "")).len(), 1);
    assert_eq!(thief.announce('b', 1001, "&key=secret").incomplete, Some(2));
}

#[test]
fn connections_stay_as_http_says() {
    let tracker = tracker();
    let mut new = Client::new(tracker.address());
    let text = new.get("/");
    assert!(text.is("200") && text.body.starts_with(b"pieceful "));
    assert!(new.get("/admin").is("404"));
    assert!(new.get(&announce('b', 1, "")).is("200"));
    new.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(new.response().head.contains("Connection: close") && new.is_closed());

    let mut old = Client::new(tracker.address());
    old.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(old.response().head.contains("Connection: keep-alive"));
    old.send("GET / HTTP/1.0\r\n\r\n");
    assert!(old.response().is("200") && old.is_closed());

    let mut head = Client::new(tracker.address());
    head.send("HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    assert!(head.head().contains("Content-Length: "));
    assert!(
        head.response().is("200"),
        "no body came before the next response"
    );
}

#[test]
fn requests_may_be_sent_ahead_and_split_anywhere() {
    let tracker = tracker();
    let one = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", announce('b', 1, ""));
    let mut ahead = Client::new(tracker.address());
    ahead.send(one.repeat(1_000));
    for _ in 0..1_000 {
        assert!(ahead.response().is("200"));
    }
    let two = format!("{one}GET / HTTP/1.1\r\n\r\n");
    let mut split = Client::new(tracker.address());
    for cut in 1..two.len() {
        split.send(&two[..cut]).send(&two[cut..]);
        let (first, second) = (split.response(), split.response());
        assert!(AnnounceResponse::parse(&first.body).is_ok(), "cut at {cut}");
        assert!(second.body.starts_with(b"pieceful "), "cut at {cut}");
    }
    let mut bytes = Client::new(tracker.address());
    two.bytes().for_each(|byte| {
        bytes.send([byte]);
    });
    assert!(bytes.response().is("200") && bytes.response().is("200"));
}

#[test]
fn a_head_that_trickles_meets_its_deadline() {
    let quick = Options {
        deadlines: Deadlines {
            head: Duration::from_millis(300),
            idle: Duration::from_millis(300),
        },
        ..options("127.0.0.1:0")
    };
    let tracker = Tracker::start(quick).unwrap();
    let mut client = Client::new(tracker.address());
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
    assert!(response.is("408"), "{}", response.head);

    assert!(Client::new(tracker.address()).is_closed(), "says nothing");
    let mut idle = Client::new(tracker.address());
    assert!(idle.get("/").is("200") && idle.is_closed());
}

#[test]
fn what_is_not_http_is_refused_and_the_connection_ends() {
    let tracker = tracker();
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
        let mut client = Client::new(tracker.address());
        let response = client.send(sent).response();
        let shown: String = sent.chars().take(60).collect();
        assert!(response.is(status), "{shown}: {}", response.head);
        assert!(response.head.contains("Connection: close"));
        assert!(client.is_closed(), "{shown}");
    }
    for silent in [[0, 0, 0, 2], [0x16, 3, 1, 0], [0xff; 4]] {
        let mut client = Client::new(tracker.address());
        client
            .send(silent)
            .stream
            .shutdown(Shutdown::Write)
            .unwrap();
        assert!(client.is_closed());
    }
    assert!(
        Client::new(tracker.address()).get("/").is("200"),
        "it lives"
    );
}

#[test]
fn only_an_open_tracker_takes_announces() {
    let shut = Tracker::start(Options {
        open: false,
        ..options("127.0.0.1:0")
    });
    let mut client = Client::new(shut.as_ref().unwrap().address());
    let reason = "this tracker serves no open swarms (start it with --open)";
    assert_eq!(client.get(&announce('b', 1, "")).refusal(), reason);
    assert_eq!(client.get(&format!("/scrape?{HASH}")).refusal(), reason);

    let control = |incoming: pieceful::net::Incoming| {
        let mut frame = [0; 6];
        let mut stream = &*incoming.stream;
        stream.read_exact(&mut frame).unwrap();
        stream.write_all(&frame).unwrap();
    };
    let closed = Tracker::start(Options {
        closed_run: Some(Arc::new(control)),
        ..options("127.0.0.1:0")
    });
    let closed = closed.unwrap();
    let mut client = Client::new(closed.address());
    let refusal = client.get(&announce('b', 1, "")).refusal();
    assert!(
        refusal.starts_with("this tracker serves a closed run"),
        "{refusal}"
    );
    let mut client = Client::new(closed.address());
    client.send(b"\0\0\0\x02de");
    while client.unread.len() < 6 {
        assert_ne!(client.read(), 0);
    }
    assert_eq!(client.unread, b"\0\0\0\x02de");
}

#[test]
fn a_raised_flag_ends_everything_at_once() {
    let stop = Stop::new();
    let tracker = Tracker::start(Options {
        stop: stop.clone(),
        ..options("127.0.0.1:0")
    });
    let tracker = tracker.unwrap();
    let mut idle = Client::new(tracker.address());
    assert!(idle.get("/").is("200"));
    let raised = Instant::now();
    stop.stop();
    tracker.wait_until_stopped();
    assert!(raised.elapsed() < Duration::from_secs(5));
    assert!(idle.is_closed());
    tracker.stop();
}

#[test]
fn a_port_in_use_is_named() {
    let tracker = tracker();
    let address = tracker.address().to_string().parse().unwrap();
    let error = bind(&address).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("cannot listen on {address}: ")),
        "{error}"
    );
}
