//! Web seeds (BEP 19): HTTP servers that have a share and are used beside peers.
//!
//! In scope: one thread for each web seed in use. It takes blocks from the picker like a link,
//! fetches them in long ranges and passes them to the core like blocks of a peer, to be verified.
//! Also in scope: when a web seed is dropped. Out of scope: HTTP itself (`client.rs`).

mod client;

use super::Transfer;
pub(super) use client::WebClient;

use crate::swarm::{LinkId, Source, WebSeedTrust};
use crate::system::lock;
use crate::torrent::{self, BlockRange};
use client::{BLOCK_LIMIT, Body, WebError};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The maximum number of web seeds of one share in use at a time. Others replace those that are
/// dropped.
const MAX_AT_ONCE: usize = 4;
/// The maximum number of blocks requested of one web seed at a time: 4 MiB.
const MAX_WINDOW: u32 = 256;
/// After this number of failures in a row, the web seeds that wait are tried first.
const MAX_FAILURES: u32 = 5;
/// Pause before a web seed that failed that often is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(60);
/// The pause after the first failure. It doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Interval at which blocks are looked for while there is nothing to request, and at which waits
/// check for the end of the download.
const IDLE: Duration = Duration::from_millis(100);
/// A server without ranges may be read through once. In addition this number of bytes may be
/// skipped for each wanted byte that arrived: 4 MiB for each block.
const SKIPPED_PER_WANTED: u64 = 256;
/// Minimum rate of skipped data: this number of bytes within [`BLOCK_LIMIT`].
const MIN_SKIPPED: u64 = 1 << 20;

/// Why a web seed is not used any longer.
#[derive(Debug, thiserror::Error)]
enum DropReason {
    /// Nothing is left to fetch, or the peer stops.
    #[error("the download has ended")]
    Ended,
    #[error("a piece from it does not verify")]
    BadPiece,
    #[error("{0}")]
    Useless(#[source] WebError),
    #[error("{MAX_FAILURES} failures in a row, the last one: {0}")]
    Failing(#[source] WebError),
}

/// Starts threads that fetch missing blocks of a transfer from its web seeds.
pub(super) fn start_threads(transfer: &Arc<Transfer>, client: &Arc<WebClient>) {
    let urls = transfer.plan.metainfo.web_seeds();
    if urls.is_empty() || transfer.plan.group.is_some() {
        return;
    }
    let context = &transfer.context;
    let waiting = urls
        .iter()
        .map(|url| WebSeed::new(url, context.next_link_id()));
    let waiting = Arc::new(WaitingSeeds {
        seeds: Mutex::new(waiting.collect()),
        client: Arc::clone(client),
    });
    for _ in 0..urls.len().min(MAX_AT_ONCE) {
        let (fetching, waiting) = (Arc::clone(transfer), Arc::clone(&waiting));
        let spawned = context
            .tasks
            .spawn("web-seed", move || waiting.work(&fetching));
        if let Err(error) = spawned {
            log::warn!("{}: a web seed cannot be used: {error}", transfer.name());
        }
    }
}

/// Waits. Returns `false` if the download has ended meanwhile.
fn pause(transfer: &Transfer, pause: Duration) -> bool {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        if transfer.context.stop.wait(IDLE) || !transfer.fetches() {
            return false;
        }
    }
    true
}

/// The web seeds of one share that no thread uses at present.
#[derive(Debug)]
struct WaitingSeeds {
    client: Arc<WebClient>,
    seeds: Mutex<VecDeque<WebSeed>>,
}

/// A web seed of a share.
#[derive(Debug)]
struct WebSeed {
    url: String,
    /// The id under which the core requests blocks from it.
    id: LinkId,
    source: Source,
    /// Whether it failed [`MAX_FAILURES`] times in a row when it was last used.
    failed: bool,
    /// Bytes that were skipped.
    skipped: u64,
    /// Wanted bytes that arrived.
    delivered: u64,
}

impl WebSeed {
    fn new(url: &str, id: LinkId) -> Self {
        Self {
            url: url.to_owned(),
            id,
            source: Source::Web(id, public_url(url).into()),
            failed: false,
            skipped: 0,
            delivered: 0,
        }
    }
}

impl WaitingSeeds {
    /// Uses one web seed after the other until the download ends or none is left.
    fn work(&self, transfer: &Arc<Transfer>) {
        // Not written in the condition of the loop: there the lock would be held during the body.
        let next = || lock(&self.seeds).pop_front();
        while let Some(mut seed) = next() {
            if seed.failed && !pause(transfer, RETRY_PAUSE) {
                return;
            }
            let reason = use_until_dropped(transfer, &self.client, &mut seed);
            let (name, url) = (transfer.name(), &seed.source);
            match reason {
                DropReason::Ended => return,
                DropReason::Failing(_) => {
                    log::info!("{name}: the web seed {url}: {reason}");
                    seed.failed = true;
                    lock(&self.seeds).push_back(seed);
                }
                DropReason::BadPiece | DropReason::Useless(_) => {
                    log::warn!("{name}: the web seed {url} is dropped: {reason}");
                }
            }
        }
    }
}

/// A URL that other people may see, without parts that may be secret.
fn public_url(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    match plain.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}/{path}")
        }
        None => plain.to_owned(),
    }
}

