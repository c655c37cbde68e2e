//! Reads the entries of a message. Counts the entries that are read: if a message has more, it has
//! an unknown key, which is an error.

use super::error::ControlError;
use super::limits::MAX_PAGE;
use super::{InfoPart, TextLine};
use crate::bencode::{self, Dictionary, KeyOrder, Value};
use crate::torrent::{FileName, InfoHash};
use crate::wire::compact;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

/// The most bencode values in a message: enough for a full page of the largest entries.
const MAX_VALUES: usize = 20 * MAX_PAGE;

/// Reads the body of a frame.
pub(crate) fn parse(body: &[u8]) -> Result<Value<'_>, bencode::Error> {
    Value::parse_bounded(body, KeyOrder::Sorted, MAX_VALUES)
}

/// The entries of one dictionary.
pub(in crate::wire) struct MessageFields<'a> {
    entries: &'a Dictionary<'a>,
    read_count: usize,
}

impl<'a> MessageFields<'a> {
    pub(crate) fn new(value: &'a Value<'a>) -> Result<Self, ControlError> {
        let entries = value.dictionary().ok_or(ControlError::NoDictionary)?;
        Ok(Self {
            entries,
            read_count: 0,
        })
    }

    /// Checks that every entry of a message of this `kind` was read.
    pub(crate) fn check_all_read(self, kind: &'static str) -> Result<(), ControlError> {
        if self.entries.entries().count() == self.read_count {
            Ok(())
        } else {
            Err(ControlError::ExtraKey(kind))
        }
    }

    pub(crate) fn number<T: TryFrom<u32>>(&mut self, key: &'static str) -> Result<T, ControlError> {
        let number = self.value(key)?.integer();
        let number = number.and_then(|number| u32::try_from(number).ok());
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or(ControlError::WrongValue(key))
    }

    pub(crate) fn port(&mut self, key: &'static str) -> Result<NonZeroU16, ControlError> {
        let port = u16::try_from(self.number::<u32>(key)?).ok();
        let port = port.and_then(NonZeroU16::new);
        port.ok_or(ControlError::WrongValue(key))
    }

    pub(crate) fn text(&mut self, key: &'static str) -> Result<&'a str, ControlError> {
        self.value(key)?.text().ok_or(ControlError::WrongValue(key))
    }

    pub(crate) fn line(&mut self, key: &'static str) -> Result<TextLine, ControlError> {
        read_text_line(self.value(key)?, key)
    }

    pub(super) fn name(&mut self, key: &'static str) -> Result<FileName, ControlError> {
        Ok(FileName::new(self.text(key)?)?)
    }

    pub(crate) fn info_hash(&mut self, key: &'static str) -> Result<InfoHash, ControlError> {
        self.array(key).map(InfoHash)
    }

    /// A string of exactly `N` bytes.
    pub(crate) fn array<const N: usize>(
        &mut self,
        key: &'static str,
    ) -> Result<[u8; N], ControlError> {
        let bytes = self.value(key)?.bytes();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or(ControlError::WrongValue(key))
    }

    /// A text that `parse` accepts.
    pub(crate) fn keyword<T>(
        &mut self,
        key: &'static str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<T, ControlError> {
        parse(self.text(key)?).ok_or(ControlError::WrongValue(key))
    }

    pub(crate) fn info_part(&mut self) -> Result<InfoPart, ControlError> {
        let (offset, total) = (self.number("offset")?, self.number("total")?);
        let bytes = self.value("bytes")?.bytes();
        let bytes = bytes.ok_or(ControlError::WrongValue("bytes"))?;
        Ok(InfoPart::new(offset, total, bytes.to_vec())?)
    }

    pub(crate) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl FnMut(&'a Value<'a>) -> Result<T, ControlError>,
    ) -> Result<Vec<T>, ControlError> {
        let items = self.value(key)?.list();
        let items = items.ok_or(ControlError::WrongValue(key))?;
        if items.len() > MAX_PAGE {
            return Err(ControlError::LongList(items.len()));
        }
        items.iter().map(read).collect()
    }

