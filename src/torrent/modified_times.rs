//! When the files of a share were modified last. BitTorrent has no such field. A `.torrent` has the
//! times outside its `info`, so that equal content has one info-hash, whatever its times are.

use super::Info;

/// Length of an encoded time in bytes.
pub const TIME_LENGTH: usize = 8;

/// The modification time of each file, in nanoseconds since 1970, in the order of [`Info::files`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModifiedTimes(Vec<i64>);

impl ModifiedTimes {
    /// Returns `None` if the number of times is not the number of files of the share.
    pub fn new(times: Vec<i64>, info: &Info) -> Option<Self> {
        (times.len() == info.files().len()).then_some(Self(times))
    }

    /// The times.
    pub fn all(&self) -> &[i64] {
        &self.0
    }

    /// The time of the file with this index.
    pub fn of(&self, index: usize) -> Option<i64> {
        self.0.get(index).copied()
    }

    /// 8 bytes for each file, big-endian.
    pub(super) fn encode(&self) -> Vec<u8> {
        encode_times(&self.0)
    }

    /// Reads the bytes that [`ModifiedTimes::encode`] returned. `None` if there are not exactly
    /// 8 bytes for each file of the share.
    pub(super) fn decode(bytes: &[u8], info: &Info) -> Option<Self> {
        Self::new(decode_times(bytes)?, info)
    }
}

/// 8 bytes for each time, big-endian.
pub fn encode_times(times: &[i64]) -> Vec<u8> {
    times.iter().flat_map(|time| time.to_be_bytes()).collect()
}

/// Reads the bytes that [`encode_times`] returned. `None` if their number is not a multiple of 8.
pub fn decode_times(bytes: &[u8]) -> Option<Vec<i64>> {
    let (times, rest) = bytes.as_chunks::<TIME_LENGTH>();
    let times = times.iter().map(|time| i64::from_be_bytes(*time));
    rest.is_empty().then(|| times.collect())
}
