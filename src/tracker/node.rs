//! A whole tracker: its registry, who may have what, the other trackers, HTTP, control lines and UDP on one port.
//!
//! In scope: putting the parts together, and the order in which they end. Out of scope: what each part does; arguments,
//! signals, and what a person sees.
//!
//! # The end
//! 1. Those who wait for a password to be checked are answered, and their lines end.
//! 2. The lines to other trackers end, and no write waits for them any more.
//! 3. The port is closed, and all connections end; the open swarms are saved.
//! 4. The registry's threads end once all is on the disk.

use super::access::{Operator, Registrar, Terms, serve_peer};
use super::{
    Access, Endpoint, EndpointOptions, NodeError, Options, RegistryStore, ReplicaConnections,
    RunningFile, ServeTls, StoreOptions, TlsService, Tracker, numbers, serve_operator,
    serve_replica,
};
use crate::certificate::Fingerprint;
use crate::net::{Purpose, Stop};
use crate::storage::{Database, SwarmsFile};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often silent peers of groups' swarms are looked for.
const EXPIRE: Duration = Duration::from_secs(1);

/// How a tracker runs.
#[derive(Debug)]
pub struct NodeOptions {
    /// Where, and as which tracker of which cluster.
    pub endpoint: EndpointOptions,
    /// The number of trackers that are listed.
    pub listed: usize,
    /// The file that lists them, which is read again and again; without it there are no others.
    pub tracker_info: Option<PathBuf>,
    /// Whether it serves at once, whatever its data: the operator says that no other tracker has newer ones.
    pub alone: bool,
    /// A backup that takes the place of the state folder's registry.
    pub restore: Option<PathBuf>,
    /// What it grants.
    pub terms: Terms,
    /// Whether it serves open swarms.
    pub open: bool,
}

/// A running tracker. It ends when it is dropped, if not before.
pub struct Node {
    store: Arc<RegistryStore>,
    registrar: Arc<Registrar>,
    replicas: Option<ReplicaConnections>,
    tracker: Tracker,
    stop: Stop,
    _running: RunningFile,
}

impl Node {
    /// Starts a tracker. `introduce` is called with its address and its cluster once it can serve and
    /// before it does.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn start(
        options: NodeOptions,
        introduce: impl FnOnce(SocketAddr, Fingerprint),
    ) -> Result<Self, NodeError> {
        let (terms, open) = (options.terms, options.open);
        let endpoint = Endpoint::open(options.endpoint)?;
        if let Some(backup) = &options.restore {
            Database::restore(&endpoint.folder, backup)?;
        }
        let position = StoreOptions {
            number: endpoint.number,
            listed: numbers(options.listed),
            alone: options.alone,
        };
        let store = Arc::new(RegistryStore::open(&endpoint.folder, position)?);
        let registrar = Registrar::start(Arc::clone(&store), &endpoint.cluster, terms);
        let registrar = Arc::new(registrar.map_err(NodeError::Thread)?);
        let running = RunningFile::leave(&endpoint);
        introduce(endpoint.address, endpoint.cluster.fingerprint());
        let tracker = Tracker::start(Options {
            number: endpoint.number.get(),
            udp: endpoint.udp,
            swarms: Some(SwarmsFile::new(&endpoint.folder)),
            interval: terms.interval,
            access: match open {
                true => Access::Open,
                false => Access::NotOpen,
            },
            tls_service: Some(TlsService {
                tls: endpoint.tls,
                serve: control(&store, &registrar),
            }),
            cluster: Some(Arc::clone(&store)),
            stop: endpoint.stop.clone(),
            ..Options::new(endpoint.listener)
        })?;
        let replicas = options.tracker_info.map(|info| {
            ReplicaConnections::start(Arc::clone(&store), endpoint.members, info, endpoint.number)
                .map_err(NodeError::Thread)
        });
        Ok(Self {
            store,
            registrar,
            replicas: replicas.transpose()?,
            tracker,
            stop: endpoint.stop,
            _running: running,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.tracker.address()
    }

    /// What its operator works with.
    pub fn operator(&self) -> Operator {
        self.registrar.operator()
    }

    /// Serves until the stop flag is raised, then ends everything. Drops silent peers of groups meanwhile.
    pub fn run(&self) {
        while !self.stop.wait(EXPIRE) {
            self.registrar.expire();
        }
        self.stop();
    }

    /// Ends everything, in the order above; returns when it has ended.
    pub fn stop(&self) {
        self.stop.stop();
        self.registrar.stop();
        if let Some(replicas) = &self.replicas {
            replicas.stop();
        }
        self.store.close_connections();
        self.tracker.stop();
        self.store.stop();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Serves control lines, each by its purpose.
fn control(store: &Arc<RegistryStore>, registrar: &Arc<Registrar>) -> ServeTls {
    let (store, registrar) = (Arc::clone(store), Arc::clone(registrar));
    Box::new(move |connection, from, purpose| match purpose {
        Purpose::Peer => serve_peer(&registrar, connection, from),
        Purpose::Twin => serve_replica(&store, connection, from),
        Purpose::Operator => serve_operator(&store, connection, from),
    })
}
