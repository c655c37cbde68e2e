//! One HTTP connection: requests in, responses out, until one end closes it.
//!
//! In scope: deadlines, keep-alive, pipelined requests (RFC 9112, section 9.3.2), and closing so
//! that a refusal arrives. Out of scope: the meaning of a request.
//!
//! The session never blocks: requests are answered from memory, on the event thread. In one turn it
//! answers a few requests. It answers the next ones after the clients that are ready now, and only
//! when the socket has taken all responses and has room for more. So clients that send many
//! requests at once hardly delay the first request of another client. A client that does not read
//! its responses makes work for as many responses as its socket takes, and for one more turn.

use super::http::{self, HttpError};
use super::service::Service;
use crate::net::{Interest, Lane, Next, Session, Turn, Wait, receive_now, send_now};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Maximum number of bytes that are read after the last response, so that the response is not lost
/// when the connection closes.
const MAX_DRAINED: usize = 256 << 10;
/// The most requests of one connection that are answered in one turn. A turn for each request would
/// cost more than the answer.
const MAX_IN_A_TURN: usize = 16;
/// A turn answers no further request when its responses have this many bytes.
const TURN_BYTES: usize = 16 << 10;
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
    /// The first bytes of a request that has not arrived whole, or requests that wait for their
    /// turns.
    unparsed: Vec<u8>,
    /// The responses of one turn. The socket has taken the first `sent` bytes.
    out: Vec<u8>,
    sent: usize,
    until: Instant,
    has_answered: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Waits for the next request. Nothing of it has arrived.
    Idle,
    /// Waits for the first request of the connection, or for the rest of a request.
    Head,
    /// Sends responses, then goes on.
    Response,
    /// Responses have been sent, and more requests have arrived. They are answered in a later turn,
    /// when the socket has room for another response.
    NextTurn,
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
            has_answered: false,
            stage: Stage::Head,
        }
    }

    /// Goes on with bytes that were read from the socket.
    pub(super) fn on_bytes(&mut self, bytes: &[u8]) -> Next {
        self.serve(bytes).unwrap_or_else(|error| self.fail(&error))
    }

    /// Answers the first requests in the bytes kept before and `bytes`, if they are whole. Keeps
    /// the rest. Returns what the session waits for.
    fn serve(&mut self, bytes: &[u8]) -> io::Result<Next> {
        match self.stage {
            Stage::Idle => self.start_waiting(Stage::Head, self.deadlines.head),
            _ => self.stage = Stage::Head,
        }
        let mut kept = std::mem::take(&mut self.unparsed);
        let all = match kept.is_empty() {
            true => bytes,
            false => {
                kept.extend_from_slice(bytes);
                &kept
            }
        };
        // Later bytes that are not HTTP are refused like a malformed request: the client must get
        // the answers to its earlier requests.
        if !self.has_answered && !all.first().is_some_and(|byte| is_http(*byte)) {
            return Ok(Next::End);
        }
        let mut rest = all;
        for _ in 0..MAX_IN_A_TURN {
            let length = self.respond_to_first(rest)?;
            rest = rest.get(length..).unwrap_or_default();
            let has_room = self.out.len() < TURN_BYTES;
            if length == 0 || rest.is_empty() || self.stage != Stage::Response || !has_room {
                break;
            }
        }
        self.unparsed = rest.to_vec();
        match self.stage {
            Stage::Head => Ok(self.wait(Interest::Read)),
            _ => self.send(),
        }
    }

    /// Appends the response to the request at the start of `bytes` to `out`. Returns the length of
    /// the request: 0 if it is not whole, all bytes if it is refused.
    fn respond_to_first(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (request, length) = match http::parse(bytes) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return Ok(0),
            Err(error) => {
                self.refuse(error);
                return Ok(bytes.len());
            }
        };
        let now = self.epoch.elapsed();
        self.service
            .respond(&request, self.from, now, &mut self.out);
        let stage = match (request.keep_alive, length == bytes.len()) {
            (true, _) => Stage::Response,
            // With nothing unread, closing does not reset the connection.
            (false, true) => Stage::Last,
            (false, false) => Stage::LastThenDrain,
        };
        self.start_waiting(stage, self.deadlines.head);
        if !std::mem::replace(&mut self.has_answered, true) && stage == Stage::Response {
            // Responses are written whole. Waiting to fill a packet would only delay them.
            self.stream.set_nodelay(true)?;
        }
        Ok(length)
    }

    fn refuse(&mut self, error: HttpError) {
        log::debug!("refused an HTTP request: {error}");
        error.write(&mut self.out);
        self.start_waiting(Stage::LastThenDrain, self.deadlines.head);
    }

    /// Sends what the socket takes of the responses. One deadline covers all responses of a turn.
    /// Returns what the session waits for.
    fn send(&mut self) -> io::Result<Next> {
        let rest = self.out.get(self.sent..).unwrap_or_default();
        self.sent += send_now(&self.stream, rest)?;
        if self.sent < self.out.len() {
            return Ok(self.wait(Interest::Write));
        }
        // A connection that waits keeps no buffer.
        self.out = Vec::new();
        self.sent = 0;
        Ok(match self.stage {
            Stage::Last => Next::End,
            Stage::LastThenDrain => {
                self.stream.shutdown(Shutdown::Write)?;
                self.start_waiting(Stage::Draining { drained: 0 }, DRAIN_TIMEOUT);
                self.wait(Interest::Read)
            }
            _ if self.unparsed.is_empty() => {
                self.start_waiting(Stage::Idle, self.deadlines.idle);
                self.wait(Interest::Read)
            }
            _ => {
                self.start_waiting(Stage::NextTurn, self.deadlines.head);
                Next::Later
            }
        })
    }

    fn start_waiting(&mut self, stage: Stage, limit: Duration) {
        self.stage = stage;
        self.until = Instant::now() + limit;
    }

    /// Goes on after the socket has become ready or a deadline has passed.
    fn go_on(&mut self, scratch: &mut [u8]) -> io::Result<Next> {
        let is_over = Instant::now() >= self.until;
        match self.stage {
            Stage::Head if is_over && !self.unparsed.is_empty() => {
                self.refuse(HttpError::TooSlow);
                return self.send();
            }
            // If the time is over, the tracker is late, not the client: what the client has begun
            // to send gets its time.
            Stage::NextTurn if is_writable(&self.stream) => {
                self.start_waiting(Stage::NextTurn, self.deadlines.head);
                return self.serve(&[]);
            }
            // The client does not read its responses, or the connection is only drained, or no byte
            // of a request has arrived.
            _ if is_over => return Ok(Next::End),
            Stage::NextTurn => return Ok(self.wait(Interest::Write)),
            Stage::Response | Stage::Last | Stage::LastThenDrain => return self.send(),
            Stage::Idle | Stage::Head | Stage::Draining { .. } => {}
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

/// Whether the socket has room for a response now.
fn is_writable(stream: &TcpStream) -> bool {
    let mut watched = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
    poll(&mut watched, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Lane, Turn};
    use crate::tracker::quotas::SwarmLimits;
    use crate::tracker::service::AnnouncePolicy;
    use crate::tracker::swarms::Swarms;
    use std::io::Read;
    use std::net::TcpListener;

    /// A session, and the socket of its client.
    fn session() -> (HttpSession, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let (stream, from) = listener.accept().unwrap();
        let service = Service {
            swarms: Swarms::new(Duration::from_secs(20), SwarmLimits::default()),
            access: AnnouncePolicy::Open,
            store: None,
            names: Arc::default(),
        };
        let session = HttpSession::new(
            Arc::new(stream),
            from.ip(),
            Arc::new(service),
            HttpDeadlines::default(),
            Instant::now(),
        );
        (session, client)
    }

    /// Receives this many responses `200 OK`, and asserts that no more have arrived.
    fn assert_responses(client: &mut TcpStream, count: usize) {
        let (mut text, mut bytes) = (String::new(), [0; 64 << 10]);
        while text.matches("HTTP/1.1 200 OK").count() < count || !text.ends_with('\n') {
            let read = client.read(&mut bytes).unwrap();
            text += str::from_utf8(&bytes[..read]).unwrap();
        }
        assert_eq!(text.matches("HTTP/1.1 ").count(), count, "{text}");
    }

    fn advance(session: &mut HttpSession) -> Next {
        session.advance(&mut Turn {
            lane: Lane::Event,
            scratch: &mut [0; 1 << 10],
        })
    }

    fn waits_for(next: Next) -> Interest {
        match next {
            Next::Wait(wait) => wait.interest,
            other => panic!("{other:?}"),
        }
    }

    const REQUEST: &str = "GET / HTTP/1.1\r\n\r\n";

    #[test]
    fn a_turn_answers_few_requests_and_the_others_have_later_turns() {
        let (mut session, mut client) = session();
        let requests = REQUEST.repeat(2 * MAX_IN_A_TURN + 1);
        let next = session.on_bytes(requests.as_bytes());
        assert_responses(&mut client, MAX_IN_A_TURN);
        assert!(matches!(next, Next::Later));
        let next = advance(&mut session);
        assert_responses(&mut client, MAX_IN_A_TURN);
        assert!(matches!(next, Next::Later));
        let next = advance(&mut session);
        assert_responses(&mut client, 1);
        assert_eq!(waits_for(next), Interest::Read);
    }

    #[test]
    fn a_turn_ends_when_its_responses_are_long() {
        let (mut session, mut client) = session();
        session.out = vec![b'\n'; TURN_BYTES];
        let next = session.on_bytes(REQUEST.repeat(2).as_bytes());
        assert_responses(&mut client, 1);
        assert!(matches!(next, Next::Later));
    }

    #[test]
    fn a_late_turn_is_taken_if_the_client_has_read_its_responses() {
        let (mut session, mut client) = session();
        session.on_bytes(REQUEST.repeat(MAX_IN_A_TURN + 1).as_bytes());
        assert_responses(&mut client, MAX_IN_A_TURN);
        session.until = Instant::now();
        assert_eq!(waits_for(advance(&mut session)), Interest::Read);
        assert_responses(&mut client, 1);
    }

    #[test]
    fn a_late_turn_ends_the_connection_of_a_client_that_reads_nothing() {
        let (mut session, _client) = session();
        session.on_bytes(REQUEST.repeat(MAX_IN_A_TURN + 1).as_bytes());
        while send_now(&session.stream, &[0; 64 << 10]).unwrap() > 0 {}
        assert_eq!(waits_for(advance(&mut session)), Interest::Write);
        session.until = Instant::now();
        assert!(matches!(advance(&mut session), Next::End));
    }

    #[test]
    fn bytes_that_are_not_http_are_refused_after_the_answers_to_earlier_requests() {
        let (mut session, mut client) = session();
        let bytes = [REQUEST.as_bytes(), b"\x16\x03\x01"].concat();
        assert_eq!(waits_for(session.on_bytes(&bytes)), Interest::Read);
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        let statuses = text.matches("HTTP/1.1 ").count();
        assert!(
            text.starts_with("HTTP/1.1 200 OK") && statuses == 2,
            "{text}"
        );
        assert!(text.contains("HTTP/1.1 400 Bad Request"), "{text}");
    }

    #[test]
    fn a_connection_that_begins_with_other_bytes_ends_without_an_answer() {
        let (mut session, _client) = session();
        assert!(matches!(session.on_bytes(b"\x13BitTorrent"), Next::End));
    }
}
