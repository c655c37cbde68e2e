//! A control connection of a peer: requests are read and answered in order.
//!
//! In scope: deadlines, the reply to bytes that are not a request, and the limit on the length of
//! frames. Only a peer that has shown a valid token may send long frames. From then on, its
//! connection counts against the limit of its account. A write is not executed if the peer has
//! closed the connection before the turn of the write. Out of scope: what a request means.
//!
//! The session reads a request, passes it to the registrar and sends the reply. Then it reads the
//! next request. While it waits for a request it keeps no buffer, and sends hints if the peer has
//! asked for them.

use super::registrar::Registrar;
use super::{
    HashingError, MAX_TURN_WAIT, PasswordTurn, Requester, TurnDecision, Waiting, Watch,
    from_hashing_error, refused,
};
use crate::base::AddressPrefix;
use crate::net::{
    ConnectionHandle, Full, Holder, Interest, Lane, Next, NonblockingTls, Received, Session, Turn,
    Wait,
};
use crate::system::cause;
use crate::tracker::closed_run::no_run_answer;
use crate::wire::access::{
    AccessErrorKind, AccessRefusal, AccessReplyMessage, AccessRequest, AccessRequestMessage,
    MAX_FIRST_FRAME, MAX_FRAME, PROTOCOL, SAME_VERSION,
};
use crate::wire::control::ControlError;
use crate::wire::frame::{self, FrameError};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a connection may be silent before it has shown a valid token.
const STRANGER_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection with a valid token may be silent. A machine that is gone is noticed
/// sooner, by the keep-alive of TCP.
const IDLE_TIMEOUT: Duration = Duration::from_secs(900);
/// How long a frame may take to arrive once it has begun, and how long a reply may take to be
/// read.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// After this number of wrong secrets or proofs of machines, a connection is closed.
const MAX_REFUSED_PROOFS: u8 = 3;
/// The most requests in a row, before the connections that wait for a worker get their turn.
const MAX_IN_A_ROW: usize = 16;

/// Serves one control connection.
pub(in crate::tracker) struct ControlSession {
    registrar: Arc<Registrar>,
    tls: NonblockingTls,
    from: SocketAddr,
    handle: ConnectionHandle,
    /// Bytes of frames that have arrived.
    arrived: Vec<u8>,
    /// A request that waits for its turn.
    request: Option<AccessRequestMessage>,
    /// The turn of the current request to have its password checked, if it has a password.
    password_turn: Option<PasswordTurn>,
    /// Whether the peer has shown a valid token.
    has_login: bool,
    /// The number of secrets, machines or proofs of a machine that were refused.
    refused_proofs: u8,
    /// The hints for the peer, if it has asked for them.
    watch: Option<Watch>,
    stage: Stage,
    /// The time limit of `stage`.
    until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No byte of the next request has arrived.
    Idle,
    /// A part of a request has arrived.
    Frame,
    /// A reply or a hint is being sent.
    Reply,
    /// The last reply is being sent.
    Last,
}

/// Why a control connection ends before the peer closes it.
#[derive(Debug, thiserror::Error)]
enum ControlConnectionError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{}", cause(.0))]
    Io(#[from] io::Error),
    #[error("a message took longer than {} s", FRAME_TIMEOUT.as_secs())]
    TooSlow,
}

impl ControlSession {
    /// Serves a connection on which nothing was read.
    pub(in crate::tracker) fn new(
        registrar: &Arc<Registrar>,
        tls: NonblockingTls,
        from: SocketAddr,
        handle: ConnectionHandle,
    ) -> Self {
        Self {
            registrar: Arc::clone(registrar),
            tls,
            from,
            handle,
            arrived: Vec::new(),
            request: None,
            password_turn: None,
            has_login: false,
            refused_proofs: 0,
            watch: None,
            stage: Stage::Idle,
            until: Instant::now() + STRANGER_IDLE_TIMEOUT,
        }
    }

