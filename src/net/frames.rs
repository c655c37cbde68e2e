//! Frames of the control line on a socket, each within a deadline of its own.

use super::deadline::{DeadlineReader, write_all_by};
use crate::wire::frame::{self, FrameError};
use std::io::{self, Read};
use std::net::TcpStream;
use std::time::Duration;

/// How much is read at a time, in bytes.
const CHUNK: usize = 16 << 10;

/// Why no frame came or went.
#[derive(Debug, thiserror::Error)]
pub enum FrameIoError {
    /// The other side ended the line between two frames.
    #[error("the line was closed")]
    Closed,
    /// The other side ended the line inside a frame.
    #[error("the line was closed inside a frame")]
    CutOff,
    /// A frame that was begun took too long to arrive or to be taken, or none came in time.
    #[error("no whole frame within {} s", .0.as_secs_f64())]
    TooSlow(Duration),
    /// A length that no frame has.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// What the socket says.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Takes frames off a socket. What it holds is what has arrived, never what a length promises.
#[derive(Debug)]
pub struct FrameReader<'a> {
    stream: &'a TcpStream,
    cap: u32,
    arrived: Vec<u8>,
    /// Bytes of the frame handed out last, still at the front of `arrived`.
    taken: usize,
}

impl<'a> FrameReader<'a> {
    /// Reads frames with bodies of at most `cap` bytes.
    pub fn new(stream: &'a TcpStream, cap: u32) -> Self {
        Self {
            stream,
            cap,
            arrived: Vec::new(),
            taken: 0,
        }
    }

    /// The body of the next frame. Its first byte may take `idle`; from then on the whole frame has `limit`.
    ///
    /// # Errors
    /// See [`FrameIoError`]; the line is of no use any more.
    pub fn next(&mut self, idle: Duration, limit: Duration) -> Result<&[u8], FrameIoError> {
        self.arrived.drain(..self.taken);
        self.taken = 0;
        if self.arrived.is_empty() {
            // Room for a large frame is given back before a long wait.
            self.arrived.shrink_to(CHUNK);
            let mut reader = DeadlineReader::new(self.stream, idle);
            if read_chunk(&mut reader, &mut self.arrived, idle)? == 0 {
                return Err(FrameIoError::Closed);
            }
        }
        let mut reader = DeadlineReader::new(self.stream, limit);
        let length = loop {
            if let Some((body, _)) = frame::decode(&self.arrived, self.cap)? {
                break body.len();
            }
            if read_chunk(&mut reader, &mut self.arrived, limit)? == 0 {
                return Err(FrameIoError::CutOff);
            }
        };
        self.taken = frame::HEADER + length;
        let body = self.arrived.get(frame::HEADER..self.taken);
        Ok(body.unwrap_or_default())
    }
}

/// Sends `body` as one frame within `limit`.
///
/// # Errors
/// See [`FrameIoError`]; the line is of no use any more.
pub fn write_frame(
    stream: &TcpStream,
    body: &[u8],
    cap: u32,
    limit: Duration,
) -> Result<(), FrameIoError> {
    let mut frame = Vec::with_capacity(frame::HEADER + body.len());
    frame::encode(body, cap, &mut frame)?;
    write_all_by(stream, &frame, limit).map_err(|error| in_time(error, limit))
}

/// Appends what the next read gives and says how much it was, 0 at the end.
fn read_chunk(
    reader: &mut impl Read,
    arrived: &mut Vec<u8>,
    limit: Duration,
) -> Result<usize, FrameIoError> {
    let mut chunk = [0; CHUNK];
    loop {
        match reader.read(&mut chunk) {
            Ok(read) => {
                arrived.extend_from_slice(chunk.get(..read).unwrap_or_default());
                return Ok(read);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(in_time(error, limit)),
        }
    }
}

fn in_time(error: io::Error, limit: Duration) -> FrameIoError {
    if error.kind() == io::ErrorKind::TimedOut {
        FrameIoError::TooSlow(limit)
    } else {
        FrameIoError::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Stop;
    use std::io::Write;
    use std::net::{Shutdown, TcpListener};
    use std::thread;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(200);
    const CAP: u32 = 1 << 20;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn frames_arrive_whole_cut_or_many_in_one_read() {
        let (near, mut far) = pair();
        let bodies: Vec<Vec<u8>> = [1, CHUNK, 3, 500_000, 1 << 20, 2]
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
                (&far).write_all(&together).unwrap();
            });
            let mut reader = FrameReader::new(&near, CAP);
            for body in bodies.iter().chain(&bodies) {
                assert_eq!(reader.next(LONG, LONG).unwrap(), body);
            }
        });
        far.write_all(b"\0\0").unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        let mut reader = FrameReader::new(&near, CAP);
        assert!(matches!(reader.next(LONG, LONG), Err(FrameIoError::CutOff)));
        let mut reader = FrameReader::new(&near, CAP);
        assert!(matches!(reader.next(LONG, LONG), Err(FrameIoError::Closed)));
    }

    #[test]
    fn a_frame_too_large_is_refused_at_its_length() {
        let (near, mut far) = pair();
        far.write_all(b"\xff\xff\xff\xff").unwrap();
        let mut reader = FrameReader::new(&near, CAP);
        let error = reader.next(LONG, LONG).unwrap_err();
        assert!(matches!(
            error,
            FrameIoError::Frame(FrameError::TooLarge { .. })
        ));
        assert!(reader.arrived.capacity() <= 2 * CHUNK);
        let large = vec![0; CAP as usize + 1];
        assert!(write_frame(&near, &large, CAP, LONG).is_err());
    }

    #[test]
    fn a_frame_that_trickles_or_never_comes_is_given_up() {
        let (near, mut far) = pair();
        let started = Instant::now();
        let mut reader = FrameReader::new(&near, CAP);
        assert!(matches!(
            reader.next(SHORT, LONG),
            Err(FrameIoError::TooSlow(_))
        ));
        far.write_all(b"\0\0\x10\0").unwrap();
        let stop = Stop::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.wait(Duration::from_millis(20)) {
                    let _ = far.write_all(b"x");
                }
            });
            let result = reader.next(LONG, SHORT).map(<[u8]>::len);
            stop.stop();
            assert!(matches!(result, Err(FrameIoError::TooSlow(_))));
        });
        assert!(started.elapsed() < LONG / 2);
    }

    #[test]
    fn a_reader_who_takes_nothing_is_given_up() {
        let (near, _far) = pair();
        let body = vec![0; CAP as usize];
        let error = (0..100).find_map(|_| write_frame(&near, &body, CAP, SHORT).err());
        assert!(matches!(error, Some(FrameIoError::TooSlow(_))));
    }
}
