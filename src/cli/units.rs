//! Sizes, times and counts as text with units.

use std::fmt::Display;
use std::time::Duration;

/// A number of bytes in the largest unit in which it is at least 1, with one decimal.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = None;
    for larger in UNITS {
        // From 1023.95 on, one decimal would show 1024.0, so the next unit is used.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = Some(larger);
    }
    match unit {
        Some(unit) => format!("{value:.1} {unit}"),
        None => format!("{bytes} B"),
    }
}

/// A time in at most two units: `12s`, `3m 5s`, `2h 10m`, `4d 3h`.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {}s", seconds % 60),
        3600..86_400 => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// A number with what it counts: `1 peer`, `2 peers`.
pub(super) fn counted<N: Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {what}{plural}")
}
