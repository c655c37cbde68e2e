//! Modification times of files, as an extension message (BEP 10) of this program: the index of the
//! first file (4 bytes, big-endian), then the time of this file and of the files after it (8 bytes
//! each, big-endian).

use crate::torrent::{TIME_LENGTH, decode_times, encode_times};

/// The name of the message in the extension handshake.
pub const EXTENSION_NAME: &str = "pieceful_mtimes";
/// The most modification times in one message, so that it takes less than 16 KiB.
const TIMES_IN_MESSAGE: usize = (16 << 10) / TIME_LENGTH - 1;

/// The times of some consecutive files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimesMessage {
    /// The index of the first file.
    pub first: u32,
    /// The times, in nanoseconds since 1970.
    pub times: Vec<i64>,
}

impl TimesMessage {
    /// The payloads of the messages that carry all times.
    pub fn all_of(times: &[i64]) -> impl Iterator<Item = Vec<u8>> {
        let parts = (0u32..).step_by(TIMES_IN_MESSAGE);
        parts
            .zip(times.chunks(TIMES_IN_MESSAGE))
            .map(|(first, part)| {
                let times = part.to_vec();
                Self { first, times }.encode()
            })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        [&self.first.to_be_bytes()[..], &encode_times(&self.times)].concat()
    }

    /// Reads a payload. Returns `None` if it is not valid.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (first, times) = payload.split_first_chunk::<4>()?;
        let (first, times) = (u32::from_be_bytes(*first), decode_times(times)?);
        Some(Self { first, times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_times_is_sent_in_several_messages_and_read_back() {
        let times: Vec<i64> = (-2..5_000).collect();
        let mut read = Vec::new();
        for payload in TimesMessage::all_of(&times) {
            assert!(payload.len() < 16 << 10);
            let message = TimesMessage::parse(&payload).unwrap();
            assert_eq!(message.first as usize, read.len());
            read.extend(message.times);
        }
        assert_eq!(read, times);
        for payload in [&b""[..], b"123", b"12345"] {
            assert_eq!(TimesMessage::parse(payload), None);
        }
    }
}
