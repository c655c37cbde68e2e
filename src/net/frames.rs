//! Reads and writes frames (see [`crate::wire::frame`]) on TLS connections. Each frame has its own
//! deadline.

use super::TlsStream;
use super::deadline::no_answer;
use crate::system::cause;
use crate::wire::frame::{self, FrameError};
use std::io;
use std::time::{Duration, Instant};

/// Bytes of one read.
const CHUNK_BYTES: usize = 16 << 10;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameIoError {
    /// The other side closed the connection between two frames.
    #[error("the other side closed the connection")]
    Closed,
    /// The connection ended inside a frame, or without the `close_notify` of TLS.
    #[error("the connection broke off")]
    CutOff,
    /// No frame began to arrive in time.
    #[error("{}", no_answer(*.0))]
    Silent(Duration),
    /// A frame took too long to arrive or to be sent.
    #[error("a message took longer than {} s", .0.as_secs_f64().ceil())]
    TooSlow(Duration),
    /// The length before the body is not valid.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// TLS or the socket failed.
    #[error("{}", cause(.0))]
    Io(#[from] io::Error),
}

/// Reads frames from a TLS connection. Its buffer grows with the bytes that have arrived, never
/// with the length that a frame announces.
#[derive(Debug)]
pub struct FrameReader<'a> {
    stream: &'a TlsStream,
    cap: u32,
    arrived: Vec<u8>,
    /// Length of the frame that was returned last. It is still at the front of `arrived`.
    returned: usize,
}

impl<'a> FrameReader<'a> {
    /// Reads frames with bodies of at most `cap` bytes.
    pub fn new(stream: &'a TlsStream, cap: u32) -> Self {
        Self {
            stream,
            cap,
            arrived: Vec::new(),
            returned: 0,
        }
    }

    /// Goes on reading after [`FrameReader::into_unread`].
    pub fn resume(stream: &'a TlsStream, cap: u32, unread: Vec<u8>) -> Self {
        Self {
            arrived: unread,
            ..Self::new(stream, cap)
        }
    }

    /// The bytes that were read and do not belong to a returned frame.
    pub fn into_unread(mut self) -> Vec<u8> {
        self.arrived.drain(..self.returned);
        self.arrived.shrink_to_fit();
        self.arrived
    }

    /// Sets the largest body, in bytes, from the next frame on.
    pub fn set_cap(&mut self, cap: u32) {
        self.cap = cap;
    }

    /// The body of the next frame. The first byte must arrive within `idle`, and the whole frame
    /// within `limit` after it.
    ///
    /// # Errors
    /// See [`FrameIoError`]. The connection cannot be used after an error.
    pub fn next(&mut self, idle: Duration, limit: Duration) -> Result<&[u8], FrameIoError> {
        self.read_frame(idle, limit, None)
    }

