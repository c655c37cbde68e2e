//! Decides when a download that waits for room on its disk looks whether there is room. Usually it
//! looks whenever the thread `watch` asks. But perhaps the download went on, and its disk was full
//! again before anything new was verified. Then the free space that the file system reports cannot
//! be relied on. Each attempt to go on hashes all files, so the pauses between the looks grow.

use std::time::Duration;

/// The pause after the first attempt that verified nothing new. Each later pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause. A person who has made room waits at most this long.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// The time of the next look, and what it depends on.
#[derive(Debug, Default)]
pub(super) struct RoomLooks {
    /// The number of verified bytes when the disk was last found full.
    verified: Option<u64>,
    pause: Duration,
    next_look: Duration,
}

impl RoomLooks {
    /// The disk is full. `verified` is the number of bytes that are verified now.
    pub(super) fn on_full(&mut self, verified: u64, now: Duration) {
        let before = self.verified.replace(verified);
        self.pause = match before.is_some_and(|before| before >= verified) {
            true => (self.pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE),
            false => Duration::ZERO,
        };
        self.next_look = now.saturating_add(self.pause);
    }

    /// Whether to look for room now.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        now >= self.next_look
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_only_while_no_attempt_verifies_anything_new() {
        let mut looks = RoomLooks::default();
        let now = Duration::from_secs(100);
        let mut pause_after = |verified| {
            looks.on_full(verified, now);
            let due = (0..).find(|second| looks.is_due(now + Duration::from_secs(*second)));
            due.unwrap()
        };
        assert_eq!([5, 6, 9].map(&mut pause_after), [0, 0, 0]);
        assert_eq!([9, 9, 8].map(&mut pause_after), [10, 20, 40]);
        assert_eq!([8; 6].map(&mut pause_after), [80, 160, 320, 600, 600, 600]);
        assert_eq!([20, 20].map(&mut pause_after), [0, 10]);
    }
}
