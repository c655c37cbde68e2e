//! `cluster.pem`: the certificate and the private key that all trackers of a cluster have.
//!
//! In scope: making the file once, even if several trackers start at the same time; waiting for it;
//! refusing a file that is damaged or that other users can access. The file is never changed. Out
//! of scope: its contents (`certificate`), and the rule that tracker 1 makes it.

use super::backup::Backup;
use super::{FileError, whole_file};
use crate::certificate::{Authority, CLUSTER_AUTHORITY, CertificateError, Fingerprint};
use nix::fcntl::OFlag;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the file, next to TRACKER_INFO or in a tracker's state folder.
pub const CLUSTER_FILE: &str = "cluster.pem";
/// A tracker that does not make the file waits this long for it.
pub const CLUSTER_WAIT: Duration = Duration::from_secs(10);

/// At most this number of bytes of the file is read.
const MAX_FILE_LENGTH: u64 = 64 << 10;
/// Interval at which a waiting tracker looks for the file.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Why the cluster's key cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The file does not exist: tracker 1 has not made it, or it was not copied to this machine.
    #[error(
        "there is no {}: tracker 1 makes it at its first start; copy it here from tracker 1 with \
         mode 0600 (scp -p), or name another path with --cluster",
        .0.display()
    )]
    Missing(PathBuf),
    /// Other users of this machine may read or write the file.
    #[error(
        "other users can access {} (mode {mode:04o}), and anyone who has read it can act as a \
         tracker: if you are sure that no one has, run chmod 600 on it",
        .path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file does not contain a cluster's certificate and key, or was changed.
    #[error(
        "{} cannot be used: {source}; copy it again from another tracker (or move it away and \
         start tracker 1: that makes a new cluster, and all users must trust its new fingerprint)",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with its contents.
        source: CertificateError,
    },
    /// The path leads to a folder, a device or another special file.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The caller asked for a new cluster, but the file exists already.
    #[error(
        "{} exists, so there is no need for a new cluster: start without --new-cluster (or, for a \
         new cluster with a new fingerprint for all users, move the file away)",
        .0.display()
    )]
    Exists(PathBuf),
    /// Making a key failed.
    #[error("cannot make a key for {}: {source}", .path.display())]
    Key {
        /// The file that the key was for.
        path: PathBuf,
        /// The cause.
        source: CertificateError,
    },
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The keys in the file and in the backup are of different clusters.
    #[error(
        "{} has the fingerprint {found}, but the backup is of the cluster {backed_up}: to restore \
         that cluster, move the file away",
        .path.display()
    )]
    OtherThanBackup {
        /// The file.
        path: PathBuf,
        /// The fingerprint of its key.
        found: Fingerprint,
        /// The fingerprint of the key in the backup.
        backed_up: Fingerprint,
    },
    /// The key in the backup cannot be used.
    #[error("the cluster's key in the backup cannot be used: {0}; make another backup")]
    DamagedInBackup(CertificateError),
    /// The caller asked to stop during the wait.
    #[error("stopped while waiting for {}", .0.display())]
    Stopped(PathBuf),
}

/// Reads the cluster's authority from the file at `path`. Makes the file if it does not exist. If
/// several processes make it at the same time, one succeeds and all return the same authority.
///
/// # Errors
/// See [`ClusterError`]. An existing file is never changed.
pub fn make_or_open_cluster(path: &Path) -> Result<Authority, ClusterError> {
    if let Some(found) = open(path)? {
        return Ok(found);
    }
    match make_cluster(path) {
        Err(ClusterError::Exists(_)) => {
            open(path)?.ok_or_else(|| ClusterError::Missing(path.to_owned()))
        }
        made => made,
    }
}

/// Makes the file at `path` with the authority of a new cluster.
///
/// # Errors
/// See [`ClusterError`]. An existing file is never changed.
pub fn make_cluster(path: &Path) -> Result<Authority, ClusterError> {
    let authority = Authority::generate(CLUSTER_AUTHORITY).map_err(|source| ClusterError::Key {
        path: path.to_owned(),
        source,
    })?;
    match whole_file::create_new(path, authority.to_pem().as_bytes()) {
        Ok(()) => Ok(authority),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(ClusterError::Exists(path.to_owned()))
        }
        Err(error) => Err(FileError::at("make", path)(error).into()),
    }
}

/// Writes the cluster's key from a backup to the file at `path`, if that file does not exist.
/// Does nothing if the backup has no key: the previous version of this program wrote none.
///
/// # Errors
/// See [`ClusterError`]. An existing file is never changed.
pub fn restore_cluster(path: &Path, backup: &Backup) -> Result<(), ClusterError> {
    let Some(pem) = &backup.cluster else {
        return Ok(());
    };
    let authority = Authority::from_pem(pem).map_err(ClusterError::DamagedInBackup)?;
    let backed_up = authority.fingerprint();
    match open(path)?.map(|found| found.fingerprint()) {
        Some(found) if found == backed_up => Ok(()),
        Some(found) => Err(ClusterError::OtherThanBackup {
            path: path.to_owned(),
            found,
            backed_up,
        }),
        None => {
            let made = whole_file::create_new(path, authority.to_pem().as_bytes());
            Ok(made.map_err(FileError::at("make", path))?)
        }
    }
}

