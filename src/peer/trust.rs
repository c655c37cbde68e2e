//! Which cluster a peer talks to: the one that TRACKER_INFO pins, else the one it talked to first.
//!
//! In scope: opening a line under TLS and refusing a tracker of another cluster before anything is
//! said to it. Out of scope: what is said then.

use crate::certificate::Fingerprint;
use crate::net::{TlsError, TlsStream, connect_tls};
use crate::storage::{KnownCluster, KnownClusterError};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a connection to a tracker may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long its handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What a peer goes by when it meets a tracker.
pub struct Trust<'a> {
    pinned: Option<Fingerprint>,
    known: KnownCluster,
    first_use: &'a (dyn Fn(FirstUse<'_>) + Sync),
}

/// A cluster was met for the first time, and stored.
#[derive(Clone, Copy, Debug)]
pub struct FirstUse<'a> {
    /// The tracker.
    pub address: SocketAddr,
    /// Its cluster.
    pub fingerprint: Fingerprint,
    /// Where that is stored.
    pub path: &'a Path,
}

/// Why there is no line to a tracker. Nothing was sent over it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be reached.
    #[error("cannot reach the tracker at {address}: {source}")]
    Connect {
        /// Where it should be.
        address: SocketAddr,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// It is no tracker, or shows no usable certificate.
    #[error("the tracker at {address} cannot be talked to: {source}")]
    Tls {
        /// Where it is.
        address: SocketAddr,
        /// What went wrong.
        source: Arc<TlsError>,
    },
    /// It is of another cluster than TRACKER_INFO says.
    #[error(
        "the tracker at {address} has the fingerprint {found}, but TRACKER_INFO pins {expected}: nothing was sent to it; \
         if the cluster's key was replaced on purpose, correct the fingerprint line"
    )]
    Pinned {
        /// Where it is.
        address: SocketAddr,
        /// What TRACKER_INFO says.
        expected: Fingerprint,
        /// What it shows.
        found: Fingerprint,
    },
    /// It is of another cluster than the one met first.
    #[error(
        "the tracker at {address} has the fingerprint {found}, but {expected} was stored at first use: nothing was sent to \
         it, as somebody may be passing for the tracker; if its owner says that the cluster's key was replaced, remove {}",
        .path.display()
    )]
    Changed {
        /// Where it is.
        address: SocketAddr,
        /// What was stored.
        expected: Fingerprint,
        /// What it shows.
        found: Fingerprint,
        /// Where the other was stored.
        path: PathBuf,
    },
    /// What was met first cannot be read or stored.
    #[error(transparent)]
    Known(Arc<KnownClusterError>),
}

impl<'a> Trust<'a> {
    /// Goes by what TRACKER_INFO pins, else by what is stored in the state folder; `first_use` is
    /// called once something was stored there.
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

    /// Opens a line to a tracker of the cluster that is trusted.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn connect(&self, address: SocketAddr) -> Result<TlsStream, TrustError> {
        self.connect_within(address, CONNECT, HANDSHAKE)
    }

    /// The same where connection and handshake may take these times.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn connect_within(
        &self,
        address: SocketAddr,
        connection: Duration,
        handshake: Duration,
    ) -> Result<TlsStream, TrustError> {
        let stored = match self.pinned {
            Some(_) => None,
            None => self.known.load().map_err(cluster_file_error)?,
        };
        let connected = TcpStream::connect_timeout(&address, connection);
        let socket = connected.map_err(|source| TrustError::Connect {
            address,
            source: Arc::new(source),
        })?;
        let changed = |expected, found| TrustError::Changed {
            address,
            expected,
            found,
            path: self.known.path().to_owned(),
        };
        let met = connect_tls(Arc::new(socket), self.pinned.or(stored), handshake);
        let (stream, fingerprint) = met.map_err(|error| match (error, self.pinned) {
            (TlsError::OtherCluster { expected, found }, Some(_)) => TrustError::Pinned {
                address,
                expected,
                found,
            },
            (TlsError::OtherCluster { expected, found }, None) => changed(expected, found),
            (error, _) => TrustError::Tls {
                address,
                source: Arc::new(error),
            },
        })?;
        if self.pinned.or(stored).is_none() {
            // Another line may have been opened meanwhile, to whomever.
            let first = self
                .known
                .store_first(fingerprint)
                .map_err(cluster_file_error)?;
            if first != fingerprint {
                return Err(changed(first, fingerprint));
            }
            log::info!("{address} is the first tracker met, of the cluster {fingerprint}");
            (self.first_use)(FirstUse {
                address,
                fingerprint,
                path: self.known.path(),
            });
        }
        Ok(stream)
    }
}

impl TrustError {
    /// Whether another try may go better without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Tls { .. })
    }
}

fn cluster_file_error(error: KnownClusterError) -> TrustError {
    TrustError::Known(Arc::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Caps, Incoming, Server, tls_testing};
    use std::net::TcpListener;
    use std::sync::Mutex;

    /// A tracker of a new cluster that says nothing.
    fn tracker() -> Server {
        let (tls, caps) = (
            tls_testing::server(),
            Caps {
                total: 10,
                per_address: 10,
            },
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::start(
            "test",
            listener,
            caps,
            256 << 10,
            HANDSHAKE,
            move |incoming: Incoming| {
                let _ = tls.accept(incoming.stream, HANDSHAKE);
            },
        );
        server.unwrap()
    }

    #[test]
    fn first_use_then_the_same_then_a_changed_one() {
        let (ours, other) = (tracker(), tracker());
        let folder = tempfile::tempdir().unwrap();
        let met = Mutex::new(Vec::new());
        let first_use = |first: FirstUse<'_>| met.lock().unwrap().push(first.fingerprint);
        let trust = |pinned| Trust::new(pinned, folder.path(), &first_use);
        trust(None).connect(ours.address()).unwrap();
        trust(None).connect(ours.address()).unwrap();
        let first = met.lock().unwrap()[0];
        let error = trust(None).connect(other.address()).unwrap_err();
        let (expected, found) = match &error {
            TrustError::Changed {
                expected, found, ..
            } => (*expected, *found),
            other => panic!("{other}"),
        };
        assert!(expected == first && found != first && !error.is_transient());
        let told = error.to_string();
        for part in [
            expected.to_string(),
            found.to_string(),
            "cluster_fingerprint".into(),
        ] {
            assert!(told.contains(&part), "{told}");
        }
        // A pin is what a person said; what was met first does not count beside it.
        trust(Some(found)).connect(other.address()).unwrap();
        let error = trust(Some(found)).connect(ours.address()).unwrap_err();
        assert!(matches!(error, TrustError::Pinned { .. }), "{error}");
        trust(None).connect(ours.address()).unwrap();
        assert_eq!(met.lock().unwrap().len(), 1, "told once");
    }

    #[test]
    fn what_is_stored_but_damaged_is_no_reason_to_trust_anybody() {
        let folder = tempfile::tempdir().unwrap();
        let first_use = |_: FirstUse<'_>| panic!("nobody was met");
        let trust = Trust::new(None, folder.path(), &first_use);
        std::fs::write(KnownCluster::new(folder.path()).path(), "x").unwrap();
        let error = trust.connect(tracker().address()).unwrap_err();
        assert!(matches!(error, TrustError::Known(_)), "{error}");
    }
}
