//! A TLS 1.3 connection on a socket. One thread may read while another writes.
//!
//! Locks: a reading thread holds `inbound` and a writing thread holds `outbound`, each also during
//! socket calls, so that bytes keep their order. `connection` is locked inside either of them,
//! briefly and never during a socket call.

#[cfg(test)]
mod tests;

use super::inbound::{CHUNK_BYTES, Inbound};
use crate::net::deadline::{with_limit, write_all_until};
use crate::system::lock;
use rustls::Connection;
use std::io::{self, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

/// A write goes to the socket when this number of bytes is ready, even if more bytes follow.
const BURST_BYTES: usize = 256 << 10;
/// The longest time to send an alert or `close_notify` on a connection that is about to close.
pub(super) const CLOSE_LIMIT: Duration = Duration::from_millis(200);

/// A TLS 1.3 connection. Its methods take `&self`, so one thread may read while another writes.
#[derive(Debug)]
pub struct TlsStream {
    socket: Arc<TcpStream>,
    connection: Mutex<Connection>,
    inbound: Mutex<Inbound>,
    outbound: Mutex<Outbound>,
}

/// Encrypted bytes for the socket.
#[derive(Debug, Default)]
struct Outbound {
    ready: Vec<u8>,
    /// Whether a write failed. A TLS record may then be incomplete, so nothing more may be sent.
    has_failed: bool,
}

impl TlsStream {
    /// Reads bytes into the front of `buffer` by `deadline` and returns their number: 0 after the
    /// other side has sent `close_notify`.
    ///
    /// # Errors
    /// `TimedOut` after `deadline`; `UnexpectedEof` if the connection ended without `close_notify`;
    /// `InvalidData` if the bytes are not TLS or were changed on the way; otherwise the error of
    /// the socket.
    pub fn read_until(&self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        self.read_vectored_until(&mut [IoSliceMut::new(buffer)], deadline)
    }

    /// Like [`TlsStream::read_until`], but fills several buffers in their order.
    ///
    /// # Errors
    /// See [`TlsStream::read_until`].
    pub fn read_vectored_until(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        deadline: Instant,
    ) -> io::Result<usize> {
        let mut inbound = lock(&self.inbound);
        loop {
            match read_plaintext(&mut self.connection(), buffers) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            self.advance(&mut inbound, deadline)?;
        }
    }

    /// Reads into the front of `buffer`, without waiting, and returns the number of bytes: 0 after
    /// the other side has sent `close_notify`.
    ///
    /// # Errors
    /// `WouldBlock` if no bytes have arrived; otherwise see [`TlsStream::read_until`].
    pub fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut inbound = lock(&self.inbound);
        loop {
            match read_plaintext(&mut self.connection(), &mut [IoSliceMut::new(buffer)]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if inbound.is_empty() && inbound.fill_now(&self.socket)? == 0 {
                // The other side has closed the socket. An empty read passes this to the TLS
                // connection, and the next `read_plaintext` reports it.
                self.connection().read_tls(&mut io::empty())?;
                continue;
            }
            self.feed(&mut inbound)?;
        }
    }

    /// The socket, for callers that wait for bytes, set its options or shut it down.
    pub fn socket(&self) -> &Arc<TcpStream> {
        &self.socket
    }

    /// Whether the other side has closed the connection, as far as is known without waiting. A
    /// close that arrived after data is not detected before that data is read.
    pub fn has_ended(&self) -> bool {
        let mut inbound = lock(&self.inbound);
        loop {
            {
                let mut connection = self.connection();
                match connection.process_new_packets() {
                    Ok(state) if !state.peer_has_closed() => {}
                    _ => return true,
                }
                if !connection.wants_read() {
                    return false;
                }
            }
            if inbound.is_empty() {
                match inbound.fill_now(&self.socket) {
                    Ok(0) => return true,
                    Ok(_) => {}
                    Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
                }
            }
            if inbound.feed(&mut self.connection()).is_err() {
                return true;
            }
        }
    }

    /// Fills all of `buffer` by `deadline`.
    ///
    /// # Errors
    /// See [`TlsStream::read_until`]; `UnexpectedEof` also if `close_notify` arrives first.
    pub fn read_exact_until(&self, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_until(buffer, deadline)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => buffer = buffer.get_mut(read..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` by `deadline`.
    ///
    /// # Errors
    /// `TimedOut` after `deadline`; otherwise the error of the socket. Nothing can be written after
    /// an error.
    pub fn write_all_until(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        let mut outbound = lock(&self.outbound);
        loop {
            let mut connection = self.connection();
            let written = connection.writer().write(bytes)?;
            take_records(&mut connection, &mut outbound)?;
            drop(connection);
            let is_stuck = written == 0 && !bytes.is_empty();
            bytes = bytes.get(written..).unwrap_or_default();
            if bytes.is_empty() || is_stuck || outbound.ready.len() >= BURST_BYTES {
                outbound.flush(&self.socket, deadline)?;
            }
            if is_stuck {
                return Err(io::ErrorKind::WriteZero.into());
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// Sends `close_notify` and closes the writing side. Reading is still possible.
    pub fn finish(&self, limit: Duration) {
        let mut outbound = lock(&self.outbound);
        self.send_close_notify(&mut outbound, limit);
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Closes the connection both ways now, and wakes threads that read or write. Sends
    /// `close_notify` if no thread is writing.
    pub fn hang_up(&self) {
        match self.outbound.try_lock() {
            Ok(mut outbound) => self.send_close_notify(&mut outbound, CLOSE_LIMIT),
            Err(TryLockError::Poisoned(outbound)) => {
                self.send_close_notify(&mut outbound.into_inner(), CLOSE_LIMIT);
            }
            Err(TryLockError::WouldBlock) => {}
        }
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// A connection whose handshake is done. `inbound` holds bytes that were already read from the
    /// socket.
    pub(super) fn from_parts(
        socket: Arc<TcpStream>,
        connection: Connection,
        inbound: Inbound,
    ) -> Self {
        Self {
            socket,
            connection: Mutex::new(connection),
            inbound: Mutex::new(inbound),
            outbound: Mutex::default(),
        }
    }

    /// Does the handshake within `limit`. `inbound` holds bytes that were already read from the
    /// socket.
    pub(super) fn handshake(
        socket: Arc<TcpStream>,
        connection: Connection,
        inbound: Inbound,
        limit: Duration,
    ) -> Result<Self, io::Error> {
        let deadline = Instant::now() + limit;
        // TLS records are written whole. Waiting to fill a packet (Nagle) would only delay them.
        socket.set_nodelay(true)?;
        let stream = Self::from_parts(socket, connection, inbound);
        let result = stream.complete_handshake(deadline);
        result.map_err(|error| with_limit(error, limit))?;
        Ok(stream)
    }

    fn complete_handshake(&self, deadline: Instant) -> io::Result<()> {
        let mut inbound = lock(&self.inbound);
        loop {
            self.write_all_until(&[], deadline)?;
            if !self.connection().is_handshaking() {
                return Ok(());
            }
            self.advance(&mut inbound, deadline)?;
        }
    }

    /// Passes the bytes in `inbound` to the TLS connection. If there are none, first waits for
    /// bytes.
    fn advance(&self, inbound: &mut Inbound, deadline: Instant) -> io::Result<()> {
        if inbound.is_empty() {
            let ended = inbound.fill(&self.socket, deadline)? == 0;
            if ended {
                let mut connection = self.connection();
                connection.read_tls(&mut io::empty())?;
                if connection.is_handshaking() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                return Ok(());
            }
        }
        self.feed(inbound)
    }

    /// Passes the bytes in `inbound` to the TLS connection.
    fn feed(&self, inbound: &mut Inbound) -> io::Result<()> {
        let mut connection = self.connection();
        let processed = inbound.feed(&mut connection);
        drop(connection);
        processed.inspect_err(|_| self.send_alert())
    }

    /// Sends the alert that says why the received bytes were refused, in at most [`CLOSE_LIMIT`].
    /// Sends nothing while another thread is writing.
    fn send_alert(&self) {
        if let Ok(mut outbound) = self.outbound.try_lock() {
            let taken = take_records(&mut self.connection(), &mut outbound);
            let deadline = Instant::now() + CLOSE_LIMIT;
            let _ = taken.and_then(|()| outbound.flush(&self.socket, deadline));
        }
    }

    fn send_close_notify(&self, outbound: &mut Outbound, limit: Duration) {
        let mut connection = self.connection();
        connection.send_close_notify();
        let taken = take_records(&mut connection, outbound);
        drop(connection);
        let _ = taken.and_then(|()| outbound.flush(&self.socket, Instant::now() + limit));
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        lock(&self.connection)
    }
}

impl Outbound {
    fn flush(&mut self, socket: &TcpStream, deadline: Instant) -> io::Result<()> {
        if self.has_failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let result = write_all_until(socket, &self.ready, deadline);
        self.has_failed = result.is_err();
        // The memory of a large buffer is freed when a small write follows.
        let capacity = if self.ready.len() < CHUNK_BYTES {
            CHUNK_BYTES
        } else {
            BURST_BYTES
        };
        self.ready.clear();
        self.ready.shrink_to(capacity);
        result
    }
}

/// Copies decrypted bytes that are available into `buffers` and returns their number.
fn read_plaintext(
    connection: &mut Connection,
    buffers: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    let (mut reader, mut total) = (connection.reader(), 0);
    for buffer in buffers {
        match reader.read(buffer) {
            Ok(read) => total += read,
            // The next read reports the error.
            Err(_) if total > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// Moves encrypted records from the TLS connection to `outbound`.
fn take_records(connection: &mut Connection, outbound: &mut Outbound) -> io::Result<()> {
    while connection.wants_write() {
        connection.write_tls(&mut outbound.ready)?;
    }
    Ok(())
}
