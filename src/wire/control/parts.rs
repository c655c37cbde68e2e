//! Info dictionaries in parts, because a dictionary may be larger than a frame.

use crate::bencode::Item;
use crate::torrent::MAX_METAINFO;

/// The most bytes of one part.
pub const MAX_PART: usize = 512 << 10;

/// A part of an info dictionary.
///
/// Invariants, checked by [`InfoPart::new`]: the part has 1 to [`MAX_PART`] bytes and is inside the
/// dictionary, and the dictionary has at most [`MAX_METAINFO`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoPart {
    offset: u32,
    total: u32,
    bytes: Vec<u8>,
}

/// Why a part is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// No bytes, or more than [`MAX_PART`].
    #[error("a part of an info dictionary has {0} bytes; it must have 1 to {MAX_PART}")]
    Length(usize),
    /// The info dictionary has more than [`MAX_METAINFO`] bytes.
    #[error("an info dictionary has {0} bytes; the most is {MAX_METAINFO}")]
    TooLarge(u32),
    /// The part ends after the end of the dictionary.
    #[error("a part ends after the {0} bytes of its info dictionary")]
    Outside(u32),
    /// The part does not follow the previous part.
    #[error("a part of an info dictionary starts at byte {found}, not at byte {expected}")]
    OutOfOrder {
        /// Position of the first byte of the part.
        found: u32,
        /// Position of the first byte that has not arrived.
        expected: u32,
    },
    /// The part belongs to a dictionary of another length.
    #[error(
        "a part belongs to an info dictionary of {found} bytes, the previous part to one of {expected} bytes"
    )]
    OtherTotal {
        /// Length of the dictionary that the part belongs to.
        found: u32,
        /// Length of the dictionary that the previous part belongs to.
        expected: u32,
    },
}

impl InfoPart {
    /// `bytes` starting at `offset` of an info dictionary of `total` bytes.
    ///
    /// # Errors
    /// See [`PartError`].
    pub fn new(offset: u32, total: u32, bytes: Vec<u8>) -> Result<Self, PartError> {
        if bytes.is_empty() || bytes.len() > MAX_PART {
            return Err(PartError::Length(bytes.len()));
        }
        if !usize::try_from(total).is_ok_and(|total| total <= MAX_METAINFO) {
            return Err(PartError::TooLarge(total));
        }
        let end = u32::try_from(bytes.len()).ok();
        let end = end.and_then(|length| offset.checked_add(length));
        if end.is_none_or(|end| end > total) {
            return Err(PartError::Outside(total));
        }
        Ok(Self {
            offset,
            total,
            bytes,
        })
    }

    /// The part of the info dictionary `info` that starts at `offset`.
    ///
    /// # Errors
    /// See [`PartError`]. An `offset` at or after the end is a [`PartError::Length`] of 0.
    pub fn of(info: &[u8], offset: u32) -> Result<Self, PartError> {
        Self::of_at_most(info, offset, MAX_PART)
    }

    /// The part of the info dictionary `info` that starts at `offset`, with at most `most` bytes.
    ///
    /// # Errors
    /// See [`PartError`].
    pub fn of_at_most(info: &[u8], offset: u32, most: usize) -> Result<Self, PartError> {
        let total = u32::try_from(info.len()).map_err(|_| PartError::TooLarge(u32::MAX))?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = info.get(start..).unwrap_or_default();
        let bytes = rest.get(..most.min(MAX_PART)).unwrap_or(rest);
        Self::new(offset, total, bytes.to_vec())
    }

    /// Position of the first byte.
    pub fn offset(&self) -> u32 {
        self.offset
    }

    /// Length of the whole dictionary in bytes.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// The bytes of the part.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Position of the first byte after the part.
    pub fn end(&self) -> u32 {
        // `new` has checked that the end is at most `total`.
        u32::try_from(self.bytes.len()).map_or(self.total, |length| self.offset + length)
    }

    pub(in crate::wire) fn entries(&self) -> [(&'static str, Item<'_>); 3] {
        [
            ("bytes", Item::from(self.bytes.as_slice())),
            ("offset", self.offset.into()),
            ("total", self.total.into()),
        ]
    }
}

