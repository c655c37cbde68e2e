//! A whole tracker: the registry, access rights, replication, HTTP, control connections and UDP on
//! one port.
//!
//! In scope: assembling the parts, and the order in which they end. Out of scope: what each part
//! does, arguments, signals, and output to the user.
//!
//! # The end
//! 1. Requests that wait for a password check are answered, and their control connections close.
//! 2. The replica connections close, and no write waits for another tracker any longer.
//! 3. The port and all connections are closed, and the open swarms are saved.
//! 4. The registry's threads end once everything is on the disk.

use super::access::{AccessSettings, OperatorAccess, Registrar, serve_peer};
use super::{
    AnnouncePolicy, Endpoint, EndpointOptions, NewKey, NodeError, RegistryStore,
    ReplicaConnections, RunningFile, ServeTls, StoreOptions, SwarmLimits, TlsService, Tracker,
    TrackerOptions, numbers, serve_operator, serve_replica,
};
use crate::certificate::Fingerprint;
use crate::net::{ConnectionPurpose, Stop};
use crate::storage::{Database, SwarmsFile, restore_cluster};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Interval between two searches for silent peers in the swarms of groups.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// Options of a tracker.
#[derive(Debug)]
pub struct NodeOptions {
    /// Its address, its number and its cluster.
    pub endpoint: EndpointOptions,
    /// Number of trackers in the list.
    pub listed: usize,
    /// The file that lists the trackers. It is read repeatedly. Without it there are no other
    /// trackers.
    pub tracker_info: Option<PathBuf>,
    /// Whether it serves at once with any data: the operator guarantees that no other tracker has
    /// newer data.
    pub alone: bool,
    /// A backup that replaces the registry in the state folder.
    pub restore: Option<PathBuf>,
    /// Settings of accounts and groups.
    pub access: AccessSettings,
    /// Whether it serves open swarms.
    pub open: bool,
    /// The limits of open swarms.
    pub limits: SwarmLimits,
}

/// A running tracker. Dropping it stops it.
pub struct Node {
    store: Arc<RegistryStore>,
    registrar: Arc<Registrar>,
    replicas: Option<ReplicaConnections>,
    tracker: Tracker,
    stop: Stop,
    _running: RunningFile,
}

impl Node {
    /// Starts a tracker. Calls `introduce` with its address and its cluster's fingerprint when it
    /// is ready to serve, before it serves.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn start(
        options: NodeOptions,
        introduce: impl FnOnce(SocketAddr, Fingerprint),
    ) -> Result<Self, NodeError> {
        let (settings, open, limits) = (options.access, options.open, options.limits);
        let mut endpoint = options.endpoint;
        let backup = options.restore.map(|backup| {
            let backup = Database::read_backup_for(&endpoint.folder, &backup)?;
            // If the backup has no key, the tracker does not make a new one either.
            if endpoint.new_key == NewKey::WithoutRegistry {
                endpoint.new_key = NewKey::Never;
            }
            restore_cluster(&endpoint.key, &backup)?;
            Ok::<_, NodeError>(backup)
        });
        let backup = backup.transpose()?;
        let endpoint = Endpoint::open(endpoint)?;
        if let Some(backup) = &backup {
            Database::restore(&endpoint.folder, backup)?;
        }
        drop(backup);
        let store_options = StoreOptions {
            number: endpoint.number,
            listed: numbers(options.listed),
            alone: options.alone,
        };
        let store = Arc::new(RegistryStore::open(&endpoint.folder, store_options)?);
        let registrar = Registrar::start(Arc::clone(&store), &endpoint.cluster, settings);
        let registrar = Arc::new(registrar.map_err(NodeError::Thread)?);
        let running = RunningFile::create(&endpoint);
        introduce(endpoint.address, endpoint.cluster.fingerprint());
        let tracker = Tracker::start(TrackerOptions {
            number: endpoint.number.get(),
            udp: endpoint.udp,
            swarms: Some(SwarmsFile::new(&endpoint.folder)),
            interval: settings.announce_interval,
            access: match open {
                true => AnnouncePolicy::Open,
                false => AnnouncePolicy::NotOpen,
            },
            tls_service: Some(TlsService {
                tls: endpoint.tls,
                serve: serve_tls(&store, &registrar),
            }),
            cluster: Some(Arc::clone(&store)),
            stop: endpoint.stop.clone(),
            limits,
            ..TrackerOptions::new(endpoint.listener)
        })?;
        let replicas = options.tracker_info.map(|info| {
            ReplicaConnections::start(
                Arc::clone(&store),
                endpoint.replica_tls,
                info,
                endpoint.number,
            )
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

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.tracker.address()
    }

    /// The operator's interface to the accounts.
    pub fn operator(&self) -> OperatorAccess {
        self.registrar.operator()
    }

    /// Serves until the stop flag is raised, then ends everything. Removes silent peers of groups
    /// meanwhile.
    pub fn run(&self) {
        while !self.stop.wait(EXPIRY_INTERVAL) {
            self.registrar.expire();
        }
        self.stop();
    }

    /// Ends everything in the order that the documentation of this module lists. Returns when
    /// everything has ended.
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

/// Serves TLS connections, each by its purpose.
fn serve_tls(store: &Arc<RegistryStore>, registrar: &Arc<Registrar>) -> ServeTls {
    let (store, registrar) = (Arc::clone(store), Arc::clone(registrar));
    Box::new(move |connection, from, purpose| match purpose {
        ConnectionPurpose::Peer => serve_peer(&registrar, connection, from),
        ConnectionPurpose::Replica => serve_replica(&store, connection, from),
        ConnectionPurpose::Operator => serve_operator(&store, connection, from),
    })
}
