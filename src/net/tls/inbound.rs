//! Bytes that were read from the socket and that the TLS connection has not read yet.

use crate::net::DeadlineReader;
use nix::sys::socket::{MsgFlags, recv};
use rustls::Connection;
use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Instant;

/// The most bytes that are read from the socket at once, unless much data arrives. Also the
/// capacity of the write buffer that an idle connection keeps.
pub(super) const CHUNK_BYTES: usize = 16 << 10;
/// The most bytes that are read at once while much data arrives.
const LARGE_CHUNK_BYTES: usize = 64 << 10;

/// Bytes from the socket that the TLS connection has not read yet.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    buffer: Vec<u8>,
    /// Bytes at the start of `buffer` that the TLS connection has read.
    consumed: usize,
    /// Bytes at the start of `buffer` that came from the socket.
    arrived: usize,
}

impl Inbound {
    /// Starts with bytes that were read from the socket before.
    pub(super) fn with_bytes(bytes: &[u8]) -> Self {
        Self {
            buffer: bytes.to_vec(),
            consumed: 0,
            arrived: bytes.len(),
        }
    }

    pub(super) fn unread(&self) -> &[u8] {
        self.buffer
            .get(self.consumed..self.arrived)
            .unwrap_or_default()
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.consumed += count;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.consumed >= self.arrived
    }

    /// Waits for bytes and returns their number, 0 at the end of the connection.
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

    /// Reads bytes that have arrived already and returns their number, 0 at the end of the
    /// connection.
    ///
    /// # Errors
    /// `WouldBlock` if no bytes have arrived.
    pub(super) fn fill_now(&mut self, socket: &TcpStream) -> io::Result<usize> {
        self.make_room();
        self.arrived = recv(socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT)?;
        Ok(self.arrived)
    }

    fn make_room(&mut self) {
        // The last read returned `arrived` bytes. If that was at least a chunk, more may follow.
        let room = match self.arrived {
            CHUNK_BYTES.. => LARGE_CHUNK_BYTES,
            _ => CHUNK_BYTES,
        };
        // No bytes are lost: callers fill only when all earlier bytes are consumed.
        (self.consumed, self.arrived) = (0, 0);
        if self.buffer.len() != room {
            self.buffer.resize(room, 0);
            self.buffer.shrink_to(room);
        }
    }

    /// Passes bytes to the TLS connection until the connection has plaintext to read. The buffer
    /// for plaintext is bounded, so some bytes may stay here.
    pub(super) fn feed(&mut self, connection: &mut Connection) -> io::Result<()> {
        loop {
            match connection.read_tls(&mut self.unread())? {
                // The connection reads nothing after `close_notify`.
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                consumed => self.consume(consumed),
            }
            let processed = connection.process_new_packets();
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if self.is_empty() || !connection.wants_read() {
                return Ok(());
            }
        }
    }
}
