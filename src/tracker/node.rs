//! A whole tracker: the registry, access rights, replication, HTTP, control connections and UDP on
//! one port.
//!
//! In scope: assembling the parts, and the order in which they end. Out of scope: what each part
//! does, arguments, signals, and output to the user.
//!
//! # Order of a stop
//! 1. Requests that wait for a password check are answered, and their control connections close.
//! 2. The replica connections close, and no write waits for another tracker any longer. The thread
//!    that sends hints ends.
//! 3. The port and all connections are closed, and the open swarms and the mirrors are saved.
//! 4. The registry's threads end once everything is on the disk.

use super::access::{AccessSettings, ControlSession, OperatorAccess, Registrar};
use super::{
    AcceptedTls, Admission, AnnouncePolicy, Endpoint, EndpointOptions, ListedTrackers, NewKey,
    NodeError, RegistryStore, ReplicaConnections, RunningFile, ServeTls, ServedBy, StoreOptions,
    SwarmLimits, TlsService, Tracker, TrackerOptions, max_connections, serve_operator,
    serve_replica, tracker_numbers,
};
use crate::certificate::Fingerprint;
use crate::net::{ConnectionPurpose, Stop, TlsStream};
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
    /// The number of trackers that TRACKER_INFO lists.
    pub tracker_count: usize,
    /// The file that lists the trackers. It is read repeatedly. Without it there are no other
    /// trackers.
    pub tracker_info: Option<PathBuf>,
    /// Whether it serves at once, whatever data it has: the operator guarantees that no other
    /// tracker has newer data.
    pub alone: bool,
    /// A backup that replaces the registry in the state folder.
    pub restore: Option<PathBuf>,
    /// Settings of accounts and groups.
    pub access: AccessSettings,
    /// Whether it serves open swarms.
    pub open: bool,
    /// The limits of open swarms.
    pub limits: SwarmLimits,
    /// The most connections; `None` for a default that follows from the limit on descriptors.
    pub max_connections: Option<usize>,
    /// Names by which HTTP clients may call it, besides those in TRACKER_INFO.
    pub host_names: Vec<String>,
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
    /// Starts a tracker. Calls `introduce` with its address and its cluster's fingerprint just
    /// before it begins to serve.
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
            // The key comes from the backup, unless the operator wants a new cluster.
            if endpoint.new_key != NewKey::Wanted {
                endpoint.new_key = NewKey::Never;
                restore_cluster(&endpoint.key, &backup)?;
            }
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
            listed: tracker_numbers(options.tracker_count),
            alone: options.alone,
        };
        let store = Arc::new(RegistryStore::open(&endpoint.folder, store_options)?);
        let (cluster, folder) = (&endpoint.cluster, &endpoint.folder);
        let registrar = Registrar::start(Arc::clone(&store), cluster, folder, settings);
        let registrar = Arc::new(registrar.map_err(NodeError::Thread)?);
        let running = RunningFile::create(&endpoint);
        introduce(endpoint.address, endpoint.cluster.fingerprint());
        let listed = ListedTrackers::new(options.tracker_count, &options.host_names);
        let admission = admission(options.max_connections, &listed);
        let tracker = Tracker::start(TrackerOptions {
            number: endpoint.number.get(),
            udp: endpoint.udp,
            swarms_file: Some(SwarmsFile::new(&endpoint.folder)),
            interval: settings.announce_interval,
            access: policy(open),
            tls_service: Some(TlsService {
                tls: endpoint.tls,
                serve: serve_tls(&store, &registrar),
            }),
            store: Some(Arc::clone(&store)),
            admission,
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
                listed,
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

    /// Removes silent peers of groups, and saves the mirrors, at intervals until the stop flag is
    /// raised. Then ends everything.
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
        self.store.close_replica_connections();
        self.registrar.wait_for_hints();
        self.tracker.stop();
        self.registrar.save();
        self.store.stop();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The limits on connections. Addresses in `listed` may use the reserved places.
fn admission(wanted: Option<usize>, listed: &ListedTrackers) -> Admission {
    let addresses = Arc::clone(&listed.addresses);
    Admission::new(max_connections(wanted))
        .trusting(move |ip| addresses.contains(ip))
        .with_names(&listed.names)
}

/// Which peers may announce in open swarms.
fn policy(is_open: bool) -> AnnouncePolicy {
    match is_open {
        true => AnnouncePolicy::Open,
        false => AnnouncePolicy::NotOpen,
    }
}

/// The function that serves an accepted TLS connection. The purpose of the connection decides how.
fn serve_tls(store: &Arc<RegistryStore>, registrar: &Arc<Registrar>) -> ServeTls {
    let (store, registrar) = (Arc::clone(store), Arc::clone(registrar));
    Box::new(move |accepted| {
        let AcceptedTls {
            tls,
            from,
            purpose,
            handle,
        } = accepted;
        let serve: fn(&RegistryStore, &TlsStream, SocketAddr) = match purpose {
            ConnectionPurpose::Peer => {
                let session = ControlSession::new(&registrar, tls, from, handle);
                return ServedBy::Session(Box::new(session));
            }
            ConnectionPurpose::Replica => serve_replica,
            ConnectionPurpose::Operator => serve_operator,
        };
        let (store, stream) = (Arc::clone(&store), tls.into_stream());
        ServedBy::Thread(Box::new(move || serve(&store, &stream, from)))
    })
}
