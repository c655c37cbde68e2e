//! Info dictionaries in parts: one may be larger than a frame.

use crate::bencode::Item;
use crate::torrent::MAX_METAINFO;

/// The most bytes of one part.
pub const MAX_PART: usize = 512 << 10;

/// Some bytes of an info dictionary: at least one, at most [`MAX_PART`], inside a dictionary of at most
/// [`MAX_METAINFO`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoPart {
    offset: u32,
    total: u32,
    bytes: Vec<u8>,
}

/// Why parts do not make an info dictionary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// No bytes, or more than [`MAX_PART`].
    #[error("a part of {0} bytes")]
    Length(usize),
    /// An info dictionary of more than [`MAX_METAINFO`] bytes.
    #[error("an info dictionary of {0} bytes is larger than {MAX_METAINFO}")]
    TooLarge(u32),
    /// It ends after the end of the dictionary.
    #[error("a part ends after the {0} bytes of its info dictionary")]
    Outside(u32),
    /// Not the part that follows the one before, or of a dictionary of another length.
    #[error("a part of an info dictionary at byte {found} where byte {expected} is due")]
    OutOfOrder {
        /// First byte of the part.
        found: u32,
        /// First byte that is missing.
        expected: u32,
    },
}

impl InfoPart {
    /// `bytes` from `offset` on, of an info dictionary of `total` bytes.
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
    /// See [`PartError`]; an `offset` past the end gives no bytes.
    pub fn of(info: &[u8], offset: u32) -> Result<Self, PartError> {
        Self::of_at_most(info, offset, MAX_PART)
    }

    /// The same of at most `most` bytes.
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

    /// Its first byte.
    pub fn offset(&self) -> u32 {
        self.offset
    }

    /// Bytes of the whole dictionary.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The first byte after it.
    pub fn end(&self) -> u32 {
        // Checked by `new` to lie within `total`.
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

/// Puts the parts of info dictionaries together as they arrive, in order; nothing is allocated ahead.
#[derive(Clone, Debug, Default)]
pub struct InfoParts {
    total: u32,
    bytes: Vec<u8>,
}

impl InfoParts {
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next part; gives the dictionary's bytes when it was the last, and is then ready for the next dictionary.
    ///
    /// # Errors
    /// [`PartError::OutOfOrder`].
    pub fn add(&mut self, part: &InfoPart) -> Result<Option<Vec<u8>>, PartError> {
        let expected = self.offset();
        if part.offset != expected || (expected > 0 && part.total != self.total) {
            return Err(PartError::OutOfOrder {
                found: part.offset,
                expected,
            });
        }
        self.total = part.total;
        self.bytes.extend_from_slice(&part.bytes);
        Ok((part.end() == part.total).then(|| std::mem::take(&mut self.bytes)))
    }

    /// The first byte that is missing.
    pub fn offset(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_dictionary_goes_in_parts_and_comes_back() {
        let info: Vec<u8> = (0..3 * MAX_PART + 5).map(|at| (at % 251) as u8).collect();
        let mut parts = InfoParts::new();
        for expected in [None, None, None, Some(&info)] {
            let part = InfoPart::of(&info, parts.offset()).unwrap();
            assert_eq!(parts.add(&part).unwrap().as_ref(), expected);
        }
        assert_eq!(parts.offset(), 0, "ready for the next");
        assert_eq!(
            InfoPart::of(&info, info.len() as u32),
            Err(PartError::Length(0))
        );
    }

    #[test]
    fn parts_that_cannot_be_are_refused() {
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
    fn parts_out_of_order_are_refused() {
        let part = |offset, total| InfoPart::new(offset, total, vec![0; 2]).unwrap();
        let mut parts = InfoParts::new();
        let error = |found, expected| Err(PartError::OutOfOrder { found, expected });
        assert_eq!(parts.add(&part(2, 6)), error(2, 0));
        assert_eq!(parts.add(&part(0, 6)), Ok(None));
        assert_eq!(parts.add(&part(0, 6)), error(0, 2));
        assert_eq!(parts.add(&part(4, 6)), error(4, 2));
        assert_eq!(parts.add(&part(2, 8)), error(2, 2));
        assert_eq!(parts.add(&part(2, 6)), Ok(None));
        assert_eq!(parts.add(&part(4, 6)), Ok(Some(vec![0; 6])));
    }
}
