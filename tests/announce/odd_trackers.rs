//! Trackers that answer in odd ways, refuse or warn, and torrents that name trackers in odd ways.

use crate::common::fake_tracker::{FakeTracker, announce_answer, compact};
use crate::common::open_swarm::{TORRENT, seed};
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::Sandbox;
use crate::common::web_server::{WebRequest, WebServer};
use std::fs;
use std::io::Write;

/// A sandbox whose TRACKER_INFO names no tracker, and a seed of the torrent.
fn sandbox_with_seed() -> (Sandbox, Peer) {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    fs::write(sandbox.tracker_info(), "# no tracker\n").unwrap();
    (sandbox, seed)
}

/// Starts the download of the torrent. `keys` are bencoded entries that the `.torrent` has before
/// `info`.
fn start_download(sandbox: &Sandbox, name: &str, keys: &str) -> Peer {
    let path = sandbox.path(&format!("{name}.torrent"));
    let torrent = [b"d", keys.as_bytes(), &TORRENT.bytes[1..]].concat();
    fs::write(&path, torrent).unwrap();
    let mut leech = sandbox.debug_peer(name, &[]);
    leech.run(&format!("download {}", quoted(&path)));
    leech
}

fn assert_complete(sandbox: &Sandbox, name: &str, leech: &mut Peer) {
    leech.run("wait 50");
    let copy = fs::read(sandbox.path(name).join("share")).unwrap();
    assert!(copy == TORRENT.content, "{name}");
}

/// The key `announce` with a URL.
fn announce_key(url: &str) -> String {
    format!("8:announce{}:{url}", url.len())
}

/// A tracker that answers every request with this status, these headers and this body. `head` is
/// the status and the headers.
fn answering(head: &'static str, body: Vec<u8>) -> WebServer {
    WebServer::start(move |_, _, stream| {
        let length = body.len();
        let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &body].concat()).is_ok()
    })
}

/// Waits until the download shows this text. Asserts that `wait` and `status` show the text too.
fn assert_shown(leech: &mut Peer, text: &str) {
    leech.wait_for_download("share", |download| {
        let trouble = download["trouble"].as_str().unwrap_or_default();
        trouble.contains(text)
    });
    leech.assert_refused("wait 0.1", "not-complete", text);
    let status = leech.run("status");
    let trouble = status["trackers"][0]["trouble"].as_str().unwrap();
    assert!(trouble.contains(text), "{status}");
}

#[test]
fn urls_of_trackers_are_repaired_and_other_protocols_are_left_out() {
    let (sandbox, seed) = sandbox_with_seed();
    let tracker = FakeTracker::naming(&[seed.process.address]);
    let (address, good) = (tracker.address(), tracker.url());
    let string = |url: &str| format!("{}:{url}", url.len());
    let list = |list: &str| {
        format!(
            "{}13:announce-list{list}",
            announce_key("wss://127.0.0.1:1/")
        )
    };
    let localhost = format!("http://localhost.:{}/announce#x", address.port());
    for (name, keys) in [
        (
            "blanks",
            announce_key(&format!("  HTTP://{address}/announce \r\n")),
        ),
        ("dot", announce_key(&localhost)),
        ("flat", list(&format!("l{}e", string(&good)))),
        ("string", list(&string(&good))),
        (
            "dictionary",
            announce_key(&good) + "13:announce-listd1:xi1ee",
        ),
        (
            "others",
            announce_key(&good) + "13:announce-listll12:wss://h:1/xxel7:dht://xee",
        ),
    ] {
        let mut leech = start_download(&sandbox, name, &keys);
        assert_complete(&sandbox, name, &mut leech);
        let status = leech.run("status").to_string();
        assert!(
            !status.contains("dht:") && !status.contains("wss:"),
            "{status}"
        );
    }
    let requests = tracker.requests();
    let is_announce = |line: &String| line.starts_with("GET /announce?info_hash=");
    assert!(requests.iter().all(is_announce), "{requests:?}");
    let mut leech = start_download(
        &sandbox,
        "none",
        &announce_key("wss://127.0.0.1:1/announce"),
    );
    leech.wait_for_download("share", |download| {
        let trouble = download["trouble"].as_str().unwrap_or_default();
        trouble.contains("no http, https or udp tracker")
    });
}

#[test]
fn the_user_in_the_url_of_a_tracker_is_sent_and_not_shown() {
    let (sandbox, seed) = sandbox_with_seed();
    let body = announce_answer("i60e", &compact(&[seed.process.address]));
    let is_authorized =
        |request: &WebRequest| request.head.contains("authorization: basic dxnlcjpwdw==");
    let tracker = WebServer::start(move |request, _, stream| {
        let (status, body) = match is_authorized(request) {
            true => ("200 OK", body.as_slice()),
            false => ("401 Unauthorized", &[][..]),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).is_ok()
    });
    let url = format!("http://user:pw@{}/announce", tracker.address);
    let mut leech = start_download(&sandbox, "leech", &announce_key(&url));
    assert_complete(&sandbox, "leech", &mut leech);
    let status = leech.run("status");
    assert_eq!(status["trackers"][0]["url"], tracker.url("/announce"));
    let log = fs::read_to_string(&leech.log).unwrap();
    assert!(!log.contains("user:pw"), "{log}");
}

