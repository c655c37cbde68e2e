//! Connections to the other trackers of TRACKER_INFO: which tracker calls which, and when it tries
//! again.
//!
//! In scope: calling, accepting, closing. TRACKER_INFO is read before each call, and once a second
//! for the list of trackers. Out of scope: the messages (`replication`) and authentication (`net`).
//!
//! Of two trackers the one with the higher number calls. A thread `replica-call-N` calls tracker N;
//! the thread `replicas` reads the list.

mod connection;
mod listed;

pub(super) use listed::ListedTrackers;

use super::{RegistryStore, Threads};
use crate::net::{
    ClusterTls, ConnectionPurpose, HostNames, Stop, TlsError, TlsStream, connect_within,
};
use crate::system::lock;
use crate::wire::replica::TrackerNumber;
use crate::wire::{HostPort, TrackerInfo};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The maximum number of trackers in a cluster.
pub const MAX_TRACKERS: usize = 5;

/// Interval between two readings of the list of trackers.
const LISTING_INTERVAL: Duration = Duration::from_secs(1);
/// Interval between two look-ups of the addresses of the listed trackers.
const LOOK_UP_INTERVAL: Duration = Duration::from_secs(60);
/// How long the look-up of a host name may take.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause between two calls, and the longest one. The pause doubles after each call.
const CALL_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// A connection that lasted this long resets the pause to its first value.
const STABLE_AFTER: Duration = Duration::from_secs(5);
/// Stack size of a calling thread in bytes.
const STACK_BYTES: usize = 256 << 10;

/// The calling side of the connections to other trackers.
#[derive(Debug)]
pub(super) struct ReplicaConnections {
    context: Arc<CallContext>,
    stop: Stop,
    threads: Threads,
}

