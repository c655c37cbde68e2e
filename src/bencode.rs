//! Bencode (BEP 3, "bencoding").
//!
//! In scope: a reader that borrows from its input and keeps the span of every value (an info-hash
//! is taken over the raw bytes of `info`), and a writer that sorts keys. The reader is strict: no
//! leading zeros, no `-0`, no duplicate keys, nothing after the value. Unsorted keys are accepted
//! only with [`KeyOrder::Any`].
//!
//! Out of scope: what the values mean. Integers have 64 bits with a sign; larger ones are an error.
//!
//! The nesting and the number of values are bounded. So the sender of an input cannot choose the
//! depth of the stack or the size of an allocation.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// The largest depth of nested lists and dictionaries.
pub const MAX_DEPTH: usize = 64;
/// The largest number of values (integers, strings, lists, dictionaries) in one input, unless the
/// caller allows fewer.
pub const MAX_VALUES: usize = 1_000_000;

/// Which orders of dictionary keys the reader accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrder {
    /// Sorted as raw strings, as BEP 3 requires: the canonical form.
    Sorted,
    /// Any order, for files of other programs. Duplicate keys are still an error.
    Any,
}

/// What is wrong with an input. Each variant except [`Error::TooMany`] has an offset in bytes from
/// the start of the input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The input ends inside a value.
    #[error("bencode ends too early, at byte {0}")]
    Truncated(usize),
    /// A byte that begins no value, or a missing delimiter.
    #[error("unexpected byte in bencode at byte {0}")]
    Unexpected(usize),
    /// An integer with leading zeros, `-0`, no digits, or more than 64 bits; or a string length
    /// like that.
    #[error("malformed number in bencode at byte {0}")]
    Number(usize),
    /// Lists and dictionaries are nested deeper than [`MAX_DEPTH`].
    #[error("bencode nests deeper than {MAX_DEPTH} levels at byte {0}")]
    TooDeep(usize),
    /// The input has more values than the caller allows. The number here is the allowed one.
    #[error("bencode holds more than {0} values")]
    TooMany(usize),
    /// Keys are not in order, and the caller asked for [`KeyOrder::Sorted`].
    #[error("dictionary keys are not sorted at byte {0}")]
    Unsorted(usize),
    /// A dictionary has a key twice.
    #[error("a dictionary has a key twice, at byte {0}")]
    DuplicateKey(usize),
    /// Bytes after the value.
    #[error("bytes after the end of the bencoded value, at byte {0}")]
    Trailing(usize),
}

/// One value, together with the bytes it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    raw: &'a [u8],
    kind: Kind<'a>,
}

/// The kind of a [`Value`], and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// `i42e`.
    Integer(i64),
    /// `4:spam`: bytes, not always text.
    Bytes(&'a [u8]),
    /// `l...e`.
    List(Vec<Value<'a>>),
    /// `d...e`.
    Dictionary(Dictionary<'a>),
}

/// A dictionary. Its entries are sorted by key, even if the input has them in another order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dictionary<'a> {
    entries: Vec<(&'a [u8], Value<'a>)>,
}

impl<'a> Value<'a> {
    /// Reads one value, which must fill `input` to its end.
    ///
    /// # Errors
    /// The input is not one value in strict bencode, or has more than [`MAX_VALUES`] values.
    pub fn parse(input: &'a [u8], order: KeyOrder) -> Result<Self, Error> {
        Self::parse_bounded(input, order, MAX_VALUES)
    }

    /// Does the same as [`Value::parse`], with at most `max_values` values. A value takes several
    /// times as many bytes in memory as in the input. So without this limit, even a short input
    /// could take more memory than the caller wants.
    ///
    /// # Errors
    /// The input is not one value in strict bencode, or has too many values.
    pub fn parse_bounded(
        input: &'a [u8],
        order: KeyOrder,
        max_values: usize,
    ) -> Result<Self, Error> {
        let (value, rest) = Self::parse_prefix(input, order, max_values)?;
        if rest.is_empty() {
            Ok(value)
        } else {
            Err(Error::Trailing(input.len() - rest.len()))
        }
    }

    /// Reads one value from the front of `input`, with at most `max_values` values in all. Returns
    /// it with the bytes after it: BEP 9 sends data after a dictionary.
    ///
    /// # Errors
    /// The input does not begin with a value in strict bencode, or the value has too many values.
    pub fn parse_prefix(
        input: &'a [u8],
        order: KeyOrder,
        max_values: usize,
    ) -> Result<(Self, &'a [u8]), Error> {
        let mut reader = Reader {
            input,
            at: 0,
            values: 0,
            max_values,
            order,
        };
        let value = reader.value(0)?;
        Ok((value, input.get(reader.at..).unwrap_or_default()))
    }

    /// The bytes of this value, with its delimiters.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The kind of the value, and its content.
    pub fn kind(&self) -> &Kind<'a> {
        &self.kind
    }

    /// The integer, if it is one.
    pub fn integer(&self) -> Option<i64> {
        match self.kind {
            Kind::Integer(number) => Some(number),
            _ => None,
        }
    }

    /// The bytes of a string, if it is one.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self.kind {
            Kind::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The string as text, if it is a string in UTF-8.
    pub fn text(&self) -> Option<&'a str> {
        self.bytes()
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The items of a list, if it is one.
    pub fn list(&self) -> Option<&[Value<'a>]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The dictionary, if it is one.
    pub fn dictionary(&self) -> Option<&Dictionary<'a>> {
        match &self.kind {
            Kind::Dictionary(dictionary) => Some(dictionary),
            _ => None,
        }
    }
}

