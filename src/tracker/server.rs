//! The port of a tracker, its threads and its end.
//!
//! In scope: binding, removing silent peers, keeping the swarms over a restart, stopping. Out of
//! scope: what happens on a connection (`accepting`), arguments and signals.

use super::accepting::{Acceptor, TlsService};
use super::connection::HttpDeadlines;
use super::place_limits::{Admission, max_connections};
use super::{AnnouncePolicy, MAX_SAVED, RegistryStore, Service, SwarmLimits, Swarms, UdpServer};
use crate::net::{Server, Stop};
use crate::storage::SwarmsFile;
use crate::system::{cause, lock, since_1970};
use crate::wire::HostPort;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Default interval between two announces of a `pieceful` peer.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(20);

/// Stack size in bytes of a thread that serves connections.
const STACK_BYTES: usize = 256 << 10;
/// The longest time between two searches for silent peers.
const MAX_EXPIRY_PAUSE: Duration = Duration::from_secs(5);
/// Maximum number of attempts to find a port that is free for TCP and UDP.
const MAX_BIND_ATTEMPTS: usize = 100;
/// How long a thread that waits for the stop flag sleeps at a time. Raising the flag wakes it at
/// once.
const LONG_SLEEP: Duration = Duration::from_secs(3600);

/// Options of a tracker.
pub struct TrackerOptions {
    /// Position of its address in TRACKER_INFO, counted from 1. For the log.
    pub number: u32,
    /// Its listening socket, from [`bind`].
    pub listener: TcpListener,
    /// The UDP socket with the same port, from [`bind_with_udp`]. It is used only if the tracker
    /// serves open swarms.
    pub udp: Option<UdpSocket>,
    /// The file that keeps open swarms between a graceful stop and the next start. Without this
    /// file they are lost when the tracker stops.
    pub swarms_file: Option<SwarmsFile>,
    /// Announce interval for `pieceful` peers: whole seconds, at least one. A peer that misses two
    /// announces is removed.
    pub interval: Duration,
    /// Which peers may announce and scrape.
    pub access: AnnouncePolicy,
    /// The service for TLS connections. Without it, the tracker accepts none.
    pub tls_service: Option<TlsService>,
    /// The registry of its cluster, if it serves groups.
    pub store: Option<Arc<RegistryStore>>,
    /// Stops the tracker when raised.
    pub stop: Stop,
    /// Limits of swarms and peers.
    pub limits: SwarmLimits,
    /// The limits of connections, who may use the reserved places, and the names of the tracker.
    pub admission: Admission,
    /// Deadlines of HTTP clients and TLS handshakes.
    pub deadlines: HttpDeadlines,
}

impl TrackerOptions {
    /// Default options: tracker number 1 on `listener`, without open swarms.
    pub fn new(listener: TcpListener) -> Self {
        Self {
            number: 1,
            listener,
            udp: None,
            swarms_file: None,
            interval: DEFAULT_INTERVAL,
            access: AnnouncePolicy::NotOpen,
            tls_service: None,
            store: None,
            stop: Stop::new(),
            limits: SwarmLimits::default(),
            admission: Admission::new(max_connections(None)),
            deadlines: HttpDeadlines::default(),
        }
    }
}

