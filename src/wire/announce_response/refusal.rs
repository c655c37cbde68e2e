//! Responses that cannot be used, among them refusals (BEP 3, "failure reason"; BEP 31 `retry in`).

use super::values::{MAX_INTERVAL, bounded_interval, number, printable, seconds};
use crate::bencode::{self, Dictionary, Item, KeyOrder, MAX_VALUES, Value};
use std::fmt;
use std::time::Duration;

/// The longest response that is read, in bytes.
pub const MAX_RESPONSE: usize = 1 << 20;

/// Why a response cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The tracker refused the request.
    #[error("the tracker refuses: {0}")]
    Refused(Refusal),
    /// More than [`MAX_RESPONSE`] bytes.
    #[error("the tracker's answer is longer than {MAX_RESPONSE} bytes")]
    TooLong,
    /// Not bencode.
    #[error("the tracker's answer is not bencode")]
    Bencode(#[from] bencode::Error),
    /// Bencode, but not a dictionary.
    #[error("the tracker's answer is not a dictionary")]
    NotDictionary,
    /// A value of the wrong type or length.
    #[error("{0} in the tracker's answer is malformed")]
    Malformed(&'static str),
}

/// Why a tracker refuses, and when it may be asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason. Unprintable characters are escaped.
    pub reason: String,
    /// The pause before the next request: `retry in` (BEP 31), or else the interval; at least a
    /// minute and at most a day. `None` leaves it to the peer.
    pub retry: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The response that refuses an announce or a scrape (BEP 3, "failure reason").
pub fn encode_failure(reason: &str) -> Vec<u8> {
    Item::dictionary([("failure reason", reason.into())]).encode()
}

/// Reads the bencode of any response. Ignores white space before the bencode, and all bytes after
/// it. A response with a failure reason is an error.
pub(in crate::wire) fn parse_response(bytes: &[u8]) -> Result<Value<'_>, ResponseError> {
    if bytes.len() > MAX_RESPONSE {
        return Err(ResponseError::TooLong);
    }
    let bytes = bytes.trim_ascii_start();
    let (value, _) = Value::parse_prefix(bytes, KeyOrder::Any, MAX_VALUES)?;
    match value.dictionary().and_then(refusal) {
        Some(refusal) => Err(ResponseError::Refused(refusal)),
        None => Ok(value),
    }
}

/// The refusal in a response. A response with an empty reason is no refusal: some trackers always
/// send the key.
fn refusal(dictionary: &Dictionary<'_>) -> Option<Refusal> {
    let reason = dictionary.value("failure reason")?;
    let reason = match reason.bytes() {
        Some(reason) => String::from_utf8_lossy(reason),
        None => String::from_utf8_lossy(reason.raw()),
    };
    let minutes = |number| seconds(number).saturating_mul(60);
    let retry = match dictionary.value("retry in").and_then(Value::bytes) {
        Some(b"never") => Some(MAX_INTERVAL),
        _ => number(dictionary, "retry in").map(minutes),
    };
    let interval = ["interval", "min interval"];
    let interval = interval.into_iter().find_map(|key| number(dictionary, key));
    let retry = retry.or_else(|| interval.map(seconds));
    (!reason.trim().is_empty()).then(|| Refusal {
        reason: printable(reason.trim()),
        retry: retry.map(bounded_interval),
    })
}
