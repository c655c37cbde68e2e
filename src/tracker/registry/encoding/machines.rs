//! The rows of tokens and machines.
//!
//! | what | encoding |
//! |---|---|
//! | `groups` of a token | a sorted list of lists of group, role |
//! | `starts` of a machine | a list: stamp of the answer (empty: none), counter, nonces |
//! | stamp | 28 bytes: origin (16), wall ms (8), counter (4); big-endian |
//! | nonces | a sorted list of lists of nonce, version |
//! | `roles` of a machine | a sorted list of lists of group, version, role, account |

use super::error::DecodeError;
use super::fields::{FieldReader, array, stamp, version};
use super::items::{account_field, field, stamp_item, version_item};
use crate::bencode::{Item, Value};
use crate::tracker::registry::{
    GivenRole, KeyHash, Machine, MachineToken, Register, Role, RowId, Starts, Version,
};
use crate::wire::machine::SecretHash;
use std::collections::BTreeMap;

type Entries<'a> = Vec<(&'static str, Item<'a>)>;

pub(super) fn token_entries(row: &MachineToken) -> Entries<'_> {
    let groups = row
        .groups
        .iter()
        .map(|(group, role)| Item::List(vec![Item::from(&group.0[..]), role.as_str().into()]));
    let mut entries = vec![
        ("maker", Item::from(&row.maker.0[..])),
        ("secret", Item::from(&row.secret.0[..])),
        ("name", row.name.as_str().into()),
        ("groups", Item::List(groups.collect())),
        ("machines", row.machines.into()),
    ];
    entries.extend(row.enrols_until.map(|until| ("until", until.into())));
    entries.extend(
        row.revoked
            .as_ref()
            .map(|it| ("revoked", account_field(it))),
    );
    entries.extend(row.refused.as_ref().map(|it| ("refused", field(it, []))));
    entries
}

pub(super) fn read_token(
    id: RowId,
    created: Version,
    fields: &mut FieldReader<'_>,
) -> Result<MachineToken, DecodeError> {
    Ok(MachineToken {
        id,
        created,
        maker: RowId(fields.array("maker")?),
        secret: SecretHash(fields.array("secret")?),
        name: fields.text("name")?.parse()?,
        groups: sorted(fields.list("groups")?, "groups", |[group, role]| {
            Ok((RowId(array(group, "groups")?), read_role(role, "groups")?))
        })?,
        machines: fields.number("machines")?,
        enrols_until: fields.optional_number("until")?,
        revoked: fields.optional_row_id("revoked")?,
        refused: fields.optional_version("refused")?,
    })
}

pub(super) fn machine_entries(row: &Machine) -> Entries<'_> {
    let mut entries = vec![
        ("token", Item::from(&row.token.0[..])),
        ("key", Item::from(&row.key.0[..])),
        ("name", field(&row.name, [row.name.value.as_str().into()])),
    ];
    entries.extend(row.starts.as_ref().map(|it| ("starts", starts_item(it))));
    entries.extend(
        row.suspended
            .as_ref()
            .map(|it| ("suspended", field(it, []))),
    );
    let answered = row.answered.as_ref();
    entries.extend(answered.map(|it| ("answered", account_field(it))));
    entries.extend(
        row.revoked
            .as_ref()
            .map(|it| ("revoked", account_field(it))),
    );
    if !row.roles.is_empty() {
        let roles = row.roles.iter().map(|(group, given)| {
            let GivenRole { role, by } = &given.value;
            Item::List(vec![
                Item::from(&group.0[..]),
                version_item(given.version),
                role.as_str().into(),
                Item::from(&by.0[..]),
            ])
        });
        entries.push(("roles", Item::List(roles.collect())));
    }
    entries
}

pub(super) fn read_machine(
    id: RowId,
    created: Version,
    fields: &mut FieldReader<'_>,
) -> Result<Machine, DecodeError> {
    let starts = fields.optional("starts").map(read_starts).transpose()?;
    let roles = match fields.optional("roles") {
        None => BTreeMap::new(),
        Some(value) => {
            let list = value.list().filter(|list| !list.is_empty());
            let list = list.ok_or(DecodeError::WrongValue("roles"))?;
            sorted(list, "roles", |[group, at, role, by]| {
                let given = GivenRole {
                    role: read_role(role, "roles")?,
                    by: RowId(array(by, "roles")?),
                };
                let given = Register::new(version(at, "roles")?, given);
                Ok((RowId(array(group, "roles")?), given))
            })?
        }
    };
    Ok(Machine {
        id,
        created,
        token: RowId(fields.array("token")?),
        key: KeyHash(fields.array("key")?),
        name: fields.register("name", |name| Ok(name.parse()?))?,
        starts,
        suspended: fields.optional_version("suspended")?,
        answered: fields.optional_row_id("answered")?,
        revoked: fields.optional_row_id("revoked")?,
        roles,
    })
}

fn starts_item(starts: &Starts) -> Item<'_> {
    let after = starts.after.map_or_else(|| Vec::new().into(), stamp_item);
    let nonces = starts
        .nonces
        .iter()
        .map(|(nonce, version)| Item::List(vec![Item::from(&nonce[..]), version_item(*version)]));
    Item::List(vec![
        after,
        starts.counter.into(),
        Item::List(nonces.collect()),
    ])
}

fn read_starts(value: &Value<'_>) -> Result<Starts, DecodeError> {
    let wrong = || DecodeError::WrongValue("starts");
    let Some([after, counter, nonces]) = value.list() else {
        return Err(wrong());
    };
    let after = match after.bytes().ok_or_else(wrong)? {
        [] => None,
        bytes => Some(stamp(bytes).ok_or_else(wrong)?),
    };
    let counter = counter.integer().map(u64::try_from).and_then(Result::ok);
    let nonces = nonces.list().filter(|it| matches!(it.len(), 1 | 2));
    Ok(Starts {
        after,
        counter: counter.ok_or_else(wrong)?,
        nonces: sorted(nonces.ok_or_else(wrong)?, "starts", |[nonce, at]| {
            Ok((array(nonce, "starts")?, version(at, "starts")?))
        })?,
    })
}

fn read_role(value: &Value<'_>, key: &'static str) -> Result<Role, DecodeError> {
    let role = value.text().and_then(Role::parse);
    role.ok_or(DecodeError::WrongValue(key))
}

/// A list of lists of `N` values whose keys, which `read` returns first, are sorted.
fn sorted<'a, K: Ord, V, const N: usize>(
    list: &'a [Value<'a>],
    key: &'static str,
    read: impl Fn(&'a [Value<'a>; N]) -> Result<(K, V), DecodeError>,
) -> Result<BTreeMap<K, V>, DecodeError> {
    let mut map = BTreeMap::new();
    for entry in list {
        let values = entry.list().and_then(|list| list.try_into().ok());
        let (next, value) = read(values.ok_or(DecodeError::WrongValue(key))?)?;
        let last = map.last_key_value();
        if last.is_some_and(|(last, _)| *last >= next) {
            return Err(DecodeError::Unsorted(key));
        }
        map.insert(next, value);
    }
    Ok(map)
}
