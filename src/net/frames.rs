//! Frames of the control lines under TLS, each within a deadline of its own.

use super::TlsStream;
use crate::wire::frame::{self, FrameError};
use std::io;
use std::time::{Duration, Instant};

/// How much is read at a time, in bytes.
const CHUNK: usize = 16 << 10;

/// Why no frame came or went.
#[derive(Debug, thiserror::Error)]
pub enum FrameIoError {
    /// The other side ended the line between two frames.
    #[error("the line was closed")]
    Closed,
    /// The other side ended the line inside a frame, or the connection ended without its goodbye.
    #[error("the line was cut off")]
    CutOff,
    /// A frame that was begun took too long to arrive or to be taken, or none came in time.
    #[error("no whole frame within {} s", .0.as_secs_f64())]
    TooSlow(Duration),
    /// A length that no frame has.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// What TLS or the socket says.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Takes frames off a line. What it holds is what has arrived, never what a length promises.
#[derive(Debug)]
pub struct FrameReader<'a> {
    stream: &'a TlsStream,
    cap: u32,
    arrived: Vec<u8>,
    /// Bytes of the frame handed out last, still at the front of `arrived`.
    taken: usize,
}

impl<'a> FrameReader<'a> {
    /// Reads frames with bodies of at most `cap` bytes.
    pub fn new(stream: &'a TlsStream, cap: u32) -> Self {
        Self {
            stream,
            cap,
            arrived: Vec::new(),
            taken: 0,
        }
    }

    /// From the next frame on, bodies may have `cap` bytes.
    pub fn allow(&mut self, cap: u32) {
        self.cap = cap;
    }

    /// The body of the next frame. Its first byte may take `idle`; from then on the whole frame has `limit`.
    ///
    /// # Errors
    /// See [`FrameIoError`]; the line is of no use any more.
    pub fn next(&mut self, idle: Duration, limit: Duration) -> Result<&[u8], FrameIoError> {
        self.take(idle, limit, None)
    }

    /// The same on a line to somebody who is trusted and may be slow: the whole frame may take as long as it likes, as long
    /// as no two parts of it come more than `silence` apart. `arrives` is called for each that does not complete it.
    ///
    /// # Errors
    /// See [`FrameIoError`]; the line is of no use any more.
    pub fn next_slowly(
        &mut self,
        idle: Duration,
        silence: Duration,
        mut arrives: impl FnMut(),
    ) -> Result<&[u8], FrameIoError> {
        self.take(idle, silence, Some(&mut arrives))
    }

    fn take(
        &mut self,
        idle: Duration,
        limit: Duration,
        mut arrives: Option<&mut dyn FnMut()>,
    ) -> Result<&[u8], FrameIoError> {
        self.arrived.drain(..self.taken);
        self.taken = 0;
        if self.arrived.is_empty() {
            // Room for a large frame is given back before a long wait.
            self.arrived.shrink_to(CHUNK);
            let deadline = Instant::now() + idle;
            if read_chunk(self.stream, &mut self.arrived, deadline, idle)? == 0 {
                return Err(FrameIoError::Closed);
            }
        }
        let mut deadline = Instant::now() + limit;
        let length = loop {
            if let Some((body, _)) = frame::decode(&self.arrived, self.cap)? {
                break body.len();
            }
            if let Some(arrives) = &mut arrives {
                arrives();
                deadline = Instant::now() + limit;
            }
            if read_chunk(self.stream, &mut self.arrived, deadline, limit)? == 0 {
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
    stream: &TlsStream,
    body: &[u8],
    cap: u32,
    limit: Duration,
) -> Result<(), FrameIoError> {
    let mut frame = Vec::with_capacity(frame::HEADER + body.len());
    frame::encode(body, cap, &mut frame)?;
    let written = stream.write_all_until(&frame, Instant::now() + limit);
    written.map_err(|error| told(error, limit))
}

/// Appends what the next read gives and says how much it was, 0 at the end.
fn read_chunk(
    stream: &TlsStream,
    arrived: &mut Vec<u8>,
    deadline: Instant,
    limit: Duration,
) -> Result<usize, FrameIoError> {
    let mut chunk = [0; CHUNK];
    let read = stream.read_until(&mut chunk, deadline);
    let read = read.map_err(|error| told(error, limit))?;
    arrived.extend_from_slice(chunk.get(..read).unwrap_or_default());
    Ok(read)
}

fn told(error: io::Error, limit: Duration) -> FrameIoError {
    match error.kind() {
        io::ErrorKind::TimedOut => FrameIoError::TooSlow(limit),
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
    fn frames_arrive_whole_cut_or_many_in_one_read() {
        let (near, far, socket) = pair();
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
    fn a_frame_too_large_is_refused_at_its_length() {
        let (near, far, _) = pair();
        write(&far, b"\xff\xff\xff\xff");
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
        let (near, far, _) = pair();
        let started = Instant::now();
        let mut reader = FrameReader::new(&near, CAP);
        assert!(matches!(
            reader.next(SHORT, LONG),
            Err(FrameIoError::TooSlow(_))
        ));
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
    fn a_frame_that_trickles_is_taken_from_whoever_may_be_slow() {
        let (near, far, _) = pair();
        let mut frame = Vec::new();
        frame::encode(&[7; 40], CAP, &mut frame).unwrap();
        let read = thread::scope(|scope| {
            let (next, seen) = std::sync::mpsc::channel();
            scope.spawn(move || {
                let mut rest = frame.chunks(10);
                write(&far, rest.next().unwrap());
                // Each part when the one before is here.
                for part in rest {
                    seen.recv_timeout(LONG).unwrap();
                    write(&far, part);
                }
                far
            });
            let mut reader = FrameReader::new(&near, CAP);
            let read = reader.next_slowly(LONG, LONG, || next.send(()).unwrap());
            read.map(<[u8]>::to_vec)
        });
        assert_eq!(read.unwrap(), [7; 40]);
    }

    #[test]
    fn an_end_behind_what_was_read_is_seen_at_once() {
        for goodbye in [true, false] {
            let (near, far, socket) = pair();
            write_frame(&far, b"ask", CAP, LONG).unwrap();
            let mut reader = FrameReader::new(&near, CAP);
            assert_eq!(reader.next(LONG, LONG).unwrap(), b"ask");
            assert!(!near.has_ended());
            write_frame(&far, b"more", CAP, LONG).unwrap();
            assert_eq!(reader.next(LONG, LONG).unwrap(), b"more");
            match goodbye {
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
    fn a_reader_who_takes_nothing_is_given_up() {
        let (near, _far, _) = pair();
        let body = vec![0; CAP as usize];
        let error = (0..100).find_map(|_| write_frame(&near, &body, CAP, SHORT).err());
        assert!(matches!(error, Some(FrameIoError::TooSlow(_))));
    }
}