/// Uses one web seed until it is dropped.
fn use_until_dropped(
    transfer: &Arc<Transfer>,
    client: &WebClient,
    seed: &mut WebSeed,
) -> DropReason {
    let mut failures = 0;
    loop {
        let delivered = seed.delivered;
        let mut fetch = WebSeedFetch {
            transfer,
            client,
            seed,
            body: None,
        };
        if !fetch.begin() {
            return DropReason::Ended;
        }
        let ended = fetch.run();
        fetch.end();
        // The last blocks may still fail to verify.
        transfer.wait_for_workers();
        let trust = transfer.inspect(|core| core.trust(seed.id));
        let error = match ended {
            _ if trust == WebSeedTrust::Lost => return DropReason::BadPiece,
            Ok(()) => return DropReason::Ended,
            Err(error) if !error.is_temporary() => return DropReason::Useless(error),
            Err(error) => error,
        };
        log::info!("{}: the web seed {}: {error}", transfer.name(), seed.source);
        // A web seed that is suspected of bad data cannot reset the count by closing the
        // connection.
        let is_of_use = seed.delivered > delivered && trust == WebSeedTrust::Full;
        failures = if is_of_use { 1 } else { failures + 1 };
        if failures >= MAX_FAILURES {
            return DropReason::Failing(error);
        }
        if !pause(transfer, FIRST_PAUSE * (1 << (failures - 1))) {
            return DropReason::Ended;
        }
    }
}

/// Fetching from a web seed, from one failure to the next.
struct WebSeedFetch<'a> {
    transfer: &'a Arc<Transfer>,
    client: &'a WebClient,
    seed: &'a mut WebSeed,
    /// The response that is being read, and the index of its file.
    body: Option<(usize, Body)>,
}

/// What follows after a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FetchStep {
    /// Fetch the next block.
    Next,
    /// The download has ended.
    Ended,
}

