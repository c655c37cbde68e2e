//! Fetches blocks from one web seed until a request fails, or until there is a reason to stop.
//!
//! A web seed is one server, or all servers together for pieces that no server can deliver alone
//! ([`Provider`]).

use super::client::{BLOCK_TIMEOUT, Body};
use super::error::WebError;
use super::mirrors::{Provider, ServerState};
use super::seed::{WebSeed, WebSeeds};
use crate::peer::Transfer;
use crate::torrent::{self, BlockRange, FilePart};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The maximum number of blocks requested from one web seed at a time: 4 MiB.
const MAX_WINDOW: u32 = 256;
/// While there is nothing to request, the core is asked for blocks at this interval. Every wait
/// checks at this interval whether the download has ended.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Minimum rate of skipped data: this number of bytes within [`BLOCK_TIMEOUT`].
const MIN_SKIPPED: u64 = 1 << 20;

/// Fetching from a web seed.
pub(super) struct WebSeedFetch<'a> {
    transfer: &'a Arc<Transfer>,
    seeds: &'a WebSeeds,
    seed: &'a mut WebSeed,
    /// The value of [`Mirrors::changes`](super::mirrors::Mirrors::changes) at the time when the
    /// pieces of the web seed were chosen.
    changes: u64,
    /// The response that is being read.
    open: Option<OpenResponse>,
    has_delivered: bool,
}

/// A server's response that is being read: a file or a part of it.
struct OpenResponse {
    server: usize,
    file: usize,
    body: Body,
}

/// Why fetching has ended without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FetchEnd {
    /// The download has ended, or the web seed is not trusted any more.
    Ended,
    /// Other pieces may be at the web seed now.
    Changed,
    /// This peer has everything that the web seed has, and another web seed waits.
    NothingLeft,
}

/// Why a block could not be fetched.
#[derive(Debug)]
pub(super) struct FetchFailure {
    /// The indexes of the server and of the file. `None` if no server is to blame.
    pub(super) at: Option<(usize, usize)>,
    pub(super) error: WebError,
}

/// What follows after a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FetchStep {
    /// Fetch the next block.
    Next,
    /// The download has ended.
    Ended,
}

impl<'a> WebSeedFetch<'a> {
    pub(super) fn new(
        transfer: &'a Arc<Transfer>,
        seeds: &'a WebSeeds,
        seed: &'a mut WebSeed,
    ) -> Self {
        Self {
            transfer,
            seeds,
            seed,
            changes: 0,
            open: None,
            has_delivered: false,
        }
    }

    /// Registers the web seed with the core. Returns `false` if the download has ended.
    pub(super) fn begin(&mut self) -> bool {
        let (id, pieces) = {
            let mirrors = self.seeds.mirrors();
            self.changes = mirrors.changes();
            (self.seed.id, mirrors.pieces_of(self.seed.provider))
        };
        !self.transfer.context.stop.is_stopped()
            && self
                .transfer
                .decide(|core, _| core.on_web_seed_up(id, pieces, MAX_WINDOW))
    }

    /// Releases the blocks requested from the web seed, so that other sources can send them.
    pub(super) fn end(&mut self) {
        let id = self.seed.id;
        self.transfer.decide(|core, _| core.on_web_seed_down(id));
    }

    pub(super) fn run(&mut self) -> Result<FetchEnd, FetchFailure> {
        loop {
            let mut blocks = match self.next_blocks() {
                None => return Ok(FetchEnd::Ended),
                Some(blocks) if blocks.is_empty() => match self.on_idle() {
                    Some(end) => return Ok(end),
                    None => continue,
                },
                Some(blocks) => blocks,
            };
            let lengths = *self.transfer.info().lengths();
            blocks.sort_by_key(|block| lengths.range_offset(*block));
            let mut blocks = blocks.as_slice();
            while let [first, rest @ ..] = blocks {
                // The end of the contiguous range that starts here.
                let start = lengths.range_offset(*first);
                let end_of =
                    |block: &BlockRange| lengths.range_offset(*block) + u64::from(block.length());
                let stretch = rest.iter().scan(end_of(first), |end, block| {
                    let joined = lengths.range_offset(*block) == *end;
                    *end = end_of(block);
                    joined.then_some(*end)
                });
                let end = stretch.last().unwrap_or(end_of(first));
                if self.fetch(*first, start, end)? == FetchStep::Ended {
                    return Ok(FetchEnd::Ended);
                }
                blocks = rest;
            }
        }
    }

