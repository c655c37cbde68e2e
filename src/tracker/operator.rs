//! The operator connection: an operator who has proved possession of the cluster's key requests a
//! backup from a running tracker.
//!
//! In scope: both ends of the connection. Out of scope: the format of a backup (`storage`) and the
//! proof (`net`).

use super::store::RegistryStore;
use crate::certificate::{Authority, CertificateError};
use crate::net::{
    ClusterTls, ConnectionPurpose, FrameIoError, FrameReader, TRACKER_NAME, TlsError, TlsStream,
    connect_within, write_frame,
};
use crate::storage::{
    BackupError, check_backup_name, check_output, read_backup, sync_folder, write_cluster,
};
use crate::system::cause;
use crate::wire::control::{ControlError, MAX_FRAME, TextLine};
use crate::wire::operator::{MAX_BACKUP_PART, OperatorMessage};
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long receiving or sending a frame may take.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a backup failed. The texts are written for the operator's end; the tracker only logs them.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The tracker cannot be reached.
    #[error("cannot reach the tracker at {0}: {cause}; is it running?", cause = cause(.1))]
    Connect(SocketAddr, #[source] io::Error),
    /// The tracker belongs to another cluster, or rejects our key.
    #[error("the tracker at {0}: {1}")]
    Tls(SocketAddr, #[source] TlsError),
    /// The connection failed.
    #[error("the connection to the tracker failed: {0}")]
    Frame(#[from] FrameIoError),
    /// The tracker sent an invalid message.
    #[error("the tracker sent no backup: {0}")]
    Message(#[from] ControlError),
    /// The other end sent a valid message at the wrong time.
    #[error("the tracker sent something else than a backup; it may run another version")]
    OtherAnswer,
    /// The tracker refused, for this reason.
    #[error("{0}")]
    Refused(TextLine),
    /// The backup file cannot be written.
    #[error("cannot write {}: {}", .path.display(), cause(.source))]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// No certificate can be issued with the cluster's key.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The received backup is not valid, or it would replace a file that is no backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// Serves an operator connection until it closes.
pub(super) fn serve_operator(store: &RegistryStore, stream: &TlsStream, from: SocketAddr) {
    match answer(store, stream) {
        Ok(()) => log::info!("an operator at {from} fetched a backup"),
        Err(error) => log::warn!("the operator connection of {from} failed: {error}"),
    }
    stream.finish(FRAME_TIMEOUT);
    stream.hang_up();
}

fn answer(store: &RegistryStore, stream: &TlsStream) -> Result<(), OperatorError> {
    let mut reader = FrameReader::new(stream, MAX_FRAME);
    match OperatorMessage::decode(reader.next(FRAME_TIMEOUT, FRAME_TIMEOUT)?)? {
        OperatorMessage::Backup => {}
        _ => return Err(OperatorError::OtherAnswer),
    }
    let mut parts = PartWriter {
        stream,
        unsent: Vec::with_capacity(MAX_BACKUP_PART),
    };
    let refusal = store
        .back_up(&mut parts)
        .err()
        .map(|error| TextLine::new(&format!("the tracker cannot make a backup: {error}")));
    let last_message = match &refusal {
        None => OperatorMessage::End,
        Some(reason) => OperatorMessage::Refused(reason.clone()),
    };
    write_frame(stream, &last_message.encode(), MAX_FRAME, FRAME_TIMEOUT)?;
    refusal.map_or(Ok(()), |reason| Err(OperatorError::Refused(reason)))
}

/// Sends the written bytes in parts.
struct PartWriter<'a> {
    stream: &'a TlsStream,
    unsent: Vec<u8>,
}

impl Write for PartWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.unsent.len() == MAX_BACKUP_PART {
            self.flush()?;
        }
        let room = MAX_BACKUP_PART - self.unsent.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.unsent.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let part = OperatorMessage::Part(std::mem::replace(
            &mut self.unsent,
            Vec::with_capacity(MAX_BACKUP_PART),
        ));
        write_frame(self.stream, &part.encode(), MAX_FRAME, FRAME_TIMEOUT).map_err(io::Error::other)
    }
}

/// Fetches a backup from the tracker at `address` and writes it to `file` (mode 0600). Replaces an
/// earlier backup, but no other file. The backup contains the key of the cluster, so that a
/// restored tracker belongs to the same cluster. Returns the length of the backup in bytes.
///
/// # Errors
/// See [`OperatorError`]. On an error, `file` is unchanged, unless the folder could not be synced
/// after the backup had been written.
pub fn fetch_backup(
    cluster: &Authority,
    address: SocketAddr,
    file: &Path,
) -> Result<u64, OperatorError> {
    let tls = ClusterTls::new(&cluster.issue(TRACKER_NAME)?)
        .map_err(|error| OperatorError::Tls(address, error))?;
    let connected = connect_within(address, CONNECT_TIMEOUT);
    let socket = connected.map_err(|error| OperatorError::Connect(address, error))?;
    let stream = tls.connect(
        Arc::new(socket),
        ConnectionPurpose::Operator,
        HANDSHAKE_TIMEOUT,
    );
    let stream = stream.map_err(|error| OperatorError::Tls(address, error))?;
    let fetched = fetch(&stream, &cluster.to_pem(), file);
    stream.hang_up();
    fetched
}

fn fetch(stream: &TlsStream, key: &str, path: &Path) -> Result<u64, OperatorError> {
    let write_error = |source| OperatorError::File {
        path: path.to_owned(),
        source,
    };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    check_output(path).map_err(write_error)?;
    check_names(path)?;
    let file = UnnamedFile::in_folder(folder).map_err(write_error)?;
    write_cluster(&mut file.as_file(), key).map_err(write_error)?;
    write_frame(
        stream,
        &OperatorMessage::Backup.encode(),
        MAX_FRAME,
        FRAME_TIMEOUT,
    )?;
    let mut reader = FrameReader::new(stream, MAX_FRAME);
    loop {
        match OperatorMessage::decode(reader.next(FRAME_TIMEOUT, FRAME_TIMEOUT)?)? {
            OperatorMessage::Part(bytes) => {
                file.as_file().write_all(&bytes).map_err(write_error)?;
            }
            OperatorMessage::End => break,
            OperatorMessage::Refused(reason) => return Err(OperatorError::Refused(reason)),
            OperatorMessage::Backup => return Err(OperatorError::OtherAnswer),
        }
    }
    file.as_file().sync_all().map_err(write_error)?;
    let length = file.as_file().metadata().map_err(write_error)?.len();
    // Only a readable backup may replace an earlier one.
    read_backup(&file.path())?;
    check_names(path)?;
    file.rename_to(path).map_err(write_error)?;
    sync_folder(folder).map_err(write_error)?;
    Ok(length)
}

/// Refuses a path if writing the backup would replace a file that is no backup.
fn check_names(path: &Path) -> Result<(), BackupError> {
    check_backup_name(path)?;
    check_backup_name(&name_in_between(path))
}

/// The name that the complete file may have for a moment, before it gets the name `path`.
fn name_in_between(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// A file that has no name until it is complete. If the process ends before that, nothing is left.
/// On a file system without unnamed files, the file has a temporary name; then a killed process
/// leaves it behind.
enum UnnamedFile {
    Unlinked(File),
    Named(tempfile::NamedTempFile),
}

impl UnnamedFile {
    /// Creates a file with mode 0600.
    fn in_folder(folder: &Path) -> io::Result<Self> {
        let unlinked = File::options()
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(OFlag::O_TMPFILE.bits())
            .open(folder);
        match unlinked {
            Ok(file) => Ok(Self::Unlinked(file)),
            // The file system or the kernel has no files without a name.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Unsupported | io::ErrorKind::IsADirectory
                ) =>
            {
                let named = tempfile::Builder::new()
                    .permissions(Permissions::from_mode(0o600))
                    .tempfile_in(folder)?;
                Ok(Self::Named(named))
            }
            Err(error) => Err(error),
        }
    }

    fn as_file(&self) -> &File {
        match self {
            Self::Unlinked(file) => file,
            Self::Named(file) => file.as_file(),
        }
    }

    /// A path by which the file can be opened.
    fn path(&self) -> PathBuf {
        match self {
            Self::Unlinked(file) => format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
            Self::Named(file) => file.path().to_owned(),
        }
    }

    /// Gives the file the name `path`. Replaces an existing file.
    fn rename_to(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Unlinked(_) => {
                // `linkat` cannot replace a file, `rename` can.
                let new = name_in_between(path);
                match fs::remove_file(&new) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                let flags = AtFlags::AT_SYMLINK_FOLLOW;
                linkat(AT_FDCWD, &self.path(), AT_FDCWD, &new, flags)?;
                fs::rename(&new, path).inspect_err(|_| drop(fs::remove_file(&new)))
            }
            Self::Named(file) => Ok(file.persist(path).map(drop)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_backup_has_no_name_and_a_finished_one_replaces_the_previous_one() {
        let folder = tempfile::tempdir().unwrap();
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.collect::<Vec<_>>()
        };
        let path = folder.path().join("backup");
        for text in ["first", "second"] {
            // As if a process had been killed between `linkat` and `rename`.
            fs::write(folder.path().join("backup.new"), "old").unwrap();
            let file = UnnamedFile::in_folder(folder.path()).unwrap();
            file.as_file().write_all(text.as_bytes()).unwrap();
            if let UnnamedFile::Unlinked(_) = file {
                assert!(names().len() <= 2, "{:?}", names());
            }
            assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
            file.rename_to(&path).unwrap();
            assert_eq!(names(), ["backup"]);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        // An unfinished backup leaves nothing.
        drop(UnnamedFile::in_folder(folder.path()).unwrap());
        assert_eq!(names(), ["backup"]);
    }
}
