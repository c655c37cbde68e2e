//! One HTTP connection: requests in, responses out, until one end closes it.
//!
//! In scope: deadlines, keep-alive, pipelined requests (RFC 9112, section 9.3.2), and closing so
//! that a refusal arrives. Out of scope: the meaning of a request.
//!
//! The session never blocks: requests are answered from memory, on the event thread. While a client
//! does not read its responses, no further request is read from it.

use super::http::{self, HttpError};
use super::service::Service;
use crate::net::{Interest, Lane, Next, Session, Turn, Wait, receive_now, send_now};
use std::io;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Responses to pipelined requests are gathered up to this number of bytes before they are sent.
const PIPELINE_BUFFER: usize = 16 << 10;
/// Maximum number of bytes that are read after the last response, so that the response is not lost
/// when the connection closes.
const MAX_DRAINED: usize = 256 << 10;
/// How long the reading of these bytes may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Time limits of an HTTP client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDeadlines {
    /// For a whole request head to arrive, even in small pieces, and for responses to be read.
    pub head: Duration,
    /// For the next request to begin.
    pub idle: Duration,
}

impl Default for HttpDeadlines {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(30),
        }
    }
}

/// Serves the requests of one connection.
pub(super) struct HttpSession {
    stream: Arc<TcpStream>,
    from: IpAddr,
    service: Arc<Service>,
    deadlines: HttpDeadlines,
    /// The start of the tracker's time.
    epoch: Instant,
    /// The first bytes of a request that has not arrived whole, or requests that wait until the
    /// client reads its responses.
    unparsed: Vec<u8>,
    /// Responses. The socket has taken the first `sent` bytes.
    out: Vec<u8>,
    sent: usize,
    until: Instant,
    has_nodelay: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Waits for the next request. Nothing of it has arrived.
    Idle,
    /// Waits for the first request of the connection, or for the rest of a request.
    Head,
    /// Sends the last response, then closes.
    Last,
    /// Sends the last response although the client may have sent more. Then drains: if the
    /// connection closed with unread bytes, the response could be lost.
    LastThenDrain,
    /// Reads what the client still sends.
    Draining { drained: usize },
}

impl HttpSession {
    /// A session without any bytes of a request yet. See [`HttpSession::on_bytes`].
    pub(super) fn new(
        stream: Arc<TcpStream>,
        from: IpAddr,
        service: Arc<Service>,
        deadlines: HttpDeadlines,
        epoch: Instant,
    ) -> Self {
        Self {
            stream,
            from,
            service,
            deadlines,
            epoch,
            unparsed: Vec::new(),
            out: Vec::new(),
            sent: 0,
            until: Instant::now() + deadlines.head,
            has_nodelay: false,
            stage: Stage::Head,
        }
    }

    /// Goes on with bytes that were read from the socket.
    pub(super) fn on_bytes(&mut self, bytes: &[u8]) -> Next {
        self.serve(bytes).unwrap_or_else(|error| self.fail(&error))
    }

    /// Serves the requests in `bytes`, together with the bytes kept before. Returns what the
    /// session waits for.
    fn serve(&mut self, bytes: &[u8]) -> io::Result<Next> {
        if self.stage == Stage::Idle {
            self.stage = Stage::Head;
            self.until = Instant::now() + self.deadlines.head;
        }
        match self.unparsed.is_empty() {
            true => self.respond_to(bytes),
            false => {
                let mut all = std::mem::take(&mut self.unparsed);
                all.extend_from_slice(bytes);
                self.respond_to(&all)
            }
        }
    }

    fn respond_to(&mut self, bytes: &[u8]) -> io::Result<Next> {
        if !bytes.first().is_some_and(|byte| is_http(*byte)) {
            return Ok(Next::End);
        }
        let (mut rest, mut has_responded) = (bytes, false);
        loop {
            match http::parse(rest) {
                Ok(Some((request, length))) => {
                    let now = self.epoch.elapsed();
                    self.service
                        .respond(&request, self.from, now, &mut self.out);
                    rest = rest.get(length..).unwrap_or_default();
                    has_responded = true;
                    if !request.keep_alive {
                        self.stage = match rest.is_empty() {
                            // With nothing unread, closing does not reset the connection.
                            true => Stage::Last,
                            false => Stage::LastThenDrain,
                        };
                        break;
                    }
                    if !std::mem::replace(&mut self.has_nodelay, true) {
                        // Responses are written whole. Waiting to fill a packet would only delay
                        // them.
                        self.stream.set_nodelay(true)?;
                    }
                    if self.out.len() > PIPELINE_BUFFER && !self.flush()? {
                        self.unparsed.extend_from_slice(rest);
                        break;
                    }
                }
                Ok(None) => {
                    self.unparsed.extend_from_slice(rest);
                    if has_responded {
                        self.start_waiting();
                    }
                    break;
                }
                Err(error) => {
                    self.refuse(error);
                    break;
                }
            }
        }
        self.finish_turn()
    }

