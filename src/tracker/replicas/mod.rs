//! The lines to the other trackers of TRACKER_INFO: who calls whom, and when again.
//!
//! In scope: calling, taking calls, ending with the tracker. TRACKER_INFO is read again before each call, and each second
//! for who is listed. Out of scope: what is said (`replication`), and proving who one is (`net`).
//!
//! Of two trackers the one with the higher number calls, on a thread of its own for each; the threads are called
//! `twin-call-N`, and the one that reads who is listed `twins`.

mod line;

use super::{RegistryStore, Threads};
use crate::net::{ClusterTls, Names, Purpose, Stop, TlsError, TlsStream};
use crate::system::lock;
use crate::wire::TrackerInfo;
use crate::wire::replica::TrackerNumber;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The most trackers of a cluster.
pub const MAX_TRACKERS: usize = 5;

/// How often it is looked who is listed.
const LOOK: Duration = Duration::from_secs(1);
/// How long looking up a name may take.
const LOOK_UP: Duration = Duration::from_secs(2);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long its handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The pause before another call: at first, and at most. It doubles with each call in vain.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long a line must have lived for the next call to be a first one.
const LIVED: Duration = Duration::from_secs(5);
/// Bytes of stack of a calling thread.
const STACK: usize = 256 << 10;

/// The lines to other trackers.
#[derive(Debug)]
pub(super) struct Replicas {
    shared: Arc<Shared>,
    stop: Stop,
    listing: Threads,
}

#[derive(Debug)]
struct Shared {
    store: Arc<RegistryStore>,
    tls: ClusterTls,
    tracker_info: PathBuf,
    number: TrackerNumber,
    /// The lines that were called, to be ended at the stop.
    called: Mutex<BTreeMap<TrackerNumber, Arc<TcpStream>>>,
    names: Names,
}

