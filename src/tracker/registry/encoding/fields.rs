//! [`FieldReader`] reads the dictionary of a row or of a change, one key at a time. It counts the
//! keys that it reads, so that it can refuse unknown keys.

use super::super::given_role::GivenRole;
use super::super::id::{Origin, RowId, Sequence};
use super::super::register::Register;
use super::super::row::{End, EndReason};
use super::super::stamp::{Stamp, Version};
use super::error::DecodeError;
use crate::bencode::{Dictionary, Value};
use crate::wire::role::Role;
use std::net::IpAddr;

pub(super) struct FieldReader<'a> {
    entries: &'a Dictionary<'a>,
    keys_read: usize,
}

impl<'a> FieldReader<'a> {
    pub(super) fn new(value: &'a Value<'a>) -> Result<Self, DecodeError> {
        let entries = value.dictionary();
        let entries = entries.ok_or(DecodeError::Shape("a registry row or change"))?;
        Ok(Self {
            entries,
            keys_read: 0,
        })
    }

    /// Checks that every key was read. `kind` is the kind of the row, or `change`.
    pub(super) fn check_all_read(self, kind: &'static str) -> Result<(), DecodeError> {
        if self.entries.entries().count() == self.keys_read {
            Ok(())
        } else {
            Err(DecodeError::ExtraKey(kind))
        }
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        key: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        array(self.value(key)?, key)
    }

    /// Bytes that may be missing.
    pub(super) fn optional_array<const N: usize>(
        &mut self,
        key: &'static str,
    ) -> Result<Option<[u8; N]>, DecodeError> {
        let value = self.optional(key);
        value.map(|value| array(value, key)).transpose()
    }

    /// An IP address in its one canonical spelling. It may be missing.
    pub(super) fn optional_address(
        &mut self,
        key: &'static str,
    ) -> Result<Option<IpAddr>, DecodeError> {
        self.optional_parsed_value(key, address)
    }

    /// A text that `parse` reads. It may be missing.
    pub(super) fn optional_parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, DecodeError> {
        self.optional_parsed_value(key, |value| value.text().and_then(parse))
    }

    /// A value that `parse` reads. It may be missing.
    pub(super) fn optional_parsed_value<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Value<'_>) -> Option<T>,
    ) -> Result<Option<T>, DecodeError> {
        let Some(value) = self.optional(key) else {
            return Ok(None);
        };
        parse(value).map(Some).ok_or(DecodeError::WrongValue(key))
    }

    pub(super) fn version(&mut self, key: &'static str) -> Result<Version, DecodeError> {
        version(self.value(key)?, key)
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<&'a str, DecodeError> {
        let text = self.value(key)?.text();
        text.ok_or(DecodeError::WrongValue(key))
    }

    pub(super) fn number(&mut self, key: &'static str) -> Result<u64, DecodeError> {
        number(self.value(key)?, key)
    }

    pub(super) fn optional_number(
        &mut self,
        key: &'static str,
    ) -> Result<Option<u64>, DecodeError> {
        let Some(value) = self.optional(key) else {
            return Ok(None);
        };
        number(value, key).map(Some)
    }

    pub(super) fn list(&mut self, key: &'static str) -> Result<&'a [Value<'a>], DecodeError> {
        let list = self.value(key)?.list();
        list.ok_or(DecodeError::WrongValue(key))
    }

    /// A field that must exist: a version and a text, which `read` converts.
    pub(super) fn register<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a str) -> Result<T, DecodeError>,
    ) -> Result<Register<T>, DecodeError> {
        let wrong = DecodeError::WrongValue(key);
        let Some([at, text]) = self.value(key)?.list() else {
            return Err(wrong);
        };
        Ok(Register::new(
            version(at, key)?,
            read(text.text().ok_or(wrong)?)?,
        ))
    }

    pub(super) fn optional_row_id(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Register<RowId>>, DecodeError> {
        self.optional_register(key, |[id]| Ok(RowId(array(id, key)?)))
    }

    pub(super) fn optional_end(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Register<End>>, DecodeError> {
        self.optional_register(key, |[reason, by]| {
            let reason = reason.text().and_then(EndReason::parse);
            let reason = reason.ok_or(DecodeError::WrongValue(key))?;
            let by = RowId(array(by, key)?);
            Ok(End { reason, by })
        })
    }

    pub(super) fn optional_given_role(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Register<GivenRole>>, DecodeError> {
        self.optional_register(key, |[role, by]| {
            let role = role.text().and_then(Role::parse);
            let role = role.ok_or(DecodeError::WrongValue(key))?;
            let by = RowId(array(by, key)?);
            Ok(GivenRole { role, by })
        })
    }

    /// A field that may be missing: a version and no value.
    pub(super) fn optional_version(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Register<()>>, DecodeError> {
        self.optional_register(key, |[]| Ok(()))
    }

    /// A field that may be missing: a version and `N` values.
    pub(super) fn optional_register<T, const N: usize>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&[Value<'a>; N]) -> Result<T, DecodeError>,
    ) -> Result<Option<Register<T>>, DecodeError> {
        let Some(value) = self.optional(key) else {
            return Ok(None);
        };
        let (at, values) = value
            .list()
            .and_then(|list| list.split_first())
            .ok_or(DecodeError::WrongValue(key))?;
        let values = values
            .try_into()
            .map_err(|_| DecodeError::WrongValue(key))?;
        Ok(Some(Register::new(version(at, key)?, read(values)?)))
    }

    fn value(&mut self, key: &'static str) -> Result<&'a Value<'a>, DecodeError> {
        self.optional(key).ok_or(DecodeError::Missing(key))
    }

    pub(super) fn optional(&mut self, key: &'static str) -> Option<&'a Value<'a>> {
        let value = self.entries.value(key)?;
        self.keys_read += 1;
        Some(value)
    }
}

pub(super) fn array<const N: usize>(
    value: &Value<'_>,
    key: &'static str,
) -> Result<[u8; N], DecodeError> {
    let bytes = value.bytes().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(DecodeError::WrongValue(key))
}

pub(super) fn number(value: &Value<'_>, key: &'static str) -> Result<u64, DecodeError> {
    let number = value.integer().map(u64::try_from).and_then(Result::ok);
    number.ok_or(DecodeError::WrongValue(key))
}

/// An IP address in its one canonical spelling.
pub(super) fn address(value: &Value<'_>) -> Option<IpAddr> {
    let text = value.text()?;
    let address = text.parse::<IpAddr>().ok();
    address.filter(|address| address.to_string() == text)
}

/// A stamp of 28 bytes.
pub(super) fn stamp(bytes: &[u8]) -> Option<Stamp> {
    let (origin, rest) = bytes.split_first_chunk::<16>()?;
    let (wall, rest) = rest.split_first_chunk::<8>()?;
    let counter: [u8; 4] = rest.try_into().ok()?;
    let (wall, counter) = (u64::from_be_bytes(*wall), u32::from_be_bytes(counter));
    Stamp::new(wall, counter, Origin(*origin))
}

pub(super) fn version(value: &Value<'_>, key: &'static str) -> Result<Version, DecodeError> {
    let wrong = DecodeError::WrongValue(key);
    let bytes: [u8; 36] = array(value, key)?;
    let (first, sequence) = bytes.split_last_chunk::<8>().ok_or(wrong.clone())?;
    let sequence = Sequence::new(u64::from_be_bytes(*sequence));
    Ok(Version {
        stamp: stamp(first).ok_or(wrong.clone())?,
        sequence: sequence.filter(|it| *it > Sequence::ZERO).ok_or(wrong)?,
    })
}
