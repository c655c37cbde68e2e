//! `cluster.pem`: the certificate and key that all trackers of a cluster hold.
//!
//! In scope: making it once however many start at once, waiting for it, refusing one that others may read or that is
//! not whole. It is never changed. Out of scope: what is in it (`certificate`), and who makes it (tracker number 1).

use super::{FileError, whole_file};
use crate::certificate::{Authority, CLUSTER_AUTHORITY, CertificateError};
use nix::fcntl::OFlag;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file's name beside TRACKER_INFO, or in a tracker's state folder.
pub const CLUSTER_FILE: &str = "cluster.pem";
/// How long a tracker that does not make the file waits for it.
pub const CLUSTER_WAIT: Duration = Duration::from_secs(10);

/// The longest file that may be one, in bytes.
const LONGEST: u64 = 64 << 10;
/// The pause between two looks for the file.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a tracker does not have its cluster's key.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Nobody has made it, or it was not copied here.
    #[error("there is no {}: tracker 1 makes it at its first start; copy it from there to this place, with mode 0600 (scp -p), or name its place with --cluster", .0.display())]
    Missing(PathBuf),
    /// Others on this machine may read or write it.
    #[error("{} is open to others (mode {mode:04o}): whoever read it can pass for a tracker; if nobody did, chmod 600 it", .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no such file, or not as it was written.
    #[error("{} cannot be used: {source}; restore it from another tracker's copy (to begin a new cluster, whose fingerprint everybody must be told, move it away and start tracker 1)", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// A folder, a device or suchlike.
    #[error("{} is no regular file", .0.display())]
    NotAFile(PathBuf),
    /// No key can be made.
    #[error("cannot make a key for {}: {source}", .path.display())]
    Key {
        /// The file it was for.
        path: PathBuf,
        /// Why.
        source: CertificateError,
    },
    /// The system does not let it be read or written.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The caller asked to stop while it waited.
    #[error("stopped while waiting for {}", .0.display())]
    Stopped(PathBuf),
}

/// The cluster's authority in the file at `path`, made if it is not there. Of several that make it at once one does, and
/// all get the same.
///
/// # Errors
/// See [`ClusterError`]; a file that was there is as it was.
pub fn make_or_open_cluster(path: &Path) -> Result<Authority, ClusterError> {
    if let Some(found) = open(path)? {
        return Ok(found);
    }
    let made = Authority::generate(CLUSTER_AUTHORITY).map_err(|source| ClusterError::Key {
        path: path.to_owned(),
        source,
    })?;
    match whole_file::put_new(path, made.to_pem().as_bytes()) {
        Ok(()) => Ok(made),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            open(path)?.ok_or_else(|| ClusterError::Missing(path.to_owned()))
        }
        Err(error) => Err(FileError::at("make", path)(error).into()),
    }
}

/// The cluster's authority in the file at `path`, waited for up to `limit`. `pause` rests so long and says whether the
/// caller wants to stop.
///
/// # Errors
/// See [`ClusterError`]; a file that was there is as it was.
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
        if pause(PAUSE) {
            return Err(ClusterError::Stopped(path.to_owned()));
        }
        waited += PAUSE;
    }
}

/// What is there; `None` if nothing is.
fn open(path: &Path) -> Result<Option<Authority>, ClusterError> {
    let io = FileError::at("read", path);
    // A pipe must not hold this up.
    let opened = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io)?,
    };
    let about = file.metadata().map_err(io)?;
    if !about.is_file() {
        return Err(ClusterError::NotAFile(path.to_owned()));
    }
    let mode = about.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(ClusterError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).map_err(io)?;
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
    fn it_is_made_once_and_private() {
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
    fn many_that_make_it_at_once_end_with_one() {
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
                // One that waits never sees it half-written.
                let waiting = wait_for_cluster(&path, Duration::MAX, |_| false).unwrap();
                let mut made: Vec<_> = threads
                    .into_iter()
                    .map(|made| made.join().unwrap())
                    .collect();
                made.push(waiting.fingerprint());
                made
            });
            assert!(made.iter().all(|one| *one == made[0]), "{made:?}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn one_that_waits_gives_up_in_the_end_or_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CLUSTER_FILE);
        let mut rested = Duration::ZERO;
        let error = wait_for_cluster(&path, CLUSTER_WAIT, |pause| {
            rested += pause;
            false
        });
        let told = error.unwrap_err().to_string();
        assert!(
            told.contains("scp -p") && told.contains("cluster.pem"),
            "{told}"
        );
        assert_eq!(rested, CLUSTER_WAIT);
        let stopped = wait_for_cluster(&path, CLUSTER_WAIT, |_| true);
        assert!(matches!(stopped, Err(ClusterError::Stopped(_))));
        let found = wait_for_cluster(&path, CLUSTER_WAIT, |_| {
            make_or_open_cluster(&path).unwrap();
            false
        });
        found.unwrap();
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CLUSTER_FILE);
        let pem = Authority::generate(CLUSTER_AUTHORITY).unwrap().to_pem();
        let half = &pem[..pem.len() / 2];
        let with = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = make_or_open_cluster(&path).unwrap_err();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            let kept = path.metadata().unwrap().permissions().mode();
            assert_eq!(kept & 0o777, mode);
            error
        };
        for mode in [0o644, 0o640, 0o602, 0o660] {
            let error = with(&pem, mode);
            assert!(matches!(error, ClusterError::Exposed { mode: found, .. } if found == mode));
            assert!(
                error.to_string().contains(&format!("{mode:04o}")),
                "{error}"
            );
        }
        for text in ["", "hello", half, &pem.repeat(2), &"x".repeat(1 << 20)] {
            let error = with(text, 0o600);
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
