//! Starts downloads: from a metainfo to a running transfer.

pub(super) mod already;
pub(super) mod extend;
pub(super) mod place;
pub(super) mod planned;
pub(super) mod recorded_place;

use already::{already_error, already_here, elsewhere, not_now};
