//! An HTTP client that sends any bytes to a tracker, and functions for announces and answers.

use pieceful::wire::{AnnounceResponse, ResponseError};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The info-hash that tests announce, as a parameter of a query.
pub(crate) const INFO_HASH: &str = "info_hash=aaaaaaaaaaaaaaaaaaaa";

/// An HTTP client that sends what a test passes to it and reads one response at a time.
pub(crate) struct HttpClient {
    pub(crate) stream: TcpStream,
    pub(crate) unread: Vec<u8>,
}

pub(crate) struct HttpResponse {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl HttpClient {
    pub(crate) fn new(address: SocketAddr) -> Self {
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

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    pub(crate) fn get(&mut self, target: &str) -> HttpResponse {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
            .response()
    }

    /// Announces a peer. `more` is added to the query after info-hash, peer id and port.
    pub(crate) fn announce(&mut self, id: char, port: u16, more: &str) -> AnnounceResponse {
        let response = self.get(&announce_target(id, port, more));
        AnnounceResponse::parse(&response.body).unwrap()
    }

    /// Waits for bytes and adds them to `unread`. Returns their number: 0 at the end of the
    /// connection.
    pub(crate) fn read(&mut self) -> usize {
        let mut bytes = [0; 4096];
        let read = self.stream.read(&mut bytes).unwrap();
        self.unread.extend(&bytes[..read]);
        read
    }

    /// Reads the head of the next response, with the empty line after it.
    pub(crate) fn head(&mut self) -> String {
        loop {
            let end = self.unread.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert_ne!(self.read(), 0, "the connection ended inside a head");
        }
    }

    /// Reads the next response.
    pub(crate) fn response(&mut self) -> HttpResponse {
        let head = self.head();
        let length = head.split("Content-Length: ").nth(1).unwrap();
        let length = length.lines().next().unwrap().parse().unwrap();
        while self.unread.len() < length {
            assert_ne!(self.read(), 0, "the connection ended inside a body");
        }
        let body = self.unread.drain(..length).collect();
        HttpResponse { head, body }
    }

    /// Whether the connection has ended and no bytes are unread. Waits for bytes or the end if no
    /// bytes are unread.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && self.read() == 0
    }
}

impl HttpResponse {
    pub(crate) fn has_status(&self, status: &str) -> bool {
        self.head.starts_with(&format!("HTTP/1.1 {status} "))
    }

    /// The reason why the tracker refused the request.
    pub(crate) fn refusal(&self) -> String {
        assert!(self.has_status("200"), "{}", self.head);
        match AnnounceResponse::parse(&self.body) {
            Err(ResponseError::Refused(refusal)) => refusal.reason,
            other => panic!("not refused: {other:?}"),
        }
    }
}

/// The request target of an announce. `more` is added to its query.
pub(crate) fn announce_target(id: char, port: u16, more: &str) -> String {
    let id = String::from(id).repeat(20);
    format!("/announce?{INFO_HASH}&peer_id={id}&port={port}&left=1{more}")
}

/// What the tracker's `/stats` reports.
pub(crate) fn stats(tracker: SocketAddr) -> serde_json::Value {
    let response = HttpClient::new(tracker).get("/stats");
    serde_json::from_slice(&response.body).unwrap()
}

pub(crate) fn peer_addresses(response: &AnnounceResponse) -> Vec<SocketAddr> {
    response.peers.iter().map(|peer| peer.address).collect()
}
