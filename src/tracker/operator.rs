//! An operator's line: somebody who has proved that it holds the cluster's key asks a running tracker for a backup.
//!
//! In scope: both ends of the line. Out of scope: what a backup looks like (`storage`), and the proof (`net`).

use super::keeper::Keeper;
use crate::net::{
    ClusterTls, FrameIoError, FrameReader, Purpose, TlsError, TlsStream, write_frame,
};
use crate::storage::{BackupError, read_backup};
use crate::wire::control::{ControlError, Line, MAX_FRAME};
use crate::wire::operator::{MAX_PART, Message};
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
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
pub fn serve_operator(keeper: &Keeper, stream: &TlsStream, from: SocketAddr) {
    match answer(keeper, stream) {
        Ok(()) => log::info!("a backup was taken from {from}"),
        Err(error) => log::warn!("the operator's line of {from} ended: {error}"),
    }
    stream.finish(FRAME);
    stream.hang_up();
}

fn answer(keeper: &Keeper, stream: &TlsStream) -> Result<(), OperatorError> {
    let mut reader = FrameReader::new(stream, MAX_FRAME);
    match Message::decode(reader.next(FRAME, FRAME)?)? {
        Message::Backup => {}
        _ => return Err(OperatorError::OtherAnswer),
    }
    let mut parts = Parts {
        stream,
        waiting: Vec::with_capacity(MAX_PART),
    };
    let last = match keeper.back_up(&mut parts) {
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
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .map_err(unwritten)?;
    write_frame(stream, &Message::Backup.encode(), MAX_FRAME, FRAME)?;
    let mut reader = FrameReader::new(stream, MAX_FRAME);
    let mut length = 0u64;
    loop {
        match Message::decode(reader.next(FRAME, FRAME)?)? {
            Message::Part(bytes) => {
                file.write_all(&bytes).map_err(unwritten)?;
                length = length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            }
            Message::End => break,
            Message::Refused(reason) => return Err(OperatorError::Refused(reason)),
            Message::Backup => return Err(OperatorError::OtherAnswer),
        }
    }
    file.as_file().sync_all().map_err(unwritten)?;
    // It is taken for one only if it can be read as one.
    read_backup(file.path())?;
    file.persist(path).map_err(|error| unwritten(error.error))?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(unwritten)?;
    Ok(length)
}