    fn go_on(&mut self, turn: &mut Turn<'_>) -> Result<Next, ControlConnectionError> {
        for _ in 0..MAX_IN_A_ROW {
            if matches!(self.stage, Stage::Reply | Stage::Last) {
                if !self.tls.flush()? {
                    return self.wait_or_give_up(Interest::Write);
                }
                if self.stage == Stage::Last {
                    return Ok(Next::End);
                }
                self.start_waiting();
            }
            let request = match self.request.take() {
                Some(request) => Some(request),
                None => self.next_request()?,
            };
            match request {
                Some(request) if self.must_wait(&request, turn.lane) => {
                    if let Some(next) = self.hand_over(request, turn.scratch)? {
                        return Ok(next);
                    }
                }
                Some(request) => {
                    if self.answer(request, turn.scratch)?.is_none() {
                        return Ok(Next::End);
                    }
                }
                // A reply to bytes that are not a request is being sent.
                None if self.stage == Stage::Last => {}
                None => match self.tls.receive(turn.scratch, &mut self.arrived)? {
                    Received::Bytes => self.on_bytes(),
                    Received::Nothing => match self.send_hint()? {
                        Some(true) => {}
                        Some(false) => return self.wait_or_give_up(Interest::Read),
                        None => return Ok(Next::End),
                    },
                    Received::End => {
                        log::debug!("the control connection of {} ended", self.from);
                        return Ok(Next::End);
                    }
                },
            }
        }
        Ok(Next::Move(Lane::Worker))
    }

    /// Whether a request must first wait for its turn or for another thread. Each request with a
    /// password needs a turn of its own, even if it comes right after another such request.
    fn must_wait(&self, request: &AccessRequestMessage, lane: Lane) -> bool {
        let lacks_turn = request.ask.has_password() && self.password_turn.is_none();
        can_block(&request.ask) && (lane != Lane::Patient || lacks_turn)
    }

    /// Passes a request to a thread that may wait, because answering the request may block. A
    /// request with a password first waits for its turn, and occupies no thread meanwhile. Returns
    /// `None` if the request got no turn and a refusal was sent.
    fn hand_over(
        &mut self,
        request: AccessRequestMessage,
        scratch: &mut [u8],
    ) -> Result<Option<Next>, ControlConnectionError> {
        if request.ask.has_password() {
            let is_new = self.password_turn.is_none();
            if !is_new && self.has_ended(scratch) {
                return Ok(Some(Next::End));
            }
            let (registrar, from, handle) = (&self.registrar, self.from.ip(), &self.handle);
            let line_up = || registrar.line_up(&request, from, handle.clone());
            let decision = self.password_turn.get_or_insert_with(line_up).decision();
            if is_new {
                self.until = Instant::now() + MAX_TURN_WAIT;
            }
            match decision {
                Some(TurnDecision::Admitted) => {}
                None if Instant::now() < self.until => {
                    self.request = Some(request);
                    return Ok(Some(Next::Wait(Wait {
                        interest: Interest::Nothing,
                        until: self.until,
                        lane: Lane::Worker,
                    })));
                }
                None | Some(TurnDecision::Refused) => {
                    self.password_turn = None;
                    let refusal = from_hashing_error(HashingError::Busy);
                    let reply = refusal_reply(request.id, refusal).encode();
                    return self.reply(&reply, Stage::Reply).map(|()| None);
                }
            }
        }
        self.request = Some(request);
        Ok(Some(Next::Move(Lane::Patient)))
    }

    fn on_bytes(&mut self) {
        if self.stage == Stage::Idle {
            self.stage = Stage::Frame;
            self.until = Instant::now() + FRAME_TIMEOUT;
        }
    }

    /// Takes the next request from `arrived`, if it has arrived whole. If the bytes are not a
    /// request, replies with an error and returns `None`.
    fn next_request(&mut self) -> Result<Option<AccessRequestMessage>, ControlConnectionError> {
        let cap = match self.has_login {
            true => MAX_FRAME,
            false => MAX_FIRST_FRAME,
        };
        let Some((body, rest)) = frame::decode(&self.arrived, cap)? else {
            return Ok(None);
        };
        let (request, length) = (AccessRequestMessage::decode(body), self.arrived.len());
        let consumed = length - rest.len();
        match request {
            Ok(request) => {
                self.arrived.drain(..consumed);
                Ok(Some(request))
            }
            Err(error) => {
                let source = AddressPrefix::of(self.from.ip());
                log::info!(source:%; "bytes from {} are not a request: {error}", self.from);
                let reply = bad_request_reply(body, &error);
                self.reply(&reply, Stage::Last)?;
                Ok(None)
            }
        }
    }