#[test]
fn a_peer_is_found_in_an_odd_answer() {
    let (sandbox, seed) = sandbox_with_seed();
    let port = seed.process.address.port();
    let peers = compact(&[seed.process.address]);
    let answer_with_peers = |after_peers: &str| {
        let head = format!("5:peers{}:", peers.len());
        [b"d", head.as_bytes(), &peers, after_peers.as_bytes()].concat()
    };
    for (name, body) in [
        (
            "text",
            answer_with_peers("8:interval4:18008:complete1:x10:incompletele6:peers6lee"),
        ),
        (
            "after",
            answer_with_peers("14:failure reason0:8:pieceful3:yese\r\n"),
        ),
        (
            "name",
            format!("d5:peersld2:ip9:localhost4:porti{port}eeee").into_bytes(),
        ),
    ] {
        let tracker = FakeTracker::silent();
        tracker.set_answer(&body);
        let mut leech = start_download(&sandbox, name, &announce_key(&tracker.url()));
        assert_complete(&sandbox, name, &mut leech);
    }
}

#[test]
fn a_compressed_answer_is_reported_as_compressed() {
    let sandbox = Sandbox::new();
    // The start of a gzip file. It is enough to recognize one.
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3].to_vec();
    let labelled = answering("200 OK\r\nContent-Encoding: br", gzip.clone());
    let unlabelled = answering("200 OK", gzip);
    for (name, tracker, coding) in [("a", &labelled, "(br)"), ("b", &unlabelled, "(gzip)")] {
        let mut leech = start_download(&sandbox, name, &announce_key(&tracker.url("/announce")));
        assert_shown(
            &mut leech,
            &format!("the tracker's answer is compressed {coding}"),
        );
        let requests = tracker.requests();
        assert!(requests[0].head.contains("accept-encoding: identity"));
    }
}

#[test]
fn the_reason_of_a_refusal_is_shown_and_the_tracker_is_not_asked_again_soon() {
    let sandbox = Sandbox::new();
    let reason = "d14:failure reason14:not registered8:retry in5:nevere";
    let plain = answering(
        "404 Not Found\r\nContent-Type: text/plain; charset=utf-8",
        b"\nno such passkey\nmore".to_vec(),
    );
    for (name, tracker, shown) in [
        (
            "ok",
            answering("200 OK", reason.into()),
            "the tracker refuses: not registered",
        ),
        (
            "error",
            answering("403 Forbidden", reason.into()),
            "HTTP status 403 Forbidden: not registered",
        ),
        (
            "late",
            answering("503 Service Unavailable\r\nRetry-After: 600", Vec::new()),
            "HTTP status 503 Service Unavailable",
        ),
        ("plain", plain, "HTTP status 404 Not Found: no such passkey"),
    ] {
        let mut leech = start_download(&sandbox, name, &announce_key(&tracker.url("/announce")));
        assert_shown(&mut leech, shown);
        // Without the pause after a refusal, the leech would ask again after 1, 3 and 7 s.
        leech.assert_refused("wait 4", "not-complete", shown);
        assert_eq!(tracker.requests().len(), 1, "{name}");
    }
}

#[test]
fn the_warning_of_a_tracker_is_shown_until_an_answer_has_none() {
    let sandbox = Sandbox::new();
    let tracker = FakeTracker::silent();
    let answer = |more: &str| format!("d8:intervali1e5:peers0:8:piecefuli1e{more}e").into_bytes();
    tracker.set_answer(&answer("15:warning message8:old peer"));
    let mut leech = start_download(&sandbox, "leech", &announce_key(&tracker.url()));
    assert_shown(&mut leech, "the tracker warns: old peer");
    assert_eq!(leech.run("status")["trackers"][0]["reachable"], true);
    tracker.set_answer(&answer(""));
    leech.wait_for_download("share", |download| {
        download["trouble"] == "no owner is known yet"
    });
    assert!(leech.run("status")["trackers"][0]["trouble"].is_null());
}

#[test]
fn blanks_around_a_tracker_url_in_a_magnet_link_are_ignored() {
    let (sandbox, seed) = sandbox_with_seed();
    let tracker = FakeTracker::naming(&[seed.process.address]);
    let hash: String = TORRENT.info_hash.map(|byte| format!("{byte:02X}")).concat();
    let tr = format!("%20{}%0D%0A", tracker.url());
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.run(&format!(
        "download 'magnet:?dn=share&amp;tr={tr}&amp;xt=urn:btih:{hash}'"
    ));
    assert_complete(&sandbox, "leech", &mut leech);
}
