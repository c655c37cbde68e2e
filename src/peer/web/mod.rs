//! Web seeds (BEP 19): HTTP servers that have a share, asked beside peers.
//!
//! In scope: a thread for each web seed that is in use, which takes blocks of the picker like a link, fetches them in long
//! stretches and hands them on like blocks of a peer, to be verified like them; when a web seed is left. Out of scope: HTTP itself
//! (`client.rs`).

mod client;

pub(super) use client::WebClient;

use super::shared::Shared;
use super::transfer::{Phase, Source, State, Transfer};
use crate::swarm::LinkId;
use crate::torrent::BlockRange;
use client::{Body, WebError};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many web seeds of one share are asked at a time; the others take the place of those that are left.
const MOST_AT_ONCE: usize = 4;
/// The most blocks asked of one at a time: 4 MiB.
const LARGEST_WINDOW: u32 = 256;
/// After so many failures in a row others that wait come first.
const MOST_FAILURES: u32 = 5;
/// How long one that failed so often rests when its turn comes again.
const REST: Duration = Duration::from_secs(60);
/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// While there is nothing to ask for, it is looked for again so soon.
const IDLE: Duration = Duration::from_millis(100);

/// A web seed that is asked at present.
#[derive(Debug)]
pub(super) struct Server {
    /// A piece that came from it alone did not verify.
    pub(super) lied: bool,
}

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

impl Transfer {
    /// Has web seeds asked for what is missing.
    pub(super) fn ask_web_seeds(self: &Arc<Self>, shared: &Arc<Shared>) {
        let urls = self.metainfo.web_seeds();
        if urls.is_empty() || self.group.is_some() {
            return;
        }
        let count = urls.len().min(MOST_AT_ONCE);
        let waiting = urls.iter().map(|url| (url.clone(), false)).collect();
        let waiting = Arc::new(Waiting {
            urls: Mutex::new(waiting),
        });
        for _ in 0..count {
            let (transfer, waiting) = (Arc::clone(self), Arc::clone(&waiting));
            let spawned = shared.spawn("web-seed", move |shared| waiting.work(shared, &transfer));
            if let Err(error) = spawned {
                log::warn!("{}: a web seed is not asked: {error}", self.name());
            }
        }
    }

    /// Waits; `false` if nothing is fetched any more by then.
    fn pause(&self, shared: &Shared, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if shared.stop.wait(IDLE) || !self.fetches() {
                return false;
            }
        }
        true
    }
}

/// The web seeds of one share that nobody asks at present.
#[derive(Debug)]
struct Waiting {
    /// Each with whether it failed again and again when it was last asked.
    urls: Mutex<VecDeque<(String, bool)>>,
}

impl Waiting {
    /// Asks one after the other until the download ends or none is of use.
    fn work(&self, shared: &Arc<Shared>, transfer: &Arc<Transfer>) {
        while let Some((url, failed)) = self.urls().pop_front() {
            if failed && !transfer.pause(shared, REST) {
                return;
            }
            let left = ask(shared, transfer, &url);
            let (name, seen) = (transfer.name(), shown(&url));
            match left {
                Left::Ended => return,
                Left::Failing(_) => {
                    log::info!("{name}: the web seed {seen}: {left}");
                    self.urls().push_back((url, true));
                }
                Left::Lied | Left::Useless(_) => {
                    log::warn!("{name}: the web seed {seen} is left: {left}");
                }
            }
        }
    }

    fn urls(&self) -> MutexGuard<'_, VecDeque<(String, bool)>> {
        self.urls.lock().unwrap_or_else(PoisonError::into_inner)
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
fn ask(shared: &Arc<Shared>, transfer: &Arc<Transfer>, url: &str) -> Left {
    let mut failures = 0;
    loop {
        let id = shared.next_link();
        let mut session = Session {
            shared,
            transfer,
            id,
            url,
            source: Source::Web(shown(url).into()),
            body: None,
            gave: false,
        };
        if !session.begin() {
            return Left::Ended;
        }
        let ended = session.run();
        let lied = session.end();
        let error = match ended {
            _ if lied => return Left::Lied,
            Ok(()) => return Left::Ended,
            Err(error) if !error.is_passing() => return Left::Useless(error),
            Err(error) => error,
        };
        log::info!("{}: the web seed {}: {error}", transfer.name(), shown(url));
        failures = if session.gave { 1 } else { failures + 1 };
        if failures >= MOST_FAILURES {
            return Left::Failing(error);
        }
        if !transfer.pause(shared, FIRST_PAUSE * (1 << (failures - 1))) {
            return Left::Ended;
        }
    }
}

/// From one failure to the next.
struct Session<'a> {
    shared: &'a Arc<Shared>,
    transfer: &'a Arc<Transfer>,
    id: LinkId,
    url: &'a str,
    source: Source,
    /// An answer that is being read, and of which file.
    body: Option<(usize, Body)>,
    /// A block came.
    gave: bool,
}

