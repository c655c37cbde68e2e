//! The state of a magnet search: a magnet link (BEP 9) while its metadata is being fetched.
//!
//! In scope: the phase of a search, the addresses it calls (`magnet_search`), and which links may
//! deliver metadata (`sources`). Out of scope: the links themselves, and the download that replaces
//! a search (`crate::peer::magnet`).

mod magnet_search;
mod sources;

pub(super) use magnet_search::MagnetSearch;
pub(super) use sources::{MetadataSlot, MetadataSources, SlotRefused};
