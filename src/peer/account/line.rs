//! One open line to a tracker: a request, its reply, and how long each may take.

use super::TrackerLineError;
use crate::net::{FrameIoError, FrameReader, TlsStream, write_frame};
use crate::peer::{Trust, TrustError};
use crate::wire::access::{Ask, MAX_FIRST_FRAME, MAX_FRAME, Reply, Request, Token};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a request may take to be sent, and a reply that has begun to arrive.
const SEND: Duration = Duration::from_secs(10);
/// How long a line may have been silent to be used again; trackers close lines that are silent for longer.
const REUSE: Duration = Duration::from_secs(20);

/// How long a write may take while there are other trackers.
const WRITE: Duration = Duration::from_secs(4);

/// How long a tracker may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    pub(super) connection: Duration,
    pub(super) handshake: Duration,
    pub(super) answer: Duration,
}

impl Patience {
    /// With a tracker beside which there is no other to ask. A log-in may wait for others that are being checked.
    pub(super) const LONG: Self = Self {
        connection: Duration::from_secs(5),
        handshake: Duration::from_secs(10),
        answer: Duration::from_secs(30),
    };
    /// With one that is asked only how it does.
    pub(super) const GLANCE: Self = Self {
        connection: Duration::from_secs(1),
        handshake: Duration::from_millis(1_500),
        answer: Duration::from_secs(1),
    };

    /// Whether it is long for a tracker beside which there are others: it is seen first whether the tracker answers at all.
    pub(super) fn is_worth_a_look(self) -> bool {
        self.connection == Self::GLANCE.connection && self.answer > WRITE
    }

    /// With one while there are others to go on at. A write may wait two seconds for the tracker's twin.
    pub(super) fn short(ask: &Ask) -> Self {
        let answer = match ask {
            Ask::CreateUser { .. } | Ask::Login { .. } | Ask::ChangePassword { .. } => 12,
            ask if ask.is_write() => WRITE.as_secs(),
            _ => 2,
        };
        Self {
            answer: Duration::from_secs(answer),
            ..Self::GLANCE
        }
    }
}

/// A line that is up.
#[derive(Debug)]
pub(super) struct OpenLine {
    stream: TlsStream,
    last_id: u32,
    used: Instant,
    /// Whether a session was shown on it, so that long requests are taken.
    is_known: bool,
}

impl OpenLine {
    pub(super) fn open(
        trust: &Trust<'_>,
        address: SocketAddr,
        patience: Patience,
    ) -> Result<Self, TrustError> {
        let stream = trust.connect_within(address, patience.connection, patience.handshake)?;
        Ok(Self {
            stream,
            last_id: 0,
            used: Instant::now(),
            is_known: false,
        })
    }

    /// Whether the tracker should still hold it.
    pub(super) fn is_fresh(&self) -> bool {
        self.used.elapsed() < REUSE
    }

    pub(super) fn ask(
        &mut self,
        ask: &Ask,
        token: Option<&Token>,
        answer: Duration,
    ) -> Result<Reply, TrackerLineError> {
        self.last_id = self.last_id.wrapping_add(1);
        let request = Request {
            id: self.last_id,
            token: token.cloned(),
            ask: ask.clone(),
        };
        let body = request.encode();
        let is_long = u32::try_from(body.len()).is_ok_and(|length| length > MAX_FIRST_FRAME);
        if is_long && !self.is_known {
            self.ask(&Ask::Cluster, token, answer)?;
        }
        self.is_known |= token.is_some();
        write_frame(&self.stream, &body, MAX_FRAME, SEND.min(answer))?;
        // A tracker says nothing unasked: nothing of a next frame is lost with this reader.
        let mut reader = FrameReader::new(&self.stream, MAX_FRAME);
        let body = match reader.next(answer, SEND) {
            Err(FrameIoError::Closed) => return Err(TrackerLineError::NoAnswer),
            body => body?,
        };
        let reply = Reply::decode(body)?;
        if reply.id != request.id && reply.result.is_ok() {
            return Err(TrackerLineError::OtherAnswer);
        }
        self.used = Instant::now();
        Ok(reply)
    }
}

impl Drop for OpenLine {
    fn drop(&mut self) {
        self.stream.hang_up();
    }
}
