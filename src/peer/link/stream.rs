//! The byte stream of a link: a plain socket, or TLS between members of a group.

use super::batch::Batch;
use crate::net::TlsStream;
use crate::storage::{Store, StoreError, StoredSpan};
use nix::errno::Errno;
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{self, MsgFlags};
use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A flag that says that more bytes follow. With it, the kernel sends the header of a `piece`
/// message together with the first bytes of its block.
const MSG_MORE: MsgFlags = MsgFlags::from_bits_retain(nix::libc::MSG_MORE);
/// How long one TLS write may take. A remote peer that reads slowly is usually disconnected before
/// that, by the core (`Deadlines::unread`).
const WRITE_TIMEOUT: Duration = Duration::from_secs(150);

/// Why writing failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the file is shorter than when it was verified")]
    FileTooShort,
}

/// A connection that one thread reads while another thread writes.
#[derive(Debug)]
pub(crate) enum LinkStream {
    /// Plain BEP 3.
    Plain(Arc<TcpStream>),
    /// BEP 3 inside TLS.
    Group {
        /// The TLS stream.
        tls: Box<TlsStream>,
        /// The socket under it, which can be shut down while another thread uses the TLS stream.
        socket: Arc<TcpStream>,
    },
}

impl LinkStream {
    /// Closes both directions at once. Blocked reads and writes end.
    pub(super) fn shut(&self) {
        let _ = self.socket().shutdown(Shutdown::Both);
    }

    /// Disables Nagle's algorithm, because requests are small and urgent. Sets how long one read
    /// may block.
    pub(super) fn prepare(&self, wait: Duration) -> io::Result<()> {
        self.socket().set_nodelay(true)?;
        self.socket().set_read_timeout(Some(wait))
    }

    /// Reads once. A plain socket ignores `wait`: its limit was set by [`LinkStream::prepare`].
    pub(super) fn read(&self, room: &mut [u8], wait: Duration) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => (&**socket).read(room),
            Self::Group { tls, .. } => tls.read_until(room, Instant::now() + wait),
        }
    }

    /// Like [`LinkStream::read`], into several buffers.
    pub(super) fn read_vectored(
        &self,
        room: &mut [IoSliceMut<'_>],
        wait: Duration,
    ) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => (&**socket).read_vectored(room),
            Self::Group { tls, .. } => tls.read_vectored_until(room, Instant::now() + wait),
        }
    }

    /// Sends messages. Under TLS they may stay in `batch` until [`LinkStream::flush`].
    pub(super) fn write(&self, batch: &mut Batch, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => (&**socket).write_all(bytes),
            Self::Group { tls, .. } => {
                batch.append(bytes);
                batch.flush_if_full(|bytes| write_encrypted(tls, bytes))
            }
        }
    }

    /// Sends the bytes in `batch`.
    pub(super) fn flush(&self, batch: &mut Batch) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Group { tls, .. } => batch.flush(|bytes| write_encrypted(tls, bytes)),
        }
    }

    /// Sends the header of a `piece` message and then its block: `length` bytes of the share from
    /// `offset`. Fails if the files have changed since they were verified. On a plain link
    /// `sendfile` sends the block from the page cache, without reading it into this process. Under
    /// TLS the block is read into `batch`.
    pub(super) fn send_block(
        &self,
        batch: &mut Batch,
        header: &[u8],
        store: &Store,
        offset: u64,
        length: u64,
    ) -> Result<(), WriteError> {
        let spans = store.spans(offset, length)?;
        match self {
            Self::Plain(socket) => {
                let checked_span = |span: Result<StoredSpan, StoreError>| {
                    let span = span?;
                    store.check_span(&span)?;
                    Ok(span)
                };
                send_plain(socket, header, spans.map(checked_span))
            }
            Self::Group { tls, .. } => {
                batch.append(header);
                for span in spans {
                    let span = span?;
                    read_span(&span, batch)?;
                    // Checks after reading. An earlier check would miss a change between check and
                    // read.
                    store.check_span(&span)?;
                }
                Ok(batch.flush_if_full(|bytes| write_encrypted(tls, bytes))?)
            }
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) | Self::Group { socket, .. } => socket,
        }
    }
}

fn write_encrypted(tls: &TlsStream, bytes: &[u8]) -> io::Result<()> {
    tls.write_all_until(bytes, Instant::now() + WRITE_TIMEOUT)
}

fn read_span(span: &StoredSpan, batch: &mut Batch) -> Result<(), WriteError> {
    let (StoredSpan::Padding(length) | StoredSpan::File { length, .. }) = span;
    let room = batch.grow(usize::try_from(*length).unwrap_or(0));
    let StoredSpan::File { file, offset, .. } = span else {
        room.fill(0);
        return Ok(());
    };
    match file.read_exact_at(room, *offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(WriteError::FileTooShort),
        read => Ok(read?),
    }
}

fn send_plain(
    socket: &TcpStream,
    header: &[u8],
    spans: impl Iterator<Item = Result<StoredSpan, StoreError>>,
) -> Result<(), WriteError> {
    let mut sent = 0;
    while let Some(rest) = header.get(sent..).filter(|rest| !rest.is_empty()) {
        sent += retry_interrupted(|| socket::send(socket.as_raw_fd(), rest, MSG_MORE))?;
    }
    for span in spans {
        match span? {
            StoredSpan::Padding(length) => {
                let zeros = [0; 4096];
                let mut left = length;
                while left > 0 {
                    let part = left.min(zeros.len() as u64);
                    (&*socket).write_all(zeros.get(..part as usize).unwrap_or_default())?;
                    left -= part;
                }
            }
            StoredSpan::File {
                file,
                offset,
                length,
                ..
            } => {
                let sent = send_file(socket, &file, offset, length)?;
                copy_file(socket, &file, offset + sent, length - sent)?;
            }
        }
    }
    Ok(())
}

/// Sends bytes of a file by `sendfile`. Returns their number, which is smaller than `length` if the
/// file system does not support this call.
fn send_file(socket: &TcpStream, file: &File, offset: u64, length: u64) -> Result<u64, WriteError> {
    let mut at = i64::try_from(offset).map_err(|_| WriteError::FileTooShort)?;
    let mut left = length;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        match sendfile64(socket, file, Some(&mut at), most) {
            Ok(0) => return Err(WriteError::FileTooShort),
            Ok(sent) => left = left.saturating_sub(sent as u64),
            Err(Errno::EINTR) => {}
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => break,
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
    }
    Ok(length - left)
}

/// Sends bytes of a file through a buffer.
fn copy_file(
    mut socket: &TcpStream,
    file: &File,
    mut offset: u64,
    mut left: u64,
) -> Result<(), WriteError> {
    let mut buffer = [0; 16 << 10];
    while left > 0 {
        let length = left.min(buffer.len() as u64);
        let (part, _) = buffer.split_at_mut(length as usize);
        match file.read_exact_at(part, offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(WriteError::FileTooShort);
            }
            read => read?,
        }
        socket.write_all(part)?;
        offset += length;
        left -= length;
    }
    Ok(())
}

fn retry_interrupted(mut call: impl FnMut() -> nix::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}
