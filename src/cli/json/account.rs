//! Groups, their members, requests, decisions and catalogues as JSON objects. Some values also have
//! an older key, such as `standing` for `role`: see `docs/cli.md`, "JSON".

use super::value::{JsonValue, object, plain};
use crate::cli::render::time;
use crate::peer::ListedFile;
use crate::wire::access::{DecisionEntry, GroupEntry, LoginEntry, MemberEntry, RequestEntry};
use crate::wire::note::Note;
use crate::wire::role::Role;
use std::fmt::Display;

pub(super) fn file(file: &ListedFile) -> JsonValue<'_> {
    let entry = &file.entry;
    object([
        ("name", plain(entry.name.as_str())),
        ("length", plain(entry.length)),
        ("publisher", optional(entry.publisher.as_ref())),
        ("at", plain(time(entry.published_at))),
        ("complete", plain(entry.complete)),
        ("partial", plain(entry.partial)),
        ("here", plain(file.here)),
        ("info_hash", plain(entry.info_hash.to_string())),
        ("version", plain(entry.version)),
        ("versions", plain(entry.versions)),
        ("note", plain(entry.note.as_ref().map(Note::as_str))),
    ])
}

pub(super) fn login(entry: &LoginEntry) -> JsonValue<'_> {
    object([
        ("id", plain(entry.id.to_string())),
        ("host", optional(entry.host.as_ref())),
        ("from", plain(entry.from.to_string())),
        ("at", plain(time(entry.made_at))),
        ("used", plain(time(entry.used_at))),
        ("here", plain(entry.is_present)),
    ])
}

pub(super) fn group(entry: &GroupEntry) -> JsonValue<'_> {
    object([
        ("name", plain(entry.name.to_string())),
        ("owner", optional(entry.owner.as_ref())),
        ("members", plain(entry.members)),
        ("standing", plain(entry.role.as_str())),
        ("role", plain(entry.role.as_str())),
        ("own_role", optional_role(entry.own_role)),
    ])
}

pub(super) fn member(entry: &MemberEntry) -> JsonValue<'_> {
    object([
        ("name", plain(entry.name.to_string())),
        ("since", plain(time(entry.since))),
        ("owner", plain(entry.role == Role::Owner)),
        ("role", plain(entry.role.as_str())),
        ("user", plain(entry.name.to_string())),
        ("at", plain(time(entry.since))),
    ])
}

pub(super) fn request(entry: &RequestEntry) -> JsonValue<'_> {
    object([
        ("name", plain(entry.name.to_string())),
        ("asked", plain(time(entry.asked_at))),
        ("user", plain(entry.name.to_string())),
        ("at", plain(time(entry.asked_at))),
    ])
}

pub(super) fn news(entry: &DecisionEntry) -> JsonValue<'_> {
    object([
        ("group", plain(entry.group.to_string())),
        ("outcome", plain(entry.outcome.as_str())),
        ("user", optional(entry.user.as_ref())),
        ("at", plain(time(entry.decided_at))),
        ("role", optional_role(entry.role)),
    ])
}

fn optional_role(role: Option<Role>) -> JsonValue<'static> {
    plain(role.map(Role::as_str))
}

fn optional(label: Option<&impl Display>) -> JsonValue<'_> {
    plain(label.map(ToString::to_string))
}