impl WebSeedFetch<'_> {
    /// Registers the web seed with the core. Returns `false` if the download has ended.
    fn begin(&mut self) -> bool {
        let id = self.seed.id;
        !self.transfer.context.stop.is_stopped()
            && self
                .transfer
                .decide(|core, _| core.on_web_seed_up(id, MAX_WINDOW))
    }

    /// Releases the blocks requested of the web seed, so that other sources can send them.
    fn end(&mut self) {
        let id = self.seed.id;
        self.transfer.decide(|core, _| core.on_web_seed_down(id));
    }

    fn run(&mut self) -> Result<(), WebError> {
        loop {
            let mut blocks = match self.next_blocks() {
                None => return Ok(()),
                Some(blocks) if blocks.is_empty() => {
                    if self.transfer.context.stop.wait(IDLE) {
                        return Ok(());
                    }
                    continue;
                }
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
                    return Ok(());
                }
                blocks = rest;
            }
        }
    }

    /// The blocks to request now. `None` if the download has ended.
    fn next_blocks(&self) -> Option<Vec<BlockRange>> {
        let (id, mut blocks) = (self.seed.id, Vec::new());
        let goes_on = !self.transfer.context.stop.is_stopped()
            && self
                .transfer
                .decide(|core, now| core.next_for_web_seed(id, now, &mut blocks));
        goes_on.then_some(blocks)
    }

    /// Fetches a block, which begins at byte `start` of the share, with a request that ends at byte
    /// `end`.
    fn fetch(&mut self, range: BlockRange, start: u64, end: u64) -> Result<FetchStep, WebError> {
        if !self.is_awaited(range) {
            return Ok(FetchStep::Next);
        }
        if !self.wait_for_limit(range.length()) {
            return Ok(FetchStep::Ended);
        }
        let mut buffer = self.transfer.context.buffers.buffer();
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
            let last = end.min(file.offset + file.length) - file.offset;
            let open = self.body.take();
            let open =
                open.filter(|(index, body)| *index == part.index && body.reaches(part.offset));
            let mut body = match open {
                Some((_, body)) => body,
                None => {
                    let url = torrent::web_seed_url(&info, &self.seed.url, part.index);
                    let url = url.ok_or(WebError::Url)?;
                    self.client.open(&url, part.offset, last, file.length)?
                }
            };
            if !self.skip_to(&mut body, part.offset, range)? {
                // The response may still contain another wanted block.
                self.body = Some((part.index, body));
                return Ok(match self.transfer.fetches() {
                    true => FetchStep::Next,
                    false => FetchStep::Ended,
                });
            }
            body.read(room)?;
            body.finish();
            self.body = Some((part.index, body));
        }
        let (id, source) = (self.seed.id, &self.seed.source);
        let arrived = self
            .transfer
            .decide(|core, now| core.on_block(id, Some(source), range, buffer, now));
        // An error means that the block was requested too long ago, not that the server misbehaves.
        if arrived.map_err(|_| WebError::Slow)?.is_none() {
            self.seed.delivered += u64::from(range.length());
        }
        Ok(FetchStep::Next)
    }

    /// Skips to byte `offset` of a file. Returns `false` if the block is no longer wanted then.
    /// Skipped bytes count in the rate limit and as a sign of life.
    fn skip_to(
        &mut self,
        body: &mut Body,
        offset: u64,
        range: BlockRange,
    ) -> Result<bool, WebError> {
        let total = self.transfer.info().lengths().total();
        let (mut left, mut skipped) = (BLOCK_LIMIT, 0);
        while let Some(part) = body.bytes_to_skip(offset) {
            let most = self.seed.delivered.saturating_mul(SKIPPED_PER_WANTED);
            self.seed.skipped = self.seed.skipped.saturating_add(part.into());
            if self.seed.skipped > most.saturating_add(total) {
                return Err(WebError::NoRanges);
            }
            if !self.is_awaited(range) || !self.wait_for_limit(part) {
                return Ok(false);
            }
            // Our own waiting time does not count.
            let begun = Instant::now();
            body.skip(part, begun + left)?;
            left = left.saturating_sub(begun.elapsed());
            skipped += u64::from(part);
            if skipped >= MIN_SKIPPED {
                (left, skipped) = (BLOCK_LIMIT, 0);
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
        let Some(limit) = &self.transfer.context.link_limits.down else {
            return true;
        };
        let due = limit.reserve(bytes);
        while let Some(left) = due.checked_duration_since(Instant::now())
            && !left.is_zero()
        {
            if self.transfer.context.stop.wait(left.min(IDLE)) || !self.transfer.fetches() {
                return false;
            }
            // A delay caused by our rate limit is not the server's fault.
            let id = self.seed.id;
            self.transfer
                .decide(|core, now| core.mark_not_late(id, now));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_has_no_secret_parts() {
        for (url, expected) in [
            ("http://u:p@h:1/a/b?key=x#y", "http://h:1/a/b"),
            ("https://h", "https://h/"),
            ("x?y", "x"),
        ] {
            assert_eq!(public_url(url), expected);
        }
    }
}
