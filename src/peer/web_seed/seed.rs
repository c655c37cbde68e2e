//! The web seeds of one share: what is known about each web seed, and which of them wait to be
//! used.

use super::client::WebClient;
use super::error::WebError;
use super::mirrors::{Mirrors, Provider};
use crate::swarm::{LinkId, Source};
use crate::system::lock;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A server without ranges sends each file from its start, so the bytes before a wanted block are
/// skipped. The limit on skipped bytes is the length of the share, plus this number for each wanted
/// byte that arrived (4 MiB for each block).
const SKIPPED_PER_WANTED: u64 = 256;
/// A web seed is dropped when this number of files in a row turned out to be missing there.
const MAX_MISSES: u32 = 100;

/// The state that is shared by all threads that use web seeds of one share.
#[derive(Debug)]
pub(super) struct WebSeeds {
    pub(super) client: Arc<WebClient>,
    mirrors: Mutex<Mirrors>,
    /// The web seeds that no thread uses at present, each with the pause before its next use.
    waiting: Mutex<VecDeque<(WebSeed, Duration)>>,
    /// Whether [`WebSeeds::claim_joint_use`] has returned `true`.
    is_joint_use_claimed: AtomicBool,
}

impl WebSeeds {
    pub(super) fn new(client: Arc<WebClient>, mirrors: Mirrors, waiting: Vec<WebSeed>) -> Self {
        let waiting = waiting.into_iter().map(|seed| (seed, Duration::ZERO));
        Self {
            client,
            mirrors: Mutex::new(mirrors),
            waiting: Mutex::new(waiting.collect()),
            is_joint_use_claimed: AtomicBool::new(false),
        }
    }

    /// Which server has which file.
    pub(super) fn mirrors(&self) -> MutexGuard<'_, Mirrors> {
        lock(&self.mirrors)
    }

    /// Takes the web seed that is to be used next, with the pause before its use.
    pub(super) fn take(&self) -> Option<(WebSeed, Duration)> {
        lock(&self.waiting).pop_front()
    }

    /// Puts a web seed behind all others that wait. The thread that takes it pauses before it uses
    /// the web seed.
    pub(super) fn put_back(&self, seed: WebSeed, pause: Duration) {
        lock(&self.waiting).push_back((seed, pause));
    }

    /// Whether some web seed waits to be used.
    pub(super) fn any_waits(&self) -> bool {
        !lock(&self.waiting).is_empty()
    }

    /// Returns `true` if pieces are to be fetched from several servers together, and no thread does
    /// that yet. Then the caller must start such a thread.
    pub(super) fn claim_joint_use(&self) -> bool {
        let is_needed = !self.mirrors().pieces_of(Provider::Joint).is_empty();
        is_needed && !self.is_joint_use_claimed.swap(true, Ordering::Relaxed)
    }
}

/// A web seed of a share; with [`Provider::Joint`], all web seeds of the share together.
#[derive(Debug)]
pub(super) struct WebSeed {
    pub(super) provider: Provider,
    /// The id under which the core requests blocks from it.
    pub(super) id: LinkId,
    pub(super) source: Source,
    /// Bytes that were skipped.
    skipped: u64,
    /// Wanted bytes that arrived.
    delivered: u64,
    /// The number of files that turned out to be missing since the last wanted byte.
    misses: u32,
}

impl WebSeed {
    /// A web seed. `shown` is what people see of it.
    pub(super) fn new(provider: Provider, shown: &str, id: LinkId) -> Self {
        Self {
            provider,
            id,
            source: Source::Web(id, shown.into()),
            skipped: 0,
            delivered: 0,
            misses: 0,
        }
    }

    /// The number of wanted bytes that arrived.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Wanted bytes arrived.
    pub(super) fn on_delivered(&mut self, bytes: u32) {
        self.delivered += u64::from(bytes);
        self.misses = 0;
    }

    /// Counts bytes that are about to be skipped. `total` is the length of the share.
    ///
    /// # Errors
    /// [`WebError::NoRanges`] if these bytes exceed the limit on skipped bytes.
    pub(super) fn before_skip(&mut self, bytes: u32, total: u64) -> Result<(), WebError> {
        let most = self.delivered.saturating_mul(SKIPPED_PER_WANTED);
        self.skipped = self.skipped.saturating_add(bytes.into());
        match self.skipped > most.saturating_add(total) {
            true => Err(WebError::NoRanges),
            false => Ok(()),
        }
    }

    /// A file is missing at the web seed. Returns whether it lacks too many files.
    pub(super) fn on_missing(&mut self) -> bool {
        self.misses += 1;
        self.misses >= MAX_MISSES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web_seed() -> WebSeed {
        WebSeed::new(Provider::One(0), "http://a/", LinkId(1))
    }

    #[test]
    fn a_server_may_make_us_skip_the_share_once_and_more_for_each_wanted_byte() {
        let (mut seed, total) = (web_seed(), 1_000);
        assert!(seed.before_skip(1_000, total).is_ok());
        assert!(seed.before_skip(1, total).is_err());
        seed.on_delivered(10);
        assert!(seed.before_skip(2_559, total).is_ok());
        assert!(seed.before_skip(1, total).is_err());
    }

    #[test]
    fn a_server_that_lacks_a_hundred_files_in_a_row_is_dropped() {
        let mut seed = web_seed();
        assert!((1..MAX_MISSES).all(|_| !seed.on_missing()));
        seed.on_delivered(1);
        assert!((1..MAX_MISSES).all(|_| !seed.on_missing()));
        assert!(seed.on_missing());
    }
}
