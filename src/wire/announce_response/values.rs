//! Numbers, intervals and texts in responses, within bounds.

use crate::bencode::{Dictionary, Value};
use std::time::Duration;

/// The shortest interval that is accepted from a tracker of another program.
pub(super) const MIN_INTERVAL: Duration = Duration::from_secs(60);
/// The longest interval that is accepted from any tracker.
pub(super) const MAX_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// The most characters of a failure reason or a warning. The rest is cut.
const MAX_REASON_CHARS: usize = 300;

/// The interval that is used if a tracker of another program asks for `interval`.
pub fn bounded_interval(interval: Duration) -> Duration {
    interval.clamp(MIN_INTERVAL, MAX_INTERVAL)
}

/// A number, which may be written as text. `None` if it is missing or something else.
pub(in crate::wire) fn number(dictionary: &Dictionary<'_>, key: &str) -> Option<i64> {
    as_number(dictionary.value(key)?)
}

pub(super) fn as_number(value: &Value<'_>) -> Option<i64> {
    let text = || value.text()?.trim().parse().ok();
    value.integer().or_else(text)
}

/// A duration of `number` seconds. A negative `number` counts as 0.
pub(super) fn seconds(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

/// Text that is safe to show: cut to `MAX_REASON_CHARS`, with control characters and invisible
/// characters escaped.
pub fn printable(text: &str) -> String {
    text.chars().take(MAX_REASON_CHARS).fold(String::new(), |mut out, letter| {
        // Formatting characters, such as bidirectional ones, can hide text just as control
        // characters can.
        if letter.is_control() || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}') {
            out.extend(letter.escape_unicode());
        } else {
            out.push(letter);
        }
        out
    })
}
