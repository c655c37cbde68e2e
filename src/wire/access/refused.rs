//! The refusal of a request by a tracker.

use super::error::AccessErrorKind;
use crate::bencode::{Item, Value};
use crate::wire::control::{ControlError, MessageFields, TextLine};

/// Why a tracker refused a request or could not carry it out. Unless the kind says otherwise,
/// nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AccessRefusal {
    /// The kind of refusal.
    pub kind: AccessErrorKind,
    /// The reason, for a person.
    pub message: TextLine,
}

impl AccessRefusal {
    /// The entries of the dictionary that carries the refusal: kind and message.
    pub(super) fn entries(&self) -> [(&'static str, Item<'_>); 2] {
        [
            ("kind", self.kind.as_str().into()),
            ("message", self.message.as_str().into()),
        ]
    }

    /// Reads a refusal whose `kind` has been read already.
    pub(super) fn read(
        kind: &Value<'_>,
        fields: &mut MessageFields<'_>,
    ) -> Result<Self, ControlError> {
        let kind = kind.text().and_then(AccessErrorKind::parse);
        Ok(Self {
            kind: kind.ok_or(ControlError::WrongValue("kind"))?,
            message: fields.line("message")?,
        })
    }
}
