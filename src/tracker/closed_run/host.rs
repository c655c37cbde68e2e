//! The tracker around a closed run.
//!
//! In scope: its port, which connections it accepts, its end. Out of scope: the run itself.

use super::{RunOutcome, RunningRun};
use crate::certificate::Fingerprint;
use crate::net::{ConnectionPurpose, Stop, TlsStream};
use crate::tracker::accepting::TlsService;
use crate::tracker::endpoint::{Endpoint, EndpointOptions, NodeError, RunningFile};
use crate::tracker::place_limits::Admission;
use crate::tracker::server::{Tracker, TrackerOptions};
use crate::tracker::service::AnnouncePolicy;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The policy of a tracker with a closed run: it refuses all announces and scrapes.
pub const CLOSED_RUN_ONLY: AnnouncePolicy =
    AnnouncePolicy::Nothing("this tracker serves a closed run and nothing else");

/// The most connections of a run. Each has two threads.
const MAX_CLIENTS: usize = 2_000;
/// How long a thread that waits for the stop flag sleeps at a time. Raising the flag wakes it at
/// once.
const LONG_SLEEP: Duration = Duration::from_secs(3600);

/// Options of a closed run.
#[derive(Debug)]
pub struct RunOptions {
    /// The tracker's address and number.
    pub endpoint: EndpointOptions,
    /// Number of clients.
    pub expected: NonZeroU32,
    /// How long clients may take to report what they own.
    pub wait: Duration,
}

/// A tracker that serves a closed run and nothing else.
pub struct RunHost {
    run: Arc<RunningRun>,
    tracker: Tracker,
    stop: Stop,
    /// The thread that aborts the run when the stop flag is raised.
    abort_thread: JoinHandle<()>,
    _running_file: RunningFile,
}

impl RunHost {
    /// Starts the run. Raising the stop flag aborts it. Calls `introduce` with the address of the
    /// tracker and the fingerprint of its cluster before it accepts connections.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn start(
        options: RunOptions,
        introduce: impl FnOnce(SocketAddr, Fingerprint),
    ) -> Result<Self, NodeError> {
        let endpoint = Endpoint::open(options.endpoint)?;
        let running_file = RunningFile::create(&endpoint);
        let run = RunningRun::start(options.expected, options.wait);
        let run = Arc::new(run.map_err(NodeError::Thread)?);
        let (served_run, run_to_abort) = (Arc::clone(&run), Arc::clone(&run));
        let serve = move |connection: &TlsStream, from: SocketAddr, purpose| match purpose {
            ConnectionPurpose::Peer => served_run.serve(connection, from),
            ConnectionPurpose::Replica | ConnectionPurpose::Operator => connection.hang_up(),
        };
        introduce(endpoint.address, endpoint.cluster.fingerprint());
        let tracker = Tracker::start(TrackerOptions {
            number: endpoint.number.get(),
            access: CLOSED_RUN_ONLY,
            tls_service: Some(TlsService::on_threads(endpoint.tls, serve)),
            // The clients of a run often share one address, and have no accounts.
            admission: Admission::new(MAX_CLIENTS).without_accounts(),
            stop: endpoint.stop.clone(),
            ..TrackerOptions::new(endpoint.listener)
        })?;
        let (stop, stop_flag) = (endpoint.stop.clone(), endpoint.stop);
        let abort_thread = thread::Builder::new().name("stop".into()).spawn(move || {
            while !stop_flag.wait(LONG_SLEEP) {}
            run_to_abort.abort("the tracker was stopped");
        });
        Ok(Self {
            run,
            tracker,
            stop,
            abort_thread: abort_thread.map_err(NodeError::Thread)?,
            _running_file: running_file,
        })
    }

    /// Waits until the run has ended and its clients have been notified, then ends everything.
    pub fn wait_until_ended(self) -> RunOutcome {
        let outcome = self.run.wait_until_ended();
        self.tracker.stop();
        // Ends the thread. The run has ended already, so the thread aborts nothing.
        self.stop.stop();
        let _ = self.abort_thread.join();
        outcome
    }
}
