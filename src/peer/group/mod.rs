//! The groups whose shares this peer has.
//!
//! `groups` holds the certificates, `known_members` who may have links. `announcer` runs the thread
//! that announces. `client` makes announces and acts on the answers. `changed_files` reports
//! shares whose files have changed here, and learns which shares other publishers have reported.
//! `hints` acts on hints of a tracker. `catalogue_watch` finds out what is new in catalogues.
//! `members` ends links to former members. `own_addresses` lists the private addresses of this
//! machine; `private_calls` says when those of others may be called. Out of scope: when an announce
//! is due (`crate::peer::announce`), commands, the handshakes (`net`), and what a tracker decides.

mod announcer;
mod catalogue_watch;
mod changed_files;
mod client;
mod groups;
mod hints;
mod known_group;
mod known_members;
mod members;
mod own_addresses;
mod private_calls;

pub(super) use announcer::{GroupAnnouncer, MemberAnnouncer};
pub(super) use catalogue_watch::{CatalogueNews, CatalogueSubscriber, CatalogueWatch, ShareKey};
use changed_files::ChangedFiles;
pub(super) use client::GroupClient;
pub(super) use groups::{Group, Groups, IssuedCertificate};
pub(super) use hints::HintReader;
pub(super) use known_members::KnownMembers;
pub(super) use members::close_links_of_former_members;
pub(super) use private_calls::PrivateCalls;
