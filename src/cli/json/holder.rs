//! Holders and mirrors as JSON objects.

use super::value::{JsonValue, list, object, plain};
use crate::base::hex::Hex;
use crate::cli::outcome::HolderOutcome;
use crate::wire::access::{HolderEntry, HolderName, MirrorEntry};

/// The fields after `ok` of a command about holders.
pub(super) fn holder_fields(outcome: &HolderOutcome) -> Vec<(&str, JsonValue<'_>)> {
    match outcome {
        HolderOutcome::Listed(holders) => vec![("holders", list(holders, holder))],
        HolderOutcome::Waited(awaited) => vec![
            ("name", plain(awaited.version.name.as_str())),
            ("version", plain(awaited.version.number)),
            ("info_hash", plain(awaited.version.info_hash.to_string())),
            ("holders", list(&awaited.holders, holder)),
            ("left_out", list(&awaited.left_out, mirror)),
        ],
    }
}

fn holder(entry: &HolderEntry) -> JsonValue<'_> {
    let mut fields = vec![
        ("name", plain(entry.version.name.as_str())),
        ("version", plain(entry.version.number)),
        ("info_hash", plain(entry.version.info_hash.to_string())),
    ];
    fields.extend(name_fields(&entry.holder));
    fields.extend([
        ("complete", plain(entry.left == 0)),
        ("percent", plain(entry.percent())),
        ("left", plain(entry.left)),
        ("length", plain(entry.length)),
        ("rate", plain(entry.rate)),
        ("silent", plain(entry.silent_ms / 1000)),
        ("stale", plain(entry.is_stale)),
        ("mirrors", plain(entry.mirrors)),
    ]);
    object(fields)
}

fn mirror(entry: &MirrorEntry) -> JsonValue<'_> {
    let mut fields = name_fields(&entry.holder);
    fields.push(("silent", plain(entry.silent_ms / 1000)));
    object(fields)
}

fn name_fields(holder: &HolderName) -> Vec<(&'static str, JsonValue<'_>)> {
    vec![
        ("host", plain(holder.host.as_ref().map(ToString::to_string))),
        ("user", plain(holder.user.to_string())),
        ("id", plain(Hex(&holder.id.0).to_string())),
        ("here", plain(holder.is_here)),
    ]
}