#[derive(Debug)]
struct CallContext {
    store: Arc<RegistryStore>,
    tls: ClusterTls,
    tracker_info: PathBuf,
    number: TrackerNumber,
    listed: ListedTrackers,
    /// Sockets of outgoing connections, so that `stop` can close them.
    outgoing: Mutex<BTreeMap<TrackerNumber, Arc<TcpStream>>>,
    names: HostNames,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("{0}")]
    TrackerInfo(String),
    #[error("cannot reach {0}: {1}")]
    Connect(SocketAddr, #[source] io::Error),
    #[error("the tracker at {0}: {1}")]
    Tls(SocketAddr, #[source] TlsError),
    #[error("the port of tracker {0} is not known yet")]
    NoPort(TrackerNumber),
}

impl ReplicaConnections {
    /// Starts to call the trackers whose numbers are lower than `number`, the number of this
    /// tracker. Also starts to follow changes of the list. `listed` receives the addresses and
    /// names of the listed trackers.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub(super) fn start(
        store: Arc<RegistryStore>,
        tls: ClusterTls,
        tracker_info: PathBuf,
        number: TrackerNumber,
        listed: ListedTrackers,
    ) -> io::Result<Self> {
        let context = Arc::new(CallContext {
            store,
            tls,
            tracker_info,
            number,
            listed,
            outgoing: Mutex::default(),
            names: HostNames::default(),
        });
        let stop = Stop::new();
        let (listing, stopping) = (Arc::clone(&context), stop.clone());
        let threads = Threads::default();
        let thread = thread::Builder::new().name("replicas".into());
        threads.start(thread, move || follow_list(&listing, &stopping))?;
        Ok(Self {
            context,
            stop,
            threads,
        })
    }

    /// Closes the connections and joins the threads.
    pub(super) fn stop(&self) {
        self.stop.stop();
        for socket in self.context.outgoing().values() {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        self.threads.wait();
    }
}

impl Drop for ReplicaConnections {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Serves a connection that another tracker opened, until it closes.
pub(super) fn serve_replica(store: &RegistryStore, stream: &TlsStream, address: SocketAddr) {
    log::debug!("a tracker calls from {address}");
    connection::serve(store, stream, address);
}

/// The numbers of the first `count` trackers.
pub(super) fn tracker_numbers(count: usize) -> Vec<TrackerNumber> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    (1..=count).filter_map(TrackerNumber::new).collect()
}

/// Follows the list of trackers, and starts a calling thread for each lower number. Runs on the
/// thread `replicas`.
fn follow_list(context: &Arc<CallContext>, stop: &Stop) {
    let mut calling: BTreeMap<TrackerNumber, JoinHandle<()>> = BTreeMap::new();
    let (mut count, mut last_look_up) = (ListedCount::new(context.listed.initial_count), None);
    loop {
        // If the list cannot be read, nothing is logged here: perhaps another program is just
        // writing it. If the problem lasts, the calling threads, if there are any, log it.
        let info = context.info().ok();
        let listed = info.as_ref().map(|info| info.addresses.len());
        let listed = listed.filter(|listed| (1..=MAX_TRACKERS).contains(listed));
        if let Some(new_count) = count.on_read(listed) {
            context.store.set_listed(tracker_numbers(new_count));
        }
        // If the number in the file is not the number that is used, another program may be writing
        // the file now. Then the names and addresses in the file are not used.
        if let Some(info) = info.filter(|info| count.used == Some(info.addresses.len())) {
            context.update_names_and_addresses(&info.addresses, &mut last_look_up);
        }
        for number in tracker_numbers(count.used.unwrap_or_default()) {
            if number >= context.number || calling.contains_key(&number) {
                continue;
            }
            let (context, stop) = (Arc::clone(context), stop.clone());
            let thread = thread::Builder::new()
                .name(format!("replica-call-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || call_repeatedly(&context, number, &stop));
            match thread {
                Ok(thread) => drop(calling.insert(number, thread)),
                Err(error) => log::warn!("cannot start a thread to call tracker {number}: {error}"),
            }
        }
        if stop.wait(LISTING_INTERVAL) {
            break;
        }
    }
    for thread in calling.into_values() {
        let _ = thread.join();
    }
}

/// The number of listed trackers, from repeated readings of TRACKER_INFO. While another program
/// rewrites the file, the file may be short for a moment. If the number became smaller because of
/// that, a tracker would lose its connection. So a smaller number is used only after two readings
/// in a row have returned it.
#[derive(Debug)]
struct ListedCount {
    /// The number that is used now.
    used: Option<usize>,
    /// What the last reading returned: `None` if the file was unusable.
    last_read: Option<usize>,
}

impl ListedCount {
    /// `used` trackers were listed when this tracker started.
    fn new(used: usize) -> Self {
        Self {
            used: Some(used),
            last_read: None,
        }
    }

    /// Handles what a reading returned: `None` if the file is unusable. If another number is used
    /// from now on, returns that number.
    fn on_read(&mut self, read: Option<usize>) -> Option<usize> {
        let is_repeated = read == std::mem::replace(&mut self.last_read, read);
        let is_larger = read > self.used;
        let new = read.filter(|_| read != self.used && (is_larger || is_repeated))?;
        self.used = Some(new);
        self.used
    }
}

/// Calls one tracker again and again, until `stop`.
fn call_repeatedly(context: &CallContext, number: TrackerNumber, stop: &Stop) {
    let mut pause = CALL_PAUSE.0;
    let (mut last_trouble, mut was_connected) = (String::new(), false);
    while !stop.is_stopped() {
        match context.call(number, stop) {
            Ok(open_for) => {
                last_trouble.clear();
                was_connected = true;
                if open_for >= STABLE_AFTER {
                    pause = CALL_PAUSE.0;
                }
            }
            Err(error) => {
                let trouble = error.to_string();
                if trouble != last_trouble {
                    // The loss of a tracker that was connected is already in the log.
                    let level = match error {
                        CallError::Connect(..) | CallError::Tls(_, TlsError::Handshake(_))
                            if was_connected =>
                        {
                            log::Level::Debug
                        }
                        CallError::Connect(..) | CallError::NoPort(_) => log::Level::Info,
                        CallError::TrackerInfo(_) | CallError::Tls(..) => log::Level::Warn,
                    };
                    log::log!(level, "no connection to tracker {number}: {trouble}");
                    last_trouble = trouble;
                }
            }
        }
        if stop.wait(pause) {
            return;
        }
        pause = (pause * 2).min(CALL_PAUSE.1);
    }
}

impl CallContext {
    /// Calls a tracker, and serves the connection until it closes. Returns how long it was open.
    fn call(&self, number: TrackerNumber, stop: &Stop) -> Result<Duration, CallError> {
        let info = self.info()?;
        let list_error = |error: &dyn Display| CallError::TrackerInfo(error.to_string());
        let tracker = info
            .address(number.get())
            .map_err(|error| list_error(&error))?;
        if tracker.port == 0 {
            return Err(CallError::NoPort(number));
        }
        let found = self.names.addresses(tracker, LOOK_UP_TIMEOUT);
        let found = found.map_err(|error| list_error(&format!("{tracker}: {error}")))?;
        let mut last_error = list_error(&format!("{tracker} has no address"));
        for address in found {
            let socket = match connect_within(address, CONNECT_TIMEOUT) {
                Ok(socket) => Arc::new(socket),
                Err(error) => {
                    last_error = CallError::Connect(address, error);
                    continue;
                }
            };
            self.outgoing().insert(number, Arc::clone(&socket));
            if stop.is_stopped() {
                return Ok(Duration::ZERO);
            }
            match self
                .tls
                .connect(socket, ConnectionPurpose::Replica, HANDSHAKE_TIMEOUT)
            {
                Ok(stream) => {
                    let begun = Instant::now();
                    connection::serve(&self.store, &stream, address);
                    self.outgoing().remove(&number);
                    return Ok(begun.elapsed());
                }
                Err(error) => last_error = CallError::Tls(address, error),
            }
            self.outgoing().remove(&number);
        }
        Err(last_error)
    }

    /// Updates the names of the listed trackers. Also looks up their addresses, if the list has
    /// changed, or if the last look-up was [`LOOK_UP_INTERVAL`] ago.
    fn update_names_and_addresses(
        &self,
        trackers: &[HostPort],
        last_look_up: &mut Option<(Vec<HostPort>, Instant)>,
    ) {
        let hosts = trackers.iter().map(|tracker| tracker.host.as_str());
        self.listed.names.set_listed(hosts);
        let is_recent = last_look_up.as_ref().is_some_and(|(before, at)| {
            before.as_slice() == trackers && at.elapsed() < LOOK_UP_INTERVAL
        });
        if is_recent {
            return;
        }
        let found = trackers
            .iter()
            .filter_map(|tracker| self.names.addresses(tracker, LOOK_UP_TIMEOUT).ok());
        let found = found.flatten().map(|address| address.ip());
        self.listed.addresses.set(found);
        *last_look_up = Some((trackers.to_vec(), Instant::now()));
    }

    fn info(&self) -> Result<TrackerInfo, CallError> {
        let path = self.tracker_info.display();
        let unusable = |error: &dyn Display| CallError::TrackerInfo(format!("{path}: {error}"));
        let text = std::fs::read_to_string(&self.tracker_info).map_err(|error| unusable(&error))?;
        text.parse().map_err(|error| unusable(&error))
    }

    fn outgoing(&self) -> MutexGuard<'_, BTreeMap<TrackerNumber, Arc<TcpStream>>> {
        lock(&self.outgoing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_short_for_a_moment_drops_no_tracker() {
        let mut count = ListedCount::new(2);
        for (read, new) in [
            (Some(1), None),
            (None, None),
            (Some(2), None),
            (Some(1), None),
            (Some(2), None),
            (None, None),
            (Some(1), None),
            (None, None),
            (Some(1), None),
            (Some(1), Some(1)),
            (Some(3), Some(3)),
            (Some(1), None),
            (Some(2), None),
            (Some(2), Some(2)),
        ] {
            assert_eq!(count.on_read(read), new, "{read:?}");
        }
    }
}
