//! The connections of a tracker's port. The first byte shows whether a connection uses TLS. After
//! the TLS handshake, the purpose of the connection decides what serves it.

use super::connection::{HttpDeadlines, HttpSession};
use super::place_limits::TrustsAddress;
use super::service::Service;
use crate::base::AddressPrefix;
use crate::net::{
    ConnectionHandle, ConnectionPurpose, HandshakeProgress, Holder, IncomingConnection, Interest,
    Job, Lane, Next, NonblockingTls, Serve, Session, TLS_FIRST_BYTE, TlsHandshake, TlsServer,
    TlsStream, Turn, Wait, receive_now,
};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

/// Accepts and serves TLS connections.
pub struct TlsService {
    /// Performs the handshake of an incoming connection.
    pub tls: TlsServer,
    /// Decides after the handshake what serves a connection.
    pub serve: ServeTls,
}

/// Returns what serves a TLS connection, according to its purpose.
pub type ServeTls = Box<dyn Fn(AcceptedTls) -> ServedBy + Send + Sync>;

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct AcceptedTls {
    /// The connection.
    pub tls: NonblockingTls,
    /// Address of the remote side.
    pub from: SocketAddr,
    /// What the caller wants. For every purpose except [`ConnectionPurpose::Peer`], the handshake
    /// has proved that the caller holds the key of the cluster.
    pub purpose: ConnectionPurpose,
    /// [`ConnectionHandle::notify`] wakes the session of the connection.
    pub handle: ConnectionHandle,
}

/// What serves a connection.
pub enum ServedBy {
    /// A state machine.
    Session(Box<dyn Session>),
    /// A thread of its own.
    Thread(Job),
}

impl TlsService {
    /// Serves each connection on a thread of its own, until `serve` returns.
    pub fn on_threads(
        tls: TlsServer,
        serve: impl Fn(&TlsStream, SocketAddr, ConnectionPurpose) + Send + Sync + 'static,
    ) -> Self {
        let serve = Arc::new(serve);
        let serve = Box::new(move |accepted: AcceptedTls| {
            let serve = Arc::clone(&serve);
            let AcceptedTls {
                tls, from, purpose, ..
            } = accepted;
            let stream = tls.into_stream();
            ServedBy::Thread(Box::new(move || serve(&stream, from, purpose)))
        });
        Self { tls, serve }
    }
}

/// Makes the sessions of a tracker.
pub(super) struct Acceptor {
    shared: Arc<Shared>,
    trusts: TrustsAddress,
}

struct Shared {
    service: Arc<Service>,
    tls: Option<(Arc<TlsServer>, ServeTls)>,
    deadlines: HttpDeadlines,
    epoch: Instant,
}

impl Acceptor {
    pub(super) fn new(
        service: Arc<Service>,
        tls_service: Option<TlsService>,
        deadlines: HttpDeadlines,
        epoch: Instant,
        trusts: TrustsAddress,
    ) -> Self {
        let tls = tls_service.map(|service| (Arc::new(service.tls), service.serve));
        Self {
            shared: Arc::new(Shared {
                service,
                tls,
                deadlines,
                epoch,
            }),
            trusts,
        }
    }
}

impl Serve for Acceptor {
    fn begin(
        &self,
        incoming: IncomingConnection,
        handle: ConnectionHandle,
    ) -> (Box<dyn Session>, Instant) {
        let until = incoming.accepted + self.shared.deadlines.head;
        let session = TrackerSession {
            stream: incoming.stream,
            from: incoming.address,
            until,
            handle,
            shared: Arc::clone(&self.shared),
            stage: Stage::FirstByte,
        };
        (Box::new(session), until)
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        (self.trusts)(ip)
    }
}

/// One connection of the tracker's port.
struct TrackerSession {
    stream: Arc<TcpStream>,
    from: SocketAddr,
    /// The deadline of first byte and handshake together.
    until: Instant,
    handle: ConnectionHandle,
    shared: Arc<Shared>,
    stage: Stage,
}

enum Stage {
    FirstByte,
    /// The first bytes have been read. A worker will begin the handshake.
    NewHandshake(TlsHandshake, Vec<u8>),
    Handshake(TlsHandshake),
    Served(Box<dyn Session>),
    Http(HttpSession),
    Over,
}