impl<'a> Dictionary<'a> {
    /// The value under `key`.
    pub fn value(&self, key: &str) -> Option<&Value<'a>> {
        let at = self
            .entries
            .binary_search_by_key(&key.as_bytes(), |(key, _)| key)
            .ok()?;
        self.entries.get(at).map(|(_, value)| value)
    }

    /// All entries, sorted by key.
    pub fn entries(&self) -> impl Iterator<Item = (&'a [u8], &Value<'a>)> {
        self.entries.iter().map(|(key, value)| (*key, value))
    }
}

struct Reader<'a> {
    input: &'a [u8],
    /// Offset of the next byte.
    at: usize,
    /// Number of values so far.
    values: usize,
    max_values: usize,
    order: KeyOrder,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Error> {
        self.values += 1;
        if self.values > self.max_values {
            return Err(Error::TooMany(self.max_values));
        }
        let start = self.at;
        let kind = match self.peek()? {
            b'i' => {
                self.at += 1;
                Kind::Integer(self.number(b'e')?)
            }
            b'0'..=b'9' => Kind::Bytes(self.string()?),
            b'l' | b'd' if depth == MAX_DEPTH => return Err(Error::TooDeep(start)),
            b'l' => {
                self.at += 1;
                let mut items = Vec::new();
                while !self.skip_end()? {
                    items.push(self.value(depth + 1)?);
                }
                Kind::List(items)
            }
            b'd' => {
                self.at += 1;
                Kind::Dictionary(self.dictionary(depth)?)
            }
            _ => return Err(Error::Unexpected(start)),
        };
        Ok(Value {
            raw: self.slice(start..self.at)?,
            kind,
        })
    }

    fn dictionary(&mut self, depth: usize) -> Result<Dictionary<'a>, Error> {
        let mut entries: Vec<(&[u8], Value<'_>)> = Vec::new();
        let mut sorted = true;
        while !self.skip_end()? {
            let start = self.at;
            let key = self.string()?;
            match entries.last().map(|(last, _)| (*last).cmp(key)) {
                Some(std::cmp::Ordering::Equal) => return Err(Error::DuplicateKey(start)),
                Some(std::cmp::Ordering::Greater) if self.order == KeyOrder::Sorted => {
                    return Err(Error::Unsorted(start));
                }
                Some(std::cmp::Ordering::Greater) => sorted = false,
                _ => {}
            }
            entries.push((key, self.value(depth + 1)?));
        }
        if !sorted {
            entries.sort_by_key(|(key, _)| *key);
            if entries
                .windows(2)
                .any(|pair| matches!(pair, [(first, _), (second, _)] if first == second))
            {
                return Err(Error::DuplicateKey(self.at));
            }
        }
        Ok(Dictionary { entries })
    }

    fn string(&mut self) -> Result<&'a [u8], Error> {
        let start = self.at;
        if !self.peek()?.is_ascii_digit() {
            return Err(Error::Unexpected(start));
        }
        let length = usize::try_from(self.number(b':')?).map_err(|_| Error::Number(start))?;
        let end = self.at.checked_add(length).ok_or(Error::Number(start))?;
        let bytes = self.slice(self.at..end)?;
        self.at = end;
        Ok(bytes)
    }

    /// Reads digits up to `delimiter` and the delimiter itself.
    fn number(&mut self, delimiter: u8) -> Result<i64, Error> {
        let start = self.at;
        // 20 characters hold every 64-bit number. A longer run of digits does not have to be read
        // to its end.
        let window = self
            .input
            .get(start..self.input.len().min(start + 21))
            .unwrap_or_default();
        let Some(length) = window
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-'))
        else {
            return Err(if start + window.len() == self.input.len() {
                Error::Truncated(self.input.len())
            } else {
                Error::Number(start)
            });
        };
        let (digits, _) = window.split_at(length);
        self.at += length;
        if self.peek()? != delimiter {
            return Err(Error::Unexpected(self.at));
        }
        self.at += 1;
        let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
        let canonical = match unsigned {
            // `0`, but not `-0`.
            [b'0'] => unsigned.len() == digits.len(),
            [first, ..] => *first != b'0',
            [] => false,
        };
        let text = std::str::from_utf8(digits).map_err(|_| Error::Number(start))?;
        text.parse()
            .ok()
            .filter(|_| canonical)
            .ok_or(Error::Number(start))
    }

    /// Skips the `e` if the list or dictionary ends here. Returns whether it did.
    fn skip_end(&mut self) -> Result<bool, Error> {
        let end = self.peek()? == b'e';
        self.at += usize::from(end);
        Ok(end)
    }

    fn peek(&self) -> Result<u8, Error> {
        self.input
            .get(self.at)
            .copied()
            .ok_or(Error::Truncated(self.input.len()))
    }

    fn slice(&self, range: Range<usize>) -> Result<&'a [u8], Error> {
        self.input
            .get(range)
            .ok_or(Error::Truncated(self.input.len()))
    }
}

