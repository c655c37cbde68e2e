//! Stamps of a hybrid logical clock, the versions of writes, and the clock that issues stamps.
//!
//! While the wall clocks of the trackers agree, a stamp is the wall time. Where they disagree,
//! [`Clock`] acts as a logical clock: it issues stamps that are later than all stamps that it has
//! witnessed. So a write that was made with knowledge of another write has the later stamp, however
//! wrong the wall clocks are (Kulkarni, Demirbas and others, "Logical Physical Clocks", 2014).

use super::id::{Origin, Sequence};
use std::time::Duration;

/// The latest wall time of a stamp: the end of the year 9999, in milliseconds since 1970.
pub const MAX_WALL: u64 = 253_402_300_799_999;
/// A foreign stamp (one of another origin) is reported if it is further ahead of the local wall
/// time than this.
pub const MAX_DRIFT: Duration = Duration::from_secs(60);

/// The time and origin of a write. Stamps are totally ordered by wall time, then counter, then
/// origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp {
    wall: u64,
    counter: u32,
    origin: Origin,
}

impl Stamp {
    /// No stamp is earlier.
    pub(super) const EARLIEST: Self = Self {
        wall: 0,
        counter: 0,
        origin: Origin([0; 16]),
    };
    /// No stamp is later.
    pub(super) const LATEST: Self = Self {
        wall: MAX_WALL,
        counter: u32::MAX,
        origin: Origin([u8::MAX; 16]),
    };

    /// Creates a stamp. `wall` is in milliseconds since 1970; returns `None` if it exceeds
    /// [`MAX_WALL`].
    pub fn new(wall: u64, counter: u32, origin: Origin) -> Option<Self> {
        (wall <= MAX_WALL).then_some(Self {
            wall,
            counter,
            origin,
        })
    }

    /// The wall time in milliseconds since 1970. It is at least the time that the origin's wall
    /// clock showed.
    pub fn wall(&self) -> u64 {
        self.wall
    }

    /// The counter that orders the stamps of one millisecond.
    pub fn counter(&self) -> u32 {
        self.counter
    }

    /// The origin of the write.
    pub fn origin(&self) -> Origin {
        self.origin
    }
}

/// Identifies one write. All rows and fields that an operation writes have the same version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// The time and origin of the write.
    pub stamp: Stamp,
    /// Position of the write in its origin's log: 1, 2, 3, ... without gaps.
    pub sequence: Sequence,
}

/// A foreign stamp that is further in the future than [`MAX_DRIFT`]. The local wall clock is wrong,
/// or that of a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The origin of the stamp.
    pub origin: Origin,
    /// The distance of the stamp from the local wall time.
    pub ahead: Duration,
}

/// The clock of one origin. It does not read the time: callers pass in the wall time since 1970.
#[derive(Clone, Debug)]
pub struct Clock {
    pub(super) origin: Origin,
    /// The wall time and the counter of the latest witnessed stamp.
    latest: (u64, u32),
}

impl Clock {
    /// A clock that has witnessed no stamp.
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            latest: (0, 0),
        }
    }

    /// The stamp for a write at `now`: later than every witnessed stamp. The clock changes only
    /// when the stamp is witnessed, so a write that fails has no effect on the clock.
    pub fn next(&self, now: Duration) -> Stamp {
        let wall = millis(now);
        let (latest_wall, latest_counter) = self.latest;
        let (wall, counter) = if wall > latest_wall {
            (wall, 0)
        } else {
            match latest_counter.checked_add(1) {
                Some(counter) => (latest_wall, counter),
                None => (latest_wall.saturating_add(1).min(MAX_WALL), 0),
            }
        };
        Stamp {
            wall,
            counter,
            origin: self.origin,
        }
    }

    /// Records a stamp, so that later stamps of this clock exceed it. Stamps from the future are
    /// accepted: only their order matters.
    pub fn witness(&mut self, stamp: &Stamp) {
        self.latest = self.latest.max((stamp.wall, stamp.counter));
    }

    /// Returns the drift of a foreign stamp that is more than [`MAX_DRIFT`] ahead of `now`. Returns
    /// `None` for own stamps.
    pub fn drift(&self, stamp: &Stamp, now: Duration) -> Option<Drift> {
        let ahead = Duration::from_millis(stamp.wall.saturating_sub(millis(now)));
        (stamp.origin != self.origin && ahead > MAX_DRIFT).then_some(Drift {
            origin: stamp.origin,
            ahead,
        })
    }
}

/// Whole milliseconds, at most [`MAX_WALL`].
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).map_or(MAX_WALL, |millis| millis.min(MAX_WALL))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Origin = Origin([1; 16]);
    const B: Origin = Origin([2; 16]);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn stamps_never_go_backwards_when_the_wall_clock_does() {
        let mut clock = Clock::new(A);
        let mut last = clock.next(at(0));
        clock.witness(&last);
        for now in [5, 5, 900, 3, 0, 900, 901, 2] {
            let stamp = clock.next(at(now));
            assert!(stamp > last, "{stamp:?} after {last:?}");
            clock.witness(&stamp);
            last = stamp;
        }
        assert_eq!((last.wall(), last.counter()), (901, 1));
    }

    #[test]
    fn a_stamp_is_later_than_a_witnessed_one_even_if_the_counter_is_full() {
        let mut clock = Clock::new(A);
        clock.witness(&Stamp::new(5000, u32::MAX, B).unwrap());
        let next = clock.next(at(10));
        assert_eq!((next.wall(), next.counter()), (5001, 0));
        assert_eq!(Stamp::new(MAX_WALL + 1, 0, A), None);
        assert_eq!(clock.next(Duration::MAX).wall(), MAX_WALL);
    }

    #[test]
    fn only_foreign_stamps_from_far_ahead_are_reported() {
        let clock = Clock::new(A);
        let stamp = |origin| Stamp::new(100_000, 0, origin).unwrap();
        assert_eq!(clock.drift(&stamp(B), at(40_000)), None);
        assert_eq!(clock.drift(&stamp(A), at(0)), None);
        let drift = clock.drift(&stamp(B), at(39_999)).unwrap();
        assert_eq!((drift.origin, drift.ahead), (B, at(60_001)));
    }
}
