//! One line to another tracker, from the moment both ends have proved that they hold the cluster's key to its end.

use crate::net::{FrameIoError, FrameReader, TlsStream, write_frame};
use crate::torrent::InfoHash;
use crate::tracker::outbox::LineError;
use crate::tracker::replication::{LineId, SILENCE};
use crate::tracker::store::{LineOutbox, Outgoing, RegistryStore};
use crate::wire::control::MAX_FRAME;
use crate::wire::replica::Message;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How long a line may be silent as far as its socket goes; the replica's own rule is stricter and closes it before.
const IDLE: Duration = SILENCE.saturating_mul(2);
/// How long a frame that has begun may pause, and at least how long one that is sent may take to be taken.
const FRAME: Duration = Duration::from_secs(10);
/// The slowest line that is of use, in bytes a second: a long frame may take as long as it needs on that.
const SLOWEST: usize = 4 << 10;
/// Bytes of stack of a writing thread.
const STACK: usize = 128 << 10;

/// Serves a line until it ends. Reads on the calling thread, writes on one called `twin-write`.
pub(super) fn serve(store: &RegistryStore, stream: &TlsStream, address: SocketAddr) {
    let outbox = Arc::new(LineOutbox::default());
    let reading = Reading {
        store,
        line: store.line_up(&outbox),
        outbox: &outbox,
        stream,
    };
    thread::scope(|scope| {
        let reading = reading;
        let writer = thread::Builder::new()
            .name("twin-write".into())
            .stack_size(STACK)
            .spawn_scoped(scope, || write(store, stream, &outbox));
        match writer.map(|_| reading.read()) {
            Ok(Ok(())) => log::debug!("the line of the tracker at {address} ended"),
            // What a split means to the operator is told by the replica, in one line.
            Ok(Err(error)) => log::debug!("the line of the tracker at {address} ended: {error}"),
            Err(error) => log::warn!("the line of the tracker at {address} has no thread: {error}"),
        }
    });
    stream.hang_up();
}

/// A line being read; when that ends, by a panic too, the replica knows and the line's writer ends.
struct Reading<'a> {
    store: &'a RegistryStore,
    line: LineId,
    outbox: &'a LineOutbox,
    stream: &'a TlsStream,
}

impl Reading<'_> {
    fn read(&self) -> Result<(), LineError> {
        let mut reader = FrameReader::new(self.stream, MAX_FRAME);
        loop {
            let arrives = || self.store.arriving(self.line);
            let message = match reader.next_with_progress(IDLE, FRAME, arrives) {
                Err(FrameIoError::Closed) => return Ok(()),
                body => Message::decode(body?)?,
            };
            self.store.received(self.line, message);
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.store.line_down(self.line);
        self.outbox.give_up();
        // Its writer may be in the middle of a frame that nobody takes.
        self.stream.hang_up();
    }
}

/// Writes what comes into the outbox until it is closed, then ends the line.
fn write(store: &RegistryStore, stream: &TlsStream, outbox: &LineOutbox) {
    while let Some(outgoing) = outbox.next() {
        let message = match outgoing {
            Outgoing::Message(message) => Some(message),
            Outgoing::Blob(info_hash, offset) => blob(store, info_hash, offset),
        };
        let Some(message) = message else { break };
        let body = message.encode();
        let seconds = u64::try_from(body.len() / SLOWEST).unwrap_or(u64::MAX);
        let limit = FRAME.saturating_add(Duration::from_secs(seconds));
        if let Err(error) = write_frame(stream, &body, MAX_FRAME, limit) {
            log::debug!("a line to a tracker takes nothing more: {error}");
            break;
        }
    }
    outbox.give_up();
    stream.hang_up();
}

/// The part of a blob; none if it cannot be had.
fn blob(store: &RegistryStore, info_hash: InfoHash, offset: u32) -> Option<Message> {
    let bytes = store.info(info_hash).map_err(|error| {
        log::error!("the info dictionary {info_hash} cannot be read: {error}");
    });
    let part = Message::blob(info_hash, offset, bytes.ok()?.as_deref()).map_err(|error| {
        log::info!("a tracker asks for what {info_hash} has not got: {error}");
    });
    part.ok()
}
