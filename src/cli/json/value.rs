//! A JSON value whose objects keep the order of their keys.

use serde::{Serialize, Serializer};
use serde_json::Value;

/// A value that is still to be written.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Json<'a> {
    Plain(Value),
    List(Vec<Self>),
    Object(#[serde(serialize_with = "in_order")] Vec<(&'a str, Self)>),
}

/// A text, a number, a truth value or `null`.
pub(super) fn plain<'a>(value: impl Into<Value>) -> Json<'a> {
    Json::Plain(value.into())
}

/// What `each` makes of each item.
pub(super) fn list<'a, I: IntoIterator>(items: I, each: fn(I::Item) -> Json<'a>) -> Json<'a> {
    Json::List(items.into_iter().map(each).collect())
}

/// An object of these keys.
pub(super) fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Json<'a>)>) -> Json<'a> {
    Json::Object(fields.into_iter().collect())
}

fn in_order<S: Serializer>(fields: &[(&str, Json<'_>)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(fields.iter().map(|(key, value)| (key, value)))
}
