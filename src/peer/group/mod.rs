//! The groups whose shares this peer has.
//!
//! `groups` holds the certificates and who is barred, `announcer` decides what is announced when,
//! `attempt` makes one announce and acts on its answer, `members` ends links with those who are
//! members no longer. Out of scope: commands, the handshakes (`net`), and what a tracker decides.

mod announcer;
mod client;
mod groups;
mod members;

pub(super) use announcer::{GroupAnnouncer, MemberAnnouncer};
pub(super) use client::GroupClient;
pub(super) use groups::{Group, Groups};
pub(super) use members::look_at_links;