    /// Answers a request. Returns `None` if the peer has given the request up.
    fn answer(
        &mut self,
        request: AccessRequestMessage,
        scratch: &mut [u8],
    ) -> Result<Option<()>, ControlConnectionError> {
        if !self.has_login
            && let Some(account) = self
                .registrar
                .identify(request.token.as_ref(), self.from.ip())
        {
            if let Err(full) = self.handle.authenticate(Holder::Account(account.0)) {
                let source = AddressPrefix::of(self.from.ip());
                log::info!(source:%; "refused {}: {full}", self.from);
                let reply = full_reply(request.id, full);
                return self.reply(&reply.encode(), Stage::Last).map(Some);
            }
            self.has_login = true;
        }
        // A peer that has closed the connection repeats the command at another tracker, and may
        // have sent more commands since. A write made now would come after those.
        if request.ask.is_write() && self.has_ended(scratch) {
            let (kind, from) = (request.ask.kind(), self.from);
            let source = AddressPrefix::of(from.ip());
            log::info!(
                source:%;
                "{from} has given up {kind} and closed its connection; the command is not executed"
            );
            return Ok(None);
        }
        if request.watch {
            let (token, current) = (request.token.as_ref(), self.watch.as_ref());
            if let Some(watch) = self.registrar.watch(token, current, &self.handle) {
                if let Waiting::Hint(hint) = watch.take() {
                    self.send(&hint.encode())?;
                }
                self.watch = Some(watch);
            }
        }
        let requester = Requester {
            from: self.from.ip(),
            turn: self.password_turn.as_ref(),
        };
        let watch = self.watch.as_ref();
        let shows_proof = matches!(&request.ask, AccessRequest::Machine(it) if !it.needs_login());
        let reply = self.registrar.answer(request, requester, watch);
        self.password_turn = None;
        self.refused_proofs += u8::from(shows_proof && is_wrong_proof(&reply));
        let stage = match self.refused_proofs < MAX_REFUSED_PROOFS {
            true => Stage::Reply,
            false => Stage::Last,
        };
        self.reply(&reply.encode(), stage).map(Some)
    }

    /// Sends a hint if one waits and nothing else is under way. Returns whether it sent a hint, or
    /// `None` if the connection must end.
    fn send_hint(&mut self) -> Result<Option<bool>, ControlConnectionError> {
        let is_idle = self.stage == Stage::Idle && self.arrived.is_empty();
        let Some(watch) = self.watch.as_ref().filter(|_| is_idle) else {
            return Ok(Some(false));
        };
        match watch.take() {
            Waiting::Nothing => Ok(Some(false)),
            Waiting::Hint(hint) => {
                let body = hint.encode();
                self.reply(&body, Stage::Reply).map(|()| Some(true))
            }
            Waiting::LoginEnded => Ok(None),
        }
    }

    /// Whether the peer has closed the connection, as far as is known without waiting. If other
    /// requests arrived before the close, the close is detected only after they have been read.
    fn has_ended(&mut self, scratch: &mut [u8]) -> bool {
        if !self.arrived.is_empty() {
            return false;
        }
        let received = self.tls.receive(scratch, &mut self.arrived);
        matches!(received, Ok(Received::End) | Err(_))
    }

    fn reply(&mut self, body: &[u8], stage: Stage) -> Result<(), ControlConnectionError> {
        self.send(body)?;
        if stage == Stage::Last {
            self.tls.finish()?;
        }
        self.stage = stage;
        self.until = Instant::now() + FRAME_TIMEOUT;
        Ok(())
    }

