//! What a person does with a peer, as methods of [`super::Peer`].

mod downloading;
pub(super) mod groups;
mod magnets;
pub(super) mod sending;
mod stopping;
pub(super) mod unlisted;
mod views;
