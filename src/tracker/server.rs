//! The tracker as a process holds it: its port, its threads, its end.
//!
//! In scope: binding, telling kinds of connection apart by their first byte, dropping silent peers, keeping the swarms over
//! a restart, stopping. Out of scope: arguments and signals.

use super::connection::{self, Deadlines};
use super::{Access, Limits, MAX_SAVED, RegistryStore, Service, Swarms, UdpServer};
use crate::net::{Caps, Incoming, Purpose, Serve, Server, Stop, TlsServer, TlsStream};
use crate::storage::SwarmsFile;
use crate::system::{lock, since_1970};
use crate::wire::HostPort;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often our own peers announce unless the tracker is told otherwise.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(20);

/// Bytes of stack of a connection's thread.
const STACK: usize = 256 << 10;
/// The longest time between two looks for silent peers.
const SWEEP: Duration = Duration::from_secs(5);
/// How many ports are tried until one is free for TCP and UDP.
const TRIES: usize = 100;
/// How long a waiting thread sleeps between two looks at nothing: the flag wakes it.
const LONG: Duration = Duration::from_secs(3600);

/// Serves connections under TLS.
pub struct TlsService {
    /// What is shown to those who open one.
    pub tls: TlsServer,
    /// Serves one until it ends.
    pub serve: ServeTls,
}

/// Serves a connection under TLS that was opened for that purpose.
pub type ServeTls = Box<dyn Fn(&TlsStream, SocketAddr, Purpose) + Send + Sync>;

/// The first byte of a TLS handshake (RFC 8446, section 5.1).
const TLS: u8 = 0x16;

/// How a tracker runs.
pub struct Options {
    /// Which line of TRACKER_INFO it is, counted from 1; for the log.
    pub number: u32,
    /// Its port, from [`bind`].
    pub listener: TcpListener,
    /// The UDP socket of the same number, from [`bind_with_udp`]; read only where open swarms are served.
    pub udp: Option<UdpSocket>,
    /// Where open swarms lie between a graceful stop and the next start; without it they go with the process.
    pub swarms: Option<SwarmsFile>,
    /// How often our own peers announce; one that misses two is dropped. Whole seconds, at least one.
    pub interval: Duration,
    /// Whom it lets announce and scrape.
    pub access: Access,
    /// Its control lines; without it there are none.
    pub tls_service: Option<TlsService>,
    /// The cluster it is of, if it serves groups.
    pub cluster: Option<Arc<RegistryStore>>,
    /// Ends the tracker when raised, whoever raises it.
    pub stop: Stop,
    /// How much it holds at most.
    pub limits: Limits,
    /// How many connections it holds at most.
    pub caps: Caps,
    /// How long HTTP clients, and handshakes of control lines, may take.
    pub deadlines: Deadlines,
}

impl Options {
    /// A tracker with number 1 at this port that serves no open swarms, everything else as by default.
    pub fn new(listener: TcpListener) -> Self {
        Self {
            number: 1,
            listener,
            udp: None,
            swarms: None,
            interval: DEFAULT_INTERVAL,
            access: Access::NotOpen,
            tls_service: None,
            cluster: None,
            stop: Stop::new(),
            limits: Limits::default(),
            caps: Caps {
                total: 2_000,
                per_address: 1_000,
            },
            deadlines: Deadlines::default(),
        }
    }
}

