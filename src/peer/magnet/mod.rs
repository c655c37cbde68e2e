//! Downloads by magnet link (BEP 9). A magnet search (`crate::peer::search`) announces itself,
//! calls peers and accepts callers, but only for metadata. When it has the metadata, a transfer
//! replaces it.
//!
//! `fetch` runs one link that delivers metadata. `learn` starts searches and turns a search into a
//! download.

mod fetch;
mod learn;

pub(super) use fetch::fetch;
pub(super) use learn::{handle_metadata, handle_torrent, restore, start_search};
