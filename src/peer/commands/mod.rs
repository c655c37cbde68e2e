//! The commands of a person, as methods of [`super::Peer`].

mod downloads;
pub(super) mod groups;
pub(super) mod new_share;
pub(super) mod sending;
mod starting;
mod stopping;
pub(super) mod unlisted;
mod views;