impl Session for TrackerSession {
    fn advance(&mut self, turn: &mut Turn<'_>) -> Next {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::FirstByte => self.read_first_bytes(turn),
            Stage::NewHandshake(handshake, first) => {
                self.continue_handshake(handshake, &first, turn)
            }
            Stage::Handshake(handshake) => self.continue_handshake(handshake, &[], turn),
            Stage::Served(mut session) => {
                let next = session.advance(turn);
                self.stage = Stage::Served(session);
                next
            }
            Stage::Http(mut http) => {
                let next = http.advance(turn);
                self.stage = Stage::Http(http);
                next
            }
            Stage::Over => Next::End,
        }
    }
}

impl TrackerSession {
    fn read_first_bytes(&mut self, turn: &mut Turn<'_>) -> Next {
        let first = match receive_now(&self.stream, turn.scratch) {
            Ok(Some(received @ 1..)) => turn.scratch.get(..received).unwrap_or_default(),
            Ok(None) if Instant::now() < self.until => {
                self.stage = Stage::FirstByte;
                return self.wait(Interest::Read, Lane::Event);
            }
            Ok(_) | Err(_) => {
                log::debug!("closed {}: it sent nothing", self.from);
                return Next::End;
            }
        };
        if let Some((tls, _)) = &self.shared.tls
            && first.first() == Some(&TLS_FIRST_BYTE)
        {
            let handshake = TlsHandshake::new(Arc::clone(tls), Arc::clone(&self.stream));
            self.stage = Stage::NewHandshake(handshake, first.to_vec());
            return Next::Move(Lane::Worker);
        }
        let shared = &self.shared;
        let mut http = HttpSession::new(
            Arc::clone(&self.stream),
            self.from.ip(),
            Arc::clone(&shared.service),
            shared.deadlines,
            shared.epoch,
        );
        let next = http.on_bytes(first);
        self.stage = Stage::Http(http);
        next
    }

    fn continue_handshake(
        &mut self,
        mut handshake: TlsHandshake,
        first: &[u8],
        turn: &mut Turn<'_>,
    ) -> Next {
        if Instant::now() >= self.until {
            let source = AddressPrefix::of(self.from.ip());
            log::info!(source:%; "the TLS handshake with {} took too long", self.from);
            return Next::End;
        }
        match handshake.advance(first, turn.scratch) {
            Ok(HandshakeProgress::Waits(interest)) => {
                self.stage = Stage::Handshake(handshake);
                self.wait(interest, Lane::Worker)
            }
            Ok(HandshakeProgress::Done(tls, purpose)) => self.serve(*tls, purpose, turn),
            Err(error) => {
                let source = AddressPrefix::of(self.from.ip());
                log::info!(source:%; "the TLS handshake with {} failed: {error}", self.from);
                Next::End
            }
        }
    }

    fn serve(
        &mut self,
        tls: NonblockingTls,
        purpose: ConnectionPurpose,
        turn: &mut Turn<'_>,
    ) -> Next {
        // If the purpose is not `Peer`, the handshake has proved that the caller holds the key of
        // the cluster. `authenticate` takes one of the places for authenticated connections.
        if purpose != ConnectionPurpose::Peer
            && let Err(full) = self.handle.authenticate(Holder::Cluster)
        {
            log::warn!(
                "refused {}, which holds the key of the cluster: {full}",
                self.from
            );
            return Next::End;
        }
        let Some((_, serve)) = &self.shared.tls else {
            return Next::End;
        };
        let accepted = AcceptedTls {
            tls,
            from: self.from,
            purpose,
            handle: self.handle.clone(),
        };
        match serve(accepted) {
            ServedBy::Session(session) => {
                self.stage = Stage::Served(session);
                // A request may have arrived together with the last bytes of the handshake.
                self.advance(turn)
            }
            ServedBy::Thread(job) => Next::Thread(job),
        }
    }

    fn wait(&self, interest: Interest, lane: Lane) -> Next {
        Next::Wait(Wait {
            interest,
            until: self.until,
            lane,
        })
    }
}