    /// Sends what the socket takes, and returns what the session waits for.
    fn finish_turn(&mut self) -> io::Result<Next> {
        let has_unsent = self.sent < self.out.len();
        if has_unsent && !self.flush()? {
            if self.stage == Stage::Idle {
                // After the last byte is sent, `go_on` sets a new idle deadline. It does so only in
                // `Stage::Head`.
                self.stage = Stage::Head;
            }
            self.until = Instant::now() + self.deadlines.head;
            return Ok(self.wait(Interest::Write));
        }
        self.after_responses()
    }

    fn after_responses(&mut self) -> io::Result<Next> {
        Ok(match self.stage {
            Stage::Last => Next::End,
            Stage::LastThenDrain => {
                self.stream.shutdown(Shutdown::Write)?;
                self.stage = Stage::Draining { drained: 0 };
                self.until = Instant::now() + DRAIN_TIMEOUT;
                self.wait(Interest::Read)
            }
            Stage::Idle | Stage::Head | Stage::Draining { .. } => self.wait(Interest::Read),
        })
    }

    /// Sets the deadline for the next request, or for the rest of one.
    fn start_waiting(&mut self) {
        let is_idle = self.unparsed.is_empty();
        let (stage, limit) = match is_idle {
            true => (Stage::Idle, self.deadlines.idle),
            false => (Stage::Head, self.deadlines.head),
        };
        self.stage = stage;
        self.until = Instant::now() + limit;
    }

    fn refuse(&mut self, error: HttpError) {
        log::debug!("refused an HTTP request: {error}");
        error.write(&mut self.out);
        self.stage = Stage::LastThenDrain;
    }

    /// Sends what the socket takes. Returns whether it took everything.
    fn flush(&mut self) -> io::Result<bool> {
        let rest = self.out.get(self.sent..).unwrap_or_default();
        self.sent += send_now(&self.stream, rest)?;
        if self.sent < self.out.len() {
            return Ok(false);
        }
        // A connection that waits keeps no buffer.
        self.out = Vec::new();
        self.sent = 0;
        Ok(true)
    }

    /// Goes on after the socket has become ready or a deadline has passed.
    fn go_on(&mut self, scratch: &mut [u8]) -> io::Result<Next> {
        let has_unsent = self.sent < self.out.len();
        if Instant::now() >= self.until {
            // The client does not read its responses, or the connection is only drained, or no byte
            // of a request has arrived.
            if has_unsent || self.stage != Stage::Head || self.unparsed.is_empty() {
                return Ok(Next::End);
            }
            self.refuse(HttpError::TooSlow);
            return self.finish_turn();
        }
        if has_unsent {
            if !self.flush()? {
                // One deadline covers all unsent responses.
                return Ok(self.wait(Interest::Write));
            }
            if self.stage != Stage::Head {
                return self.after_responses();
            }
            self.start_waiting();
            return match self.stage {
                Stage::Idle => Ok(self.wait(Interest::Read)),
                _ => self.serve(&[]),
            };
        }
        let Some(received) = receive_now(&self.stream, scratch)? else {
            return Ok(self.wait(Interest::Read));
        };
        if received == 0 {
            return Ok(Next::End);
        }
        if let Stage::Draining { drained } = self.stage {
            let drained = drained + received;
            self.stage = Stage::Draining { drained };
            return Ok(match drained < MAX_DRAINED {
                true => self.wait(Interest::Read),
                false => Next::End,
            });
        }
        self.serve(scratch.get(..received).unwrap_or_default())
    }

    fn wait(&self, interest: Interest) -> Next {
        Next::Wait(Wait {
            interest,
            until: self.until,
            lane: Lane::Event,
        })
    }

    fn fail(&self, error: &io::Error) -> Next {
        log::debug!("the HTTP connection of {} failed: {error}", self.from);
        Next::End
    }
}

impl Session for HttpSession {
    fn advance(&mut self, turn: &mut Turn<'_>) -> Next {
        let next = self.go_on(turn.scratch);
        next.unwrap_or_else(|error| self.fail(&error))
    }
}

/// Whether an HTTP request may begin with this byte.
fn is_http(byte: u8) -> bool {
    byte.is_ascii_graphic() || matches!(byte, b'\r' | b'\n')
}
