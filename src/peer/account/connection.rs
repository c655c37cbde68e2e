//! One open control connection: a request, its reply, the time limits of both, and hints that
//! arrive in between.

use super::ConnectionError;
use crate::net::{FrameIoError, FrameReader, TlsStream, write_frame};
use crate::peer::{Trust, TrustError};
use crate::wire::access::{
    AccessReplyMessage, AccessRequest, AccessRequestMessage, Hint, MAX_FIRST_FRAME, MAX_FRAME,
    Token,
};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long it may take to send a request, or to receive the rest of a frame after its first byte.
const FRAME_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection may be idle and still be used again, if a token was sent on it. Trackers
/// close it after 15 minutes.
const REUSE_WITH_TOKEN: Duration = Duration::from_secs(14 * 60);
/// The same for a connection on which no token was sent. Trackers close it after 60 s.
const REUSE_WITHOUT_TOKEN: Duration = Duration::from_secs(20);
/// The most hints that are kept while a reply is awaited. Further ones are dropped: the next
/// announce finds out what they said.
const MAX_HINTS: usize = 100;

/// The shortest time limit of a step, even if the time for its request is over.
const MIN_STEP_LIMIT: Duration = Duration::from_millis(100);

/// How long a tracker may take to answer a write without a password, if other trackers are listed.
const WRITE_ANSWER_LIMIT: Duration = Duration::from_secs(4);

/// How long it may take to connect for an announce.
const ANNOUNCE_CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long the TLS handshake for an announce may take, and how long the answer.
const ANNOUNCE_STEP_LIMIT: Duration = Duration::from_secs(10);

/// The time limits of one request to a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeLimits {
    connecting: Duration,
    handshake: Duration,
    answer: Duration,
    /// When the request ends in any case.
    end: Option<Instant>,
}

impl TimeLimits {
    /// Used if no other tracker is listed, or none answered within [`TimeLimits::short`]. A log-in
    /// may wait while the tracker checks the passwords of others.
    pub(super) const LONG: Self = Self {
        connecting: Duration::from_secs(5),
        handshake: Duration::from_secs(10),
        answer: Duration::from_secs(30),
        end: None,
    };
    /// For announces, which nobody waits for. Many peers may announce at the same moment, so
    /// handshakes can take long. A peer that gave up early would only cause one more handshake.
    pub(super) const PATIENT: Self = Self {
        connecting: ANNOUNCE_CONNECT_LIMIT,
        handshake: ANNOUNCE_STEP_LIMIT,
        answer: ANNOUNCE_STEP_LIMIT,
        end: None,
    };

    /// For a probe, which shows whether a tracker answers at all.
    pub(super) const PROBE: Self = Self {
        connecting: Duration::from_secs(1),
        handshake: Duration::from_millis(1_500),
        answer: Duration::from_secs(1),
        end: None,
    };

    /// The limits for a request. `is_only`: no other tracker is listed.
    /// [`AccessRequest::ChangedShares`] always has short limits: it is repeated soon, and must not
    /// keep announces waiting.
    pub(super) fn of(ask: &AccessRequest, is_only: bool) -> Self {
        match is_only && !matches!(ask, AccessRequest::ChangedShares { .. }) {
            true => Self::LONG,
            false => Self::short(ask),
        }
    }

    /// These limits for a request that ends at `end` in any case.
    pub(super) fn until(self, end: Instant) -> Self {
        let end = Some(end);
        Self { end, ..self }
    }

    /// How long it may take to connect, from now on.
    pub(super) fn connecting(self) -> Duration {
        self.step_limit(self.connecting)
    }

    /// How long the TLS handshake may take, from now on.
    pub(super) fn handshake(self) -> Duration {
        self.step_limit(self.handshake)
    }

    /// How long the answer may take, from now on.
    pub(super) fn answer(self) -> Duration {
        self.step_limit(self.answer)
    }

    /// How long a step may take from now on. `limit` is the time limit of the step itself.
    pub(super) fn step_limit(self, limit: Duration) -> Duration {
        let now = Instant::now();
        self.end.map_or(limit, |end| {
            let left = end.saturating_duration_since(now);
            limit.min(left.max(MIN_STEP_LIMIT))
        })
    }

