//! Deadlines for a whole exchange. A remote peer that sends a byte now and then cannot keep a
//! connection open for ever.

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Reads from a socket. One deadline covers all reads together.
#[derive(Debug)]
pub struct DeadlineReader<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl<'a> DeadlineReader<'a> {
    /// A reader whose reads must all end within `limit` from now.
    pub fn new(stream: &'a TcpStream, limit: Duration) -> Self {
        Self::until(stream, Instant::now() + limit)
    }

    /// A reader whose reads must all end by `deadline`.
    pub fn until(stream: &'a TcpStream, deadline: Instant) -> Self {
        Self { stream, deadline }
    }

    /// Starts a new deadline, `limit` from now.
    pub fn set_deadline(&mut self, limit: Duration) {
        self.deadline = Instant::now() + limit;
    }
}

impl Read for DeadlineReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream
            .set_read_timeout(Some(remaining(self.deadline)?))?;
        let mut stream = self.stream;
        stream.read(buffer).map_err(would_block_to_timed_out)
    }
}

/// Connects within `limit`.
///
/// # Errors
/// `TimedOut` after `limit`, with a text for people; otherwise the error of the socket.
pub fn connect_within(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let connected = TcpStream::connect_timeout(&address, limit);
    connected.map_err(|error| with_limit(error, limit))
}

/// Makes the text of a `TimedOut` say how long the limit was.
pub(super) fn with_limit(error: io::Error, limit: Duration) -> io::Error {
    match error.kind() {
        io::ErrorKind::TimedOut => io::Error::new(error.kind(), no_answer(limit)),
        _ => error,
    }
}

/// The message to people when no answer arrived within `limit`.
pub(super) fn no_answer(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs_f64().ceil())
}

/// Fills `buffer` within `limit`.
///
/// # Errors
/// `TimedOut` after `limit`; otherwise the error of the socket.
pub fn read_exact_within(stream: &TcpStream, buffer: &mut [u8], limit: Duration) -> io::Result<()> {
    DeadlineReader::new(stream, limit).read_exact(buffer)
}

/// Writes all of `bytes` within `limit`.
///
/// # Errors
/// `TimedOut` after `limit`; otherwise the error of the socket.
pub fn write_all_within(stream: &TcpStream, bytes: &[u8], limit: Duration) -> io::Result<()> {
    write_all_until(stream, bytes, Instant::now() + limit)
}

/// Receives bytes that have arrived already: `None` if there are none yet, 0 at the end of the
/// connection.
///
/// # Errors
/// The error of the socket.
pub fn receive_now(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match recv(stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(received) => return Ok(Some(received)),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends as many of `bytes` as the socket takes at once, and returns their number.
///
/// # Errors
/// The error of the socket.
pub fn send_now(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    loop {
        match send(stream.as_raw_fd(), bytes, flags) {
            Ok(sent) => return Ok(sent),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(0),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes all of `bytes` by `deadline`.
pub(super) fn write_all_until(
    mut stream: &TcpStream,
    mut bytes: &[u8],
    deadline: Instant,
) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(remaining(deadline)?))?;
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(would_block_to_timed_out(error)),
        }
    }
    Ok(())
}

/// The time until `deadline`, or `TimedOut` if that has passed. At least 1 ms, because the system
/// takes a timeout of zero as "no limit".
fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left.max(Duration::from_millis(1)))
}

/// Linux reports `WouldBlock` when the timeout of a socket ends. Replaces it with `TimedOut`.
fn would_block_to_timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        io::ErrorKind::TimedOut.into()
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn single_bytes_do_not_extend_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut slow = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let stop = crate::net::Stop::new();
        let stopped = stop.clone();
        let trickle = std::thread::spawn(move || {
            while !stopped.wait(Duration::from_millis(20)) {
                let _ = slow.write_all(b"x");
            }
        });
        let started = Instant::now();
        let error =
            read_exact_within(&stream, &mut [0; 1000], Duration::from_millis(200)).unwrap_err();
        stop.stop();
        trickle.join().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_socket_whose_other_side_reads_nothing_takes_what_it_can_and_blocks_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let (sender, is_full) = std::sync::mpsc::channel();
        // If a call blocks, this thread stays behind, and the test fails.
        std::thread::spawn(move || {
            while send_now(&stream, &[0; 64 << 10]).unwrap() > 0 {}
            sender.send(stream).unwrap();
        });
        let near = is_full.recv_timeout(Duration::from_secs(20));
        assert!(near.is_ok(), "a call does not return");
        drop(far);
    }
}