impl Session<'_> {
    /// Enters it among those that blocks are asked of; `false` once nothing is fetched any more.
    fn begin(&mut self) -> bool {
        let mut state = self.transfer.state();
        if state.phase != Phase::Active || self.shared.stop.is_stopped() {
            return false;
        }
        state.picker.add_server(self.id, LARGEST_WINDOW);
        state.servers.insert(self.id, Server { lied: false });
        true
    }

    /// What it was asked for is free for others; says whether it lied.
    fn end(&mut self) -> bool {
        let mut state = self.transfer.state();
        state.picker.remove_link(self.id);
        let server = state.servers.remove(&self.id);
        server.is_some_and(|server| server.lied)
    }

    fn run(&mut self) -> Result<(), WebError> {
        loop {
            let mut blocks = match self.next_blocks() {
                None => return Ok(()),
                Some(blocks) if blocks.is_empty() => {
                    if self.shared.stop.wait(IDLE) {
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
                if !self.fetch(*first, start, end)? {
                    return Ok(());
                }
                blocks = rest;
            }
        }
    }

    /// What to ask for now; none once it is over.
    fn next_blocks(&self) -> Option<Vec<BlockRange>> {
        let now = self.shared.now();
        let mut guard = self.transfer.state();
        let state: &mut State = &mut guard;
        let lied = state.servers.get(&self.id).is_none_or(|server| server.lied);
        if state.phase != Phase::Active || lied || self.shared.stop.is_stopped() {
            return None;
        }
        let State {
            picker, reserved, ..
        } = state;
        let mut blocks = Vec::new();
        let mut reserve = |count| self.shared.stock.reserve(reserved, count);
        picker.next_blocks(self.id, now, &mut reserve, &mut blocks);
        Some(blocks)
    }

    /// Fetches a block, which begins at byte `start` of the share, with a request that reaches to `end`; `false` once it is over.
    fn fetch(&mut self, range: BlockRange, start: u64, end: u64) -> Result<bool, WebError> {
        if !self.keep_limit(range.length()) {
            return Ok(false);
        }
        let mut buffer = self.shared.stock.buffer();
        buffer.set_length(range.length());
        let info = Arc::clone(self.transfer.info());
        let mut rest: &mut [u8] = &mut buffer;
        for part in info.parts(start, range.length().into()) {
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
            let open = self.body.as_ref();
            if !open.is_some_and(|(index, body)| *index == part.index && body.reaches(part.offset))
            {
                let url = info.url_at(self.url, part.index).ok_or(WebError::Url)?;
                self.body = None;
                let client = &self.shared.web;
                let body = client.open(&url, part.offset, last, file.length)?;
                self.body = Some((part.index, body));
            }
            if let Some((_, body)) = &mut self.body {
                body.read(part.offset, room)?;
                body.finish();
            }
        }
        self.gave = true;
        let arrived =
            self.transfer
                .arrived(self.shared, self.id, &self.source, None, range, buffer);
        // Not a breach of its own: it was asked too long ago.
        arrived.map_err(|()| WebError::Slow)?;
        Ok(true)
    }

    /// Waits until so many bytes may be read, if reading is limited; `false` if it is over by then.
    fn keep_limit(&self, bytes: u32) -> bool {
        let Some(limit) = &self.shared.down else {
            return true;
        };
        let due = limit.reserve(bytes);
        while let Some(left) = due.checked_duration_since(Instant::now())
            && !left.is_zero()
        {
            if self.shared.stop.wait(left.min(IDLE)) || !self.transfer.fetches() {
                return false;
            }
            // What we do not read on purpose is not late.
            let now = self.shared.now();
            self.transfer.state().picker.excuse(self.id, now);
        }
        true
    }
}

impl Transfer {
    fn fetches(&self) -> bool {
        self.state().phase == Phase::Active
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
