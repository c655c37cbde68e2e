//! Which files of a share are wanted: by their paths, or by their numbers (BEP 53).
//!
//! In a record, a `/` marks numbers: no pattern for paths begins with it.

use super::{FilePath, Glob, GlobError};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The maximum number of items in a list of numbers.
const MAX_ITEMS: usize = 1_000;

/// Chooses files of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilePattern {
    /// The files whose paths match.
    Path(Glob),
    /// The files at these positions in the torrent, from 0.
    Numbers(RangeInclusive<usize>),
}

impl FilePattern {
    /// Whether the pattern chooses the file with this number and path.
    pub fn chooses(&self, number: usize, path: &FilePath) -> bool {
        match self {
            Self::Path(glob) => glob.matches(path),
            Self::Numbers(numbers) => numbers.contains(&number),
        }
    }

    /// The pattern as people write it.
    pub fn shown(&self) -> String {
        match self {
            Self::Path(glob) => glob.to_string(),
            Self::Numbers(numbers) => format!("so={}", range_text(numbers)),
        }
    }

    /// Reads the numbers of a magnet link, such as `0,2,4,6-8` (BEP 53). `None` if an item is not a
    /// number or a range, or there are no items or too many.
    pub fn parse_numbers(text: &str) -> Option<Vec<RangeInclusive<usize>>> {
        let items = text.split(',').map(str::trim);
        let items = items.filter(|item| !item.is_empty());
        let numbers: Option<Vec<_>> = items.take(MAX_ITEMS + 1).map(parse_range).collect();
        numbers.filter(|numbers| (1..=MAX_ITEMS).contains(&numbers.len()))
    }
}

/// The numbers as they are written in a magnet link.
pub(super) fn numbers_text(numbers: &[RangeInclusive<usize>]) -> String {
    let items: Vec<String> = numbers.iter().map(range_text).collect();
    items.join(",")
}

fn range_text(numbers: &RangeInclusive<usize>) -> String {
    match (numbers.start(), numbers.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    }
}

fn parse_range(text: &str) -> Option<RangeInclusive<usize>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    };
    let (first, last): (usize, usize) = (number(first.trim())?, number(last.trim())?);
    (first <= last).then_some(first..=last)
}

/// The pattern as it is written in a record.
impl fmt::Display for FilePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(glob) => glob.fmt(f),
            Self::Numbers(numbers) => write!(f, "/{}", range_text(numbers)),
        }
    }
}

impl FromStr for FilePattern {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        match text.strip_prefix('/').and_then(parse_range) {
            Some(numbers) => Ok(Self::Numbers(numbers)),
            None => text.parse().map(Self::Path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_in_a_magnet_link() {
        for (text, numbers) in [
            ("0", Some(vec![0..=0])),
            ("0,2,4,6-8", Some(vec![0..=0, 2..=2, 4..=4, 6..=8])),
            (" 1 , 3 - 4 ,", Some(vec![1..=1, 3..=4])),
            ("", None),
            (",", None),
            ("x", None),
            ("1,x", None),
            ("4-3", None),
            ("-1", None),
            ("+1", None),
            ("1-2-3", None),
            ("99999999999999999999999", None),
        ] {
            assert_eq!(FilePattern::parse_numbers(text), numbers, "{text}");
        }
        let many = "0,".repeat(MAX_ITEMS);
        assert!(FilePattern::parse_numbers(&many).is_some());
        assert!(FilePattern::parse_numbers(&(many + "0")).is_none());
    }

    #[test]
    fn a_pattern_is_recorded_and_read_again() {
        for (text, shown) in [("*.txt", "*.txt"), ("/3", "so=3"), ("/3-5", "so=3-5")] {
            let pattern: FilePattern = text.parse().unwrap();
            assert_eq!(
                (pattern.to_string().as_str(), pattern.shown().as_str()),
                (text, shown)
            );
        }
        for bad in ["", "/", "/a", "/3-", "/5-3"] {
            assert!(bad.parse::<FilePattern>().is_err(), "{bad}");
        }
    }
}
