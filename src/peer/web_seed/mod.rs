//! Web seeds (BEP 19): HTTP servers that have a share, asked beside peers.
//!
//! In scope: a thread for each web seed that is in use, which takes blocks of the picker like a
//! link, fetches them in long stretches and hands them on like blocks of a peer, to be verified
//! like them; when a web seed is left. Out of scope: HTTP itself (`client.rs`).

mod client;

use super::Transfer;
pub(super) use client::WebClient;

use crate::swarm::{LinkId, Source, Trust};
use crate::system::lock;
use crate::torrent::{self, BlockRange};
use client::{Body, WHOLE, WebError};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How many web seeds of one share are asked at a time; the others take the place of those that are
/// left.
const MOST_AT_ONCE: usize = 4;
/// The most blocks asked of one at a time: 4 MiB.
const MAX_WINDOW: u32 = 256;
/// After so many failures in a row others that wait come first.
const MOST_FAILURES: u32 = 5;
/// How long one that failed so often rests when its turn comes again.
const REST: Duration = Duration::from_secs(60);
/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// While there is nothing to ask for, it is looked for again so soon.
const IDLE: Duration = Duration::from_millis(100);
/// A server that knows no ranges may be read through once; for each wanted byte that came, so many
/// more may be passed over: 4 MiB a block.
const PASSED_FOR_EACH: u64 = 256;
/// What is passed over must come at least so fast: this much within the time that a block may take.
const PASSED_IN_TIME: u64 = 1 << 20;

/// Why a web seed is not asked any more.
#[derive(Debug, thiserror::Error)]
enum Left {
    /// There is nothing left to ask for, or no time.
    #[error("the download has ended")]
    Ended,
    #[error("a piece from it does not verify")]
    Lied,
    #[error("{0}")]
    Useless(#[source] WebError),
    #[error("{MOST_FAILURES} failures in a row, the last one: {0}")]
    Failing(#[source] WebError),
}

/// Has the web seeds of a transfer asked for what is missing.
pub(super) fn ask_all(transfer: &Arc<Transfer>, client: &Arc<WebClient>) {
    let urls = transfer.plan.metainfo.web_seeds();
    if urls.is_empty() || transfer.plan.group.is_some() {
        return;
    }
    let context = &transfer.context;
    let waiting = urls
        .iter()
        .map(|url| Seed::new(url, context.next_link_id()));
    let waiting = Arc::new(Waiting {
        seeds: Mutex::new(waiting.collect()),
        client: Arc::clone(client),
    });
    for _ in 0..urls.len().min(MOST_AT_ONCE) {
        let (fetching, waiting) = (Arc::clone(transfer), Arc::clone(&waiting));
        let spawned = context
            .tasks
            .spawn("web-seed", move || waiting.work(&fetching));
        if let Err(error) = spawned {
            log::warn!("{}: a web seed is not asked: {error}", transfer.name());
        }
    }
}

/// Waits; `false` if nothing is fetched any more by then.
fn pause(transfer: &Transfer, pause: Duration) -> bool {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        if transfer.context.stop.wait(IDLE) || !transfer.fetches() {
            return false;
        }
    }
    true
}

/// The web seeds of one share that no thread asks at present.
#[derive(Debug)]
struct Waiting {
    client: Arc<WebClient>,
    seeds: Mutex<VecDeque<Seed>>,
}

/// A web seed of a share.
#[derive(Debug)]
struct Seed {
    url: String,
    /// The number under which blocks are asked of it.
    id: LinkId,
    source: Source,
    /// It failed again and again when it was last asked.
    failed: bool,
    /// Bytes that were passed over, and wanted ones that it gave.
    passed: u64,
    given: u64,
}

impl Seed {
    fn new(url: &str, id: LinkId) -> Self {
        Self {
            url: url.to_owned(),
            id,
            source: Source::Web(id, shown(url).into()),
            failed: false,
            passed: 0,
            given: 0,
        }
    }
}

impl Waiting {
    /// Asks one after the other until the download ends or none is of use.
    fn work(&self, transfer: &Arc<Transfer>) {
        // Not in the loop's head: there the lock would be held all along.
        let next = || lock(&self.seeds).pop_front();
        while let Some(mut seed) = next() {
            if seed.failed && !pause(transfer, REST) {
                return;
            }
            let left = ask(transfer, &self.client, &mut seed);
            let (name, seen) = (transfer.name(), &seed.source);
            match left {
                Left::Ended => return,
                Left::Failing(_) => {
                    log::info!("{name}: the web seed {seen}: {left}");
                    seed.failed = true;
                    lock(&self.seeds).push_back(seed);
                }
                Left::Lied | Left::Useless(_) => {
                    log::warn!("{name}: the web seed {seen} is left: {left}");
                }
            }
        }
    }
}

/// A URL as others may see it, without what may be secret.
fn shown(url: &str) -> String {
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

/// Asks one web seed until it is left.
fn ask(transfer: &Arc<Transfer>, client: &WebClient, seed: &mut Seed) -> Left {
    let mut failures = 0;
    loop {
        let given = seed.given;
        let mut session = Session {
            transfer,
            client,
            seed,
            body: None,
        };
        if !session.begin() {
            return Left::Ended;
        }
        let ended = session.run();
        session.end();
        // What it gave last may still turn out to be wrong.
        transfer.wait_for_workers();
        let trust = transfer.inspect(|core| core.trust(seed.id));
        let error = match ended {
            _ if trust == Trust::Lost => return Left::Lied,
            Ok(()) => return Left::Ended,
            Err(error) if !error.is_passing() => return Left::Useless(error),
            Err(error) => error,
        };
        log::info!("{}: the web seed {}: {error}", transfer.name(), seed.source);
        // One that may be lying does not get round it by hanging up.
        let is_of_use = seed.given > given && trust == Trust::Full;
        failures = if is_of_use { 1 } else { failures + 1 };
        if failures >= MOST_FAILURES {
            return Left::Failing(error);
        }
        if !pause(transfer, FIRST_PAUSE * (1 << (failures - 1))) {
            return Left::Ended;
        }
    }
}

/// From one failure to the next.
struct Session<'a> {
    transfer: &'a Arc<Transfer>,
    client: &'a WebClient,
    seed: &'a mut Seed,
    /// An answer that is being read, and of which file.
    body: Option<(usize, Body)>,
}

/// What has come of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The next one is to be fetched.
    Next,
    /// Nothing is fetched any more.
    Over,
}