    /// The blocks to request now. `None` if the download has ended, or the web seed is not trusted
    /// any more.
    fn next_blocks(&self) -> Option<Vec<BlockRange>> {
        let (id, mut blocks) = (self.seed.id, Vec::new());
        let goes_on = !self.transfer.context.stop.is_stopped()
            && self
                .transfer
                .decide(|core, now| core.next_for_web_seed(id, now, &mut blocks));
        goes_on.then_some(blocks)
    }

    /// Waits a moment, because there is nothing to request. Returns why fetching ends, or `None` if
    /// it goes on.
    fn on_idle(&self) -> Option<FetchEnd> {
        if self.transfer.context.stop.wait(POLL_INTERVAL) {
            return Some(FetchEnd::Ended);
        }
        if self.seeds.mirrors().changes() != self.changes {
            return Some(FetchEnd::Changed);
        }
        let id = self.seed.id;
        let has_wanted =
            |transfer: &Transfer| transfer.inspect(|core| core.picker().is_interesting(id));
        // All servers together make room for no other web seed: only they can deliver their pieces.
        let gives_way = self.seed.provider != Provider::Joint
            && self.seeds.any_waits()
            && !has_wanted(self.transfer);
        gives_way.then_some(FetchEnd::NothingLeft)
    }

    /// Fetches the block that begins at byte `start` of the share. A new request, if one is needed,
    /// is for all bytes from there up to byte `end` (exclusive), or up to the end of the file.
    fn fetch(
        &mut self,
        range: BlockRange,
        start: u64,
        end: u64,
    ) -> Result<FetchStep, FetchFailure> {
        if !self.is_awaited(range) {
            return Ok(FetchStep::Next);
        }
        if !self.wait_for_limit(range.length()) {
            return Ok(FetchStep::Ended);
        }
        let mut buffer = self.transfer.context.link_limits.buffers.buffer();
        buffer.set_length(range.length());
        let info = Arc::clone(self.transfer.info());
        let mut rest: &mut [u8] = &mut buffer;
        for part in torrent::file_parts(&info, start, range.length().into()) {
            let length = usize::try_from(part.length).unwrap_or(usize::MAX);
            let Some((room, later)) = rest.split_at_mut_checked(length) else {
                break;
            };
            rest = later;
            let Some(file) = info.files().get(part.index) else {
                break;
            };
            if file.attributes.padding {
                room.fill(0);
                continue;
            }
            let end_in_file = end.min(file.offset + file.length) - file.offset;
            let mut open = self.open_at(part, end_in_file, file.length)?;
            let at = Some((open.server, open.file));
            let failed = |error| FetchFailure { at, error };
            let is_reached = self.skip_to(&mut open.body, part.offset, range);
            if !is_reached.map_err(failed)? {
                // The response may still contain another wanted block.
                self.open = Some(open);
                return Ok(match self.transfer.fetches() {
                    true => FetchStep::Next,
                    false => FetchStep::Ended,
                });
            }
            open.body.read(room).map_err(failed)?;
            open.body.finish_if_complete();
            self.open = Some(open);
        }
        let (id, source) = (self.seed.id, &self.seed.source);
        let unneeded = self
            .transfer
            .decide(|core, now| core.on_block(id, Some(source), range, buffer, now));
        // The core returns the buffer if it does not need the block. An error means that the block
        // was requested too long ago, not that the server misbehaves.
        let unneeded = unneeded.map_err(|_| FetchFailure {
            at: None,
            error: WebError::Slow,
        })?;
        if unneeded.is_none() {
            self.on_delivered(range.length());
        }
        Ok(FetchStep::Next)
    }

