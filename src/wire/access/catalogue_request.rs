//! How the requests about the catalogue of a group are written and read.

use super::fields::{self, WriteId};
use super::request::AccessRequest;
use super::withdrawals;
use crate::bencode::Item;
use crate::torrent::InfoHash;
use crate::wire::control::{ControlError, MessageFields, read_parsed};

/// Puts the parameters of a request about a catalogue, except those that several kinds have. Puts
/// nothing for another request.
pub(super) fn put<'a>(ask: &'a AccessRequest, entries: &mut Vec<(&'static str, Item<'a>)>) {
    match ask {
        AccessRequest::Publish {
            part, update, note, ..
        } => {
            entries.extend(part.entries());
            entries.extend(update.then_some(("update", 1u32.into())));
            entries.extend(note.as_ref().map(|note| ("note", note.as_str().into())));
        }
        AccessRequest::ListFiles {
            versions, after, ..
        } => {
            entries.extend(versions.then_some(("versions", 1u32.into())));
            entries.extend(fields::after_entry(after));
        }
        AccessRequest::Metainfo { offset, .. } => entries.push(("offset", (*offset).into())),
        AccessRequest::Withdrawals { shares, .. } => {
            entries.push(("shares", fields::info_hashes_item(shares)))
        }
        AccessRequest::Withdraw { seen, .. } => entries.push(("seen", Item::from(&seen.0[..]))),
        _ => {}
    }
}

/// Reads a request about a catalogue. Returns `None` if `kind` is another kind.
pub(super) fn read(
    kind: &str,
    fields: &mut MessageFields<'_>,
) -> Result<Option<AccessRequest>, ControlError> {
    Ok(Some(match kind {
        "publish" => AccessRequest::Publish {
            write: WriteId(fields.array("write")?),
            group: fields.parsed("group")?,
            part: fields.info_part()?,
            update: fields.optional_flag("update")?,
            note: fields.optional("note", read_parsed)?,
        },
        "list_files" => AccessRequest::ListFiles {
            group: fields.parsed("group")?,
            versions: fields.optional_flag("versions")?,
            after: fields::read_after(fields)?,
        },
        "metainfo" => AccessRequest::Metainfo {
            group: fields.parsed("group")?,
            name: fields.read_by("name", fields::read_short_text)?,
            offset: fields.number("offset")?,
        },
        "find_version" => AccessRequest::FindVersion {
            group: fields.parsed("group")?,
            name: fields.read_by("name", fields::read_short_text)?,
        },
        "withdraw" => AccessRequest::Withdraw {
            write: WriteId(fields.array("write")?),
            group: fields.parsed("group")?,
            name: fields.read_by("name", fields::read_short_text)?,
            seen: InfoHash(fields.array("seen")?),
        },
        "withdrawals" => AccessRequest::Withdrawals {
            group: fields.parsed("group")?,
            shares: withdrawals::read_shares(fields)?,
        },
        _ => return Ok(None),
    }))
}
