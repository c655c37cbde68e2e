//! Messages of the control line about accounts, groups and what these share: what a peer asks, what a tracker answers.
//!
//! In scope: the messages and their exact encoding. Each is the body of one frame (see `frame`, capped at [`MAX_FRAME`]):
//! one bencoded dictionary in canonical form, its kind under `type`, with exactly the keys of that kind. A [`Request`]
//! carries a number of the peer's choosing which its [`Reply`] repeats, and the token of a session where it needs one;
//! nothing is remembered of a line, so that any request may go to any tracker. One that writes carries a [`WriteId`]: asked
//! again under the same one, of any tracker, it is done once. Lists come in pages of at most
//! [`MAX_PAGE`] entries.
//!
//! Out of scope: who may ask what, and what it does (see `tracker`). A closed run has messages of its own
//! ([`crate::wire::control`]).

mod announce;
mod cluster;
mod entry;
mod error;
mod fields;
mod refused;
mod reply;
mod request;
#[cfg(test)]
mod tests;

pub use super::control::{MAX_FRAME, MAX_PAGE};
pub use announce::{Announce, AnnounceEvent, Announces, MAX_ANNOUNCES, Peers};
pub use cluster::{ClusterView, TwinView};
pub use entry::{FileEntry, GroupEntry, MemberEntry, NewsEntry, Outcome, RequestEntry, Standing};
pub use error::{ERROR_KINDS, ErrorKind};
pub use fields::{KEY_REQUEST, KeyRequest, MAX_SEEN, MAX_TOKEN, Place, Seen, Token, WriteId};
pub use refused::Refused;
pub use reply::{Answer, Page, Reply};
pub use request::{Ask, MAX_FIRST_FRAME, Request};