    /// The body of the next frame if all of it has arrived. Never waits.
    ///
    /// # Errors
    /// See [`FrameIoError`]. The connection cannot be used after an error.
    pub fn next_now(&mut self) -> Result<Option<&[u8]>, FrameIoError> {
        self.arrived.drain(..self.returned);
        self.returned = 0;
        let length = loop {
            if let Some((body, _)) = frame::decode(&self.arrived, self.cap)? {
                break body.len();
            }
            let mut chunk = [0; CHUNK_BYTES];
            match self.stream.read_now(&mut chunk) {
                Ok(0) if self.arrived.is_empty() => return Err(FrameIoError::Closed),
                Ok(0) => return Err(FrameIoError::CutOff),
                Ok(read) => {
                    let read = chunk.get(..read).unwrap_or_default();
                    self.arrived.extend_from_slice(read);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => {
                    // No time limit of ours applies here. Only the system can report a time-out.
                    return Err(frame_error(error, FrameIoError::TooSlow(Duration::ZERO)));
                }
            }
        };
        self.returned = frame::HEADER_LENGTH + length;
        let body = self.arrived.get(frame::HEADER_LENGTH..self.returned);
        Ok(Some(body.unwrap_or_default()))
    }

    /// The body of the next frame from a trusted sender that may be slow. The first byte must
    /// arrive within `idle`, and after each read the next bytes within `silence`. The whole frame
    /// has no time limit. `on_progress` is called after each read that does not complete the frame.
    ///
    /// # Errors
    /// See [`FrameIoError`]. The connection cannot be used after an error.
    pub fn next_with_progress(
        &mut self,
        idle: Duration,
        silence: Duration,
        mut on_progress: impl FnMut(),
    ) -> Result<&[u8], FrameIoError> {
        self.read_frame(idle, silence, Some(&mut on_progress))
    }

    fn read_frame(
        &mut self,
        idle: Duration,
        limit: Duration,
        mut on_progress: Option<&mut dyn FnMut()>,
    ) -> Result<&[u8], FrameIoError> {
        self.arrived.drain(..self.returned);
        self.returned = 0;
        if self.arrived.is_empty() {
            // The memory of a large frame is freed before a long wait.
            self.arrived.shrink_to(CHUNK_BYTES);
            let deadline = Instant::now() + idle;
            let read = read_chunk(self.stream, &mut self.arrived, deadline);
            if read.map_err(|error| frame_error(error, FrameIoError::Silent(idle)))? == 0 {
                return Err(FrameIoError::Closed);
            }
        }
        let mut deadline = Instant::now() + limit;
        let length = loop {
            if let Some((body, _)) = frame::decode(&self.arrived, self.cap)? {
                break body.len();
            }
            if let Some(on_progress) = &mut on_progress {
                on_progress();
                deadline = Instant::now() + limit;
            }
            let read = read_chunk(self.stream, &mut self.arrived, deadline);
            if read.map_err(|error| frame_error(error, FrameIoError::TooSlow(limit)))? == 0 {
                return Err(FrameIoError::CutOff);
            }
        };
        self.returned = frame::HEADER_LENGTH + length;
        let body = self.arrived.get(frame::HEADER_LENGTH..self.returned);
        Ok(body.unwrap_or_default())
    }
}

/// Writes `body` as one frame within `limit`.
///
/// # Errors
/// See [`FrameIoError`]. The connection cannot be used after an error.
pub fn write_frame(
    stream: &TlsStream,
    body: &[u8],
    cap: u32,
    limit: Duration,
) -> Result<(), FrameIoError> {
    let mut frame = Vec::with_capacity(frame::HEADER_LENGTH + body.len());
    frame::encode(body, cap, &mut frame)?;
    let result = stream.write_all_until(&frame, Instant::now() + limit);
    result.map_err(|error| frame_error(error, FrameIoError::TooSlow(limit)))
}

/// Appends the bytes of one read and returns their number, 0 at the end of the connection.
fn read_chunk(stream: &TlsStream, arrived: &mut Vec<u8>, deadline: Instant) -> io::Result<usize> {
    let mut chunk = [0; CHUNK_BYTES];
    let read = stream.read_until(&mut chunk, deadline)?;
    arrived.extend_from_slice(chunk.get(..read).unwrap_or_default());
    Ok(read)
}

/// Turns an error of the connection into an error of a frame. A time-out becomes `timed_out`.
fn frame_error(error: io::Error, timed_out: FrameIoError) -> FrameIoError {
    match error.kind() {
        io::ErrorKind::TimedOut => timed_out,
        io::ErrorKind::UnexpectedEof => FrameIoError::CutOff,
        _ => FrameIoError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Stop;
    use crate::net::tls_testing::pair;
    use std::net::Shutdown;
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(200);
    const CAP: u32 = 1 << 20;

    fn write(stream: &TlsStream, bytes: &[u8]) {
        stream
            .write_all_until(bytes, Instant::now() + LONG)
            .unwrap();
    }

    #[test]
    fn frames_are_read_however_they_are_split_into_reads() {
        let (near, far, socket) = pair();
        let bodies: Vec<Vec<u8>> = [1, CHUNK_BYTES, 3, 500_000, 1 << 20, 2]
            .iter()
            .map(|length| vec![*length as u8; *length])
            .collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                for body in &bodies {
                    write_frame(&far, body, CAP, LONG).unwrap();
                }
                let mut together = Vec::new();
                for body in &bodies {
                    frame::encode(body, CAP, &mut together).unwrap();
                }
                write(&far, &together);
            });
            let mut reader = FrameReader::new(&near, CAP);
            for body in bodies.iter().chain(&bodies) {
                assert_eq!(reader.next(LONG, LONG).unwrap(), body);
            }
        });
        socket.shutdown(Shutdown::Both).unwrap();
        let mut reader = FrameReader::new(&near, CAP);
        assert!(matches!(reader.next(LONG, LONG), Err(FrameIoError::CutOff)));
        let (near, far, _) = pair();
        write(&far, b"\0\0");
        far.finish(LONG);
        let mut reader = FrameReader::new(&near, CAP);
        assert!(matches!(reader.next(LONG, LONG), Err(FrameIoError::CutOff)));
        let mut reader = FrameReader::new(&near, CAP);
        assert!(matches!(reader.next(LONG, LONG), Err(FrameIoError::Closed)));
    }

    #[test]
    fn a_frame_that_is_too_large_is_refused_when_its_length_arrives() {
        let (near, far, _) = pair();
        write(&far, b"\xff\xff\xff\xff");
        let mut reader = FrameReader::new(&near, CAP);
        let error = reader.next(LONG, LONG).unwrap_err();
        assert!(matches!(
            error,
            FrameIoError::Frame(FrameError::TooLarge { .. })
        ));
        assert!(reader.arrived.capacity() <= 2 * CHUNK_BYTES);
        let large = vec![0; CAP as usize + 1];
        assert!(write_frame(&near, &large, CAP, LONG).is_err());
    }

    #[test]
    fn a_frame_that_trickles_or_never_starts_times_out() {
        let (near, far, _) = pair();
        let started = Instant::now();
        let mut reader = FrameReader::new(&near, CAP);
        let silent = reader.next(SHORT, LONG).unwrap_err();
        assert!(matches!(silent, FrameIoError::Silent(SHORT)));
        assert_eq!(silent.to_string(), "no answer within 1 s");
        write(&far, b"\0\0\x10\0");
        let stop = Stop::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.wait(Duration::from_millis(20)) {
                    write(&far, b"x");
                }
            });
            let result = reader.next(LONG, SHORT).map(<[u8]>::len);
            stop.stop();
            assert!(matches!(result, Err(FrameIoError::TooSlow(_))));
        });
        assert!(started.elapsed() < LONG / 2);
    }

    #[test]
    fn a_slow_frame_is_accepted_when_its_sender_may_be_slow() {
        let (near, far, _) = pair();
        let mut frame = Vec::new();
        frame::encode(&[7; 40], CAP, &mut frame).unwrap();
        let read = thread::scope(|scope| {
            let (progress, progressed) = std::sync::mpsc::channel();
            scope.spawn(move || {
                let mut parts = frame.chunks(10);
                write(&far, parts.next().unwrap());
                // Each part is sent only when the previous one has arrived.
                for part in parts {
                    progressed.recv_timeout(LONG).unwrap();
                    write(&far, part);
                }
                far
            });
            let mut reader = FrameReader::new(&near, CAP);
            let read = reader.next_with_progress(LONG, LONG, || progress.send(()).unwrap());
            read.map(<[u8]>::to_vec)
        });
        assert_eq!(read.unwrap(), [7; 40]);
    }

    #[test]
    fn the_end_of_a_connection_is_detected_after_all_bytes_before_it_were_read() {
        for is_clean in [true, false] {
            let (near, far, socket) = pair();
            write_frame(&far, b"ask", CAP, LONG).unwrap();
            let mut reader = FrameReader::new(&near, CAP);
            assert_eq!(reader.next(LONG, LONG).unwrap(), b"ask");
            assert!(!near.has_ended());
            write_frame(&far, b"more", CAP, LONG).unwrap();
            assert_eq!(reader.next(LONG, LONG).unwrap(), b"more");
            match is_clean {
                true => far.finish(LONG),
                false => socket.shutdown(Shutdown::Both).unwrap(),
            }
            let deadline = Instant::now() + LONG;
            while !near.has_ended() {
                assert!(Instant::now() < deadline);
                thread::yield_now();
            }
            assert!(near.has_ended() && reader.next(LONG, LONG).is_err());
        }
    }

    #[test]
    fn a_write_to_a_reader_that_reads_nothing_times_out() {
        let (near, _far, _) = pair();
        let body = vec![0; CAP as usize];
        let error = (0..100).find_map(|_| write_frame(&near, &body, CAP, SHORT).err());
        assert!(matches!(error, Some(FrameIoError::TooSlow(_))));
    }
}
