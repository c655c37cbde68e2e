//! Which cluster of trackers a peer trusts: the one that TRACKER_INFO pins, otherwise the one of
//! the first connection (trust on first use).
//!
//! In scope: opening a TLS connection to a tracker, and refusing a tracker of another cluster
//! before any data is sent. Out of scope: the data.

use crate::certificate::Fingerprint;
use crate::net::{TlsError, TlsStream, connect_tls, connect_within};
use crate::storage::{KnownCluster, KnownClusterError};
use crate::system::cause;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Time limit of the TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Decides which trackers are trusted.
pub struct Trust<'a> {
    pinned: Option<Fingerprint>,
    known: KnownCluster,
    first_use: &'a (dyn Fn(FirstUse<'_>) + Sync),
}

/// The first connection to a cluster. Its fingerprint has been stored.
#[derive(Clone, Copy, Debug)]
pub struct FirstUse<'a> {
    /// The tracker.
    pub address: SocketAddr,
    /// The fingerprint of the tracker's cluster.
    pub fingerprint: Fingerprint,
    /// The file in which the fingerprint is stored.
    pub path: &'a Path,
}

/// Why a control connection cannot be opened. No data was sent over it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TrustError {
    /// The tracker cannot be reached.
    #[error("cannot reach the tracker at {address}: {}", cause(.source))]
    Connect {
        /// The tracker's address.
        address: SocketAddr,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// The TLS connection failed. For example, the handshake took too long, the other side is not a
    /// tracker, or its certificate is not valid.
    #[error("the TLS connection to the tracker at {address} failed: {source}")]
    Tls {
        /// The tracker's address.
        address: SocketAddr,
        /// The error.
        source: Arc<TlsError>,
    },
    /// The tracker's fingerprint is not the one that TRACKER_INFO pins.
    #[error(
        "the tracker at {address} has the fingerprint {found}, but TRACKER_INFO pins {expected}: nothing was sent to it; \
         if the cluster's key was replaced on purpose, correct the fingerprint line"
    )]
    Pinned {
        /// The tracker's address.
        address: SocketAddr,
        /// The pinned fingerprint.
        expected: Fingerprint,
        /// The tracker's fingerprint.
        found: Fingerprint,
    },
    /// The tracker's fingerprint is not the one that was stored at first use.
    #[error(
        "the tracker at {address} has the fingerprint {found}, but {expected} was stored at first use: nothing was sent to \
         it, because it may be an impostor; if the operator confirms that the cluster's key was replaced, remove {}",
        .path.display()
    )]
    Changed {
        /// The tracker's address.
        address: SocketAddr,
        /// The stored fingerprint.
        expected: Fingerprint,
        /// The tracker's fingerprint.
        found: Fingerprint,
        /// The file in which the fingerprint is stored.
        path: PathBuf,
    },
    /// The stored fingerprint cannot be read or written.
    #[error(transparent)]
    FingerprintFile(Arc<KnownClusterError>),
}

