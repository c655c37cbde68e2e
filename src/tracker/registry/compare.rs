//! What differs between two registries, for an operator who has the data of two stopped trackers.

use super::{Registry, Row};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What kind of row.
    pub kind: &'static str,
    /// Which: its name if it has one, and its id.
    pub which: String,
    /// What is different.
    pub what: Differing,
}

/// What is different about a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Differing {
    /// The first has it, the second has not.
    OnlyFirst,
    /// The second has it, the first has not.
    OnlySecond,
    /// This field has one value in the first and another in the second, as dumps show them.
    Field(String, String, String),
    /// Something that is not shown: a hash or a key.
    Hidden,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, which, what } = self;
        match what {
            Differing::OnlyFirst => write!(f, "{kind} {which}: in the first only"),
            Differing::OnlySecond => write!(f, "{kind} {which}: in the second only"),
            Differing::Field(field, first, second) => {
                write!(
                    f,
                    "{kind} {which}: {field} is {first} in the first, {second} in the second"
                )
            }
            Differing::Hidden => write!(f, "{kind} {which}: a secret differs"),
        }
    }
}

impl Registry {
    /// All differences to another registry. A row that says nothing any more at that time may have been forgotten by
    /// either, and is none.
    pub fn differences(&self, other: &Self, now: Duration) -> Vec<Difference> {
        let (ours, theirs) = (shown(self), shown(other));
        let ids: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        let mut differences = Vec::new();
        for id in ids {
            let (first, second) = (ours.get(id), theirs.get(id));
            let Some((kind, fields)) = first.or(second) else {
                continue;
            };
            let which = match name(fields) {
                Some(name) => format!("{name} ({id})"),
                None => id.clone(),
            };
            let mut differ = |what| {
                differences.push(Difference {
                    kind,
                    which: which.clone(),
                    what,
                });
            };
            let (Some((_, first)), Some((_, second))) = (first, second) else {
                let row = self.find(id).or_else(|| other.find(id));
                let expired = row.and_then(Row::expires);
                if expired.is_none_or(|expires| u128::from(expires) > now.as_millis()) {
                    differ(match first {
                        Some(_) => Differing::OnlyFirst,
                        None => Differing::OnlySecond,
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
                let shown = |fields: &Map<String, Value>| match fields.get(*field) {
                    Some(Value::String(text)) => text.clone(),
                    Some(Value::Null) | None => "nothing".to_owned(),
                    Some(other) => other.to_string(),
                };
                differ(Differing::Field(
                    (*field).clone(),
                    shown(first),
                    shown(second),
                ));
            }
            if differing.is_empty() && self.find(id) != other.find(id) {
                differ(Differing::Hidden);
            }
        }
        differences
    }

    fn find(&self, id: &str) -> Option<&Row> {
        self.row(id.parse().ok()?)
    }
}

/// The name that a row's fields show.
fn name(fields: &Map<String, Value>) -> Option<&str> {
    let name = fields.get("label").or_else(|| fields.get("name"));
    name.and_then(Value::as_str)
}

/// What a dump shows of each row, by its id.
fn shown(registry: &Registry) -> BTreeMap<String, (&'static str, Map<String, Value>)> {
    let dump = registry.dump();
    let mut all = BTreeMap::new();
    add(&mut all, "account", &dump.accounts);
    add(&mut all, "group", &dump.groups);
    add(&mut all, "membership", &dump.memberships);
    add(&mut all, "log-out", &dump.revocations);
    add(&mut all, "invite", &dump.invites);
    add(&mut all, "share", &dump.shares);
    add(&mut all, "receipt", &dump.receipts);
    all
}

fn add<T: Serialize>(
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