/// A value to be written. It may borrow its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An integer.
    Integer(i64),
    /// A string.
    Bytes(Cow<'a, [u8]>),
    /// A list.
    List(Vec<Item<'a>>),
    /// A dictionary; the map keeps its keys sorted.
    Dictionary(BTreeMap<&'a str, Item<'a>>),
    /// Bytes that are bencode already, written as they are.
    Raw(&'a [u8]),
}

impl<'a> Item<'a> {
    /// A dictionary with these entries.
    pub fn dictionary(entries: impl IntoIterator<Item = (&'a str, Item<'a>)>) -> Self {
        Self::Dictionary(entries.into_iter().collect())
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    /// Appends the canonical encoding to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(number) => {
                out.push(b'i');
                encode_number(*number, out);
                out.push(b'e');
            }
            Self::Bytes(bytes) => encode_bytes(bytes, out),
            Self::List(items) => {
                out.push(b'l');
                items.iter().for_each(|item| item.encode_into(out));
                out.push(b'e');
            }
            Self::Dictionary(entries) => {
                out.push(b'd');
                for (key, item) in entries {
                    encode_bytes(key.as_bytes(), out);
                    item.encode_into(out);
                }
                out.push(b'e');
            }
            Self::Raw(raw) => out.extend_from_slice(raw),
        }
    }
}

fn encode_number(number: impl std::fmt::Display, out: &mut Vec<u8>) {
    use std::io::Write;
    // Writing to a `Vec` never fails.
    let _ = write!(out, "{number}");
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    encode_number(bytes.len(), out);
    out.push(b':');
    out.extend_from_slice(bytes);
}

impl From<i64> for Item<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Item<'_> {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

/// This program never writes numbers of 2^63 or more. They would become 2^63 - 1.
impl From<u64> for Item<'_> {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<'a> From<&'a str> for Item<'a> {
    fn from(text: &'a str) -> Self {
        Self::Bytes(Cow::Borrowed(text.as_bytes()))
    }
}

impl<'a> From<&'a [u8]> for Item<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

impl From<String> for Item<'_> {
    fn from(text: String) -> Self {
        Self::Bytes(Cow::Owned(text.into_bytes()))
    }
}

impl From<Vec<u8>> for Item<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Cow::Owned(bytes))
    }
}

#[cfg(any(test, fuzzing))]
mod fuzz;
#[cfg(any(test, fuzzing))]
pub(crate) use fuzz::fuzz;

#[cfg(test)]
mod tests;
