//! How much of a transfer's files has been checked.

use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes that a check hashes, in one or more passes over files.
#[derive(Debug, Default)]
pub(super) struct CheckProgress {
    total: AtomicU64,
    /// Bytes of the passes that have ended.
    ended_passes: AtomicU64,
    /// Bytes of the current pass that have been hashed.
    current_pass: AtomicU64,
}

impl CheckProgress {
    /// Begins a check that will hash this number of bytes.
    pub(super) fn begin(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.ended_passes.store(0, Ordering::Relaxed);
        self.current_pass.store(0, Ordering::Relaxed);
    }

    /// Reports how many bytes the current pass has hashed so far. A thread may report a smaller
    /// number after another thread has reported a larger one.
    pub(super) fn report_hashed(&self, bytes: u64) {
        self.current_pass.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Ends a pass over this number of bytes.
    pub(super) fn end_pass(&self, bytes: u64) {
        self.ended_passes.fetch_add(bytes, Ordering::Relaxed);
        self.current_pass.store(0, Ordering::Relaxed);
    }

    /// The checked part in percent, rounded down.
    pub(super) fn percent(&self) -> u64 {
        let load = |bytes: &AtomicU64| u128::from(bytes.load(Ordering::Relaxed));
        let hashed = load(&self.ended_passes) + load(&self.current_pass);
        let percent = (hashed * 100).checked_div(load(&self.total)).unwrap_or(0);
        u64::try_from(percent).unwrap_or(100).min(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentage_covers_all_passes_and_is_rounded_down() {
        let check = CheckProgress::default();
        assert_eq!(check.percent(), 0);
        check.begin(200);
        check.report_hashed(75);
        check.report_hashed(50);
        assert_eq!(check.percent(), 37);
        check.end_pass(100);
        assert_eq!(check.percent(), 50);
        check.report_hashed(99);
        assert_eq!(check.percent(), 99);
        check.begin(10);
        assert_eq!(check.percent(), 0);
    }
}
