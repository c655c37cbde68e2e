//! One connection to another tracker, from the end of its handshake to its close.

use crate::net::{FrameIoError, FrameReader, TlsStream, write_frame};
use crate::torrent::InfoHash;
use crate::tracker::outbox::ConnectionReadError;
use crate::tracker::replication::{IDLE_TIMEOUT, ReplicaConnectionId};
use crate::tracker::store::{Outgoing, RegistryStore, ReplicaOutbox};
use crate::wire::control::MAX_FRAME;
use crate::wire::replica::ReplicaMessage;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How long the socket may be silent. The store closes a silent connection before that, after
/// [`IDLE_TIMEOUT`].
const SOCKET_IDLE_TIMEOUT: Duration = IDLE_TIMEOUT.saturating_mul(2);
/// The longest pause within a received frame. Sending a frame may take this time, and more if the
/// frame is long.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// Rate of the slowest useful connection. A long frame may take the time that it needs at this
/// rate.
const MIN_BYTES_PER_SECOND: usize = 4 << 10;
/// Stack size of a writing thread in bytes.
const STACK_BYTES: usize = 128 << 10;

/// Serves a connection until it closes. Reads on the calling thread and writes on a thread
/// `replica-write`.
pub(super) fn serve(store: &RegistryStore, stream: &TlsStream, address: SocketAddr) {
    let outbox = Arc::new(ReplicaOutbox::default());
    let reader = ConnectionReader {
        store,
        connection: store.on_connected(&outbox),
        outbox: &outbox,
        stream,
    };
    thread::scope(|scope| {
        // This closure owns the reader. So the reader is dropped when reading ends, and that ends
        // the writer.
        let reader = reader;
        let writer = thread::Builder::new()
            .name("replica-write".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || write(store, stream, &outbox));
        match writer.map(|_| reader.read()) {
            Ok(Ok(())) => log::debug!("the connection to the tracker at {address} has closed"),
            // The store logs what the lost connection means to the operator.
            Ok(Err(error)) => {
                log::debug!("the connection to the tracker at {address} has failed: {error}")
            }
            Err(error) => log::warn!(
                "cannot start a thread for the connection to the tracker at {address}: {error}"
            ),
        }
    });
    stream.hang_up();
}

/// Reads a connection. When reading ends, even by a panic, this notifies the store and ends the
/// writer.
struct ConnectionReader<'a> {
    store: &'a RegistryStore,
    connection: ReplicaConnectionId,
    outbox: &'a ReplicaOutbox,
    stream: &'a TlsStream,
}

impl ConnectionReader<'_> {
    fn read(&self) -> Result<(), ConnectionReadError> {
        let mut reader = FrameReader::new(self.stream, MAX_FRAME);
        loop {
            let on_progress = || self.store.on_bytes(self.connection);
            let message =
                match reader.next_with_progress(SOCKET_IDLE_TIMEOUT, FRAME_TIMEOUT, on_progress) {
                    Err(FrameIoError::Closed) => return Ok(()),
                    body => ReplicaMessage::decode(body?)?,
                };
            self.store.on_message(self.connection, message);
        }
    }
}

impl Drop for ConnectionReader<'_> {
    fn drop(&mut self) {
        self.store.on_disconnected(self.connection);
        self.outbox.close_and_clear();
        // The writer may be blocked in a frame that the other end does not read.
        self.stream.hang_up();
    }
}

/// Writes messages from the outbox until it is closed, then closes the connection.
fn write(store: &RegistryStore, stream: &TlsStream, outbox: &ReplicaOutbox) {
    while let Some(outgoing) = outbox.next() {
        let message = match outgoing {
            Outgoing::Message(message) => Some(message),
            Outgoing::Blob(info_hash, offset) => blob(store, info_hash, offset),
        };
        let Some(message) = message else { break };
        let body = message.encode();
        let seconds = u64::try_from(body.len() / MIN_BYTES_PER_SECOND).unwrap_or(u64::MAX);
        let limit = FRAME_TIMEOUT.saturating_add(Duration::from_secs(seconds));
        if let Err(error) = write_frame(stream, &body, MAX_FRAME, limit) {
            log::debug!("cannot write to a tracker: {error}");
            break;
        }
    }
    outbox.close_and_clear();
    stream.hang_up();
}

/// The requested part of a blob (an info dictionary), or `NoBlob` if the store does not have the
/// blob. `None` if the blob cannot be read or has no such part.
fn blob(store: &RegistryStore, info_hash: InfoHash, offset: u32) -> Option<ReplicaMessage> {
    let bytes = store.info(info_hash).map_err(|error| {
        log::error!("cannot read the info dictionary {info_hash}: {error}");
    });
    let part = ReplicaMessage::blob(info_hash, offset, bytes.ok()?.as_deref()).map_err(|error| {
        log::info!("a tracker requested a part of {info_hash} that does not exist: {error}");
    });
    part.ok()
}
