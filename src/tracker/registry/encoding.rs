//! Rows, changes and version vectors as canonical bencode, for the database and the wire. Reading
//! is strict: a dictionary has exactly the keys of its kind; keys, rows and origins are sorted and
//! without duplicates; and each value is in its range.
//!
//! | what | encoding |
//! |---|---|
//! | version | 36 bytes: origin (16), wall ms (8), counter (4), sequence (8); big-endian |
//! | field | a list: version, then the value. `ended` and `role` have two, also an account |
//! | field without a value | a list with the version only |
//! | row | a dictionary: `kind`, `id`, `created`, the attributes, and the written fields |
//! | rows of tokens and machines | see `machines` |
//! | rows of logins | see `logins` |
//! | rows of shares | see `shares` |
//! | change | `covers`: lists of origin, after, upto; `rows`: rows |
//! | version vector | a list of lists of origin, sequence |

mod error;
mod fields;
mod items;
mod logins;
mod machines;
mod shares;

pub use error::DecodeError;

use super::{
    Account, AuditAction, AuditDetail, AuditEntry, Change, CodeHash, End, GivenRole, Group,
    GroupKey, Invite, Membership, Origin, PasswordHash, Receipt, Revocation, Role, Row, RowId,
    Sequence, Span, Version, VersionVector,
};
use crate::bencode::{Item, KeyOrder, Value};
use fields::FieldReader;
use items::{account_field, field, version_item};
use std::collections::BTreeMap;

impl Row {
    /// Its canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        self.item().encode()
    }

    /// Reads one row.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::read(&Value::parse(bytes, KeyOrder::Sorted)?)
    }

    fn item(&self) -> Item<'_> {
        let mut entries = vec![
            ("id", self.id().0.to_vec().into()),
            ("kind", self.kind().into()),
            ("created", version_item(self.created())),
        ];
        match self {
            Self::Account(row) => {
                entries.extend([
                    ("name", field(&row.name, [row.name.value.as_str().into()])),
                    (
                        "password",
                        field(&row.password, [row.password.value.expose().into()]),
                    ),
                ]);
                entries.extend(row.revoked.as_ref().map(|it| ("revoked", field(it, []))));
                entries.extend(row.removed.as_ref().map(|it| ("removed", field(it, []))));
            }
            Self::Group(row) => entries.extend([
                ("name", field(&row.name, [row.name.value.as_str().into()])),
                ("key", row.key.expose().into()),
            ]),
            Self::Membership(row) => entries.extend(membership_entries(row)),
            Self::Revocation(row) => entries.extend([
                ("account", Item::from(&row.account.0[..])),
                ("expires", row.expires.into()),
            ]),
            Self::Invite(row) => {
                entries.extend([
                    ("code", Item::from(&row.code.0[..])),
                    ("expires", row.expires.into()),
                ]);
                entries.extend(row.used.as_ref().map(|it| ("used", account_field(it))));
            }
            Self::Receipt(row) => entries.push(("expires", row.expires.into())),
            Self::Audit(row) => entries.extend(audit_entries(row)),
            Self::Token(row) => entries.extend(machines::token_entries(row)),
            Self::Machine(row) => entries.extend(machines::machine_entries(row)),
            Self::Login(row) => entries.extend(logins::login_entries(row)),
            Self::Share(row) => entries.extend(shares::share_entries(row)),
        }
        Item::dictionary(entries)
    }

    fn read(value: &Value<'_>) -> Result<Self, DecodeError> {
        let mut fields = FieldReader::new(value)?;
        let id = RowId(fields.array("id")?);
        let created = fields.version("created")?;
        let kind = fields.text("kind")?;
        let row = match kind {
            "account" => Self::Account(Account {
                id,
                created,
                name: fields.register("name", |name| Ok(name.parse()?))?,
                password: fields.register("password", |hash| Ok(PasswordHash::new(hash)?))?,
                revoked: fields.optional_version("revoked")?,
                removed: fields.optional_version("removed")?,
            }),
            "group" => Self::Group(Group {
                id,
                created,
                name: fields.register("name", |name| Ok(name.parse()?))?,
                key: GroupKey::new(fields.text("key")?)?,
            }),
            "membership" => Self::Membership(Membership {
                id,
                group: RowId(fields.array("group")?),
                account: RowId(fields.array("account")?),
                created,
                accepted: fields.optional_row_id("accepted")?,
                ended: fields.optional_end("ended")?,
                role: fields.optional_given_role("role")?,
            }),
            "revocation" => Self::Revocation(Revocation {
                id,
                account: RowId(fields.array("account")?),
                created,
                expires: fields.number("expires")?,
            }),
            "invite" => Self::Invite(Invite {
                id,
                created,
                code: CodeHash(fields.array("code")?),
                expires: fields.number("expires")?,
                used: fields.optional_row_id("used")?,
            }),
            "receipt" => Self::Receipt(Receipt {
                id,
                created,
                expires: fields.number("expires")?,
            }),
            "audit" => Self::Audit(read_audit(id, created, &mut fields)?),
            "token" => Self::Token(machines::read_token(id, created, &mut fields)?),
            "login" => Self::Login(logins::read_login(id, created, &mut fields)?),
            "machine" => Self::Machine(machines::read_machine(id, created, &mut fields)?),
            "share" => Self::Share(shares::read_share(id, created, &mut fields)?),
            other => return Err(DecodeError::UnknownKind(other.chars().take(60).collect())),
        };
        fields.check_all_read(row.kind())?;
        Ok(row)
    }
}