/// Waits up to `limit` for the file at `path` and reads the cluster's authority from it. `pause`
/// sleeps for the given time and returns whether the caller wants to stop.
///
/// # Errors
/// See [`ClusterError`]. An existing file is never changed.
pub fn wait_for_cluster(
    path: &Path,
    limit: Duration,
    mut pause: impl FnMut(Duration) -> bool,
) -> Result<Authority, ClusterError> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(found) = open(path)? {
            return Ok(found);
        }
        if waited >= limit {
            return Err(ClusterError::Missing(path.to_owned()));
        }
        if pause(CHECK_INTERVAL) {
            return Err(ClusterError::Stopped(path.to_owned()));
        }
        waited += CHECK_INTERVAL;
    }
}

/// Reads the cluster's authority from the file at `path`. Returns `None` if there is no such file.
fn open(path: &Path) -> Result<Option<Authority>, ClusterError> {
    let io = FileError::at("read", path);
    // Without this flag, opening a pipe would block.
    let opened = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io)?,
    };
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(ClusterError::NotAFile(path.to_owned()));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(ClusterError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Vec::new();
    file.take(MAX_FILE_LENGTH)
        .read_to_end(&mut text)
        .map_err(io)?;
    let read = Authority::from_pem(&text).map_err(|source| ClusterError::Damaged {
        path: path.to_owned(),
        source,
    });
    read.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn the_file_is_made_once_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CLUSTER_FILE);
        let made = make_or_open_cluster(&path).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = make_or_open_cluster(&path).unwrap();
        assert_eq!(again.fingerprint(), made.fingerprint());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn trackers_that_start_at_the_same_time_get_the_same_key() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(CLUSTER_FILE);
            let start = Barrier::new(5);
            let made: Vec<_> = thread::scope(|scope| {
                let make = || {
                    start.wait();
                    make_or_open_cluster(&path).unwrap().fingerprint()
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
                start.wait();
                // A waiting tracker never sees an incomplete file.
                let waiting = wait_for_cluster(&path, Duration::MAX, |_| false).unwrap();
                let mut made: Vec<_> = threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect();
                made.push(waiting.fingerprint());
                made
            });
            assert!(
                made.iter().all(|fingerprint| *fingerprint == made[0]),
                "{made:?}"
            );
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn waiting_ends_at_the_limit_or_when_asked_to_stop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CLUSTER_FILE);
        let mut waited = Duration::ZERO;
        let error = wait_for_cluster(&path, CLUSTER_WAIT, |pause| {
            waited += pause;
            false
        });
        let message = error.unwrap_err().to_string();
        assert!(
            message.contains("scp -p") && message.contains("cluster.pem"),
            "{message}"
        );
        assert_eq!(waited, CLUSTER_WAIT);
        let stopped = wait_for_cluster(&path, CLUSTER_WAIT, |_| true);
        assert!(matches!(stopped, Err(ClusterError::Stopped(_))));
        let found = wait_for_cluster(&path, CLUSTER_WAIT, |_| {
            make_or_open_cluster(&path).unwrap();
            false
        });
        found.unwrap();
    }

    #[test]
    fn an_unusable_file_is_refused_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CLUSTER_FILE);
        let pem = Authority::generate(CLUSTER_AUTHORITY).unwrap().to_pem();
        let half = &pem[..pem.len() / 2];
        let error_for = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = make_or_open_cluster(&path).unwrap_err();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            let mode_after = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode_after & 0o777, mode);
            error
        };
        for mode in [0o644, 0o640, 0o602, 0o660] {
            let error = error_for(&pem, mode);
            assert!(matches!(error, ClusterError::Exposed { mode: found, .. } if found == mode));
            assert!(
                error.to_string().contains(&format!("{mode:04o}")),
                "{error}"
            );
        }
        for text in ["", "hello", half, &pem.repeat(2), &"x".repeat(1 << 20)] {
            let error = error_for(text, 0o600);
            assert!(matches!(error, ClusterError::Damaged { .. }), "{error}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        let error = make_or_open_cluster(&path).unwrap_err();
        assert!(matches!(error, ClusterError::NotAFile(_)), "{error}");
        let error = make_or_open_cluster(&folder.path().join("none/cluster.pem")).unwrap_err();
        assert!(
            matches!(error, ClusterError::Io(FileError { action: "make", .. })),
            "{error}"
        );
    }
}