/// Why a tracker cannot run.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// Its port cannot be had.
    #[error("cannot listen on {address}: {source}; another address can be given with --listen")]
    Bind {
        /// The address asked for.
        address: HostPort,
        /// What the system says.
        source: io::Error,
    },
    /// The UDP port of the same number cannot be had.
    #[error(
        "cannot listen on {address} for UDP: {source}; another address can be given with --listen"
    )]
    BindUdp {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no thread, or the socket has no address.
    #[error("cannot start the tracker: {0}")]
    Start(#[source] io::Error),
}

/// Binds a tracker's port; port 0 takes a free one. A name is asked for here, and its first address that can be had is it.
///
/// # Errors
/// [`TrackerError::Bind`].
pub fn bind(address: &HostPort) -> Result<TcpListener, TrackerError> {
    TcpListener::bind((address.host.as_str(), address.port)).map_err(|source| TrackerError::Bind {
        address: address.clone(),
        source,
    })
}

/// Binds a tracker's port for TCP and for UDP. If port 0 gave a number that is taken in UDP, both are bound anew.
///
/// # Errors
/// [`TrackerError::Bind`] and [`TrackerError::BindUdp`].
pub fn bind_with_udp(address: &HostPort) -> Result<(TcpListener, UdpSocket), TrackerError> {
    let mut tries = 0;
    loop {
        let listener = bind(address)?;
        let bound = listener.local_addr().map_err(TrackerError::Start)?;
        tries += 1;
        match UdpSocket::bind(bound) {
            Ok(udp) => return Ok((listener, udp)),
            Err(error)
                if address.port == 0
                    && tries < TRIES
                    && error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => {
                return Err(TrackerError::BindUdp {
                    address: bound,
                    source,
                });
            }
        }
    }
}

/// A running tracker. It ends when it is dropped, if not before.
pub struct Tracker {
    server: Server,
    udp: Option<UdpServer>,
    service: Arc<Service>,
    swarms: Option<SwarmsFile>,
    epoch: Instant,
    stop: Stop,
    expiry: Mutex<Option<JoinHandle<()>>>,
}

impl Tracker {
    /// Starts serving.
    ///
    /// # Errors
    /// [`TrackerError::Start`].
    pub fn start(options: Options) -> Result<Self, TrackerError> {
        let Options {
            number,
            listener,
            interval,
            access,
            tls_service,
            stop,
            deadlines,
            ..
        } = options;
        let swarms = Swarms::new(interval, options.limits);
        let epoch = Instant::now();
        let kept = options.swarms.filter(|_| access == Access::Open);
        if let Some(file) = &kept {
            restore(&swarms, file, epoch);
        }
        let service = Arc::new(Service {
            swarms,
            access,
            cluster: options.cluster,
        });
        let acceptor = Acceptor {
            service: Arc::clone(&service),
            tls_service,
            deadlines,
            epoch,
        };
        let server = Server::start(
            "tracker",
            listener,
            options.caps,
            STACK,
            deadlines.head,
            acceptor,
        );
        let server = server.map_err(TrackerError::Start)?;
        let address = server.address();
        let udp = options.udp.filter(|_| access == Access::Open);
        let udp = udp.map(|socket| {
            UdpServer::start(socket, Arc::clone(&service), epoch, stop.clone())
                .map_err(TrackerError::Start)
        });
        let udp = udp.transpose()?;
        let (expiring, stopping) = (Arc::clone(&service), stop.clone());
        let expiry = thread::Builder::new()
            .name("expiry".into())
            .spawn(move || expire(&expiring.swarms, &stopping, interval, epoch))
            .map_err(TrackerError::Start)?;
        log::info!("tracker {number} listens on {address}");
        Ok(Self {
            server,
            udp,
            service,
            swarms: kept,
            epoch,
            stop,
            expiry: Mutex::new(Some(expiry)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Ends all connections and threads, and returns when they have ended and the swarms are on disk.
    pub fn stop(&self) {
        self.stop.stop();
        if let Some(udp) = &self.udp {
            udp.stop();
        }
        self.server.stop();
        let mut expiry = lock(&self.expiry);
        if let Some(expiry) = expiry.take() {
            let _ = expiry.join();
            if let Some(file) = &self.swarms {
                save(&self.service.swarms, file, self.epoch);
            }
            log::info!("the tracker on {} has stopped", self.address());
        }
    }

    /// Waits until somebody raises the stop flag or calls [`Tracker::stop`], then ends everything as that does.
    pub fn wait_until_stopped(&self) {
        while !self.stop.wait(LONG) {}
        self.stop();
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Takes the swarms back that the process before left. The file is deleted once it has been read, so that a crash
/// cannot bring older swarms back.
fn restore(swarms: &Swarms, file: &SwarmsFile, epoch: Instant) {
    let path = file.path().display();
    let restored = match file.load(MAX_SAVED) {
        Ok(None) => return,
        Ok(Some(bytes)) => swarms
            .restore(&bytes, epoch.elapsed(), since_1970())
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match restored {
        Ok(peers) => {
            log::info!("{peers} peers of {} swarms are back", swarms.swarms());
            if let Err(error) = file.remove() {
                log::warn!("{path} cannot be removed: {error}");
            }
        }
        Err(error) => log::warn!("{path} is not used, swarms begin empty: {error}"),
    }
}

fn save(swarms: &Swarms, file: &SwarmsFile, epoch: Instant) {
    let bytes = swarms.save(epoch.elapsed(), since_1970());
    if let Err(error) = file.replace(&bytes) {
        log::warn!("{} cannot be written: {error}", file.path().display());
    }
}

fn expire(swarms: &Swarms, stop: &Stop, interval: Duration, epoch: Instant) {
    let pause = (interval / 4).clamp(Duration::from_millis(50), SWEEP);
    while !stop.wait(pause) {
        let dropped = swarms.expire(epoch.elapsed());
        if dropped > 0 {
            log::info!("{dropped} silent peers dropped");
        }
    }
}

/// Accepts connections of either kind.
struct Acceptor {
    service: Arc<Service>,
    tls_service: Option<TlsService>,
    deadlines: Deadlines,
    epoch: Instant,
}

impl Serve for Acceptor {
    fn at_once(&self, incoming: &Incoming, said: &[u8]) -> bool {
        let (from, now) = (incoming.address.ip(), self.epoch.elapsed());
        match connection::serve_at_once(&incoming.stream, said, from, &self.service, now) {
            Ok(served) => served,
            Err(error) => {
                log::debug!("the connection of {} ended: {error}", incoming.address);
                true
            }
        }
    }

    fn serve(&self, incoming: Incoming) {
        let address = incoming.address;
        match &self.tls_service {
            Some(service) if begins_with(&incoming.stream, TLS) => {
                let head = self.deadlines.head;
                let left = head.saturating_sub(incoming.accepted.elapsed());
                match service.tls.accept_any(incoming.stream, left) {
                    Ok((line, purpose)) => (service.serve)(&line, address, purpose),
                    Err(error) => log::info!("no control line from {address}: {error}"),
                }
            }
            _ => {
                let (service, deadlines) = (&self.service, self.deadlines);
                let (stream, from) = (&incoming.stream, address.ip());
                if let Err(error) = connection::serve(stream, from, service, deadlines, self.epoch)
                {
                    log::debug!("the connection of {address} ended: {error}");
                }
            }
        }
    }
}

/// Whether this is the first byte that waits to be read; it stays unread.
fn begins_with(stream: &TcpStream, byte: u8) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first), Ok(1)) && first == [byte]
}
