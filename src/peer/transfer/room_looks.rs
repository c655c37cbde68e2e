//! When a download whose disk was full looks for room: usually at every turn of the thread `watch`.
//! But if it went on, verified nothing new, and its disk was full again, the file system does not
//! say how much room there is. Then the pauses grow, because each attempt hashes all files.

use std::time::Duration;

/// The pause after the first attempt that brought nothing. Each later pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause. A person who made room waits for it.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// The time of the next look, and what it depends on.
#[derive(Debug, Default)]
pub(super) struct RoomLooks {
    /// The number of verified bytes when the disk was full before.
    verified: Option<u64>,
    pause: Duration,
    next: Duration,
}

impl RoomLooks {
    /// The disk is full. `verified` is the number of bytes that are verified now.
    pub(super) fn on_full(&mut self, verified: u64, now: Duration) {
        let before = self.verified.replace(verified);
        self.pause = match before.is_some_and(|before| before >= verified) {
            true => (self.pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE),
            false => Duration::ZERO,
        };
        self.next = now.saturating_add(self.pause);
    }

    /// Whether to look for room now.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        now >= self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_only_while_no_attempt_brings_anything() {
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
