//! Downloads of a mirror that have failed, and when each is tried again. Pure.

use crate::torrent::InfoHash;
use std::collections::BTreeMap;
use std::time::Duration;

/// The pause after the first failure. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// A download that has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The name of the share.
    pub(super) name: String,
    /// Why it has failed last.
    pub(super) reason: String,
    /// How often it has failed.
    pub(super) count: u32,
    /// When it is tried again.
    pub(super) again_at: Duration,
    /// Whether it has begun again since then.
    is_running: bool,
}

/// All downloads of a mirror that have failed.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<InfoHash, Failure>);

/// The pause after this number of failures.
pub(super) fn pause(count: u32) -> Duration {
    let factor = 1u32
        .checked_shl(count.saturating_sub(1))
        .unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

impl Failures {
    /// Whether a download may begin now.
    pub(super) fn is_due(&self, info_hash: InfoHash, now: Duration) -> bool {
        self.0
            .get(&info_hash)
            .is_none_or(|failure| failure.again_at <= now)
    }

    /// A download begins.
    pub(super) fn on_begun(&mut self, info_hash: InfoHash) {
        if let Some(failure) = self.0.get_mut(&info_hash) {
            failure.is_running = true;
        }
    }

    /// A download was seen in the state "failed", or could not begin. Counts each attempt once.
    pub(super) fn on_failed(
        &mut self,
        info_hash: InfoHash,
        name: &str,
        reason: &str,
        now: Duration,
    ) {
        let known = self.0.get(&info_hash);
        if known.is_some_and(|failure| !failure.is_running) {
            return;
        }
        let count = known.map_or(0, |failure| failure.count).saturating_add(1);
        let failure = Failure {
            name: name.to_owned(),
            reason: reason.to_owned(),
            count,
            again_at: now.saturating_add(pause(count)),
            is_running: false,
        };
        self.0.insert(info_hash, failure);
    }

    /// Keeps only these downloads.
    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(&InfoHash) -> bool) {
        self.0.retain(|info_hash, _| is_kept(info_hash));
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Failure> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_ten_minutes() {
        let seconds: Vec<u64> = (1..=9).map(|count| pause(count).as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn each_attempt_counts_once() {
        let (hash, at) = (InfoHash([1; 20]), Duration::from_secs);
        let mut failures = Failures::default();
        assert!(failures.is_due(hash, at(0)));
        for _ in 0..3 {
            failures.on_failed(hash, "x", "no", at(0));
        }
        assert!(!failures.is_due(hash, at(4)) && failures.is_due(hash, at(5)));
        failures.on_begun(hash);
        failures.on_failed(hash, "x", "still no", at(6));
        let failure = failures.all().next().unwrap();
        assert_eq!((failure.count, failure.again_at), (2, at(16)));
        assert_eq!(failure.reason, "still no");
        failures.retain(|other| *other != hash);
        assert!(failures.is_due(hash, at(0)));
    }
}
