//! Downloads by magnet link (BEP 9). As long as the metadata is being fetched, a link is a
//! [`MagnetSearch`]: it announces, calls and lets in callers for nothing but metadata. Then a
//! transfer, which knows its files, takes its place.
//!
//! `sources` decides which lines may deliver metadata, `fetch` runs one line, `learn` makes a transfer
//! out of a search, `commands` is what a person does.

mod fetch;
mod learn;
mod search;
mod sources;

pub(super) use fetch::fetch;
pub(super) use learn::{learn, restore, seek};
pub(super) use search::MagnetSearch;
use sources::{MetadataSlot, MetadataSources, Turned};
