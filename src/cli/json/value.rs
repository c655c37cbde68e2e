//! JSON values whose objects keep the order of their keys.

use serde::{Serialize, Serializer};
use serde_json::Value;

/// A JSON value. An object keeps the order of its keys.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum JsonValue<'a> {
    Plain(Value),
    List(Vec<Self>),
    Object(#[serde(serialize_with = "serialize_in_order")] Vec<(&'a str, Self)>),
}

/// A string, number, boolean or `null`.
pub(super) fn plain<'a>(value: impl Into<Value>) -> JsonValue<'a> {
    JsonValue::Plain(value.into())
}

/// A list with `each(item)` for each item.
pub(super) fn list<'a, I: IntoIterator>(
    items: I,
    each: fn(I::Item) -> JsonValue<'a>,
) -> JsonValue<'a> {
    JsonValue::List(items.into_iter().map(each).collect())
}

/// An object with these fields.
pub(super) fn object<'a>(
    fields: impl IntoIterator<Item = (&'a str, JsonValue<'a>)>,
) -> JsonValue<'a> {
    JsonValue::Object(fields.into_iter().collect())
}

fn serialize_in_order<S: Serializer>(
    fields: &[(&str, JsonValue<'_>)],
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_map(fields.iter().map(|(key, value)| (key, value)))
}
