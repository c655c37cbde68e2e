//! Why a tracker does not do what it was asked for.

use super::error::ErrorKind;
use crate::bencode::{Item, Value};
use crate::wire::control::{ControlError, Fields, Line};

/// A request that was refused, or could not be carried out. Unless its kind says otherwise, nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// What kind of error.
    pub kind: ErrorKind,
    /// The error for a person.
    pub message: Line,
}

impl Refused {
    /// The keys that say so.
    pub(super) fn entries(&self) -> [(&'static str, Item<'_>); 2] {
        [
            ("kind", self.kind.as_str().into()),
            ("message", self.message.as_str().into()),
        ]
    }

    /// Reads the rest of a refusal of that `kind`.
    pub(super) fn read(kind: &Value<'_>, fields: &mut Fields<'_>) -> Result<Self, ControlError> {
        let kind = kind.text().and_then(ErrorKind::parse);
        Ok(Self {
            kind: kind.ok_or(ControlError::WrongValue("kind"))?,
            message: fields.line("message")?,
        })
    }
}