impl Change {
    /// Its canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let covers = self.covers().map(|(origin, span)| {
            Item::List(vec![
                origin.0.to_vec().into(),
                span.after.number().into(),
                span.upto.number().into(),
            ])
        });
        Item::dictionary([
            ("covers", Item::List(covers.collect())),
            ("rows", Item::List(self.rows().map(Row::item).collect())),
        ])
        .encode()
    }

    /// Reads one change.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let value = Value::parse(bytes, KeyOrder::Sorted)?;
        let mut fields = FieldReader::new(&value)?;
        let (mut covers, mut rows) = (BTreeMap::new(), BTreeMap::new());
        for entry in fields.list("covers")? {
            let wrong = DecodeError::WrongValue("covers");
            let Some([origin, after, upto]) = entry.list() else {
                return Err(wrong);
            };
            let origin = Origin(fields::array(origin, "covers")?);
            let (after, upto) = (read_sequence(after), read_sequence(upto));
            let (Some(after), Some(upto)) = (after, upto) else {
                return Err(wrong);
            };
            if after >= upto {
                return Err(wrong);
            }
            let last = covers.last_key_value();
            if last.is_some_and(|(last, _)| *last >= origin) {
                return Err(DecodeError::Unsorted("covers"));
            }
            covers.insert(origin, Span { after, upto });
        }
        for entry in fields.list("rows")? {
            let row = Row::read(entry)?;
            let last = rows.last_key_value();
            if last.is_some_and(|(last, _)| *last >= row.id()) {
                return Err(DecodeError::Unsorted("rows"));
            }
            rows.insert(row.id(), row);
        }
        fields.check_all_read("change")?;
        Ok(Self { covers, rows })
    }
}

impl VersionVector {
    /// Its canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let entries = self.entries().map(|(origin, sequence)| {
            Item::List(vec![origin.0.to_vec().into(), sequence.number().into()])
        });
        Item::List(entries.collect()).encode()
    }

    /// Reads one version vector.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let shape = DecodeError::Shape("a version vector");
        let value = Value::parse(bytes, KeyOrder::Sorted)?;
        let mut vector = Self::new();
        let mut last = None;
        for entry in value.list().ok_or(shape.clone())? {
            let Some([origin, number]) = entry.list() else {
                return Err(shape);
            };
            let origin = Origin(fields::array(origin, "version vector")?);
            let number = read_sequence(number).filter(|number| *number > Sequence::ZERO);
            if last.is_some_and(|last| last >= origin) {
                return Err(DecodeError::Unsorted("version vector"));
            }
            last = Some(origin);
            vector.note(
                origin,
                number.ok_or(DecodeError::WrongValue("version vector"))?,
            );
        }
        Ok(vector)
    }
}

fn membership_entries(row: &Membership) -> Vec<(&'static str, Item<'_>)> {
    let mut entries = vec![
        ("group", Item::from(&row.group.0[..])),
        ("account", Item::from(&row.account.0[..])),
    ];
    let accepted = row.accepted.as_ref();
    entries.extend(accepted.map(|it| ("accepted", account_field(it))));
    if let Some(ended) = &row.ended {
        let End { reason, by } = &ended.value;
        let values = [reason.as_str().into(), Item::from(&by.0[..])];
        entries.push(("ended", field(ended, values)));
    }
    if let Some(given) = &row.role {
        let GivenRole { role, by } = &given.value;
        let values = [role.as_str().into(), Item::from(&by.0[..])];
        entries.push(("role", field(given, values)));
    }
    entries
}

