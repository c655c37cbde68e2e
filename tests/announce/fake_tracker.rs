//! Trackers of others, as scripts: what they answer is up to the test, and what they hear is kept.

use crate::common::fake_peer::{FakePeer, listen_tcp};
use crate::common::waiting::wait_for;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

/// A tracker that answers each announce over HTTP alike.
pub(crate) struct FakeTracker {
    address: SocketAddr,
    /// The body of its answers; none while it closes each connection without a word.
    answer: Arc<Mutex<Option<Vec<u8>>>>,
    /// The first line of each request.
    heard: Arc<Mutex<Vec<String>>>,
    /// Locked, it keeps back its answers.
    gate: Arc<Mutex<()>>,
}

impl FakeTracker {
    /// One that names these peers, and wants the next announce after a minute.
    pub(crate) fn naming(peers: &[SocketAddr]) -> Self {
        let other = Self::down();
        other.name(peers);
        other
    }

    /// One that is out of order.
    pub(crate) fn down() -> Self {
        let answer = Arc::new(Mutex::new(None));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (answers, hears) = (Arc::clone(&answer), Arc::clone(&heard));
        let gate = Arc::new(Mutex::new(()));
        let passes = Arc::clone(&gate);
        let address = listen_tcp(move |connection, _| {
            if let Some(line) = first_line(&connection) {
                let answer: Option<Vec<u8>> = answers.lock().unwrap().clone();
                hears.lock().unwrap().push(line);
                drop(passes.lock().unwrap());
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

    /// From now on it names these.
    pub(crate) fn name(&self, peers: &[SocketAddr]) {
        self.answer(&[b"d8:intervali60e", peers_of(peers).as_slice(), b"e"].concat());
    }

    /// The same, and it wants to hear again after a second, as trackers of ours may.
    pub(crate) fn name_often(&self, peers: &[SocketAddr]) {
        let peers = peers_of(peers);
        self.answer(&[b"d8:intervali1e", peers.as_slice(), b"8:piecefuli1ee"].concat());
    }

    /// From now on this is the body of its answers.
    pub(crate) fn answer(&self, body: &[u8]) {
        *self.answer.lock().unwrap() = Some(body.to_vec());
    }

    /// From now on it is out of order.
    pub(crate) fn fail(&self) {
        *self.answer.lock().unwrap() = None;
    }

    /// It hears, and answers nobody until this is dropped.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/announce", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The first lines of all requests so far.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until `holds` of what it heard; gives that.
    pub(crate) fn until(&self, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
        wait_for(
            || Some(self.heard()).filter(|heard| holds(heard)),
            || format!("it never came true: {:?}", self.heard()),
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

/// Peers of IPv4 as an entry of an answer.
fn peers_of(peers: &[SocketAddr]) -> Vec<u8> {
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
