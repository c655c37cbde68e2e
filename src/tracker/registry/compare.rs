//! The differences between two registries, for an operator who has the data of two stopped
//! trackers.

use super::{Registry, Row};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The kind of the row.
    pub kind: &'static str,
    /// The name of the row, if it has one, and its id.
    pub row_name: String,
    /// How the two states of the row differ.
    pub detail: DifferenceDetail,
}

/// How the two states of a row differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DifferenceDetail {
    /// Only the first registry has the row.
    OnlyFirst,
    /// Only the second registry has the row.
    OnlySecond,
    /// A field, its value in the first registry and its value in the second, as dumps show them.
    Field(String, String, String),
    /// A secret of the row differs: a hash or a key. Its two values are not shown.
    Hidden,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            row_name,
            detail,
        } = self;
        match detail {
            DifferenceDetail::OnlyFirst => write!(f, "{kind} {row_name}: in the first only"),
            DifferenceDetail::OnlySecond => write!(f, "{kind} {row_name}: in the second only"),
            DifferenceDetail::Field(field, first, second) => {
                write!(
                    f,
                    "{kind} {row_name}: {field} is {first} in the first, {second} in the second"
                )
            }
            DifferenceDetail::Hidden => write!(f, "{kind} {row_name}: a secret differs"),
        }
    }
}

impl Registry {
    /// All differences to another registry. A row that only one registry has does not count if the
    /// row has expired at `now`: the other registry may have dropped it. Nor does an entry of the
    /// audit log: each tracker drops entries that are too many at a time of its own.
    pub fn differences(&self, other: &Self, now: Duration) -> Vec<Difference> {
        let (ours, theirs) = (dumped_rows(self), dumped_rows(other));
        let ids: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        let mut differences = Vec::new();
        for id in ids {
            let (first, second) = (ours.get(id), theirs.get(id));
            let Some((kind, fields)) = first.or(second) else {
                continue;
            };
            let row_name = match display_name(fields) {
                Some(name) => format!("{name} ({id})"),
                None => id.clone(),
            };
            let mut add_difference = |detail| {
                differences.push(Difference {
                    kind,
                    row_name: row_name.clone(),
                    detail,
                });
            };
            let (Some((_, first)), Some((_, second))) = (first, second) else {
                let row = self.row_of_id_text(id).or_else(|| other.row_of_id_text(id));
                let expiry = row.and_then(Row::expires);
                if matches!(row, Some(Row::Audit(_))) {
                    continue;
                }
                if expiry.is_none_or(|expiry| u128::from(expiry) > now.as_millis()) {
                    add_difference(match first {
                        Some(_) => DifferenceDetail::OnlyFirst,
                        None => DifferenceDetail::OnlySecond,
                    });
                }
                continue;
            };
            let fields: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
            let differing: Vec<_> = fields
                .into_iter()
                .filter(|field| first.get(*field) != second.get(*field))
                .collect();
            for field in &differing {
                let value_text = |fields: &Map<String, Value>| match fields.get(*field) {
                    Some(Value::String(text)) => text.clone(),
                    Some(Value::Null) | None => "nothing".to_owned(),
                    Some(other) => other.to_string(),
                };
                add_difference(DifferenceDetail::Field(
                    (*field).clone(),
                    value_text(first),
                    value_text(second),
                ));
            }
            if differing.is_empty() && self.row_of_id_text(id) != other.row_of_id_text(id) {
                add_difference(DifferenceDetail::Hidden);
            }
        }
        differences
    }

    fn row_of_id_text(&self, id: &str) -> Option<&Row> {
        self.row(id.parse().ok()?)
    }
}

/// The name in the dumped fields of a row.
fn display_name(fields: &Map<String, Value>) -> Option<&str> {
    let name = fields.get("label").or_else(|| fields.get("name"));
    name.and_then(Value::as_str)
}

/// The dumped kind and fields of each row, by id.
fn dumped_rows(registry: &Registry) -> BTreeMap<String, (&'static str, Map<String, Value>)> {
    let dump = registry.dump();
    let mut all = BTreeMap::new();
    add_rows(&mut all, "account", &dump.accounts);
    add_rows(&mut all, "group", &dump.groups);
    add_rows(&mut all, "membership", &dump.memberships);
    add_rows(&mut all, "log-out", &dump.revocations);
    add_rows(&mut all, "invite", &dump.invites);
    add_rows(&mut all, "share", &dump.shares);
    add_rows(&mut all, "receipt", &dump.receipts);
    add_rows(&mut all, "audit entry", &dump.audit);
    add_rows(&mut all, "token", &dump.tokens);
    add_rows(&mut all, "machine", &dump.machines);
    all
}

fn add_rows<T: Serialize>(
    all: &mut BTreeMap<String, (&'static str, Map<String, Value>)>,
    kind: &'static str,
    rows: &[T],
) {
    for row in rows {
        if let Ok(Value::Object(mut fields)) = serde_json::to_value(row)
            && let Some(Value::String(id)) = fields.remove("id")
        {
            all.insert(id, (kind, fields));
        }
    }
}