fn audit_entries(row: &AuditEntry) -> Vec<(&'static str, Item<'_>)> {
    let mut entries = vec![
        ("expires", row.expires.into()),
        ("who", Item::from(&row.who.0[..])),
        ("action", row.action.as_str().into()),
    ];
    let subject = row.subject.as_ref();
    entries.extend(subject.map(|id| ("subject", Item::from(&id.0[..]))));
    let group = row.group.as_ref();
    entries.extend(group.map(|id| ("group", Item::from(&id.0[..]))));
    match &row.detail {
        Some(AuditDetail::Role(role)) => entries.push(("role", role.as_str().into())),
        Some(AuditDetail::Name(name)) => entries.push(("name", name.as_str().into())),
        None => {}
    }
    let from = row.from.map(|from| from.to_string().into_bytes());
    entries.extend(from.map(|from| ("from", from.into())));
    entries
}

fn read_audit(
    id: RowId,
    created: Version,
    fields: &mut FieldReader<'_>,
) -> Result<AuditEntry, DecodeError> {
    let action = AuditAction::parse(fields.text("action")?);
    Ok(AuditEntry {
        id,
        created,
        expires: fields.number("expires")?,
        who: RowId(fields.array("who")?),
        action: action.ok_or(DecodeError::WrongValue("action"))?,
        subject: fields.optional_array("subject")?.map(RowId),
        group: fields.optional_array("group")?.map(RowId),
        detail: read_detail(fields)?,
        from: fields.optional_address("from")?,
    })
}

fn read_detail(fields: &mut FieldReader<'_>) -> Result<Option<AuditDetail>, DecodeError> {
    let role = fields.optional_parsed("role", Role::parse)?;
    let name = fields.optional_parsed("name", |text| text.parse().ok())?;
    match (role, name) {
        (Some(_), Some(_)) => Err(DecodeError::WrongValue("name")),
        (Some(role), None) => Ok(Some(AuditDetail::Role(role))),
        (None, name) => Ok(name.map(AuditDetail::Name)),
    }
}

fn read_sequence(value: &Value<'_>) -> Option<Sequence> {
    let number = value
        .integer()
        .and_then(|number| u64::try_from(number).ok());
    number.and_then(Sequence::new)
}

/// The fuzz function of rows, version vectors and changes: each has one encoding. Two changes one
/// after the other are merged in both orders, which makes no difference. The log-outs whose life
/// this tracker has extended and the machines that it has suspended are left out: the time of this
/// write depends on the order.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Ok(row) = Row::decode(bytes) {
        assert_eq!(row.encode(), bytes);
    }
    if let Ok(vector) = VersionVector::decode(bytes) {
        assert_eq!(vector.encode(), bytes);
    }
    let Ok((first, rest)) = Value::parse_prefix(bytes, KeyOrder::Sorted, 10_000) else {
        return;
    };
    let Ok(first) = Change::decode(first.raw()) else {
        return;
    };
    let second = Change::decode(rest).unwrap_or_default();
    assert_eq!(first.encode().len() + rest.len(), bytes.len());
    let merged = |changes: [&Change; 2]| {
        let mut registry = super::Registry::new(Origin([0; 16]));
        for change in changes {
            let update = registry.merge(change, std::time::Duration::ZERO).ok()?;
            registry.apply(update).ok()?;
        }
        let mut known = VersionVector::new();
        while let Some(change) = registry.since(&known, 100) {
            let before = known.clone();
            change.advance(&mut known);
            assert_ne!(known, before, "catching up never ends");
        }
        let is_own = |version: super::Version| version.stamp.origin() == registry.origin();
        let is_written_here = |row: &Row| row.versions().into_iter().any(is_own);
        let rows = registry.rows().filter(|row| !is_written_here(row));
        Some(rows.cloned().collect::<Vec<_>>())
    };
    let (one, other) = (merged([&first, &second]), merged([&second, &first]));
    if let (Some(one), Some(other)) = (one, other) {
        assert_eq!(one, other);
    }
}

#[cfg(test)]
mod tests;
