//! The port of a tracker and its identity in the cluster.
//!
//! In scope: binding the port, the cluster's key and the certificates derived from it, and the file
//! by which an operator on this machine finds the running tracker. Out of scope: what the port
//! serves.

use super::{OpenError, TrackerError, bind, bind_with_udp};
use crate::certificate::{Authority, CertificateError, Fingerprint};
use crate::net::{ClusterTls, Stop, TRACKER_NAME, TlsError, TlsServer};
use crate::storage::{
    CLUSTER_FILE, CLUSTER_WAIT, ClusterError, Database, RestoreError, RunningTracker, make_cluster,
    make_or_open_cluster, wait_for_cluster,
};
use crate::system::cause;
use crate::wire::HostPort;
use crate::wire::replica::TrackerNumber;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

/// Address, number and cluster of a tracker.
#[derive(Debug)]
pub struct EndpointOptions {
    /// Its number. Tracker 1 creates the cluster's key if there is none; the others wait for it.
    pub number: TrackerNumber,
    /// The address to bind.
    pub address: HostPort,
    /// Whether it also listens over UDP.
    pub udp: bool,
    /// Its state folder.
    pub folder: PathBuf,
    /// The file with the cluster's key.
    pub key: PathBuf,
    /// Whether it may make that file.
    pub new_key: NewKey,
    /// The fingerprint that the cluster must have, if pinned.
    pub pinned: Option<Fingerprint>,
    /// Stops the tracker when raised.
    pub stop: Stop,
}

/// Whether a tracker may make the key of a new cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewKey {
    /// Tracker 1 may, if its state folder has no registry.
    OnlyWithoutRegistry,
    /// Tracker 1 must: the operator wants a new cluster.
    Wanted,
    /// It may not, because it restores a backup of a cluster.
    Never,
}

/// Why a tracker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Its port cannot be bound or served.
    #[error(transparent)]
    Tracker(#[from] TrackerError),
    /// The bound socket has no address.
    #[error("cannot listen on {address}: {}", cause(.source))]
    Address {
        /// The requested address.
        address: HostPort,
        /// The system's error.
        source: io::Error,
    },
    /// The cluster's key cannot be created or read.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The key belongs to another cluster than the pinned one.
    #[error(
        "{} has the fingerprint {found}, but TRACKER_INFO pins {pinned}: put the key of the pinned \
         cluster into {}, or correct the fingerprint line in TRACKER_INFO",
        .key.display(), .key.display()
    )]
    OtherCluster {
        /// The file with the key.
        key: PathBuf,
        /// The fingerprint of that key.
        found: Fingerprint,
        /// The pinned fingerprint.
        pinned: Fingerprint,
    },
    /// The file with the key is gone, and the data belong to an existing cluster.
    #[error(
        "there is no {}, but there are data of an existing cluster: peers that know that cluster \
         refuse a tracker with another key; {} (or, for a new cluster with a new fingerprint, add \
         --new-cluster)",
        .key.display(), how_to_bring_back(.key, .folder)
    )]
    KeyLost {
        /// The file.
        key: PathBuf,
        /// The state folder.
        folder: PathBuf,
    },
    /// A tracker other than tracker 1 was started with `--new-cluster`.
    #[error(
        "tracker {0} makes no new cluster: start tracker 1 with --new-cluster, copy its cluster.pem \
         here, and start tracker {0} without --new-cluster"
    )]
    NewClusterElsewhere(TrackerNumber),
    /// No certificate can be issued.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The backup cannot be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The registry cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The system cannot start a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// What the operator does to restore the key of a cluster. If this tracker ran without TRACKER_INFO
/// before, its key is still in its state folder.
fn how_to_bring_back(key: &Path, folder: &Path) -> String {
    let in_folder = folder.join(CLUSTER_FILE);
    if in_folder != key && in_folder.exists() {
        return format!(
            "this tracker had the key {}: copy it to {}",
            in_folder.display(),
            key.display()
        );
    }
    "copy the file there with mode 0600, from another tracker or from where you keep a copy, or \
     restore a backup into an empty state folder"
        .to_owned()
}

/// A bound port and the identity of its tracker.
pub(super) struct Endpoint {
    pub(super) number: TrackerNumber,
    pub(super) listener: TcpListener,
    pub(super) udp: Option<UdpSocket>,
    pub(super) address: SocketAddr,
    pub(super) cluster: Authority,
    /// For replica connections.
    pub(super) replica_tls: ClusterTls,
    /// For all incoming TLS connections.
    pub(super) tls: TlsServer,
    pub(super) folder: PathBuf,
    pub(super) key: PathBuf,
    pub(super) stop: Stop,
}

impl Endpoint {
    /// Binds the port, then creates or reads the cluster's key.
    pub(super) fn open(options: EndpointOptions) -> Result<Self, NodeError> {
        let EndpointOptions {
            number,
            address,
            udp,
            folder,
            key,
            new_key,
            pinned,
            stop,
        } = options;
        let (listener, udp) = match udp {
            true => bind_with_udp(&address).map(|(listener, udp)| (listener, Some(udp)))?,
            false => (bind(&address)?, None),
        };
        let bound = listener.local_addr();
        let address = bound.map_err(|source| NodeError::Address { address, source })?;
        let is_first = number == TrackerNumber::MIN;
        let cluster = match new_key {
            NewKey::Wanted if is_first => make_cluster(&key)?,
            NewKey::Wanted => return Err(NodeError::NewClusterElsewhere(number)),
            NewKey::OnlyWithoutRegistry if is_first && !Database::is_in(&folder) => {
                make_or_open_cluster(&key)?
            }
            _ if is_first && !key.exists() => return Err(NodeError::KeyLost { key, folder }),
            _ => wait_for_cluster(&key, CLUSTER_WAIT, |pause| stop.wait(pause))?,
        };
        let found = cluster.fingerprint();
        if let Some(pinned) = pinned.filter(|pinned| *pinned != found) {
            return Err(NodeError::OtherCluster { key, found, pinned });
        }
        let identity = cluster.issue(TRACKER_NAME)?;
        let replica_tls = ClusterTls::new(&identity)?;
        let tls = TlsServer::new(identity)?.with_cluster(&replica_tls)?;
        Ok(Self {
            number,
            listener,
            udp,
            address,
            cluster,
            replica_tls,
            tls,
            folder,
            key,
            stop,
        })
    }
}

/// The file that says where the tracker runs. The file is deleted when this value is dropped.
#[derive(Debug)]
pub(super) struct RunningFile {
    folder: PathBuf,
}

impl RunningFile {
    pub(super) fn create(endpoint: &Endpoint) -> Self {
        let running = RunningTracker {
            address: endpoint.address,
            cluster: endpoint.key.clone(),
        };
        if let Err(error) = running.store(&endpoint.folder) {
            log::warn!("backups of this tracker are not possible while it runs: {error}");
        }
        Self {
            folder: endpoint.folder.clone(),
        }
    }
}

impl Drop for RunningFile {
    fn drop(&mut self) {
        RunningTracker::remove(&self.folder);
    }
}
