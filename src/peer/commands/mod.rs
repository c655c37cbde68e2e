//! The commands of a user, as methods of [`super::Peer`].

pub(super) mod closed_run;
mod downloads;
mod export_files;
pub(super) mod exporting;
pub(super) mod group_shares;
pub(super) mod groups;
pub(super) mod mirrors;
pub(super) mod new_share;
pub(super) mod previewing;
pub(super) mod sending;
pub(super) mod share_content;
mod starting;
mod stopping;
pub(super) mod upload;
pub(super) mod verifying;
mod views;
