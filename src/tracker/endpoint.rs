//! Where a tracker listens, and how it proves which cluster it is of.
//!
//! In scope: binding the port, the cluster's key and the certificates that follow from it, the file that tells an operator
//! on this machine where the tracker runs. Out of scope: what is served there.

use super::{OpenError, TrackerError, bind, bind_with_udp};
use crate::certificate::{Authority, CertificateError, Fingerprint};
use crate::net::{ClusterTls, Stop, TRACKER_NAME, TlsError, TlsServer};
use crate::storage::{
    CLUSTER_WAIT, ClusterError, RestoreError, RunningTracker, make_or_open_cluster,
    wait_for_cluster,
};
use crate::wire::HostPort;
use crate::wire::replica::TrackerNumber;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;

/// Where a tracker is to listen, and as which tracker of which cluster.
#[derive(Debug)]
pub struct EndpointOptions {
    /// Its number. Number 1 makes the cluster's key if there is none; others wait for it.
    pub number: TrackerNumber,
    /// The address to bind.
    pub address: HostPort,
    /// Whether it listens over UDP too.
    pub udp: bool,
    /// Its state folder.
    pub folder: PathBuf,
    /// The file with the cluster's key.
    pub key: PathBuf,
    /// The fingerprint that the cluster must have.
    pub pinned: Option<Fingerprint>,
    /// Ends the tracker when raised, whoever raises it.
    pub stop: Stop,
}

/// Why a tracker cannot run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Its port cannot be had, or it cannot be served.
    #[error(transparent)]
    Tracker(#[from] TrackerError),
    /// The bound socket has no address.
    #[error("cannot listen on {address}: {source}")]
    Address {
        /// The address asked for.
        address: HostPort,
        /// What the system says.
        source: io::Error,
    },
    /// The cluster's key cannot be had.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It is another cluster than the one that is pinned.
    #[error(
        "{} has the fingerprint {found}, but TRACKER_INFO pins {pinned}: put the key of that cluster there, or \
         correct the fingerprint line", .key.display()
    )]
    OtherCluster {
        /// The file with the key.
        key: PathBuf,
        /// The fingerprint of that key.
        found: Fingerprint,
        /// The one that is pinned.
        pinned: Fingerprint,
    },
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
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// A bound port and the cluster that it is of.
pub(super) struct Endpoint {
    pub(super) number: TrackerNumber,
    pub(super) listener: TcpListener,
    pub(super) udp: Option<UdpSocket>,
    pub(super) address: SocketAddr,
    pub(super) cluster: Authority,
    /// For lines between trackers.
    pub(super) members: ClusterTls,
    /// For all lines that come in.
    pub(super) tls: TlsServer,
    pub(super) folder: PathBuf,
    pub(super) key: PathBuf,
    pub(super) stop: Stop,
}

impl Endpoint {
    /// Binds the port, then takes the cluster's key.
    pub(super) fn open(options: EndpointOptions) -> Result<Self, NodeError> {
        let EndpointOptions {
            number,
            address,
            udp,
            folder,
            key,
            pinned,
            stop,
        } = options;
        let (listener, udp) = match udp {
            true => bind_with_udp(&address).map(|(listener, udp)| (listener, Some(udp)))?,
            false => (bind(&address)?, None),
        };
        let bound = listener.local_addr();
        let address = bound.map_err(|source| NodeError::Address { address, source })?;
        let cluster = match number {
            TrackerNumber::MIN => make_or_open_cluster(&key)?,
            _ => wait_for_cluster(&key, CLUSTER_WAIT, |pause| stop.wait(pause))?,
        };
        let found = cluster.fingerprint();
        if let Some(pinned) = pinned.filter(|pinned| *pinned != found) {
            return Err(NodeError::OtherCluster { key, found, pinned });
        }
        let identity = cluster.issue(TRACKER_NAME)?;
        let members = ClusterTls::new(&identity)?;
        let tls = TlsServer::new(identity)?.with_cluster(&members)?;
        Ok(Self {
            number,
            listener,
            udp,
            address,
            cluster,
            members,
            tls,
            folder,
            key,
            stop,
        })
    }
}

/// The file that says where a tracker runs, until this is dropped.
#[derive(Debug)]
pub(super) struct RunningFile(PathBuf);

impl RunningFile {
    pub(super) fn leave(endpoint: &Endpoint) -> Self {
        let running = RunningTracker {
            address: endpoint.address,
            cluster: endpoint.key.clone(),
        };
        if let Err(error) = running.store(&endpoint.folder) {
            log::warn!("no backup can be asked for: {error}");
        }
        Self(endpoint.folder.clone())
    }
}

impl Drop for RunningFile {
    fn drop(&mut self) {
        RunningTracker::remove(&self.0);
    }
}
