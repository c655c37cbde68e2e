//! Logins in a dump.

use super::texts::version_text;
use crate::tracker::registry::LoginRow;
use serde::Serialize;

/// A login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoginDump {
    /// The id of its row.
    pub id: String,
    /// The account that is logged in.
    pub account: String,
    /// The id of the login.
    pub login: String,
    /// The write that created the row.
    pub created: String,
    /// When the login began, in milliseconds since 1970.
    pub at: u64,
    /// The name of the host where it began.
    pub host: Option<String>,
    /// The write that noted its latest use, the time of the use in milliseconds since 1970, and the
    /// address.
    pub used: (String, u64, String),
    /// When the row expires, in milliseconds since 1970.
    pub expires: u64,
}

pub(super) fn login(row: &LoginRow) -> LoginDump {
    let used = &row.used.value;
    LoginDump {
        id: row.id.to_string(),
        account: row.account.to_string(),
        login: row.login.to_string(),
        created: version_text(row.created),
        at: row.begun.at,
        host: row.begun.host.as_ref().map(ToString::to_string),
        used: (
            version_text(row.used.version),
            used.at,
            used.from.to_string(),
        ),
        expires: used.until,
    }
}
