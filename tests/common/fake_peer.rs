//! A peer whose every byte a test chooses.

use super::handmade_torrent::Torrent;
use super::waiting::PATIENCE;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

pub(crate) const BLOCK: u32 = 16 << 10;
/// BEP 10, and BEP 6.
pub(crate) const BOTH: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 0x04];
/// BEP 3 alone.
pub(crate) const PLAIN: [u8; 8] = [0; 8];

/// One end of a line.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    /// The other side unchoked us.
    unchoked: bool,
}

/// A message as it came: its id and body.
pub(crate) type Message = (u8, Vec<u8>);

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            unchoked: false,
        }
    }

    pub(crate) fn call(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap())
    }

    /// Calls, shakes hands as `id` and waits for the answer.
    pub(crate) fn greet(
        address: SocketAddr,
        torrent: &Torrent,
        reserved: [u8; 8],
        id: &str,
    ) -> Self {
        let mut wire = Self::call(address);
        wire.send(&handshake(torrent.info_hash, reserved, id));
        assert!(
            wire.handshake().is_some(),
            "no answer to a sound handshake of {id}"
        );
        wire
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // The other side may have closed already, as it should after a breach.
        let _ = self.stream.write_all(bytes);
    }

    /// The other side's handshake; none if it closed.
    pub(crate) fn handshake(&mut self) -> Option<[u8; 68]> {
        let mut bytes = [0; 68];
        self.stream.read_exact(&mut bytes).ok().map(|()| bytes)
    }

    /// The next message that is no keep-alive; none if the other side closed.
    pub(crate) fn message(&mut self) -> Option<Message> {
        loop {
            let mut prefix = [0; 4];
            open(self.stream.read_exact(&mut prefix))?;
            let length = u32::from_be_bytes(prefix) as usize;
            assert!(length <= 1 << 20, "a message of {length} bytes");
            let mut body = vec![0; length];
            open(self.stream.read_exact(&mut body))?;
            if !body.is_empty() {
                let id = body.remove(0);
                if id < 2 {
                    self.unchoked = id == 1;
                }
                return Some((id, body));
            }
        }
    }

    /// The next message of that id, whatever comes before it; none if the other side closed.
    pub(crate) fn until(&mut self, id: u8) -> Option<Vec<u8>> {
        loop {
            let (got, body) = self.message()?;
            if got == id {
                return Some(body);
            }
        }
    }

    /// Reads to the end, which must come.
    pub(crate) fn drain(&mut self) {
        let start = Instant::now();
        while self.message().is_some() {
            assert!(start.elapsed() < PATIENCE, "the other side does not close");
        }
    }

    /// Asks for a block, once unchoked, and gives what came.
    pub(crate) fn fetch(&mut self, index: u32, begin: u32, length: u32) -> Option<Vec<u8>> {
        if !self.unchoked {
            self.send(&interested());
            self.until(1)?;
        }
        self.send(&request(index, begin, length));
        loop {
            let body = self.until(7)?;
            if body[..8] == numbers(&[index, begin]) {
                return Some(body[8..].to_vec());
            }
        }
    }
}

fn open(read: io::Result<()>) -> Option<()> {
    match read {
        Ok(()) => Some(()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ) =>
        {
            panic!("the other side neither sends nor closes")
        }
        Err(_) => None,
    }
}

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

/// A message with a true length.
pub(crate) fn frame(id: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = (1 + body.len() as u32).to_be_bytes().to_vec();
    bytes.push(id);
    bytes.extend(body);
    bytes
}

pub(crate) fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

pub(crate) fn request(index: u32, begin: u32, length: u32) -> Vec<u8> {
    frame(6, &numbers(&[index, begin, length]))
}

pub(crate) fn piece(index: u32, begin: u32, block: &[u8]) -> Vec<u8> {
    frame(7, &[&numbers(&[index, begin]), block].concat())
}

pub(crate) const KEEP_ALIVE: [u8; 4] = [0; 4];

pub(crate) fn have_all() -> Vec<u8> {
    frame(14, &[])
}

pub(crate) fn interested() -> Vec<u8> {
    frame(2, &[])
}

pub(crate) fn unchoke() -> Vec<u8> {
    frame(1, &[])
}

/// Index, begin and length of a request.
pub(crate) fn asked(body: &[u8]) -> (u32, u32, u32) {
    let at = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
    (at(0), at(4), at(8))
}

/// Listens on loopback and runs `script` for each caller after the handshakes, on a thread of its own.
pub(crate) fn listen(
    torrent: &Torrent,
    id: &'static str,
    script: impl Fn(Wire, usize) + Send + Sync + 'static,
) -> SocketAddr {
    let info_hash = torrent.info_hash;
    listen_raw(move |mut wire, number| {
        if wire.handshake().is_some() {
            wire.send(&handshake(info_hash, BOTH, id));
            script(wire, number);
        }
    })
}

/// Listens on loopback and runs `script` for each caller, who is numbered from 0, on a thread of its own.
pub(crate) fn listen_raw(script: impl Fn(Wire, usize) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = std::sync::Arc::new(script);
    // Both threads end with the process of the tests at the latest.
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (Ok(stream), script) = (stream, script.clone()) else {
                continue;
            };
            thread::spawn(move || script(Wire::new(stream), number));
        }
    });
    address
}

/// An owner of everything that does what it should.
pub(crate) fn sound_owner(torrent: &Torrent, id: &'static str) -> SocketAddr {
    let owned = torrent.clone();
    listen(torrent, id, move |wire, _| {
        serve(wire, &owned, |_, block| block.to_vec())
    })
}

/// Serves everything that is asked for, after `twist` has been at each block.
pub(crate) fn serve(
    mut wire: Wire,
    torrent: &Torrent,
    twist: impl Fn((u32, u32, u32), &[u8]) -> Vec<u8>,
) {
    wire.send(&[have_all(), unchoke()].concat());
    while let Some(body) = wire.until(6) {
        let (index, begin, length) = asked(&body);
        let block = twist((index, begin, length), torrent.block(index, begin, length));
        wire.send(&piece(index, begin, &block));
    }
}