    /// A value that may be missing. `read` also gets the key.
    pub(crate) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a Value<'a>, &'static str) -> Result<T, ControlError>,
    ) -> Result<Option<T>, ControlError> {
        let value = self.entries.value(key);
        self.read_count += usize::from(value.is_some());
        value.map(|value| read(value, key)).transpose()
    }

    /// Reads the key `protocol`, which must have the value `ours`. To be called before other keys
    /// are read, because a message of another version may lack them. The first version had no key
    /// `protocol`.
    pub(crate) fn check_protocol(&mut self, ours: u32) -> Result<(), ControlError> {
        let theirs = self.optional("protocol", |value, key| {
            let theirs = value
                .integer()
                .and_then(|theirs| u32::try_from(theirs).ok());
            theirs.ok_or(ControlError::WrongValue(key))
        })?;
        match theirs.unwrap_or(1) {
            theirs if theirs == ours => Ok(()),
            theirs => Err(ControlError::OtherProtocol { theirs, ours }),
        }
    }

    /// A value that `read` accepts. `read` also gets the key.
    pub(crate) fn read_by<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a Value<'a>, &'static str) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        read(self.value(key)?, key)
    }

    /// A string of 1 to `most` bytes.
    pub(crate) fn bytes(
        &mut self,
        key: &'static str,
        most: usize,
    ) -> Result<Vec<u8>, ControlError> {
        let bytes = self.value(key)?.bytes();
        let bytes = bytes.filter(|bytes| (1..=most).contains(&bytes.len()));
        let bytes = bytes.map(<[u8]>::to_vec);
        bytes.ok_or(ControlError::WrongValue(key))
    }

    /// A text that `T` parses.
    pub(crate) fn parsed<T: FromStr>(&mut self, key: &'static str) -> Result<T, ControlError> {
        read_parsed(self.value(key)?, key)
    }

    /// A boolean: 0 or 1.
    pub(crate) fn flag(&mut self, key: &'static str) -> Result<bool, ControlError> {
        match self.value(key)?.integer() {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(ControlError::WrongValue(key)),
        }
    }

    /// Whether the dictionary has `key`. The only valid value is 1.
    pub(crate) fn optional_flag(&mut self, key: &'static str) -> Result<bool, ControlError> {
        let found = self.optional(key, |value, key| match value.integer() {
            Some(1) => Ok(()),
            _ => Err(ControlError::WrongValue(key)),
        })?;
        Ok(found.is_some())
    }

    /// A number of up to 63 bits: a time in milliseconds since 1970, or a count of bytes.
    pub(crate) fn u63(&mut self, key: &'static str) -> Result<u64, ControlError> {
        self.read_by(key, read_u63)
    }

    pub(crate) fn value(&mut self, key: &'static str) -> Result<&'a Value<'a>, ControlError> {
        self.read_count += 1;
        let value = self.entries.value(key);
        value.ok_or(ControlError::Missing(key))
    }
}

/// Reads a text that is a valid [`TextLine`]. `TextLine::new` replaces control characters and cuts
/// long text: if it changes the text, the text is not valid.
pub(crate) fn read_text_line(
    value: &Value<'_>,
    key: &'static str,
) -> Result<TextLine, ControlError> {
    let text = value.text().ok_or(ControlError::WrongValue(key))?;
    Some(TextLine::new(text))
        .filter(|line| line.as_str() == text)
        .ok_or(ControlError::WrongValue(key))
}

pub(crate) fn read_parsed<T: FromStr>(
    value: &Value<'_>,
    key: &'static str,
) -> Result<T, ControlError> {
    let text = value.text().ok_or(ControlError::WrongValue(key))?;
    text.parse().map_err(|_| ControlError::WrongValue(key))
}

/// Reads a number of up to 63 bits.
pub(crate) fn read_u63(value: &Value<'_>, key: &'static str) -> Result<u64, ControlError> {
    let number = value.integer().map(u64::try_from);
    let number = number.and_then(Result::ok);
    number.ok_or(ControlError::WrongValue(key))
}

/// Reads a compact address (see `wire::compact`). Port 0 is an error.
pub(crate) fn read_address(value: &Value<'_>) -> Result<SocketAddr, ControlError> {
    let address = value.bytes().and_then(compact::read_address);
    let address = address.filter(|address| address.port() != 0);
    address.ok_or(ControlError::WrongValue("addresses"))
}
