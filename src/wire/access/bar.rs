//! The accounts that have left a group, and those that came back: what a tracker sends to members.

use crate::bencode::{Item, Value};
use crate::certificate::AccountId;
use crate::wire::control::ControlError;

/// The most bars in one answer. With them and with the addresses of all its swarms, an answer still
/// fits into a frame.
pub const MAX_BARS: usize = 20_000;
/// Bytes of one bar in a message: 16 each of `account` and `stand_in`, 8 of `at`, big-endian, and 1
/// of `is_lifted`.
const BAR_LENGTH: usize = 41;

/// An account that was a member of a group. Until its certificates have expired, a peer must have
/// no links with it, unless the bar is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// The account.
    pub account: AccountId,
    /// [`AccountId::of_name`] of the account's present name, for certificates that name no account.
    pub stand_in: AccountId,
    /// Orders the bars of one account, whichever tracker sends them: the one with the largest
    /// number counts. Of two with the same number, the one that is not lifted counts.
    pub at: u64,
    /// Whether the account is a member again.
    pub is_lifted: bool,
}

impl Bar {
    fn to_bytes(self) -> [u8; BAR_LENGTH] {
        let mut bytes = [0; BAR_LENGTH];
        let at = self.at.to_be_bytes();
        let fields = self.account.0.iter().chain(&self.stand_in.0).chain(&at);
        let is_lifted = u8::from(self.is_lifted);
        for (to, from) in bytes.iter_mut().zip(fields.chain([&is_lifted])) {
            *to = *from;
        }
        bytes
    }

    fn read(bytes: &[u8; BAR_LENGTH]) -> Option<Self> {
        let (account, rest) = bytes.split_first_chunk()?;
        let (stand_in, rest) = rest.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        Some(Self {
            account: AccountId(*account),
            stand_in: AccountId(*stand_in),
            at: u64::from_be_bytes(*at),
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
            at: 3 << 60,
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
        let list = Value::parse(b"le", crate::bencode::KeyOrder::Sorted).unwrap();
        assert!(read_bars(&list, "barred").is_err());
    }
}
