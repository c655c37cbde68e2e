//! The accounts that have left a group, and those that came back: what a tracker sends to members.

use crate::bencode::{Item, Value};
use crate::certificate::AccountId;
use crate::torrent::Hasher;
use crate::wire::control::ControlError;
use std::time::Duration;

/// The most bars in one answer. With them and with the addresses of all its swarms, an answer still
/// fits into a frame.
pub const MAX_BARS: usize = 20_000;
/// How long trackers report a bar, and peers keep it, from [`Bar::at`] on. A certificate ends
/// at most a day after it was issued. The other days are for a tracker that did not know yet that
/// the member had left, and certified him. Both sides count from the same time. Otherwise a peer
/// could keep a bar when trackers no longer report that it is lifted.
pub const BAR_LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Bytes of one bar in a message: 16 each of `account` and `stand_in`, 8 of the wall time and 4 of
/// the counter of `at`, big-endian, and 1 of `is_lifted`.
const BAR_LENGTH: usize = 45;

/// When a membership ended or began. A later time is larger, whichever tracker sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BarTime {
    /// Milliseconds since 1970.
    pub wall: u64,
    /// Orders the times of one millisecond.
    pub counter: u32,
}

/// An account that was a member of a group. For [`BAR_LIFE`], a peer must have no links with it,
/// unless the bar is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// The account.
    pub account: AccountId,
    /// [`AccountId::of_name`] of the account's present name. A certificate that names no account
    /// has this id.
    pub stand_in: AccountId,
    /// When the account left or came back. Of the bars of one account, the latest one counts. Of
    /// two with the same time, the one that is not lifted counts.
    pub at: BarTime,
    /// Whether the account is a member again.
    pub is_lifted: bool,
}

/// A digest of a list of bars: the first 8 bytes of the SHA-1 of the list in a message. A peer
/// sends the digest of the last list that it got, and the tracker does not send an equal list
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarsDigest(pub [u8; 8]);

impl BarsDigest {
    /// The digest of this list.
    pub fn of(bars: &[Bar]) -> Self {
        let mut hasher = Hasher::new();
        bars.iter().for_each(|bar| hasher.update(&bar.to_bytes()));
        let hash = hasher.finish().0;
        Self(hash.first_chunk().copied().unwrap_or_default())
    }
}

impl BarTime {
    /// The end of a bar of this time, since 1970.
    pub fn end(self) -> Duration {
        Duration::from_millis(self.wall).saturating_add(BAR_LIFE)
    }
}

impl Bar {
    fn to_bytes(self) -> [u8; BAR_LENGTH] {
        let mut bytes = [0; BAR_LENGTH];
        let (wall, counter) = (self.at.wall.to_be_bytes(), self.at.counter.to_be_bytes());
        let accounts = self.account.0.iter().chain(&self.stand_in.0);
        let fields = accounts.chain(&wall).chain(&counter);
        let is_lifted = u8::from(self.is_lifted);
        for (to, from) in bytes.iter_mut().zip(fields.chain([&is_lifted])) {
            *to = *from;
        }
        bytes
    }

    fn read(bytes: &[u8; BAR_LENGTH]) -> Option<Self> {
        let (account, rest) = bytes.split_first_chunk()?;
        let (stand_in, rest) = rest.split_first_chunk()?;
        let (wall, rest) = rest.split_first_chunk()?;
        let (counter, rest) = rest.split_first_chunk()?;
        Some(Self {
            account: AccountId(*account),
            stand_in: AccountId(*stand_in),
            at: BarTime {
                wall: u64::from_be_bytes(*wall),
                counter: u32::from_be_bytes(*counter),
            },
            is_lifted: match rest {
                [0] => false,
                [1] => true,
                _ => return None,
            },
        })
    }
}

pub(super) fn bars_item(bars: &[Bar]) -> Item<'_> {
    let bytes = bars.iter().flat_map(|bar| bar.to_bytes());
    bytes.collect::<Vec<u8>>().into()
}

/// Reads what [`bars_item`] wrote.
pub(super) fn read_bars(value: &Value<'_>, key: &'static str) -> Result<Vec<Bar>, ControlError> {
    let (records, rest) = value.bytes().unwrap_or(&[0]).as_chunks::<BAR_LENGTH>();
    let bars: Option<Vec<_>> = records.iter().map(Bar::read).collect();
    let bars = bars.filter(|bars| rest.is_empty() && bars.len() <= MAX_BARS);
    bars.ok_or(ControlError::WrongValue(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_read_as_they_were_written_and_other_values_are_refused() {
        let bar = |is_lifted| Bar {
            account: AccountId([1; 16]),
            stand_in: AccountId([2; 16]),
            at: BarTime {
                wall: 3 << 60,
                counter: u32::MAX - 1,
            },
            is_lifted,
        };
        let read = |bytes: Vec<u8>| {
            let text = Item::from(bytes).encode();
            let value = Value::parse(&text, crate::bencode::KeyOrder::Sorted).unwrap();
            read_bars(&value, "barred").ok()
        };
        for bars in [
            vec![],
            vec![bar(true), bar(false)],
            vec![bar(true); MAX_BARS],
        ] {
            let bytes: Vec<u8> = bars.iter().flat_map(|bar| bar.to_bytes()).collect();
            assert_eq!(read(bytes), Some(bars));
        }
        let mut unknown_flag = bar(true).to_bytes().to_vec();
        unknown_flag[BAR_LENGTH - 1] = 2;
        let longer = bar(true).to_bytes().repeat(MAX_BARS + 1);
        for bad in [vec![0; BAR_LENGTH - 1], unknown_flag, longer] {
            assert_eq!(read(bad), None);
        }
        assert_ne!(BarsDigest::of(&[bar(true)]), BarsDigest::of(&[bar(false)]));
        let list = Value::parse(b"le", crate::bencode::KeyOrder::Sorted).unwrap();
        assert!(read_bars(&list, "barred").is_err());
    }
}
