//! Bytes that came off the socket, on their way into a TLS connection.

use crate::net::DeadlineReader;
use nix::sys::socket::{MsgFlags, recv};
use rustls::Connection;
use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Instant;

/// How much is read off the socket at a time, in bytes, and kept for writing by a line with little to say.
pub(super) const CHUNK: usize = 16 << 10;
/// The same for a line on which much comes.
const LARGE_CHUNK: usize = 64 << 10;

/// Bytes from the socket that the TLS connection has not read yet.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    buffer: Vec<u8>,
    taken: usize,
    arrived: usize,
}

impl Inbound {
    /// Starts with bytes that were read before.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            buffer: bytes.to_vec(),
            taken: 0,
            arrived: bytes.len(),
        }
    }

    pub(super) fn waiting(&self) -> &[u8] {
        self.buffer
            .get(self.taken..self.arrived)
            .unwrap_or_default()
    }

    pub(super) fn take(&mut self, count: usize) {
        self.taken += count;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken >= self.arrived
    }

    /// Waits for bytes and returns their number, 0 at the end.
    pub(super) fn fill(&mut self, socket: &TcpStream, deadline: Instant) -> io::Result<usize> {
        self.make_room();
        self.arrived = loop {
            match DeadlineReader::until(socket, deadline).read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        Ok(self.arrived)
    }

    /// Reads what is there and returns its length, 0 at the end; `WouldBlock` if nothing is there.
    pub(super) fn fill_now(&mut self, socket: &TcpStream) -> io::Result<usize> {
        self.make_room();
        self.arrived = recv(socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT)?;
        Ok(self.arrived)
    }

    fn make_room(&mut self) {
        // A connection that fills its buffer gets a larger one, until less arrives.
        let room = match self.arrived {
            CHUNK.. => LARGE_CHUNK,
            _ => CHUNK,
        };
        (self.taken, self.arrived) = (0, 0);
        if self.buffer.len() != room {
            self.buffer.resize(room, 0);
            self.buffer.shrink_to(room);
        }
    }

    /// Feeds the TLS connection until it has plaintext to read. Its room for plaintext is bounded,
    /// so the rest may have to wait.
    pub(super) fn feed(&mut self, connection: &mut Connection) -> io::Result<()> {
        loop {
            match connection.read_tls(&mut self.waiting())? {
                // After `close_notify` nothing more is read.
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                taken => self.take(taken),
            }
            let processed = connection.process_new_packets();
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if self.is_empty() || !connection.wants_read() {
                return Ok(());
            }
        }
    }
}
