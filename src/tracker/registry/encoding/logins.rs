//! The rows of logins.
//!
//! | what | encoding |
//! |---|---|
//! | `credential` | a stamp: 28 bytes |
//! | `at` | when it began |
//! | `used` | a list: version, time of the use, address as text, time of the expiry |

use super::error::DecodeError;
use super::fields::{FieldReader, address, number, stamp};
use super::items::{field, stamp_item};
use crate::bencode::Item;
use crate::tracker::registry::{LoginBegin, LoginRow, LoginUse, RowId, Version};

pub(super) fn login_entries(row: &LoginRow) -> Vec<(&'static str, Item<'_>)> {
    let LoginUse { at, from, until } = row.used.value;
    let used = [
        at.into(),
        from.to_string().into_bytes().into(),
        until.into(),
    ];
    let mut entries = vec![
        ("account", Item::from(&row.account.0[..])),
        ("login", Item::from(&row.login.0[..])),
        ("credential", stamp_item(row.begun.credential)),
        ("at", row.begun.at.into()),
        ("used", field(&row.used, used)),
    ];
    let host = row.begun.host.as_ref();
    entries.extend(host.map(|host| ("host", host.as_str().into())));
    entries
}

pub(super) fn read_login(
    id: RowId,
    created: Version,
    fields: &mut FieldReader<'_>,
) -> Result<LoginRow, DecodeError> {
    let used = fields.optional_register("used", |[at, from, until]| {
        Ok(LoginUse {
            at: number(at, "used")?,
            from: address(from).ok_or(DecodeError::WrongValue("used"))?,
            until: number(until, "used")?,
        })
    })?;
    let credential = fields.optional_parsed_value("credential", |value| stamp(value.bytes()?))?;
    Ok(LoginRow {
        id,
        account: RowId(fields.array("account")?),
        login: RowId(fields.array("login")?),
        created,
        begun: LoginBegin {
            credential: credential.ok_or(DecodeError::Missing("credential"))?,
            at: fields.number("at")?,
            host: fields.optional_parsed("host", |host| host.parse().ok())?,
        },
        used: used.ok_or(DecodeError::Missing("used"))?,
    })
}