    /// The response that contains the start of `part`: the open one, or a new one for the bytes of
    /// the file from there to `end_in_file` (exclusive).
    fn open_at(
        &mut self,
        part: FilePart,
        end_in_file: u64,
        length: u64,
    ) -> Result<OpenResponse, FetchFailure> {
        let reaches =
            |open: &OpenResponse| open.file == part.index && open.body.reaches(part.offset);
        if let Some(open) = self.open.take().filter(reaches) {
            return Ok(open);
        }
        let source = self
            .seeds
            .mirrors()
            .source_of(self.seed.provider, part.index);
        let Some((server, url)) = source else {
            // When the pieces were chosen, a server had the file; now none has it. After this
            // error, which is temporary, the pieces are chosen again.
            let error = WebError::Slow;
            return Err(FetchFailure { at: None, error });
        };
        let client = &self.seeds.client;
        let body = url.and_then(|url| client.open(&url, part.offset, end_in_file, length));
        let file = part.index;
        match body {
            Ok(body) => Ok(OpenResponse { server, file, body }),
            Err(error) => Err(FetchFailure {
                at: Some((server, file)),
                error,
            }),
        }
    }

    fn on_delivered(&mut self, bytes: u32) {
        self.seed.on_delivered(bytes);
        if let Provider::One(server) = self.seed.provider
            && !self.has_delivered
        {
            self.has_delivered = true;
            self.seeds.mirrors().set_state(server, ServerState::Works);
        }
    }

    /// Skips to byte `offset` of a file. Stops and returns `false` when the block `range` is not
    /// wanted any more. Skipped bytes count in the rate limit. After each [`MIN_SKIPPED`] bytes,
    /// the time limit starts again.
    fn skip_to(
        &mut self,
        body: &mut Body,
        offset: u64,
        range: BlockRange,
    ) -> Result<bool, WebError> {
        let total = self.transfer.info().lengths().total();
        let (mut time_left, mut skipped) = (BLOCK_TIMEOUT, 0);
        while let Some(bytes) = body.bytes_to_skip(offset) {
            self.seed.before_skip(bytes, total)?;
            if !self.is_awaited(range) || !self.wait_for_limit(bytes) {
                return Ok(false);
            }
            // The time spent waiting for the rate limit does not count.
            let begun = Instant::now();
            body.skip(bytes, begun + time_left)?;
            time_left = time_left.saturating_sub(begun.elapsed());
            skipped += u64::from(bytes);
            if skipped >= MIN_SKIPPED {
                (time_left, skipped) = (BLOCK_TIMEOUT, 0);
            }
        }
        Ok(true)
    }

    /// Whether the core still waits for this block from the web seed.
    fn is_awaited(&self, range: BlockRange) -> bool {
        let id = self.seed.id;
        !self.transfer.context.stop.is_stopped()
            && self.transfer.inspect(|core| core.awaits(id, range))
    }

    /// Waits until `bytes` bytes may be read under the rate limit. Returns `false` if the download
    /// has ended meanwhile.
    fn wait_for_limit(&self, bytes: u32) -> bool {
        let Some(limit) = self.transfer.context.link_limits.down.limit() else {
            return true;
        };
        let due = limit.reserve(bytes);
        while let Some(left) = due.checked_duration_since(Instant::now())
            && !left.is_zero()
        {
            if self.transfer.context.stop.wait(left.min(POLL_INTERVAL)) || !self.transfer.fetches()
            {
                return false;
            }
            // A delay caused by our rate limit is not the server's fault.
            let id = self.seed.id;
            self.transfer
                .decide(|core, now| core.mark_not_stalled(id, now));
        }
        true
    }
}
