//! Reads and writes frames on a local socket.

use crate::net::Stop;
use crate::system::lock;
use crate::wire::attach::MAX_ATTACH_FRAME;
use crate::wire::frame;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The name of the socket in a state folder.
pub(super) const SOCKET: &str = "attach";
/// Bytes of one read.
const CHUNK: usize = 16 << 10;

/// The sending side of a connection. Several threads may send; frames are never mixed.
#[derive(Debug)]
pub(super) struct FrameSender {
    stream: UnixStream,
    /// Held over the write of one frame.
    writing: Mutex<()>,
    is_broken: Stop,
}

impl FrameSender {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            writing: Mutex::new(()),
            is_broken: Stop::new(),
        }
    }

    /// Sends a frame. Waits while the other side does not read, for example because its process is
    /// suspended. Only the command of that side waits.
    ///
    /// # Errors
    /// The other side has closed the connection.
    pub(super) fn send(&self, body: &[u8]) -> io::Result<()> {
        let writing = lock(&self.writing);
        let sent = self.write(body);
        drop(writing);
        sent
    }

    /// Sends a frame if that does not wait. Otherwise drops it.
    pub(super) fn send_now(&self, body: &[u8]) {
        let Ok(_writing) = self.writing.try_lock() else {
            return;
        };
        // A socket is writable only if it has room for more than one small frame.
        let waiting = &mut [PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT)];
        if poll(waiting, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
            let _ = self.write(body);
        }
    }

    /// Closes the connection in both directions: wakes the threads that read or write it.
    pub(super) fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn write(&self, body: &[u8]) -> io::Result<()> {
        if self.is_broken.is_stopped() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let mut bytes = Vec::with_capacity(body.len() + frame::HEADER_LENGTH);
        frame::encode(body, MAX_ATTACH_FRAME, &mut bytes).map_err(io::Error::other)?;
        let written = (&self.stream).write_all(&bytes);
        if written.is_err() {
            // A part of the frame may have been sent, so the rest would not be understood.
            self.is_broken.stop();
        }
        written
    }
}

/// The receiving side of a connection.
#[derive(Debug)]
pub(super) struct FrameReceiver {
    stream: UnixStream,
    arrived: Vec<u8>,
}

impl FrameReceiver {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            arrived: Vec::new(),
        }
    }

    /// Limits the time of each read. `None`: a read waits without a limit.
    pub(super) fn set_limit(&self, limit: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(limit)
    }

    /// The body of the next frame, if it arrives before this time; like [`next`](Self::next).
    /// Afterwards, a read waits without a limit.
    pub(super) fn next_before(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        let body = self.receive(Some(deadline));
        self.set_limit(None)?;
        body
    }

    /// The body of the next frame; `None` if the other side has closed the connection.
    ///
    /// # Errors
    /// The connection broke off inside a frame, a read took too long (`WouldBlock`), or the bytes
    /// are not a frame.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.receive(None)
    }

    fn receive(&mut self, deadline: Option<Instant>) -> io::Result<Option<Vec<u8>>> {
        loop {
            let decoded = frame::decode(&self.arrived, MAX_ATTACH_FRAME);
            if let Some((body, rest)) = decoded.map_err(io::Error::other)? {
                let (body, rest) = (body.to_vec(), rest.len());
                self.arrived.drain(..self.arrived.len() - rest);
                return Ok(Some(body));
            }
            if let Some(deadline) = deadline {
                match deadline.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => return Err(ErrorKind::WouldBlock.into()),
                    left => self.set_limit(Some(left))?,
                }
            }
            let mut chunk = [0; CHUNK];
            match self.stream.read(&mut chunk) {
                Ok(0) if self.arrived.is_empty() => return Ok(None),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self
                    .arrived
                    .extend_from_slice(chunk.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn frames_arrive_whole_and_foreign_bytes_are_an_error() {
        let (one, other) = UnixStream::pair().unwrap();
        let sender = FrameSender::new(one.try_clone().unwrap());
        let mut receiver = FrameReceiver::new(other);
        let long = vec![7; MAX_ATTACH_FRAME as usize];
        let sent = long.clone();
        let sending = thread::spawn(move || {
            sender.send(b"x").unwrap();
            sender.send(&sent).unwrap();
            assert!(
                sender
                    .send(&vec![0; MAX_ATTACH_FRAME as usize + 1])
                    .is_err()
            );
            sender
        });
        assert_eq!(receiver.next().unwrap().unwrap(), b"x");
        assert!(receiver.next().unwrap().unwrap() == long);
        drop((sending.join().unwrap(), one));
        assert!(receiver.next().unwrap().is_none());
        let (mut one, other) = UnixStream::pair().unwrap();
        one.write_all(b"GET / HTTP/1.1").unwrap();
        assert!(FrameReceiver::new(other).next().is_err());
    }

    #[test]
    fn sending_now_does_not_wait_for_a_reader_that_does_not_read() {
        let (one, _other) = UnixStream::pair().unwrap();
        let sender = FrameSender::new(one);
        for _ in 0..2_000 {
            sender.send_now(&[0; 1_000]);
        }
    }
}