/// Why a tracker cannot run.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// Its port cannot be bound.
    #[error(
        "cannot listen on {address}: {}; another address can be given with --listen",
        cause(.source)
    )]
    Bind {
        /// The requested address.
        address: HostPort,
        /// The system's error.
        source: io::Error,
    },
    /// The UDP port with the same number cannot be bound.
    #[error(
        "cannot listen on {address} for UDP: {}; another address can be given with --listen",
        cause(.source)
    )]
    BindUdp {
        /// The requested address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The system cannot start a thread, or the socket has no address.
    #[error("cannot start the tracker: {0}")]
    Start(#[source] io::Error),
}

/// Binds a tracker's port. If it is 0, the system chooses a free one. Looks a host name up and
/// binds its first usable address.
///
/// # Errors
/// [`TrackerError::Bind`].
pub fn bind(address: &HostPort) -> Result<TcpListener, TrackerError> {
    TcpListener::bind((address.host.as_str(), address.port)).map_err(|source| TrackerError::Bind {
        address: address.clone(),
        source,
    })
}

/// Binds a tracker's port for TCP and UDP. If the port in `address` is 0 and the system chose one
/// that is in use for UDP, tries another one.
///
/// # Errors
/// [`TrackerError::Bind`], [`TrackerError::BindUdp`]; [`TrackerError::Start`] if the bound socket
/// has no address.
pub fn bind_with_udp(address: &HostPort) -> Result<(TcpListener, UdpSocket), TrackerError> {
    let mut attempts = 0;
    loop {
        let listener = bind(address)?;
        let bound = listener.local_addr().map_err(TrackerError::Start)?;
        attempts += 1;
        match UdpSocket::bind(bound) {
            Ok(udp) => return Ok((listener, udp)),
            Err(error)
                if address.port == 0
                    && attempts < MAX_BIND_ATTEMPTS
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

/// A running tracker. Dropping it stops it.
pub struct Tracker {
    server: Server,
    udp: Option<UdpServer>,
    service: Arc<Service>,
    swarms_file: Option<SwarmsFile>,
    /// Times in the swarms are durations since this instant.
    epoch: Instant,
    stop: Stop,
    expiry: Mutex<Option<JoinHandle<()>>>,
}

impl Tracker {
    /// Starts serving.
    ///
    /// # Errors
    /// [`TrackerError::Start`].
    pub fn start(options: TrackerOptions) -> Result<Self, TrackerError> {
        let TrackerOptions {
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
        let swarms_file = options
            .swarms_file
            .filter(|_| access == AnnouncePolicy::Open);
        if let Some(file) = &swarms_file {
            restore(&swarms, file, epoch);
        }
        let service = Arc::new(Service {
            swarms,
            access,
            store: options.store,
            names: options.admission.names,
        });
        let acceptor = Acceptor::new(
            Arc::clone(&service),
            tls_service,
            deadlines,
            epoch,
            options.admission.trusts,
        );
        let server = Server::start(
            "tracker",
            listener,
            options.admission.limits,
            STACK_BYTES,
            acceptor,
        );
        let server = server.map_err(TrackerError::Start)?;
        let address = server.address();
        let udp = options.udp.filter(|_| access == AnnouncePolicy::Open);
        let udp = udp.map(|socket| {
            UdpServer::start(socket, Arc::clone(&service), epoch, stop.clone())
                .map_err(TrackerError::Start)
        });
        let udp = udp.transpose()?;
        let (expiring, stopping) = (Arc::clone(&service), stop.clone());
        let expiry = thread::Builder::new()
            .name("expiry".into())
            .spawn(move || expire_until_stopped(&expiring.swarms, &stopping, interval, epoch))
            .map_err(TrackerError::Start)?;
        log::info!("tracker {number} listens on {address}");
        Ok(Self {
            server,
            udp,
            service,
            swarms_file,
            epoch,
            stop,
            expiry: Mutex::new(Some(expiry)),
        })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Closes all connections and ends all threads. Returns when they have ended and the swarms are
    /// saved.
    pub fn stop(&self) {
        self.stop.stop();
        if let Some(udp) = &self.udp {
            udp.stop();
        }
        self.server.stop();
        let mut expiry = lock(&self.expiry);
        if let Some(expiry) = expiry.take() {
            let _ = expiry.join();
            if let Some(file) = &self.swarms_file {
                save(&self.service.swarms, file, self.epoch);
            }
            log::info!("the tracker on {} has stopped", self.address());
        }
    }

    /// Waits until the stop flag is raised or [`Tracker::stop`] is called, then ends everything.
    pub fn wait_until_stopped(&self) {
        while !self.stop.wait(LONG_SLEEP) {}
        self.stop();
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Restores the swarms that the last process saved. Then deletes the file, so that a start after a
/// crash does not restore stale swarms.
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
            log::info!("restored {peers} peers of {} swarms", swarms.swarms());
            if let Err(error) = file.remove() {
                log::warn!("cannot remove {path}: {error}");
            }
        }
        Err(error) => {
            log::warn!("{path} is not used, and the tracker starts without swarms: {error}")
        }
    }
}

fn save(swarms: &Swarms, file: &SwarmsFile, epoch: Instant) {
    let bytes = swarms.save(epoch.elapsed(), since_1970());
    if let Err(error) = file.replace(&bytes) {
        log::warn!("cannot write {}: {error}", file.path().display());
    }
}

fn expire_until_stopped(swarms: &Swarms, stop: &Stop, interval: Duration, epoch: Instant) {
    let pause = (interval / 4).clamp(Duration::from_millis(50), MAX_EXPIRY_PAUSE);
    while !stop.wait(pause) {
        let dropped = swarms.expire(epoch.elapsed());
        if dropped > 0 {
            log::info!("removed {dropped} silent peers");
        }
    }
}
