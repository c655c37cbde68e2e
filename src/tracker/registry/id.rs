//! The ids of rows and origins, and the numbers of writes.

use crate::base::hex::{self, Hex};
use std::fmt;
use std::str::FromStr;

/// The text is not 32 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id of 32 hex digits")]
pub struct IdError(String);

macro_rules! random_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Hex(&self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = || IdError(text.chars().take(60).collect());
                hex::read(text).map(Self).ok_or_else(error)
            }
        }
    };
}

random_id! {
    /// The identity of the data of one tracker: 128 random bits. A tracker draws them when it makes
    /// its database, also from a backup, and again if its data may be older than its last writes.
    /// The tracker numbers its writes under this identity.
    ///
    /// An origin is not the number of a tracker. A tracker that has lost its disk must write under
    /// a new origin.
    Origin
}

random_id! {
    /// The id of a row: 128 bits.
    ///
    /// The tracker that creates the row draws a random id, or derives it from the random id of a
    /// write. With derived ids, two trackers that execute the same command create the same row.
    RowId
}

/// The number of a write of one origin: 1, 2, 3, ... without gaps. 0 means before the first write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence(u64);

impl Sequence {
    /// Before the first write.
    pub const ZERO: Self = Self(0);

    /// The sequence with this number. `None` from 2^63 on, because bencode cannot represent it.
    pub fn new(number: u64) -> Option<Self> {
        i64::try_from(number).is_ok().then_some(Self(number))
    }

    /// The number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The next number.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read_as_hex() {
        let text = "000102030405060708090a0b0c0d0eff";
        let id: RowId = text.parse().unwrap();
        assert_eq!((id.0[1], id.0[15]), (1, 255));
        assert_eq!(id.to_string(), text);
        for bad in [
            "",
            "00",
            "+00102030405060708090a0b0c0d0eff",
            "g00102030405060708090a0b0c0d0eff",
            &format!("{text}0"),
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_sequence_fits_into_bencode() {
        assert_eq!(Sequence::new(1 << 63), None);
        assert_eq!(Sequence::new(7).map(Sequence::next), Sequence::new(8));
    }
}
