//! Starts downloads: from a metainfo to a running transfer.

pub(super) mod already;
pub(super) mod extend;
pub(super) mod group_share;
pub(super) mod missing_version;
pub(super) mod of_group;
mod opened_files;
pub(super) mod place;
pub(super) mod planned;
pub(super) mod recorded_place;
pub(super) mod repair;
pub(super) mod versions;

use already::{
    cannot_add_files_error, entry_exists_error, other_place_error, transfer_exists_error,
};
