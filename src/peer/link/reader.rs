//! The reading thread of a link. It passes messages to the swarm, and reads blocks from the socket
//! directly into their buffers.

use super::parse::{ParsedMessage, parse};
use super::{
    EndReason, IO_STACK, Link, MessageReader, MessageSink, ReadTimeouts, Upcoming, UploadSource,
    writer,
};
use crate::peer::{BlockBuffer, BufferPool, LinkLimits};
use crate::torrent::{BLOCK, Lengths, PieceSet};
use crate::wire::peer::{PeerMessage, UncheckedBlock};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// What a link needs to run.
#[derive(Clone, Debug)]
pub(crate) struct LinkResources {
    pub(crate) lengths: Lengths,
    pub(crate) link_limits: Arc<LinkLimits>,
    pub(crate) buffers: Arc<BufferPool>,
}

/// Runs a link until it ends. Joins the writing thread before it returns. `journal_position` is a
/// position in the journal of the owned map: the remote peer already knows the pieces before it.
pub(crate) fn run<S: MessageSink + UploadSource + 'static>(
    swarm: &Arc<S>,
    link: &Arc<Link>,
    resources: &LinkResources,
    journal_position: usize,
) -> EndReason {
    let writer = {
        let (swarm, link, link_limits) = (
            Arc::clone(swarm),
            Arc::clone(link),
            resources.link_limits.clone(),
        );
        let name = thread::current().name().unwrap_or("link").to_owned() + "-write";
        let thread = thread::Builder::new().name(name).stack_size(IO_STACK);
        thread.spawn(move || writer::write(&*swarm, &link, &link_limits, journal_position))
    };
    let writer = match writer {
        Ok(writer) => writer,
        Err(error) => return EndReason::Thread(error),
    };
    let mut reader = Reader {
        sink: &**swarm,
        link,
        resources,
        spare: None,
        may_be_bitfield: true,
    };
    let ended = match reader.run() {
        Ok(()) => EndReason::ClosedHere,
        Err(ended) => ended,
    };
    link.close(ended.to_string());
    let _ = writer.join();
    ended
}

struct Reader<'a, S> {
    sink: &'a S,
    link: &'a Link,
    resources: &'a LinkResources,
    /// A buffer for the next block, returned by the swarm because it did not need the last block.
    spare: Option<BlockBuffer>,
    /// Whether the next message may still be a bitfield.
    may_be_bitfield: bool,
}

impl<S: MessageSink> Reader<'_, S> {
    fn run(&mut self) -> Result<(), EndReason> {
        let (lengths, deadlines) = (
            self.resources.lengths,
            &self.resources.link_limits.deadlines,
        );
        let timeouts = ReadTimeouts {
            message: deadlines.message,
            silence: deadlines.silence,
            deadline: None,
        };
        let bitfield_bytes = PieceSet::bytes_for(lengths.pieces());
        let mut messages = MessageReader::new(self.link.stream(), timeouts, Some(bitfield_bytes))?;
        loop {
            match messages.wait()? {
                Upcoming::Block(header) => {
                    self.may_be_bitfield = false;
                    self.read_block(&mut messages, header)?;
                }
                Upcoming::Message => {
                    let message = messages.message()?;
                    let may_be_bitfield = self.may_be_bitfield;
                    self.may_be_bitfield &= may_precede_bitfield(&message);
                    self.handle(message, may_be_bitfield)?;
                }
            }
        }
    }

    fn handle(&self, message: PeerMessage<'_>, may_be_bitfield: bool) -> Result<(), EndReason> {
        let is_request = matches!(message, PeerMessage::Request(_));
        match parse(
            message,
            self.link.remote(),
            &self.resources.lengths,
            may_be_bitfield,
        )? {
            ParsedMessage::Swarm(_) if is_request && self.link.is_request_queue_full() => {
                Err(EndReason::TooManyRequests)
            }
            ParsedMessage::Swarm(message) => Ok(self.sink.on_message(self.link.id(), message)?),
            ParsedMessage::Cancel(block) => {
                self.link.on_cancel(block);
                Ok(())
            }
            ParsedMessage::Metadata(payload) => {
                Ok(self.sink.on_metadata(self.link.id(), payload)?)
            }
            ParsedMessage::ModifiedTimes(payload) => {
                self.sink.on_modified_times(payload);
                Ok(())
            }
            ParsedMessage::Nothing => Ok(()),
        }
    }

    /// Reads a block into its buffer and passes it to the swarm.
    fn read_block(
        &mut self,
        messages: &mut MessageReader<'_>,
        header: UncheckedBlock,
    ) -> Result<(), EndReason> {
        let lengths = &self.resources.lengths;
        let range = lengths.range(header.index, header.begin, header.length)?;
        if range.length() > BLOCK {
            return Err(EndReason::Unrequested(header));
        }
        let spare = self.spare.take();
        let mut buffer = spare.unwrap_or_else(|| self.resources.buffers.buffer());
        buffer.set_length(range.length());
        let got = messages.take_buffered(&mut buffer);
        let age_before_pause = messages.message_age();
        self.wait_for_limit(range.length())?;
        messages.read_block(buffer.get_mut(got..).unwrap_or_default(), age_before_pause)?;
        let unneeded = self.sink.on_block(self.link.id(), range, buffer);
        self.spare = unneeded.map_err(|_| EndReason::Unrequested(header))?;
        Ok(())
    }

    /// Waits until the rate limit, if there is one, allows reading `bytes` bytes.
    fn wait_for_limit(&self, bytes: u32) -> Result<(), EndReason> {
        let Some(limit) = self.resources.link_limits.down.limit() else {
            return Ok(());
        };
        let due = limit.reserve(bytes);
        let is_closed = due > Instant::now() && self.link.pause_until(due);
        match is_closed {
            true => Err(EndReason::ClosedHere),
            false => Ok(()),
        }
    }
}

/// Whether the message may come before the bitfield. BEP 3 requires the bitfield directly after the
/// handshake. BEP 10 allows the extension handshake first, and widespread clients send it first;
/// some send the port first.
fn may_precede_bitfield(message: &PeerMessage<'_>) -> bool {
    matches!(
        message,
        PeerMessage::KeepAlive | PeerMessage::Port(_) | PeerMessage::Extended { .. }
    )
}
