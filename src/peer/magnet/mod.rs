//! Downloads by magnet link (BEP 9). A magnet search (`crate::peer::search`) announces, calls and
//! lets callers in, but only for metadata. When it has the metadata, a transfer takes its place.
//!
//! `fetch` runs one connection that delivers metadata. `learn` starts searches and turns a search
//! into a download.

mod fetch;
mod learn;

pub(super) use fetch::fetch;
pub(super) use learn::{learn, restore, seek};
