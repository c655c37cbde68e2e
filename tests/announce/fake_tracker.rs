//! A fake tracker: a test chooses its answers, and it keeps the requests that it receives.

use crate::common::fake_peer::{FakePeer, listen_tcp};
use crate::common::waiting::wait_for;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

/// A tracker over HTTP that answers every announce in the same way.
pub(crate) struct FakeTracker {
    address: SocketAddr,
    /// The body of its answers. None while it closes each connection without an answer.
    answer: Arc<Mutex<Option<Vec<u8>>>>,
    /// The first line of each request.
    heard: Arc<Mutex<Vec<String>>>,
    /// While it is locked, no answer is sent.
    gate: Arc<Mutex<()>>,
}

impl FakeTracker {
    /// A tracker that names these peers, with an interval of one minute.
    pub(crate) fn naming(peers: &[SocketAddr]) -> Self {
        let other = Self::down();
        other.name(peers);
        other
    }

    /// A tracker that answers nothing.
    pub(crate) fn down() -> Self {
        let answer = Arc::new(Mutex::new(None));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (answers, requests) = (Arc::clone(&answer), Arc::clone(&heard));
        let gate = Arc::new(Mutex::new(()));
        let held_gate = Arc::clone(&gate);
        let address = listen_tcp(move |connection, _| {
            if let Some(line) = first_line(&connection) {
                let answer: Option<Vec<u8>> = answers.lock().unwrap().clone();
                requests.lock().unwrap().push(line);
                drop(held_gate.lock().unwrap());
                if let Some(body) = answer {
                    reply(connection, &body);
                }
            }
        });
        Self {
            address,
            answer,
            heard,
            gate,
        }
    }

    /// From now on it names these peers.
    pub(crate) fn name(&self, peers: &[SocketAddr]) {
        self.answer(&[b"d8:intervali60e", peers_entry(peers).as_slice(), b"e"].concat());
    }

    /// From now on it names these peers, with an interval of one second as a pieceful tracker may.
    pub(crate) fn name_often(&self, peers: &[SocketAddr]) {
        let peers = peers_entry(peers);
        self.answer(&[b"d8:intervali1e", peers.as_slice(), b"8:piecefuli1ee"].concat());
    }

    /// From now on this is the body of its answers.
    pub(crate) fn answer(&self, body: &[u8]) {
        *self.answer.lock().unwrap() = Some(body.to_vec());
    }

    /// From now on it answers nothing.
    pub(crate) fn fail(&self) {
        *self.answer.lock().unwrap() = None;
    }

    /// It receives requests and answers none until the guard is dropped.
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
        self.heard.lock().unwrap().clone()
    }

    /// Waits until `holds` is true of its requests, and returns them.
    pub(crate) fn wait_for_requests(&self, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
        wait_for(
            || Some(self.requests()).filter(|heard| holds(heard)),
            || format!("it never came true: {:?}", self.requests()),
        )
    }
}

fn first_line(connection: &FakePeer) -> Option<String> {
    let lines = BufReader::new(connection.stream.try_clone().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    let first = lines.next()?;
    lines.any(|line| line.is_empty()).then_some(first)
}

fn reply(mut connection: FakePeer, body: &[u8]) {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    connection.send(&[head.as_bytes(), body].concat());
}

/// The entry `peers` of an answer with IPv4 addresses.
fn peers_entry(peers: &[SocketAddr]) -> Vec<u8> {
    let mut entry = format!("5:peers{}:", 6 * peers.len()).into_bytes();
    for peer in peers {
        let SocketAddr::V4(peer) = peer else {
            panic!("only IPv4 here");
        };
        entry.extend(peer.ip().octets());
        entry.extend(peer.port().to_be_bytes());
    }
    entry
}