/// Why there is no line to another tracker.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("{0}")]
    TrackerInfo(String),
    #[error("cannot reach {0}: {1}")]
    Connect(SocketAddr, #[source] io::Error),
    #[error("the one at {0}: {1}")]
    Tls(SocketAddr, #[source] TlsError),
    #[error("the port of tracker {0} is not known yet")]
    NoPort(TrackerNumber),
}

impl Replicas {
    /// Calls the trackers that TRACKER_INFO lists before `number`, and keeps to who is listed.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        store: Arc<RegistryStore>,
        tls: ClusterTls,
        tracker_info: PathBuf,
        number: TrackerNumber,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            store,
            tls,
            tracker_info,
            number,
            called: Mutex::default(),
            names: Names::default(),
        });
        let stop = Stop::new();
        let (listing, stopping) = (Arc::clone(&shared), stop.clone());
        let threads = Threads::default();
        let thread = thread::Builder::new().name("twins".into());
        threads.start(thread, move || list(&listing, &stopping))?;
        Ok(Self {
            shared,
            stop,
            listing: threads,
        })
    }

    /// Ends the lines and joins the threads.
    pub(super) fn stop(&self) {
        self.stop.stop();
        for socket in self.shared.called().values() {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        self.listing.wait();
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Serves a line that another tracker opened until it ends.
pub(super) fn serve_replica(store: &RegistryStore, stream: &TlsStream, address: SocketAddr) {
    log::debug!("a tracker calls from {address}");
    line::serve(store, stream, address);
}

/// The numbers of that many trackers.
pub(super) fn numbers(count: usize) -> Vec<TrackerNumber> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    (1..=count).filter_map(TrackerNumber::new).collect()
}

/// Keeps to who is listed, and has each called that is to be. Runs on the thread `twins`.
fn list(shared: &Arc<Shared>, stop: &Stop) {
    let mut calling: BTreeMap<TrackerNumber, JoinHandle<()>> = BTreeMap::new();
    let mut count = None;
    loop {
        // One that cannot be read is being written, or its trouble is told by who calls.
        let listed = shared.info().ok().map(|info| info.addresses.len());
        let listed = listed.filter(|listed| (1..=MAX_TRACKERS).contains(listed));
        if let Some(listed) = listed.filter(|listed| count != Some(*listed)) {
            shared.store.list(numbers(listed));
            count = Some(listed);
        }
        for number in numbers(count.unwrap_or_default()) {
            if number >= shared.number || calling.contains_key(&number) {
                continue;
            }
            let (shared, stop) = (Arc::clone(shared), stop.clone());
            let thread = thread::Builder::new()
                .name(format!("twin-call-{number}"))
                .stack_size(STACK)
                .spawn(move || call(&shared, number, &stop));
            match thread {
                Ok(thread) => drop(calling.insert(number, thread)),
                Err(error) => log::warn!("tracker {number} is not called: {error}"),
            }
        }
        if stop.wait(LOOK) {
            break;
        }
    }
    for thread in calling.into_values() {
        let _ = thread.join();
    }
}

/// Calls one tracker again and again.
fn call(shared: &Shared, number: TrackerNumber, stop: &Stop) {
    let mut pause = PAUSE.0;
    let (mut told, mut was_up) = (String::new(), false);
    while !stop.is_stopped() {
        match shared.call(number, stop) {
            Ok(lived) => {
                told.clear();
                was_up = true;
                if lived >= LIVED {
                    pause = PAUSE.0;
                }
            }
            Err(error) => {
                let trouble = error.to_string();
                if trouble != told {
                    // That a tracker is gone which was here has been told.
                    let level = match error {
                        CallError::Connect(..) | CallError::Tls(_, TlsError::Handshake(_))
                            if was_up =>
                        {
                            log::Level::Debug
                        }
                        CallError::Connect(..) | CallError::NoPort(_) => log::Level::Info,
                        CallError::TrackerInfo(_) | CallError::Tls(..) => log::Level::Warn,
                    };
                    log::log!(level, "no line to tracker {number}: {trouble}");
                    told = trouble;
                }
            }
        }
        if stop.wait(pause) {
            return;
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}

impl Shared {
    /// Calls a tracker, and serves the line until it ends; gives how long that was.
    fn call(&self, number: TrackerNumber, stop: &Stop) -> Result<Duration, CallError> {
        let info = self.info()?;
        let unlisted = |error: &dyn Display| CallError::TrackerInfo(error.to_string());
        let tracker = info
            .address(number.get())
            .map_err(|error| unlisted(&error))?;
        if tracker.port == 0 {
            return Err(CallError::NoPort(number));
        }
        let found = self.names.addresses(tracker, LOOK_UP);
        let found = found.map_err(|error| unlisted(&format!("{tracker}: {error}")))?;
        let mut last = unlisted(&format!("{tracker} has no address"));
        for address in found {
            let socket = match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(socket) => Arc::new(socket),
                Err(error) => {
                    last = CallError::Connect(address, error);
                    continue;
                }
            };
            self.called().insert(number, Arc::clone(&socket));
            if stop.is_stopped() {
                return Ok(Duration::ZERO);
            }
            match self.tls.connect(socket, Purpose::Replica, HANDSHAKE) {
                Ok(stream) => {
                    let begun = Instant::now();
                    line::serve(&self.store, &stream, address);
                    self.called().remove(&number);
                    return Ok(begun.elapsed());
                }
                Err(error) => last = CallError::Tls(address, error),
            }
            self.called().remove(&number);
        }
        Err(last)
    }

    fn info(&self) -> Result<TrackerInfo, CallError> {
        let shown = self.tracker_info.display();
        let unusable = |error: &dyn Display| CallError::TrackerInfo(format!("{shown}: {error}"));
        let text = std::fs::read_to_string(&self.tracker_info).map_err(|error| unusable(&error))?;
        text.parse().map_err(|error| unusable(&error))
    }

    fn called(&self) -> MutexGuard<'_, BTreeMap<TrackerNumber, Arc<TcpStream>>> {
        lock(&self.called)
    }
}
