//! A TLS 1.3 connection on a socket that one thread reads while another writes.
//!
//! Locks: `inbound` while one thread reads, `sending` while one writes, each over its socket calls so that bytes keep
//! their order; `connection` inside either, for a moment and never over a socket call.

#[cfg(test)]
mod tests;

use super::inbound::{CHUNK, Inbound};
use crate::net::deadline::write_all_until;
use crate::system::lock;
use rustls::Connection;
use std::io::{self, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

/// From how many bytes on what is to be written goes to the socket, if there is more to come.
const BURST: usize = 256 << 10;
/// How long a last word may take, an alert or a goodbye, when the line is to end at once.
pub(super) const LAST_WORD: Duration = Duration::from_millis(200);

/// A line under TLS 1.3. Its methods take `&self`: one thread may read while another writes.
#[derive(Debug)]
pub struct TlsStream {
    socket: Arc<TcpStream>,
    connection: Mutex<Connection>,
    inbound: Mutex<Inbound>,
    sending: Mutex<Sending>,
}

/// Bytes for the socket; whether a record was cut short, after which nothing more may follow.
#[derive(Debug, Default)]
struct Sending {
    ready: Vec<u8>,
    is_cut: bool,
}

impl TlsStream {
    /// Fills the front of `buffer` by `deadline` and says how far: 0 when the other side said that it ends.
    ///
    /// # Errors
    /// `TimedOut` once the time is over, `UnexpectedEof` when the line was cut off, `InvalidData` when what came is not
    /// TLS or was changed on its way; else what the socket says.
    pub fn read_until(&self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        self.read_vectored_until(&mut [IoSliceMut::new(buffer)], deadline)
    }

    /// Fills the front of `buffers`, one after the other, as [`TlsStream::read_until`] does with one.
    ///
    /// # Errors
    /// As [`TlsStream::read_until`].
    pub fn read_vectored_until(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        deadline: Instant,
    ) -> io::Result<usize> {
        let mut inbound = lock(&self.inbound);
        loop {
            match take_plaintext(&mut self.connection(), buffers) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            self.advance(&mut inbound, deadline)?;
        }
    }

    /// Whether the other side has ended the line, as far as that has arrived; nothing is waited for. Not seen is an end
    /// behind something that has not been read yet.
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
    /// As [`TlsStream::read_until`]; `UnexpectedEof` also when the other side ended before.
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
    /// `TimedOut` once the time is over, else what the socket says; nothing more can be written then.
    pub fn write_all_until(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        let mut sending = lock(&self.sending);
        loop {
            let mut connection = self.connection();
            let written = connection.writer().write(bytes)?;
            take_ready(&mut connection, &mut sending)?;
            drop(connection);
            let stuck = written == 0 && !bytes.is_empty();
            bytes = bytes.get(written..).unwrap_or_default();
            if bytes.is_empty() || stuck || sending.ready.len() >= BURST {
                sending.flush(&self.socket, deadline)?;
            }
            if stuck {
                return Err(io::ErrorKind::WriteZero.into());
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// Says that nothing more will be written, and goes on reading.
    pub fn finish(&self, limit: Duration) {
        let mut sending = lock(&self.sending);
        self.say_goodbye(&mut sending, limit);
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Ends the line both ways at once, with a goodbye if nobody is writing; wakes whoever reads or writes.
    pub fn hang_up(&self) {
        match self.sending.try_lock() {
            Ok(mut sending) => self.say_goodbye(&mut sending, LAST_WORD),
            Err(TryLockError::Poisoned(sending)) => {
                self.say_goodbye(&mut sending.into_inner(), LAST_WORD);
            }
            Err(TryLockError::WouldBlock) => {}
        }
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// A line whose handshake is done, within `limit`; `inbound` came off the socket before.
    pub(super) fn handshake(
        socket: Arc<TcpStream>,
        connection: Connection,
        inbound: Inbound,
        limit: Duration,
    ) -> Result<Self, io::Error> {
        let deadline = Instant::now() + limit;
        // Records are written whole; waiting to fill a packet would only delay them.
        socket.set_nodelay(true)?;
        let stream = Self {
            socket,
            connection: Mutex::new(connection),
            inbound: Mutex::new(inbound),
            sending: Mutex::default(),
        };
        let mut inbound = lock(&stream.inbound);
        loop {
            stream.write_all_until(&[], deadline)?;
            if !stream.connection().is_handshaking() {
                break;
            }
            stream.advance(&mut inbound, deadline)?;
        }
        drop(inbound);
        Ok(stream)
    }

    /// Gives the connection what has arrived, or waits for more to arrive.
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
        let mut connection = self.connection();
        let processed = inbound.feed(&mut connection);
        drop(connection);
        processed.inspect_err(|_| self.send_alert())
    }

    /// Tells the other side why its bytes were refused, if that goes quickly and nobody is writing.
    fn send_alert(&self) {
        if let Ok(mut sending) = self.sending.try_lock() {
            let taken = take_ready(&mut self.connection(), &mut sending);
            let deadline = Instant::now() + LAST_WORD;
            let _ = taken.and_then(|()| sending.flush(&self.socket, deadline));
        }
    }

    fn say_goodbye(&self, sending: &mut Sending, limit: Duration) {
        let mut connection = self.connection();
        connection.send_close_notify();
        let taken = take_ready(&mut connection, sending);
        drop(connection);
        let _ = taken.and_then(|()| sending.flush(&self.socket, Instant::now() + limit));
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        lock(&self.connection)
    }
}

impl Sending {
    fn flush(&mut self, socket: &TcpStream, deadline: Instant) -> io::Result<()> {
        if self.is_cut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let written = write_all_until(socket, &self.ready, deadline);
        self.is_cut = written.is_err();
        // Room for a burst is given back once the line has little to say again.
        let kept = if self.ready.len() < CHUNK {
            CHUNK
        } else {
            BURST
        };
        self.ready.clear();
        self.ready.shrink_to(kept);
        written
    }
}

/// Takes what was decrypted, as much as is here.
fn take_plaintext(
    connection: &mut Connection,
    buffers: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    let (mut reader, mut taken) = (connection.reader(), 0);
    for buffer in buffers {
        match reader.read(buffer) {
            Ok(read) => taken += read,
            // What is wrong with the rest is said to whoever reads that.
            Err(_) if taken > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

fn take_ready(connection: &mut Connection, sending: &mut Sending) -> io::Result<()> {
    while connection.wants_write() {
        connection.write_tls(&mut sending.ready)?;
    }
    Ok(())
}