    /// Whether to probe the tracker before the request. A probe helps if other trackers are listed
    /// and the answer may take long. Only limits of [`TimeLimits::short`] have the `connecting` of
    /// a probe. If no other tracker is listed, only [`AccessRequest::ChangedShares`] has them, and
    /// its answer may not take long.
    pub(super) fn is_worth_a_probe(self) -> bool {
        self.connecting == Self::PROBE.connecting && self.answer > WRITE_ANSWER_LIMIT
    }

    /// Used if other trackers are listed, and always for [`AccessRequest::ChangedShares`]. A write
    /// may wait two seconds for another replica.
    fn short(ask: &AccessRequest) -> Self {
        if matches!(ask, AccessRequest::Announce(_)) {
            return Self::PATIENT;
        }
        let answer = match ask {
            AccessRequest::CreateUser { .. }
            | AccessRequest::Login { .. }
            | AccessRequest::ChangePassword { .. } => 12,
            ask if ask.is_write() => WRITE_ANSWER_LIMIT.as_secs(),
            _ => 2,
        };
        Self {
            answer: Duration::from_secs(answer),
            ..Self::PROBE
        }
    }
}

/// An open control connection.
#[derive(Debug)]
pub(super) struct ControlConnection {
    stream: TlsStream,
    last_id: u32,
    last_used: Instant,
    /// Whether a token was sent on it. Before that, the tracker accepts short frames only.
    has_sent_token: bool,
    /// Bytes of a frame that has not arrived whole.
    unread: Vec<u8>,
    /// Whether requests ask for hints.
    pub(super) wants_hints: bool,
    /// The token for whose login the tracker sends hints.
    watched_with: Option<Token>,
    hints: Vec<Hint>,
}

impl ControlConnection {
    pub(super) fn open(
        trust: &Trust<'_>,
        address: SocketAddr,
        limits: TimeLimits,
    ) -> Result<Self, TrustError> {
        let stream = trust.connect_within(address, limits.connecting(), limits.handshake())?;
        Ok(Self::over(stream))
    }

    /// A control connection over this stream, on which nothing was sent.
    pub(super) fn over(stream: TlsStream) -> Self {
        Self {
            stream,
            last_id: 0,
            last_used: Instant::now(),
            has_sent_token: false,
            unread: Vec::new(),
            wants_hints: false,
            watched_with: None,
            hints: Vec::new(),
        }
    }

    /// Whether the tracker sends hints on it.
    pub(super) fn is_watching(&self) -> bool {
        self.watched_with.is_some()
    }

    /// Takes the hints that were read so far.
    pub(super) fn take_hints(&mut self) -> Vec<Hint> {
        std::mem::take(&mut self.hints)
    }

    /// Its socket, to wait for hints.
    pub(super) fn socket(&self) -> &Arc<TcpStream> {
        self.stream.socket()
    }

    /// Reads the hints that have arrived, for [`Self::take_hints`]. Never waits.
    ///
    /// # Errors
    /// The connection cannot be used any longer.
    pub(super) fn read_hints(&mut self) -> Result<(), ConnectionError> {
        let unread = std::mem::take(&mut self.unread);
        let mut reader = FrameReader::resume(&self.stream, MAX_FRAME, unread);
        while let Some(body) = reader.next_now()? {
            let hint = Hint::decode(body)?.ok_or(ConnectionError::UnrelatedMessage)?;
            add(hint, &mut self.hints);
        }
        self.unread = reader.into_unread();
        Ok(())
    }

    /// Whether the connection is probably still open at the tracker. If the tracker has closed it
    /// and a write is sent on it, the peer cannot know that the write was not carried out.
    pub(super) fn is_usable(&self) -> bool {
        let reuse = match self.has_sent_token {
            true => REUSE_WITH_TOKEN,
            false => REUSE_WITHOUT_TOKEN,
        };
        self.last_used.elapsed() < reuse && !self.stream.has_ended()
    }