    /// Encrypts a frame. A later [`NonblockingTls::flush`] sends it.
    fn send(&mut self, body: &[u8]) -> Result<(), ControlConnectionError> {
        let mut frame = Vec::with_capacity(frame::HEADER_LENGTH + body.len());
        frame::encode(body, MAX_FRAME, &mut frame)?;
        self.tls.write(&frame)?;
        Ok(())
    }

    /// A reply has been sent.
    fn start_waiting(&mut self) {
        let (stage, limit) = match (self.arrived.is_empty(), self.has_login) {
            (true, true) => (Stage::Idle, IDLE_TIMEOUT),
            (true, false) => (Stage::Idle, STRANGER_IDLE_TIMEOUT),
            (false, _) => (Stage::Frame, FRAME_TIMEOUT),
        };
        self.stage = stage;
        self.until = Instant::now() + limit;
    }

    fn wait_or_give_up(&mut self, interest: Interest) -> Result<Next, ControlConnectionError> {
        if Instant::now() >= self.until {
            return match self.stage {
                Stage::Idle => Ok(Next::End),
                _ => Err(ControlConnectionError::TooSlow),
            };
        }
        if self.arrived.is_empty() {
            self.arrived = Vec::new();
        }
        self.tls.release_buffers();
        Ok(Next::Wait(Wait {
            interest,
            until: self.until,
            lane: Lane::Worker,
        }))
    }
}

impl Session for ControlSession {
    fn advance(&mut self, turn: &mut Turn<'_>) -> Next {
        self.go_on(turn).unwrap_or_else(|error| {
            let source = AddressPrefix::of(self.from.ip());
            log::info!(source:%; "the control connection of {} ended: {error}", self.from);
            Next::End
        })
    }
}

impl Drop for ControlSession {
    /// Sends the `close_notify` of TLS, if the socket takes it without waiting. Then the peer sees
    /// no error.
    fn drop(&mut self) {
        let _ = self.tls.finish().and_then(|()| self.tls.flush());
    }
}

/// Whether answering can block: on the disk, another tracker, the hash of a password or the port of
/// the peer. Announces and the state of the cluster are answered from memory.
fn can_block(ask: &AccessRequest) -> bool {
    !matches!(ask, AccessRequest::Announce(_) | AccessRequest::Cluster)
}

/// Whether a machine has shown a secret that no token has, is not known, or has not proved its key.
fn is_wrong_proof(reply: &AccessReplyMessage) -> bool {
    use AccessErrorKind::{LoginRefused, UnknownMachine, UnknownToken};
    let kind = reply.result.as_ref().err().map(|refused| refused.kind);
    matches!(kind, Some(UnknownToken | UnknownMachine | LoginRefused))
}

/// The reply to a request with a valid token, if there is no place for its connection.
fn full_reply(id: u32, full: Full) -> AccessReplyMessage {
    let refusal = AccessRefusal {
        retry_seconds: Some(full.retry_seconds),
        ..refused(AccessErrorKind::Full, full)
    };
    refusal_reply(id, refusal)
}

/// The reply that refuses the request with this id.
fn refusal_reply(id: u32, refusal: AccessRefusal) -> AccessReplyMessage {
    AccessReplyMessage {
        id,
        renewed: None,
        only_here: false,
        result: Err(refusal),
    }
}

/// The reply to bytes that are not a request. The connection is closed after it.
fn bad_request_reply(body: &[u8], error: &ControlError) -> Vec<u8> {
    // The bytes may be a request of a closed run's client. Such a client understands only the
    // replies of closed runs.
    if let Some(answer) = no_run_answer(body) {
        return answer;
    }
    let (theirs, message) = match error {
        ControlError::OtherProtocol { theirs, ours } => {
            let message = format!(
                "this tracker speaks version {ours} of the protocol, and the peer version \
                 {theirs}; {SAME_VERSION}"
            );
            (*theirs, message)
        }
        error => (PROTOCOL, format!("this is not a request: {error}")),
    };
    refusal_reply(0, refused(AccessErrorKind::BadRequest, message)).encode_for(theirs)
}
