//! The reading thread of a link: the other side's messages, and its blocks straight into their
//! buffers.

use super::parse::{Parsed, parse};
use super::{Ended, Front, Link, MessageReader, Patience, STACK, Sink, Uploads, writer};
use crate::peer::{BlockBuffer, Bounds, BufferPool};
use crate::torrent::{BLOCK, Lengths, PieceSet};
use crate::wire::peer::{Ask, Message};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// What a link is run with.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    pub(crate) lengths: Lengths,
    pub(crate) bounds: Arc<Bounds>,
    pub(crate) buffers: Arc<BufferPool>,
}

/// Runs a link to its end; the writing thread is ended and joined before this returns. `told` is
/// the place in the journal up to which the other side knows of our pieces.
pub(crate) fn serve<S: Sink + Uploads + 'static>(
    swarm: &Arc<S>,
    link: &Arc<Link>,
    means: &Means,
    told: usize,
) -> Ended {
    let writer = {
        let (swarm, link, bounds) = (Arc::clone(swarm), Arc::clone(link), means.bounds.clone());
        let name = thread::current().name().unwrap_or("link").to_owned() + "-write";
        let thread = thread::Builder::new().name(name).stack_size(STACK);
        thread.spawn(move || writer::write(&*swarm, &link, &bounds, told))
    };
    let writer = match writer {
        Ok(writer) => writer,
        Err(error) => return Ended::Thread(error),
    };
    let mut reader = Reader {
        sink: &**swarm,
        link,
        means,
        spare: None,
        is_first: true,
    };
    let ended = match reader.run() {
        Ok(()) => Ended::Here,
        Err(ended) => ended,
    };
    link.close(ended.to_string());
    let _ = writer.join();
    ended
}

struct Reader<'a, S> {
    sink: &'a S,
    link: &'a Link,
    means: &'a Means,
    /// A buffer for the next block.
    spare: Option<BlockBuffer>,
    /// No message has come yet.
    is_first: bool,
}

impl<S: Sink> Reader<'_, S> {
    fn run(&mut self) -> Result<(), Ended> {
        let (lengths, deadlines) = (self.means.lengths, &self.means.bounds.deadlines);
        let patience = Patience {
            message: deadlines.message,
            silence: deadlines.silence,
            until: None,
        };
        let bitfield = PieceSet::bytes_for(lengths.pieces());
        let mut messages = MessageReader::new(self.link.stream(), patience, Some(bitfield))?;
        loop {
            match messages.wait()? {
                Front::Block(ask) => {
                    self.is_first = false;
                    self.block(&mut messages, ask)?;
                }
                Front::Message => {
                    let message = messages.message()?;
                    let is_first = self.is_first;
                    self.is_first &= opens_before_pieces(&message);
                    self.act(message, is_first)?;
                }
            }
        }
    }

    fn act(&self, message: Message<'_>, is_first: bool) -> Result<(), Ended> {
        let is_request = matches!(message, Message::Request(_));
        match parse(message, self.link.remote(), &self.means.lengths, is_first)? {
            Parsed::Swarm(_) if is_request && self.link.is_flooded() => Err(Ended::Flood),
            Parsed::Swarm(message) => Ok(self.sink.on_message(self.link.id(), message)?),
            Parsed::Cancel(block) => {
                self.link.on_cancel(block);
                Ok(())
            }
            Parsed::Metadata(payload) => Ok(self.sink.on_metadata(self.link.id(), payload)?),
            Parsed::Nothing => Ok(()),
        }
    }

    /// Reads a block into its buffer and hands it on.
    fn block(&mut self, messages: &mut MessageReader<'_>, ask: Ask) -> Result<(), Ended> {
        let lengths = &self.means.lengths;
        let range = lengths.range(ask.index, ask.begin, ask.length)?;
        if range.length() > BLOCK {
            return Err(Ended::Unasked(ask));
        }
        let spare = self.spare.take();
        let mut buffer = spare.unwrap_or_else(|| self.means.buffers.buffer());
        buffer.set_length(range.length());
        let got = messages.take_ahead(&mut buffer);
        let spent = messages.spent();
        self.keep_limit(range.length())?;
        messages.read_block(buffer.get_mut(got..).unwrap_or_default(), spent)?;
        let unneeded = self.sink.on_block(self.link.id(), range, buffer);
        self.spare = unneeded.map_err(|_| Ended::Unasked(ask))?;
        Ok(())
    }

    /// Waits until so many bytes may be read, if reading is limited.
    fn keep_limit(&self, bytes: u32) -> Result<(), Ended> {
        let Some(limit) = &self.means.bounds.down else {
            return Ok(());
        };
        let due = limit.reserve(bytes);
        if due > Instant::now() && self.link.pause_until(due) {
            return Err(Ended::Here);
        }
        Ok(())
    }
}

/// Whether the message may stand before the one that tells of all pieces. BEP 3 has the bitfield
/// directly after the handshake; BEP 10 allows its own handshake at once too, which widespread
/// programs send first, as some do the port.
fn opens_before_pieces(message: &Message<'_>) -> bool {
    matches!(
        message,
        Message::KeepAlive | Message::Port(_) | Message::Extended { .. }
    )
}
