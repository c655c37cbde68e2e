//! A fake peer: a test chooses every byte that it sends, and reads every message that it receives.

use super::handmade_torrent::Torrent;
use super::waiting::PATIENCE;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

/// The length of a block.
pub(crate) const BLOCK: u32 = 16 << 10;

/// The ids of messages (BEP 3, 5, 6 and 10).
pub(crate) const CHOKE: u8 = 0;
pub(crate) const UNCHOKE: u8 = 1;
pub(crate) const INTERESTED: u8 = 2;
pub(crate) const NOT_INTERESTED: u8 = 3;
pub(crate) const HAVE: u8 = 4;
pub(crate) const BITFIELD: u8 = 5;
pub(crate) const REQUEST: u8 = 6;
pub(crate) const PIECE: u8 = 7;
pub(crate) const CANCEL: u8 = 8;
pub(crate) const PORT: u8 = 9;
pub(crate) const SUGGEST_PIECE: u8 = 13;
pub(crate) const HAVE_ALL: u8 = 14;
pub(crate) const HAVE_NONE: u8 = 15;
pub(crate) const REJECT_REQUEST: u8 = 16;
pub(crate) const ALLOWED_FAST: u8 = 17;
pub(crate) const EXTENDED: u8 = 20;

/// The reserved bits of a handshake that offers the extension protocol (BEP 10) and the fast
/// extension (BEP 6).
pub(crate) const EXTENDED_AND_FAST: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 0x04];
/// The reserved bits of a handshake that offers BEP 3 alone.
pub(crate) const BEP_3_ONLY: [u8; 8] = [0; 8];

/// The test's end of a link.
pub(crate) struct FakePeer {
    pub(crate) stream: TcpStream,
    /// Whether the other peer has unchoked this one.
    unchoked: bool,
}

/// The id and the body of a message.
pub(crate) type Message = (u8, Vec<u8>);

impl FakePeer {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            unchoked: false,
        }
    }

    /// Opens a TCP connection.
    pub(crate) fn connect_tcp(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap())
    }

    /// Opens a TCP connection, sends a handshake as `id` and waits for the other peer's handshake.
    pub(crate) fn connect(
        address: SocketAddr,
        torrent: &Torrent,
        reserved: [u8; 8],
        id: &str,
    ) -> Self {
        let mut link = Self::connect_tcp(address);
        link.send(&handshake(torrent.info_hash, reserved, id));
        assert!(
            link.read_handshake().is_some(),
            "no answer to the handshake of {id}"
        );
        link
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // The other peer may have closed already, as it should after a breach of the protocol.
        let _ = self.stream.write_all(bytes);
    }

    /// Reads the other peer's handshake. None if the other peer closed the link or is silent.
    pub(crate) fn read_handshake(&mut self) -> Option<[u8; 68]> {
        let mut bytes = [0; 68];
        self.stream.read_exact(&mut bytes).ok().map(|()| bytes)
    }

    /// Reads the next message that is not a keep-alive. None if the other peer closed the link.
    pub(crate) fn read_message(&mut self) -> Option<Message> {
        loop {
            let mut prefix = [0; 4];
            none_if_closed(self.stream.read_exact(&mut prefix))?;
            let length = u32::from_be_bytes(prefix) as usize;
            assert!(length <= 1 << 20, "a message of {length} bytes");
            let mut body = vec![0; length];
            none_if_closed(self.stream.read_exact(&mut body))?;
            if !body.is_empty() {
                let id = body.remove(0);
                if id == CHOKE || id == UNCHOKE {
                    self.unchoked = id == UNCHOKE;
                }
                return Some((id, body));
            }
        }
    }

    /// Reads up to the next message with this id, and returns its body. None if the other peer
    /// closed the link.
    pub(crate) fn read_until(&mut self, id: u8) -> Option<Vec<u8>> {
        loop {
            let (found_id, body) = self.read_message()?;
            if found_id == id {
                return Some(body);
            }
        }
    }

    /// Reads until the other peer closes the link, which must happen.
    pub(crate) fn read_to_end(&mut self) {
        let start = Instant::now();
        while self.read_message().is_some() {
            assert!(
                start.elapsed() < PATIENCE,
                "the other peer does not close the link"
            );
        }
    }

    /// Waits until this peer is unchoked, requests a block and returns its bytes. None if the other
    /// peer closed the link.
    pub(crate) fn fetch(&mut self, index: u32, begin: u32, length: u32) -> Option<Vec<u8>> {
        if !self.unchoked {
            self.send(&interested());
            self.read_until(UNCHOKE)?;
        }
        self.send(&request(index, begin, length));
        loop {
            let body = self.read_until(PIECE)?;
            if body[..8] == numbers(&[index, begin]) {
                return Some(body[8..].to_vec());
            }
        }
    }
}

