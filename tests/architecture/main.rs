//! The structure of `src/`: layers, imports without circles, small functions and types.
//!
//! `source` parses the files and `imports` finds which file uses which. `circles`, `sizes` and
//! `writes` find violations. Exceptions are listed here, each with its reason. `planted` tests that
//! violations are found. `documents` checks the documents, `limits` the page of all limits with the
//! values that `constants` reads, and `mutations` the patches that take defences out.

mod circles;
mod constants;
mod documents;
mod imports;
mod limits;
mod mutations;
mod planted;
mod sizes;
mod source;
mod writes;

use imports::Import;
use source::Source;
use std::collections::BTreeSet;

/// The top modules of `src/` and their layers. A module uses only modules in lower layers.
const LAYERS: [(&str, u32); 15] = [
    ("base", 0),
    ("bencode", 0),
    ("system", 0),
    ("certificate", 1),
    ("torrent", 1),
    ("wire", 2),
    ("swarm", 3),
    ("net", 4),
    ("storage", 4),
    ("peer", 5),
    ("tracker", 5),
    ("scenario", 6),
    ("cli", 7),
    ("lib", 8),
    ("main", 9),
];

/// The parts of `src/peer/` from the top. A part uses only parts below it.
const PEER_PARTS: [&str; 45] = [
    "doctor",
    "join",
    "commands",
    "running",
    "incoming",
    "tick",
    "calls",
    "restore",
    "mirror",
    "magnet",
    "download",
    "ending",
    "error",
    "services",
    "hooks",
    "machine",
    "group",
    "account",
    "web_seed",
    "announce",
    "watch",
    "superseded",
    "transfers",
    "transfer",
    "search",
    "link",
    "context",
    "running_command",
    "trackers",
    "buffers",
    "owned",
    "names",
    "group_names",
    "sockets",
    "tasks",
    "changes",
    "limits",
    "run_connection",
    "trust",
    "status",
    "login_end",
    "hook_options",
    "mirror_status",
    "file_choice",
    "zone",
];

/// Imports that may be part of a circle or go up the [`LAYERS`]: from, to, why. At most five. There
/// are no exceptions to the order of [`PEER_PARTS`].
const ALLOWED_IMPORTS: [(&str, &str, &str); 0] = [];

/// The top modules in which all methods of a type are in the file that defines it.
const METHODS_BESIDE_TYPES: [&str; 11] = [
    "base",
    "bencode",
    "certificate",
    "cli",
    "net",
    "scenario",
    "storage",
    "swarm",
    "system",
    "torrent",
    "wire",
];

/// Functions of more than 70 lines and types of more than 12 fields: place, why. At most ten.
const ALLOWED_SIZES: [(&str, &str); 0] = [];

fn is_allowed(import: &Import) -> bool {
    let matches = |&(from, to, _): &(&str, &str, &str)| import.from == from && import.to == to;
    ALLOWED_IMPORTS.iter().any(matches)
}

fn imports() -> Vec<Import> {
    imports::of(&Source::read())
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let imports = imports().into_iter().filter(|import| !is_allowed(import));
    let circles = circles::of(&imports.collect::<Vec<_>>());
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn no_import_goes_up_the_layers() {
    let all = imports();
    let upward = all
        .iter()
        .filter(|import| !is_allowed(import) && import.goes_up(&LAYERS));
    let upward: Vec<_> = upward.map(Import::to_string).collect();
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

#[test]
fn no_import_goes_up_inside_peer() {
    let all = imports().into_iter();
    let upward = all.filter(|import| import.goes_up_inside("peer", &PEER_PARTS));
    let upward: Vec<_> = upward.map(|import| import.to_string()).collect();
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

#[test]
fn methods_of_a_type_are_in_its_file() {
    let elsewhere = imports::impls_elsewhere(&Source::read(), &METHODS_BESIDE_TYPES);
    assert!(elsewhere.is_empty(), "{}", elsewhere.join("\n"));
}

#[test]
fn fields_in_peer_are_written_only_in_the_file_that_declares_them() {
    let elsewhere = writes::elsewhere(&Source::read(), "peer");
    assert!(elsewhere.is_empty(), "{}", elsewhere.join("\n"));
}

#[test]
fn functions_and_types_are_small() {
    let large = sizes::too_large(&Source::read());
    let new = large
        .iter()
        .filter(|large| !ALLOWED_SIZES.iter().any(|(place, _)| *place == large.place));
    let new: Vec<_> = new.map(|large| large.to_string()).collect();
    assert!(new.is_empty(), "{}", new.join("\n"));
    let still_large: BTreeSet<_> = large.iter().map(|large| large.place.as_str()).collect();
    for (place, _) in ALLOWED_SIZES {
        assert!(
            still_large.contains(place),
            "{place} is small now: take it off the list"
        );
    }
}

#[test]
fn every_exception_is_needed() {
    assert!(ALLOWED_IMPORTS.len() <= 5 && ALLOWED_SIZES.len() <= 10);
    let all = imports();
    for (from, to, _) in ALLOWED_IMPORTS {
        let exists = all
            .iter()
            .any(|import| import.from == from && import.to == to);
        assert!(exists, "{from} -> {to} is gone: take it off the list");
    }
}
