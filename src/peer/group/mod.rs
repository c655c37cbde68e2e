//! The groups whose shares this peer has.
//!
//! `groups` holds the certificates and the barred users, `announcer` decides what is announced
//! when, `client` makes announces and acts on the answers, `changed_files` finds out whether a
//! share is not served because its files have changed, `members` ends links to former members. Out
//! of scope: commands, the handshakes (`net`), and what a tracker decides.

mod announcer;
mod changed_files;
mod client;
mod groups;
mod members;

pub(super) use announcer::{GroupAnnouncer, MemberAnnouncer};
use changed_files::ChangedFiles;
pub(super) use client::GroupClient;
pub(super) use groups::{Group, Groups};
pub(super) use members::close_links_of_former_members;