impl Session<'_> {
    /// Enters it among those that blocks are asked of; `false` once nothing is fetched any more.
    fn begin(&mut self) -> bool {
        let id = self.seed.id;
        !self.transfer.context.stop.is_stopped()
            && self
                .transfer
                .decide(|core, _| core.on_server_up(id, MAX_WINDOW))
    }

    /// What it was asked for is free for others.
    fn end(&mut self) {
        let id = self.seed.id;
        self.transfer.decide(|core, _| core.on_server_down(id));
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
                // How far one request reaches.
                let start = lengths.range_offset(*first);
                let end_of =
                    |block: &BlockRange| lengths.range_offset(*block) + u64::from(block.length());
                let stretch = rest.iter().scan(end_of(first), |end, block| {
                    let joined = lengths.range_offset(*block) == *end;
                    *end = end_of(block);
                    joined.then_some(*end)
                });
                let end = stretch.last().unwrap_or(end_of(first));
                if self.fetch(*first, start, end)? == Step::Over {
                    return Ok(());
                }
                blocks = rest;
            }
        }
    }

    /// What to ask for now; none once it is over.
    fn next_blocks(&self) -> Option<Vec<BlockRange>> {
        let (id, mut blocks) = (self.seed.id, Vec::new());
        let goes_on = !self.transfer.context.stop.is_stopped()
            && self
                .transfer
                .decide(|core, now| core.next_for_server(id, now, &mut blocks));
        goes_on.then_some(blocks)
    }

    /// Fetches a block, which begins at byte `start` of the share, with a request that reaches to
    /// `end`.
    fn fetch(&mut self, range: BlockRange, start: u64, end: u64) -> Result<Step, WebError> {
        if !self.is_awaited(range) {
            return Ok(Step::Next);
        }
        if !self.keep_limit(range.length()) {
            return Ok(Step::Over);
        }
        let mut buffer = self.transfer.context.buffers.buffer();
        buffer.set_length(range.length());
        let info = Arc::clone(self.transfer.info());
        let mut rest: &mut [u8] = &mut buffer;
        for part in torrent::parts(&info, start, range.length().into()) {
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
                    let url = torrent::url_at(&info, &self.seed.url, part.index);
                    let url = url.ok_or(WebError::Url)?;
                    self.client.open(&url, part.offset, last, file.length)?
                }
            };
            if !self.pass_over(&mut body, part.offset, range)? {
                // The answer may come to another block that is wanted.
                self.body = Some((part.index, body));
                return Ok(match self.transfer.fetches() {
                    true => Step::Next,
                    false => Step::Over,
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
        // Not a breach of its own: it was asked too long ago.
        if arrived.map_err(|_| WebError::Slow)?.is_none() {
            self.seed.given += u64::from(range.length());
        }
        Ok(Step::Next)
    }

    /// Reads on to byte `offset` of a file; `false` if the block is not wanted any more by then.
    /// What is passed over counts like any other byte, in the limit and as a sign of life.
    fn pass_over(
        &mut self,
        body: &mut Body,
        offset: u64,
        range: BlockRange,
    ) -> Result<bool, WebError> {
        let total = self.transfer.info().lengths().total();
        let (mut left, mut passed) = (WHOLE, 0);
        while let Some(part) = body.before(offset) {
            let most = self.seed.given.saturating_mul(PASSED_FOR_EACH);
            self.seed.passed = self.seed.passed.saturating_add(part.into());
            if self.seed.passed > most.saturating_add(total) {
                return Err(WebError::NoRanges);
            }
            if !self.is_awaited(range) || !self.keep_limit(part) {
                return Ok(false);
            }
            // The time that we wait ourselves is not its own.
            let begun = Instant::now();
            body.pass(part, begun + left)?;
            left = left.saturating_sub(begun.elapsed());
            passed += u64::from(part);
            if passed >= PASSED_IN_TIME {
                (left, passed) = (WHOLE, 0);
            }
        }
        Ok(true)
    }

    /// Whether a block that it was asked for is still to come from it.
    fn is_awaited(&self, range: BlockRange) -> bool {
        let id = self.seed.id;
        !self.transfer.context.stop.is_stopped()
            && self.transfer.inspect(|core| core.awaits(id, range))
    }

    /// Waits until so many bytes may be read, if reading is limited; `false` if it is over by then.
    fn keep_limit(&self, bytes: u32) -> bool {
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
            // What we do not read on purpose is not late.
            let id = self.seed.id;
            self.transfer.decide(|core, now| core.excuse(id, now));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_in_a_url_is_not_shown() {
        for (url, seen) in [
            ("http://u:p@h:1/a/b?key=x#y", "http://h:1/a/b"),
            ("https://h", "https://h/"),
            ("x?y", "x"),
        ] {
            assert_eq!(shown(url), seen);
        }
    }
}