/// None if the read failed because the other peer closed the link.
fn none_if_closed(read: io::Result<()>) -> Option<()> {
    match read {
        Ok(()) => Some(()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ) =>
        {
            panic!("the other peer neither sends nor closes the link")
        }
        Err(_) => None,
    }
}

/// The handshake of BEP 3. `id` is the start of the peer id.
pub(crate) fn handshake(info_hash: [u8; 20], reserved: [u8; 8], id: &str) -> Vec<u8> {
    let mut peer_id = [b'-'; 20];
    peer_id[..id.len()].copy_from_slice(id.as_bytes());
    [
        b"\x13BitTorrent protocol".as_slice(),
        &reserved,
        &info_hash,
        &peer_id,
    ]
    .concat()
}

/// A message with its length prefix.
pub(crate) fn frame(id: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = (1 + body.len() as u32).to_be_bytes().to_vec();
    bytes.push(id);
    bytes.extend(body);
    bytes
}

/// Numbers of 4 bytes each, as in the body of a message.
pub(crate) fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

pub(crate) fn request(index: u32, begin: u32, length: u32) -> Vec<u8> {
    frame(REQUEST, &numbers(&[index, begin, length]))
}

pub(crate) fn piece(index: u32, begin: u32, block: &[u8]) -> Vec<u8> {
    frame(PIECE, &[&numbers(&[index, begin]), block].concat())
}

/// A message of length 0.
pub(crate) const KEEP_ALIVE: [u8; 4] = [0; 4];

pub(crate) fn have_all() -> Vec<u8> {
    frame(HAVE_ALL, &[])
}

pub(crate) fn interested() -> Vec<u8> {
    frame(INTERESTED, &[])
}

pub(crate) fn unchoke() -> Vec<u8> {
    frame(UNCHOKE, &[])
}

/// The index, begin and length in the body of a request.
pub(crate) fn parse_request(body: &[u8]) -> (u32, u32, u32) {
    let number_at = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
    (number_at(0), number_at(4), number_at(8))
}

/// Listens on loopback and runs `script` for each caller after the handshakes, on its own thread.
/// Callers are numbered from 0.
pub(crate) fn listen(
    torrent: &Torrent,
    id: &'static str,
    script: impl Fn(FakePeer, usize) + Send + Sync + 'static,
) -> SocketAddr {
    let info_hash = torrent.info_hash;
    listen_tcp(move |mut link, number| {
        if link.read_handshake().is_some() {
            link.send(&handshake(info_hash, EXTENDED_AND_FAST, id));
            script(link, number);
        }
    })
}

/// Listens on loopback and runs `script` for each caller before any handshake, on its own thread.
/// Callers are numbered from 0.
pub(crate) fn listen_tcp(script: impl Fn(FakePeer, usize) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = std::sync::Arc::new(script);
    // The threads end with the process of the tests, or earlier.
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (Ok(stream), script) = (stream, script.clone()) else {
                continue;
            };
            thread::spawn(move || script(FakePeer::new(stream), number));
        }
    });
    address
}

/// A seed that follows the protocol.
pub(crate) fn honest_seed(torrent: &Torrent, id: &'static str) -> SocketAddr {
    let served = torrent.clone();
    listen(torrent, id, move |link, _| serve_all(link, &served))
}

/// Serves all requests with the bytes of the torrent.
pub(crate) fn serve_all(link: FakePeer, torrent: &Torrent) {
    serve(link, torrent, |_, block| block.to_vec());
}

/// Serves all requests. `answer` takes a request (index, begin, length) and the requested block,
/// and returns the bytes to send.
pub(crate) fn serve(
    mut link: FakePeer,
    torrent: &Torrent,
    answer: impl Fn((u32, u32, u32), &[u8]) -> Vec<u8>,
) {
    link.send(&[have_all(), unchoke()].concat());
    while let Some(body) = link.read_until(REQUEST) {
        let (index, begin, length) = parse_request(&body);
        let block = answer((index, begin, length), torrent.block(index, begin, length));
        link.send(&piece(index, begin, &block));
    }
}
