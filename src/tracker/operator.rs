//! An operator's line: somebody who has proved that it holds the cluster's key asks a running tracker for a backup.
//!
//! In scope: both ends of the line. Out of scope: what a backup looks like (`storage`), and the proof (`net`).

use super::store::RegistryStore;
use crate::net::{
    ClusterTls, FrameIoError, FrameReader, Purpose, TlsError, TlsStream, write_frame,
};
use crate::storage::{BackupError, read_backup};
use crate::wire::control::{ControlError, Line, MAX_FRAME};
use crate::wire::operator::{MAX_PART, Message};
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long its handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a frame may take to arrive or to be taken.
const FRAME: Duration = Duration::from_secs(30);

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The tracker cannot be reached.
    #[error("cannot reach the tracker at {0}: {1}; is it running?")]
    Connect(SocketAddr, #[source] io::Error),
    /// It is none of this cluster, or does not take our key for its cluster's.
    #[error("the tracker at {0}: {1}")]
    Tls(SocketAddr, #[source] TlsError),
    /// The line broke.
    #[error("the line to the tracker broke: {0}")]
    Frame(#[from] FrameIoError),
    /// What came is no message, or not the one that is due.
    #[error("the tracker sent no backup: {0}")]
    Message(#[from] ControlError),
    /// It came out of turn.
    #[error("the tracker answered something else than a backup; it may be of another version")]
    OtherAnswer,
    /// The tracker refuses.
    #[error("{0}")]
    Refused(Line),
    /// The file cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What came is not whole.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// Serves an operator's line until it ends.
pub(super) fn serve_operator(store: &RegistryStore, stream: &TlsStream, from: SocketAddr) {
    match answer(store, stream) {
        Ok(()) => log::info!("a backup was taken from {from}"),
        Err(error) => log::warn!("the operator's line of {from} ended: {error}"),
    }
    stream.finish(FRAME);
    stream.hang_up();
}

fn answer(store: &RegistryStore, stream: &TlsStream) -> Result<(), OperatorError> {
    let mut reader = FrameReader::new(stream, MAX_FRAME);
    match Message::decode(reader.next(FRAME, FRAME)?)? {
        Message::Backup => {}
        _ => return Err(OperatorError::OtherAnswer),
    }
    let mut parts = Parts {
        stream,
        waiting: Vec::with_capacity(MAX_PART),
    };
    let last = match store.back_up(&mut parts) {
        Ok(()) => Message::End,
        Err(error) => {
            log::error!("no backup: {error}");
            Message::Refused(Line::new(&format!("the tracker cannot make one: {error}")))
        }
    };
    Ok(write_frame(stream, &last.encode(), MAX_FRAME, FRAME)?)
}

/// Sends what is written to it, a part at a time.
struct Parts<'a> {
    stream: &'a TlsStream,
    waiting: Vec<u8>,
}

impl Write for Parts<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.waiting.len() == MAX_PART {
            self.flush()?;
        }
        let room = MAX_PART - self.waiting.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.waiting.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let part = Message::Part(std::mem::replace(
            &mut self.waiting,
            Vec::with_capacity(MAX_PART),
        ));
        write_frame(self.stream, &part.encode(), MAX_FRAME, FRAME).map_err(io::Error::other)
    }
}

/// Asks the tracker at `address` for a backup, and puts it whole into `file` (mode 0600), in place of one that is there.
/// Gives its length in bytes.
///
/// # Errors
/// See [`OperatorError`]; the file is as it was.
pub fn fetch_backup(
    tls: &ClusterTls,
    address: SocketAddr,
    file: &Path,
) -> Result<u64, OperatorError> {
    let connected = TcpStream::connect_timeout(&address, CONNECT);
    let socket = connected.map_err(|error| OperatorError::Connect(address, error))?;
    let stream = tls.connect(Arc::new(socket), Purpose::Operator, HANDSHAKE);
    let stream = stream.map_err(|error| OperatorError::Tls(address, error))?;
    let fetched = fetch(&stream, file);
    stream.hang_up();
    fetched
}

fn fetch(stream: &TlsStream, path: &Path) -> Result<u64, OperatorError> {
    let unwritten = |source| OperatorError::File {
        path: path.to_owned(),
        source,
    };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let file = Unnamed::in_folder(folder).map_err(unwritten)?;
    write_frame(stream, &Message::Backup.encode(), MAX_FRAME, FRAME)?;
    let mut reader = FrameReader::new(stream, MAX_FRAME);
    let mut length = 0u64;
    loop {
        match Message::decode(reader.next(FRAME, FRAME)?)? {
            Message::Part(bytes) => {
                file.as_file().write_all(&bytes).map_err(unwritten)?;
                length = length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            }
            Message::End => break,
            Message::Refused(reason) => return Err(OperatorError::Refused(reason)),
            Message::Backup => return Err(OperatorError::OtherAnswer),
        }
    }
    file.as_file().sync_all().map_err(unwritten)?;
    // It is taken for one only if it can be read as one.
    read_backup(&file.path())?;
    file.place(path).map_err(unwritten)?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(unwritten)?;
    Ok(length)
}

/// A file that has no name until it is whole, so that nothing is left of it however the process ends. Where the file system
/// has no such files, it has a name of its own, and is removed unless the process is killed.
enum Unnamed {
    Unlinked(File),
    Named(tempfile::NamedTempFile),
}

impl Unnamed {
    /// A new one of mode 0600.
    fn in_folder(folder: &Path) -> io::Result<Self> {
        let unlinked = File::options()
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(OFlag::O_TMPFILE.bits())
            .open(folder);
        match unlinked {
            Ok(file) => Ok(Self::Unlinked(file)),
            // Of a file system or a kernel without them.
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

    /// Where it can be opened.
    fn path(&self) -> PathBuf {
        match self {
            Self::Unlinked(file) => format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
            Self::Named(file) => file.path().to_owned(),
        }
    }

    /// Gives it its name, in place of a file that has it.
    fn place(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Unlinked(_) => {
                // A link replaces nothing, a rename does: between the two it stands whole under another name.
                let mut new = path.as_os_str().to_owned();
                new.push(".new");
                let new = PathBuf::from(new);
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
    fn a_backup_under_way_has_no_name_and_takes_the_place_of_the_last_one() {
        let folder = tempfile::tempdir().unwrap();
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.collect::<Vec<_>>()
        };
        let path = folder.path().join("backup");
        for text in ["first", "second"] {
            // Left by one that was killed between the two steps.
            fs::write(folder.path().join("backup.new"), "old").unwrap();
            let file = Unnamed::in_folder(folder.path()).unwrap();
            file.as_file().write_all(text.as_bytes()).unwrap();
            if let Unnamed::Unlinked(_) = file {
                assert!(names().len() <= 2, "{:?}", names());
            }
            assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
            file.place(&path).unwrap();
            assert_eq!(names(), ["backup"]);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        // One that comes to nothing leaves nothing.
        drop(Unnamed::in_folder(folder.path()).unwrap());
        assert_eq!(names(), ["backup"]);
    }
}