impl<'a> Trust<'a> {
    /// Trusts the `pinned` fingerprint of TRACKER_INFO, otherwise the one stored in the state
    /// folder. If none is stored, trusts the first tracker, stores its fingerprint and calls
    /// `first_use`.
    pub fn new(
        pinned: Option<Fingerprint>,
        folder: &Path,
        first_use: &'a (dyn Fn(FirstUse<'_>) + Sync),
    ) -> Self {
        Self {
            pinned,
            known: KnownCluster::new(folder),
            first_use,
        }
    }

    /// Opens a TLS connection to a tracker of the trusted cluster.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn connect(&self, address: SocketAddr) -> Result<TlsStream, TrustError> {
        self.connect_within(address, CONNECT_TIMEOUT, HANDSHAKE_TIMEOUT)
    }

    /// Like [`Trust::connect`], with other time limits.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn connect_within(
        &self,
        address: SocketAddr,
        connect_timeout: Duration,
        handshake_timeout: Duration,
    ) -> Result<TlsStream, TrustError> {
        let expected = self.expected()?;
        let (stream, found) = self.open(address, expected, connect_timeout, handshake_timeout)?;
        if expected.is_none() {
            self.store_first(address, found)?;
        }
        Ok(stream)
    }

    /// Like [`Trust::connect_within`], but stores nothing at first use. Also returns the
    /// fingerprint of the tracker's cluster.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub(super) fn inspect(
        &self,
        address: SocketAddr,
        connect_timeout: Duration,
        handshake_timeout: Duration,
    ) -> Result<(TlsStream, Fingerprint), TrustError> {
        let expected = self.expected()?;
        self.open(address, expected, connect_timeout, handshake_timeout)
    }

    /// The pinned fingerprint, or the stored one. `None` before the first use.
    pub(super) fn expected(&self) -> Result<Option<Fingerprint>, TrustError> {
        match self.pinned {
            Some(pinned) => Ok(Some(pinned)),
            None => self.known.load().map_err(fingerprint_file_error),
        }
    }

    fn open(
        &self,
        address: SocketAddr,
        expected: Option<Fingerprint>,
        connect_timeout: Duration,
        handshake_timeout: Duration,
    ) -> Result<(TlsStream, Fingerprint), TrustError> {
        let connected = connect_within(address, connect_timeout);
        let socket = connected.map_err(|source| TrustError::Connect {
            address,
            source: Arc::new(source),
        })?;
        let opened = connect_tls(Arc::new(socket), expected, handshake_timeout);
        opened.map_err(|error| match (error, self.pinned) {
            (TlsError::OtherCluster { expected, found }, Some(_)) => TrustError::Pinned {
                address,
                expected,
                found,
            },
            (TlsError::OtherCluster { expected, found }, None) => {
                self.changed_error(address, expected, found)
            }
            (error, _) => TrustError::Tls {
                address,
                source: Arc::new(error),
            },
        })
    }

    fn store_first(&self, address: SocketAddr, found: Fingerprint) -> Result<(), TrustError> {
        // Another connection may have stored a fingerprint in the meantime.
        let first = self.known.store_first(found);
        let first = first.map_err(fingerprint_file_error)?;
        if first != found {
            return Err(self.changed_error(address, first, found));
        }
        log::info!(
            "{address} is the first tracker of this peer; its cluster {found} is trusted from now on"
        );
        (self.first_use)(FirstUse {
            address,
            fingerprint: found,
            path: self.known.path(),
        });
        Ok(())
    }

    fn changed_error(
        &self,
        address: SocketAddr,
        expected: Fingerprint,
        found: Fingerprint,
    ) -> TrustError {
        TrustError::Changed {
            address,
            expected,
            found,
            path: self.known.path().to_owned(),
        }
    }
}

impl TrustError {
    /// Whether a later attempt may succeed without any change by a person.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Tls { .. })
    }
}

fn fingerprint_file_error(error: KnownClusterError) -> TrustError {
    TrustError::FingerprintFile(Arc::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{IncomingConnection, OnThreads, PlaceLimits, Server, tls_testing};
    use std::net::TcpListener;
    use std::sync::Mutex;

    /// A tracker of a new cluster. It only accepts the TLS handshake.
    fn tracker() -> Server {
        let tls = tls_testing::server();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::start(
            "test",
            listener,
            PlaceLimits::fixed(10, 10),
            256 << 10,
            OnThreads::new(HANDSHAKE_TIMEOUT, move |incoming: IncomingConnection| {
                let _ = tls.accept(incoming.stream, HANDSHAKE_TIMEOUT);
            }),
        );
        server.unwrap()
    }

    #[test]
    fn only_the_cluster_of_the_first_connection_is_trusted_unless_another_is_pinned() {
        let (ours, other) = (tracker(), tracker());
        let folder = tempfile::tempdir().unwrap();
        let reported = Mutex::new(Vec::new());
        let first_use = |first: FirstUse<'_>| reported.lock().unwrap().push(first.fingerprint);
        let trust = |pinned| Trust::new(pinned, folder.path(), &first_use);
        trust(None).connect(ours.address()).unwrap();
        trust(None).connect(ours.address()).unwrap();
        let first = reported.lock().unwrap()[0];
        let error = trust(None).connect(other.address()).unwrap_err();
        let (expected, found) = match &error {
            TrustError::Changed {
                expected, found, ..
            } => (*expected, *found),
            other => panic!("{other}"),
        };
        assert!(expected == first && found != first && !error.is_transient());
        let message = error.to_string();
        for part in [
            expected.to_string(),
            found.to_string(),
            "cluster_fingerprint".into(),
        ] {
            assert!(message.contains(&part), "{message}");
        }
        // A pin is a person's decision, so it overrides the stored fingerprint.
        trust(Some(found)).connect(other.address()).unwrap();
        let error = trust(Some(found)).connect(ours.address()).unwrap_err();
        assert!(matches!(error, TrustError::Pinned { .. }), "{error}");
        trust(None).connect(ours.address()).unwrap();
        assert_eq!(reported.lock().unwrap().len(), 1, "reported once");
    }

    #[test]
    fn a_damaged_fingerprint_file_is_an_error_and_no_first_use() {
        let folder = tempfile::tempdir().unwrap();
        let first_use = |_: FirstUse<'_>| panic!("the tracker was trusted");
        let trust = Trust::new(None, folder.path(), &first_use);
        std::fs::write(KnownCluster::new(folder.path()).path(), "x").unwrap();
        let error = trust.connect(tracker().address()).unwrap_err();
        assert!(matches!(error, TrustError::FingerprintFile(_)), "{error}");
    }
}
