//! A fake tracker over HTTP: a test chooses its answers, and the tracker keeps the requests that it
//! receives.

use super::fake_peer::listen_tcp;
use super::sandbox::Sandbox;
use super::waiting::wait_for;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

/// Starts a tracker. `answer` returns the bytes to send for the first line of a request, or None to
/// close the connection without an answer.
pub(crate) fn serve_requests(
    answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> SocketAddr {
    listen_tcp(move |mut connection, _| {
        let mut lines = BufReader::new(connection.stream.try_clone().unwrap())
            .lines()
            .map_while(Result::ok);
        let Some(first) = lines.next() else { return };
        if lines.any(|line| line.is_empty())
            && let Some(answer) = answer(&first)
        {
            connection.send(&answer);
        }
    })
}

/// Starts a tracker that always names these peers.
pub(crate) fn tracker_naming(peers: &[SocketAddr]) -> SocketAddr {
    let body = announce_answer("i60e", &compact(peers));
    serve_requests(move |_| Some(http_response(&body)))
}

/// Makes a tracker the only one in the sandbox's TRACKER_INFO.
pub(crate) fn set_only_tracker(sandbox: &Sandbox, tracker: SocketAddr) {
    fs::write(sandbox.tracker_info(), format!("{tracker}\n")).unwrap();
}

pub(crate) fn http_response(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The answer to an announce, with a bencoded interval and the bytes of `peers`.
pub(crate) fn announce_answer(interval: &str, peers: &[u8]) -> Vec<u8> {
    let head = format!("d8:interval{interval}5:peers{}:", peers.len());
    [head.as_bytes(), peers, b"e"].concat()
}

/// IPv4 addresses in the compact form of BEP 23.
pub(crate) fn compact(peers: &[SocketAddr]) -> Vec<u8> {
    let entry = |peer: &SocketAddr| match peer {
        SocketAddr::V4(peer) => {
            [peer.ip().octets().as_slice(), &peer.port().to_be_bytes()].concat()
        }
        SocketAddr::V6(_) => panic!("compact peers are IPv4"),
    };
    peers.iter().flat_map(entry).collect()
}

/// A tracker whose answers a test changes while it runs.
pub(crate) struct FakeTracker {
    address: SocketAddr,
    /// The body of its answers. None while it closes each connection without an answer.
    answer: Arc<Mutex<Option<Vec<u8>>>>,
    /// The first line of each request.
    requests: Arc<Mutex<Vec<String>>>,
    /// While it is locked, no answer is sent.
    gate: Arc<Mutex<()>>,
}

impl FakeTracker {
    /// A tracker that names these peers, with an interval of one minute.
    pub(crate) fn naming(peers: &[SocketAddr]) -> Self {
        let tracker = Self::silent();
        tracker.set_peers(peers);
        tracker
    }

    /// A tracker that answers nothing until it gets peers to name.
    pub(crate) fn silent() -> Self {
        let answer: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let gate: Arc<Mutex<()>> = Arc::default();
        let (answers, received) = (Arc::clone(&answer), Arc::clone(&requests));
        let answer_gate = Arc::clone(&gate);
        let address = serve_requests(move |line| {
            let answer = answers.lock().unwrap().clone();
            received.lock().unwrap().push(line.to_owned());
            drop(answer_gate.lock().unwrap());
            answer.map(|body| http_response(&body))
        });
        Self {
            address,
            answer,
            requests,
            gate,
        }
    }

    /// From now on it answers, and names these peers.
    pub(crate) fn set_peers(&self, peers: &[SocketAddr]) {
        self.set_answer(&announce_answer("i60e", &compact(peers)));
    }

    /// From now on it names these peers, with an interval of one second, which only a pieceful
    /// tracker may demand.
    pub(crate) fn set_peers_and_short_interval(&self, peers: &[SocketAddr]) {
        let peers = compact(peers);
        let head = format!("d8:intervali1e5:peers{}:", peers.len());
        self.set_answer(&[head.as_bytes(), &peers, b"8:piecefuli1ee"].concat());
    }

    /// From now on this is the body of its answers.
    pub(crate) fn set_answer(&self, body: &[u8]) {
        *self.answer.lock().unwrap() = Some(body.to_vec());
    }

    /// From now on it answers nothing.
    pub(crate) fn fail(&self) {
        *self.answer.lock().unwrap() = None;
    }

    /// Holds all answers back until the guard is dropped. Requests still arrive.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/announce", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The first line of each request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until `holds` is true of its requests, and returns them.
    pub(crate) fn wait_for_requests(&self, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
        wait_for(
            || Some(self.requests()).filter(|requests| holds(requests)),
            || format!("the expected requests never arrived: {:?}", self.requests()),
        )
    }
}