    /// Makes a request and waits for the reply. The request also asks for hints, if the peer wants
    /// them and the tracker does not send them for this token already.
    pub(super) fn ask(
        &mut self,
        ask: &AccessRequest,
        token: Option<&Token>,
        answer_limit: Duration,
    ) -> Result<AccessReplyMessage, ConnectionError> {
        self.last_id = self.last_id.wrapping_add(1);
        let request = AccessRequestMessage {
            id: self.last_id,
            token: token.cloned(),
            watch: self.wants_hints && token.is_some() && self.watched_with.as_ref() != token,
            ask: ask.clone(),
        };
        let body = request.encode();
        let is_long = u32::try_from(body.len()).is_ok_and(|length| length > MAX_FIRST_FRAME);
        if is_long && !self.has_sent_token {
            // A short request sends the token first.
            self.ask(&AccessRequest::Cluster, token, answer_limit)?;
        }
        self.has_sent_token |= token.is_some();
        write_frame(
            &self.stream,
            &body,
            MAX_FRAME,
            FRAME_LIMIT.min(answer_limit),
        )?;
        let (reply, is_hinted) = self.read_reply(answer_limit)?;
        // A refusal has the id 0 if the tracker could not read the request.
        if reply.id != request.id && reply.result.is_ok() {
            return Err(ConnectionError::UnrelatedMessage);
        }
        // A tracker that begins to send hints sends the first one before the reply.
        if request.watch && is_hinted {
            self.watched_with = request.token;
        }
        self.last_used = Instant::now();
        Ok(reply)
    }

    /// Reads frames until one is a reply, which must begin to arrive within `limit`. Returns the
    /// reply, and whether a hint came before it.
    fn read_reply(
        &mut self,
        limit: Duration,
    ) -> Result<(AccessReplyMessage, bool), ConnectionError> {
        let deadline = Instant::now() + limit;
        let unread = std::mem::take(&mut self.unread);
        let mut reader = FrameReader::resume(&self.stream, MAX_FRAME, unread);
        let mut is_hinted = false;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let body = match reader.next(left, FRAME_LIMIT) {
                Err(FrameIoError::Closed) => return Err(ConnectionError::NoAnswer),
                // If hints came first, the time in this error is `left`, not the whole `limit`.
                Err(FrameIoError::Silent(_)) => return Err(FrameIoError::Silent(limit).into()),
                body => body?,
            };
            match Hint::decode(body)? {
                Some(hint) => {
                    is_hinted = true;
                    add(hint, &mut self.hints);
                }
                None => {
                    let reply = AccessReplyMessage::decode(body)?;
                    self.unread = reader.into_unread();
                    return Ok((reply, is_hinted));
                }
            }
        }
    }
}

fn add(hint: Hint, hints: &mut Vec<Hint>) {
    if hints.len() < MAX_HINTS {
        hints.push(hint);
    }
}

impl Drop for ControlConnection {
    fn drop(&mut self) {
        self.stream.hang_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::InfoHash;
    use crate::wire::PeerId;
    use crate::wire::access::{AnnounceBatch, SwarmAnnounce};
    use std::num::NonZeroU16;

    #[test]
    fn the_end_of_a_request_limits_each_of_its_steps() {
        let limits = TimeLimits::LONG;
        assert_eq!(limits.answer(), Duration::from_secs(30));
        let ending = limits.until(Instant::now() + Duration::from_secs(8));
        assert_eq!(ending.connecting(), limits.connecting());
        for step in [ending.handshake(), ending.answer()] {
            assert!(step <= Duration::from_secs(8), "{step:?}");
        }
        assert_eq!(limits.until(Instant::now()).answer(), MIN_STEP_LIMIT);
    }

    #[test]
    fn announces_wait_longer_than_commands() {
        let (id, port) = (PeerId([1; 20]), NonZeroU16::MIN);
        let announce = SwarmAnnounce {
            info_hash: InfoHash([1; 20]),
            uploaded: 0,
            downloaded: 0,
            left: 0,
            event: None,
        };
        let batch = AnnounceBatch::new(id, port, vec![announce]).unwrap();
        let announce = TimeLimits::of(&AccessRequest::Announce(batch), false);
        let command = TimeLimits::of(&AccessRequest::ListGroups { after: None }, false);
        // With two trackers, many handshakes at one moment take seconds.
        assert!(announce.handshake() >= Duration::from_secs(10));
        assert!(command.handshake() <= Duration::from_secs(2));
        assert!(announce.answer() > command.answer());
    }
}
