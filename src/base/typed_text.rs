//! Bytes as a text that a person can copy from a chat, or read aloud and type: a word, then groups
//! of five symbols, such as `join-04hm2-...`.
//!
//! The symbols are the digits and letters of Crockford's base 32: it has no `i`, `l`, `o` and `u`,
//! because people confuse them with others. Case does not matter. Everything that is neither a
//! letter nor a digit is skipped, so blanks, line breaks, quotes and other dashes do no harm.
//!
//! The last symbol of each group is a check of the others and of the number of the group. So an
//! error can name the group with the mistake. The last four bytes are a checksum of all bytes.

use super::escape;
use ring::digest::{SHA256, digest};

/// The symbols, each at the position of its value.
const SYMBOLS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The number of symbols of a group that hold data.
const DATA_SYMBOLS: usize = 4;
/// The number of bytes of the checksum.
const CHECKSUM: usize = 4;

/// Why a text does not hold the bytes that it should hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypedTextError {
    /// The text does not begin with the word.
    #[error("it does not begin with {0:?}")]
    Word(&'static str),
    /// A letter that is no symbol.
    #[error("the character {0:?} is never used")]
    Symbol(char),
    /// A group does not have the symbol that checks it.
    #[error("group {number} ({}) has a typing mistake", escape(.symbols))]
    Group {
        /// The number of the group, from 1.
        number: usize,
        /// The symbols of the group, as they were typed.
        symbols: String,
    },
    /// The text is too short or too long, or the checksum is wrong.
    #[error("a part of it is missing, or it was changed")]
    Incomplete,
}

/// The text of `bytes`, which begins with `word`.
pub fn to_typed_text(word: &'static str, bytes: &[u8]) -> String {
    let mut text = word.to_owned();
    let checked = [bytes, &checksum(word, bytes)].concat();
    for (number, group) in (1..).zip(to_values(&checked).chunks(DATA_SYMBOLS)) {
        text.push('-');
        text.extend(group.iter().map(|value| symbol(*value)));
        text.push(symbol(group_check(number, group)));
    }
    text
}

/// The bytes of a text that [`to_typed_text`] made, as a person has copied or typed it.
///
/// # Errors
/// See [`TypedTextError`].
pub fn from_typed_text(word: &'static str, text: &str) -> Result<Vec<u8>, TypedTextError> {
    let characters: Vec<char> = text.chars().filter(|c| c.is_alphanumeric()).collect();
    let (start, symbols) = characters
        .split_at_checked(word.len())
        .ok_or(TypedTextError::Word(word))?;
    if !start.iter().collect::<String>().eq_ignore_ascii_case(word) {
        return Err(TypedTextError::Word(word));
    }
    let mut values = Vec::new();
    let groups = symbols.chunks(DATA_SYMBOLS + 1);
    let last = groups.len();
    for (number, group) in (1..).zip(groups) {
        let read: Result<Vec<u8>, _> = group.iter().map(|symbol| value(*symbol)).collect();
        let read = read?;
        let (check, data) = read.split_last().ok_or(TypedTextError::Incomplete)?;
        if *check != group_check(number, data) {
            // A text that ends too early has a last group without its check.
            let is_cut_off = number == last && group.len() <= DATA_SYMBOLS;
            return Err(match is_cut_off {
                true => TypedTextError::Incomplete,
                false => TypedTextError::Group {
                    number,
                    symbols: group.iter().collect(),
                },
            });
        }
        values.extend_from_slice(data);
    }
    let mut bytes = from_values(&values).ok_or(TypedTextError::Incomplete)?;
    let length = bytes.len().checked_sub(CHECKSUM);
    let length = length.ok_or(TypedTextError::Incomplete)?;
    let found = bytes.split_off(length);
    match found == checksum(word, &bytes) {
        true => Ok(bytes),
        false => Err(TypedTextError::Incomplete),
    }
}

/// Whether a text begins with this word, as far as [`from_typed_text`] looks at it.
pub fn begins_with_word(word: &str, text: &str) -> bool {
    let characters = text.chars().filter(|c| c.is_alphanumeric());
    let start: String = characters.take(word.len()).collect();
    start.eq_ignore_ascii_case(word)
}

/// How often this word is in a text, as far as [`from_typed_text`] looks at it. A text that was
/// printed has a word with `i`, `l`, `o` or `u` only at its start.
pub fn count_word(word: &str, text: &str) -> usize {
    let characters = text.chars().filter(|c| c.is_alphanumeric());
    let text: String = characters.map(|c| c.to_ascii_lowercase()).collect();
    text.matches(word).count()
}

/// The bytes as numbers of 5 bits, the highest bits first. The last number is filled up with zeros.
fn to_values(bytes: &[u8]) -> Vec<u8> {
    let (mut values, mut pending, mut bits) = (Vec::new(), 0u32, 0);
    for byte in bytes {
        pending = pending << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            values.push((pending >> bits & 31) as u8);
        }
        pending &= (1 << bits) - 1;
    }
    if bits > 0 {
        values.push((pending << (5 - bits)) as u8);
    }
    values
}

