//! The tracker around a closed run.
//!
//! In scope: its port, who may speak there, its end. Out of scope: the run itself.

use super::{Outcome, RunningRun};
use crate::certificate::Fingerprint;
use crate::net::{Purpose, Stop, TlsStream};
use crate::tracker::endpoint::{Endpoint, EndpointOptions, NodeError, RunningFile};
use crate::tracker::server::{Options, TlsService, Tracker};
use crate::tracker::service::Access;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What a tracker that holds a closed run says to announces and scrapes.
pub const CLOSED_RUN_ONLY: Access =
    Access::Nothing("this tracker serves a closed run and nothing else");

/// How long a thread sleeps between two looks at nothing: the flag wakes it.
const LONG: Duration = Duration::from_secs(3600);

/// Which run is to be held, and where.
#[derive(Debug)]
pub struct RunOptions {
    /// Where, and as which tracker.
    pub endpoint: EndpointOptions,
    /// The number of clients.
    pub expected: NonZeroU32,
    /// How long they may take to report.
    pub wait: Duration,
}

/// A tracker that holds a closed run and serves nothing else.
pub struct RunHost {
    run: Arc<RunningRun>,
    tracker: Tracker,
    stop: Stop,
    aborting: JoinHandle<()>,
    _running: RunningFile,
}

impl RunHost {
    /// Starts the run. Raising the stop flag aborts it.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn start(
        options: RunOptions,
        introduce: impl FnOnce(SocketAddr, Fingerprint),
    ) -> Result<Self, NodeError> {
        let endpoint = Endpoint::open(options.endpoint)?;
        let running = RunningFile::create(&endpoint);
        let run = RunningRun::start(options.expected, options.wait);
        let run = Arc::new(run.map_err(NodeError::Thread)?);
        let (serving, aborted) = (Arc::clone(&run), Arc::clone(&run));
        let serve = move |line: &TlsStream, from: SocketAddr, purpose| match purpose {
            Purpose::Peer => serving.serve(line, from),
            Purpose::Twin | Purpose::Operator => line.hang_up(),
        };
        introduce(endpoint.address, endpoint.cluster.fingerprint());
        let tracker = Tracker::start(Options {
            number: endpoint.number.get(),
            access: CLOSED_RUN_ONLY,
            tls_service: Some(TlsService {
                tls: endpoint.tls,
                serve: Box::new(serve),
            }),
            stop: endpoint.stop.clone(),
            ..Options::new(endpoint.listener)
        })?;
        let (stop, raised) = (endpoint.stop.clone(), endpoint.stop);
        let aborting = thread::Builder::new().name("stop".into()).spawn(move || {
            while !raised.wait(LONG) {}
            aborted.abort("the tracker was stopped");
        });
        Ok(Self {
            run,
            tracker,
            stop,
            aborting: aborting.map_err(NodeError::Thread)?,
            _running: running,
        })
    }

    /// Waits until the run has ended and its clients know, then ends everything.
    pub fn wait_until_ended(self) -> Outcome {
        let outcome = self.run.wait_until_ended();
        self.tracker.stop();
        self.stop.stop();
        let _ = self.aborting.join();
        outcome
    }
}
