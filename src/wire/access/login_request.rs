//! The requests of a user about his logins, and the entries of their list.

use super::entry::ListEntry;
use super::fields::{self, ShortText, WriteId};
use crate::bencode::{Item, Value};
use crate::wire::control::{ControlError, MessageFields, read_parsed};
use crate::wire::login_id::LoginId;
use crate::wire::name::MachineName;
use std::net::IpAddr;

/// A request of a user about his own logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginRequest {
    /// Lists the logins that have not ended. The answer is [`super::AccessAnswer::Logins`].
    List {
        /// The position where the previous page ended.
        after: Option<ShortText>,
    },
    /// Ends a login of the user, but not the one of this request. The answer is
    /// [`super::AccessAnswer::Done`].
    End {
        /// Idempotency key.
        write: WriteId,
        /// The login.
        login: LoginId,
    },
}

/// A login, as an entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginEntry {
    /// Names the login in [`LoginRequest::End`].
    pub id: LoginId,
    /// The name of the host where the user logged in. `None` if the login began under a version
    /// whose peers did not send it.
    pub host: Option<MachineName>,
    /// From where a tracker saw the login when it noted a use of it last.
    pub from: IpAddr,
    /// When it began, in milliseconds since 1970.
    pub made_at: u64,
    /// When it was used last, in milliseconds since 1970. Perhaps it was used again within a day
    /// and three hours after this time.
    pub used_at: u64,
    /// Whether it is the login of the request for the list.
    pub is_present: bool,
}

impl LoginRequest {
    /// The id of the write, if the request changes the registry.
    pub fn write_id(&self) -> Option<WriteId> {
        match self {
            Self::List { .. } => None,
            Self::End { write, .. } => Some(*write),
        }
    }

    /// Puts the parameters, except the id of the write.
    pub(super) fn put<'a>(&'a self, entries: &mut Vec<(&'static str, Item<'a>)>) {
        match self {
            Self::List { after } => entries.extend(fields::after_entry(after)),
            Self::End { login, .. } => entries.push(("login", login.to_string().into())),
        }
    }

    /// Reads a request of this kind. Returns `None` if `kind` is another kind.
    pub(super) fn read(
        kind: &str,
        fields: &mut MessageFields<'_>,
    ) -> Result<Option<Self>, ControlError> {
        Ok(Some(match kind {
            "list_logins" => Self::List {
                after: fields::read_after(fields)?,
            },
            "end_login" => Self::End {
                write: WriteId(fields.array("write")?),
                login: fields.parsed("login")?,
            },
            _ => return Ok(None),
        }))
    }
}

impl ListEntry for LoginEntry {
    const KIND: &'static str = "logins";

    fn item(&self) -> Item<'static> {
        let mut entries = vec![
            ("at", Item::from(self.made_at)),
            ("from", self.from.to_string().into()),
            ("id", self.id.to_string().into()),
            ("used", self.used_at.into()),
        ];
        let host = self.host.as_ref();
        entries.extend(host.map(|host| ("host", host.to_string().into())));
        entries.extend(self.is_present.then_some(("present", 1u32.into())));
        Item::dictionary(entries)
    }

    fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            id: fields.parsed("id")?,
            host: fields.optional("host", read_parsed)?,
            from: fields.read_by("from", read_ip)?,
            made_at: fields.u63("at")?,
            used_at: fields.u63("used")?,
            is_present: fields.optional_flag("present")?,
        })
    }
}

/// An IP address in its one canonical spelling.
fn read_ip(value: &Value<'_>, key: &'static str) -> Result<IpAddr, ControlError> {
    let is_canonical = |(address, text): &(IpAddr, &str)| address.to_string() == *text;
    let text = value.text().unwrap_or_default();
    let address = text.parse::<IpAddr>().ok().map(|address| (address, text));
    let address = address.filter(is_canonical).map(|(address, _)| address);
    address.ok_or(ControlError::WrongValue(key))
}
