//! A tracker's refusal of a request.

use super::error::AccessErrorKind;
use crate::bencode::{Item, Value};
use crate::wire::control::{ControlError, MessageFields, TextLine};
use crate::wire::name::Label;

/// Why a tracker refused a request or could not carry it out. The request has changed nothing, with
/// one exception: after [`AccessErrorKind::NotSaved`] the change may be on the tracker's disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AccessRefusal {
    /// The kind of refusal.
    pub kind: AccessErrorKind,
    /// The reason, for a person.
    pub message: TextLine,
    /// After how many seconds the peer may ask again, if the tracker says so.
    pub retry_seconds: Option<u32>,
}

impl AccessRefusal {
    /// The entries of the dictionary that carries the refusal: kind, message and time to wait.
    pub(super) fn entries(&self) -> Vec<(&'static str, Item<'_>)> {
        let mut entries = vec![
            ("kind", self.kind.as_str().into()),
            ("message", self.message.as_str().into()),
        ];
        entries.extend(self.retry_seconds.map(|seconds| ("retry", seconds.into())));
        entries
    }

    /// Reads a refusal. `kind` is the value of its key `kind`, which the caller has read already.
    pub(super) fn read(
        kind: &Value<'_>,
        fields: &mut MessageFields<'_>,
    ) -> Result<Self, ControlError> {
        let kind = kind.text().and_then(AccessErrorKind::parse);
        Ok(Self {
            kind: kind.ok_or(ControlError::WrongValue("kind"))?,
            message: fields.line("message")?,
            retry_seconds: fields.optional("retry", read_seconds)?,
        })
    }
}

/// The message of [`AccessErrorKind::NotAPublisher`], for a reader of `group` who wants to publish.
pub fn only_reads(group: &Label) -> String {
    format!("you are a reader of {group} and cannot publish there; ask an owner for another role")
}

fn read_seconds(value: &Value<'_>, key: &'static str) -> Result<u32, ControlError> {
    let seconds = value
        .integer()
        .and_then(|number| u32::try_from(number).ok());
    seconds.ok_or(ControlError::WrongValue(key))
}
