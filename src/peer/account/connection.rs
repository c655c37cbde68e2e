//! One open control connection: a request, its reply, and how long each may take.

use super::ConnectionError;
use crate::net::{FrameIoError, FrameReader, TlsStream, write_frame};
use crate::peer::{Trust, TrustError};
use crate::wire::access::{
    AccessReplyMessage, AccessRequest, AccessRequestMessage, MAX_FIRST_FRAME, MAX_FRAME, Token,
};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a request may take to be sent, and a reply that has begun to arrive.
const SEND: Duration = Duration::from_secs(10);
/// A connection that was silent for longer is not used again: trackers close it about then.
const REUSE: Duration = Duration::from_secs(20);

/// How long a tracker may take for a write while there are other trackers.
const WRITE: Duration = Duration::from_secs(4);

/// How long a tracker may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    pub(super) connection: Duration,
    pub(super) handshake: Duration,
    pub(super) answer: Duration,
}

impl Patience {
    /// For a tracker when there is no other one. A log-in may wait while the tracker checks the
    /// passwords of others.
    pub(super) const LONG: Self = Self {
        connection: Duration::from_secs(5),
        handshake: Duration::from_secs(10),
        answer: Duration::from_secs(30),
    };
    /// For a question whether a tracker answers at all.
    pub(super) const GLANCE: Self = Self {
        connection: Duration::from_secs(1),
        handshake: Duration::from_millis(1_500),
        answer: Duration::from_secs(1),
    };

    /// Whether the answer may take so long that it pays to ask first whether the tracker answers
    /// at all.
    pub(super) fn is_worth_a_look(self) -> bool {
        self.connection == Self::GLANCE.connection && self.answer > WRITE
    }

    /// For a tracker while there are others. A write may wait two seconds for another replica.
    pub(super) fn short(ask: &AccessRequest) -> Self {
        let answer = match ask {
            AccessRequest::CreateUser { .. }
            | AccessRequest::Login { .. }
            | AccessRequest::ChangePassword { .. } => 12,
            ask if ask.is_write() => WRITE.as_secs(),
            _ => 2,
        };
        Self {
            answer: Duration::from_secs(answer),
            ..Self::GLANCE
        }
    }
}

/// An open control connection.
#[derive(Debug)]
pub(super) struct ControlConnection {
    stream: TlsStream,
    last_id: u32,
    used: Instant,
    /// Whether a token was shown on it: before that, the tracker accepts short frames only.
    is_known: bool,
}

impl ControlConnection {
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

    /// Whether the tracker should still have it open.
    pub(super) fn is_fresh(&self) -> bool {
        self.used.elapsed() < REUSE
    }

    pub(super) fn ask(
        &mut self,
        ask: &AccessRequest,
        token: Option<&Token>,
        answer: Duration,
    ) -> Result<AccessReplyMessage, ConnectionError> {
        self.last_id = self.last_id.wrapping_add(1);
        let request = AccessRequestMessage {
            id: self.last_id,
            token: token.cloned(),
            ask: ask.clone(),
        };
        let body = request.encode();
        let is_long = u32::try_from(body.len()).is_ok_and(|length| length > MAX_FIRST_FRAME);
        if is_long && !self.is_known {
            self.ask(&AccessRequest::Cluster, token, answer)?;
        }
        self.is_known |= token.is_some();
        write_frame(&self.stream, &body, MAX_FRAME, SEND.min(answer))?;
        // A tracker sends replies only: this reader never holds a part of a next frame.
        let mut reader = FrameReader::new(&self.stream, MAX_FRAME);
        let body = match reader.next(answer, SEND) {
            Err(FrameIoError::Closed) => return Err(ConnectionError::NoAnswer),
            body => body?,
        };
        let reply = AccessReplyMessage::decode(body)?;
        if reply.id != request.id && reply.result.is_ok() {
            return Err(ConnectionError::OtherAnswer);
        }
        self.used = Instant::now();
        Ok(reply)
    }
}

impl Drop for ControlConnection {
    fn drop(&mut self) {
        self.stream.hang_up();
    }
}