/// The bytes of these numbers. `None` if [`to_values`] makes no such numbers.
fn from_values(values: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut pending, mut bits) = (Vec::new(), 0u32, 0);
    for value in values {
        pending = pending << 5 | u32::from(*value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((pending >> bits) as u8);
        }
        pending &= (1 << bits) - 1;
    }
    (bits < 5 && pending == 0).then_some(bytes)
}

fn symbol(value: u8) -> char {
    SYMBOLS.get(usize::from(value)).map_or('0', |c| (*c).into())
}

/// The value of a symbol. The letters that [`SYMBOLS`] lacks count as the digits that they look
/// like.
fn value(symbol: char) -> Result<u8, TypedTextError> {
    let unknown = TypedTextError::Symbol(symbol);
    let symbol = match symbol.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    };
    let mut symbols = (0..).zip(SYMBOLS);
    let found = symbols.find(|(_, known)| char::from(**known) == symbol);
    found.map(|(value, _)| value).ok_or(unknown)
}

/// The value that checks a group. The factors are odd, so each wrong symbol changes it.
fn group_check(number: usize, data: &[u8]) -> u8 {
    let weighted = [1, 3, 5, 7].iter().zip(data);
    let sum: usize = weighted
        .map(|(factor, value)| factor * usize::from(*value))
        .sum();
    (sum.wrapping_add(number) % 32) as u8
}

fn checksum(word: &str, bytes: &[u8]) -> Vec<u8> {
    let hash = digest(&SHA256, &[word.as_bytes(), b"\0", bytes].concat());
    hash.as_ref().iter().copied().take(CHECKSUM).collect()
}

/// The fuzz function: of the texts that are read as the same bytes, one is written.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let text = to_typed_text("join", bytes);
    assert_eq!(from_typed_text("join", &text).as_deref(), Ok(bytes));
    let typed = String::from_utf8_lossy(bytes);
    if let Ok(found) = from_typed_text("join", &typed) {
        let kept = |text: &str| {
            let characters = text.chars().filter(|c| c.is_alphanumeric());
            characters.filter_map(|c| value(c).ok()).collect::<Vec<_>>()
        };
        assert_eq!(kept(&to_typed_text("join", &found)), kept(&typed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BYTES: &[u8] = b"\x01pieceful\xff";

    fn read(text: &str) -> Result<Vec<u8>, TypedTextError> {
        from_typed_text("join", text)
    }

    #[test]
    fn a_text_is_read_however_it_was_copied() {
        let text = to_typed_text("join", BYTES);
        assert!(
            text.bytes()
                .all(|c| b"join-".contains(&c) || SYMBOLS.contains(&c))
        );
        let spaced = text.replace('-', " ");
        let wrapped = format!("> `{}\r\n{}`", &text[..12], &text[12..]);
        let dashes = text.replace('-', "\u{2013}");
        let confused = text.replace('0', "O").replace('1', "l");
        for copied in [
            &text,
            &text.to_uppercase(),
            &spaced,
            &wrapped,
            &dashes,
            &confused,
        ] {
            assert_eq!(read(copied).as_deref(), Ok(BYTES), "{copied}");
        }
    }

    #[test]
    fn every_wrong_symbol_is_found_and_its_group_is_named() {
        let text = to_typed_text("join", BYTES);
        for (at, right) in text.char_indices().skip("join-".len()) {
            for wrong in SYMBOLS.iter().map(|symbol| char::from(*symbol)) {
                if right == '-' || right == wrong {
                    continue;
                }
                let mut typed = text.clone();
                typed.replace_range(at..=at, &wrong.to_string());
                let error = read(&typed).unwrap_err();
                let group = typed[..at].matches('-').count();
                let named =
                    matches!(error, TypedTextError::Group { number, .. } if number == group);
                assert!(
                    named || error == TypedTextError::Incomplete,
                    "{typed}: {error}"
                );
            }
        }
    }

    #[test]
    fn missing_added_and_swapped_parts_are_found() {
        let text = to_typed_text("join", BYTES);
        for end in "join".len()..text.len() {
            let shorter = text.get(..end).unwrap();
            assert!(read(shorter).is_err(), "{shorter}");
        }
        let groups: Vec<&str> = text.split('-').collect();
        let mut swapped = groups.clone();
        swapped.swap(1, 2);
        let repeated = [&groups[..2], &groups[1..]].concat();
        for wrong in [swapped.join("-"), repeated.join("-"), format!("{text}0")] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_kind_of_mistake_has_its_message() {
        let text = to_typed_text("join", BYTES);
        for (typed, message) in [
            ("", "it does not begin with \"join\""),
            ("token-00000", "it does not begin with \"join\""),
            ("join", "a part of it is missing, or it was changed"),
            ("join-uuuuu", "the character 'u' is never used"),
            ("join-00000", "group 1 (00000) has a typing mistake"),
            (
                &text[..text.len() - 1],
                "a part of it is missing, or it was changed",
            ),
        ] {
            assert_eq!(read(typed).unwrap_err().to_string(), message, "{typed}");
        }
        assert!(begins_with_word("token", " TOKEN-000") && !begins_with_word("token", "tok"));
    }

    proptest! {
        #[test]
        fn all_bytes_are_written_and_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
            fuzz(&bytes);
        }
    }
}
