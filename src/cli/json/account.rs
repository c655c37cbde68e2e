//! Accounts and groups, as objects.

use super::super::render::time;
use crate::peer::ListedFile;
use crate::wire::access::{GroupEntry, MemberEntry, NewsEntry, RequestEntry};
use serde::Serialize;

/// A group.
#[derive(Serialize)]
pub(super) struct Group {
    name: String,
    owner: Option<String>,
    members: u32,
    standing: &'static str,
}

/// A member of a group.
#[derive(Serialize)]
pub(super) struct Member {
    name: String,
    since: String,
    owner: bool,
}

/// A request to be let in.
#[derive(Serialize)]
pub(super) struct Request {
    name: String,
    asked: String,
}

/// A decision about the user.
#[derive(Serialize)]
pub(super) struct News {
    group: String,
    outcome: &'static str,
    at: String,
}

/// A share.
#[derive(Serialize)]
pub(super) struct File {
    name: String,
    length: u64,
    publisher: Option<String>,
    at: String,
    complete: u32,
    partial: u32,
    here: bool,
    info_hash: String,
}

impl From<&ListedFile> for File {
    fn from(file: &ListedFile) -> Self {
        let entry = &file.entry;
        Self {
            name: entry.name.as_str().to_owned(),
            length: entry.length,
            publisher: entry.publisher.as_ref().map(ToString::to_string),
            at: time(entry.at),
            complete: entry.complete,
            partial: entry.partial,
            here: file.here,
            info_hash: entry.info_hash.to_string(),
        }
    }
}

impl From<&GroupEntry> for Group {
    fn from(entry: &GroupEntry) -> Self {
        Self {
            name: entry.name.to_string(),
            owner: entry.owner.as_ref().map(ToString::to_string),
            members: entry.members,
            standing: entry.standing.as_str(),
        }
    }
}

impl From<&MemberEntry> for Member {
    fn from(entry: &MemberEntry) -> Self {
        Self {
            name: entry.name.to_string(),
            since: time(entry.since),
            owner: entry.owner,
        }
    }
}

impl From<&RequestEntry> for Request {
    fn from(entry: &RequestEntry) -> Self {
        Self {
            name: entry.name.to_string(),
            asked: time(entry.at),
        }
    }
}

impl From<&NewsEntry> for News {
    fn from(entry: &NewsEntry) -> Self {
        Self {
            group: entry.group.to_string(),
            outcome: entry.outcome.as_str(),
            at: time(entry.at),
        }
    }
}