/// Joins parts into info dictionaries. The parts must arrive in order. Memory grows only with the
/// bytes that have arrived.
#[derive(Clone, Debug, Default)]
pub struct InfoAssembly {
    total: u32,
    bytes: Vec<u8>,
}

impl InfoAssembly {
    /// An assembly without any part.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next part. If it is the last part of a dictionary, returns the bytes of the
    /// dictionary; the next part then begins another dictionary.
    ///
    /// # Errors
    /// [`PartError::OutOfOrder`], [`PartError::OtherTotal`].
    pub fn add(&mut self, part: &InfoPart) -> Result<Option<Vec<u8>>, PartError> {
        let expected = self.offset();
        if part.offset != expected {
            return Err(PartError::OutOfOrder {
                found: part.offset,
                expected,
            });
        }
        if expected > 0 && part.total != self.total {
            return Err(PartError::OtherTotal {
                found: part.total,
                expected: self.total,
            });
        }
        self.total = part.total;
        self.bytes.extend_from_slice(&part.bytes);
        Ok((part.end() == part.total).then(|| std::mem::take(&mut self.bytes)))
    }

    /// Position of the first byte that has not arrived.
    pub fn offset(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_dictionary_is_split_into_parts_and_put_together_again() {
        let info: Vec<u8> = (0..3 * MAX_PART + 5).map(|at| (at % 251) as u8).collect();
        let mut assembly = InfoAssembly::new();
        for expected in [None, None, None, Some(&info)] {
            let part = InfoPart::of(&info, assembly.offset()).unwrap();
            assert_eq!(assembly.add(&part).unwrap().as_ref(), expected);
        }
        assert_eq!(assembly.offset(), 0, "ready for the next dictionary");
        assert_eq!(
            InfoPart::of(&info, info.len() as u32),
            Err(PartError::Length(0))
        );
    }

    #[test]
    fn a_part_of_a_wrong_length_or_position_is_refused() {
        let part = |offset, total, length| InfoPart::new(offset, total, vec![0; length]);
        let large = u32::try_from(MAX_METAINFO + 1).unwrap();
        let table = [
            (part(0, 10, 0), PartError::Length(0)),
            (
                part(0, large - 1, MAX_PART + 1),
                PartError::Length(MAX_PART + 1),
            ),
            (part(0, large, 1), PartError::TooLarge(large)),
            (part(9, 10, 2), PartError::Outside(10)),
            (part(u32::MAX, 10, 2), PartError::Outside(10)),
            (part(0, 0, 1), PartError::Outside(0)),
        ];
        for (part, error) in table {
            assert_eq!(part, Err(error));
        }
    }

    #[test]
    fn parts_out_of_order_or_of_a_dictionary_of_another_length_are_refused() {
        let part = |offset, total| InfoPart::new(offset, total, vec![0; 2]).unwrap();
        let mut assembly = InfoAssembly::new();
        let error = |found, expected| Err(PartError::OutOfOrder { found, expected });
        assert_eq!(assembly.add(&part(2, 6)), error(2, 0));
        assert_eq!(assembly.add(&part(0, 6)), Ok(None));
        assert_eq!(assembly.add(&part(0, 6)), error(0, 2));
        let wrong_offset = assembly.add(&part(4, 6));
        assert_eq!(wrong_offset, error(4, 2));
        assert_eq!(
            wrong_offset.unwrap_err().to_string(),
            "a part of an info dictionary starts at byte 4, not at byte 2"
        );
        // The position is right, but the part belongs to a dictionary of another length.
        let other_total = assembly.add(&part(2, 8)).unwrap_err();
        let (found, expected) = (8, 6);
        assert_eq!(other_total, PartError::OtherTotal { found, expected });
        assert_eq!(
            other_total.to_string(),
            "a part belongs to an info dictionary of 8 bytes, the previous part to one of 6 bytes"
        );
        assert_eq!(assembly.add(&part(2, 6)), Ok(None));
        assert_eq!(assembly.add(&part(4, 6)), Ok(Some(vec![0; 6])));
    }
}
