//! A transfer: one share or download of this peer. It has one `swarm::Core` behind a lock, and
//! files.
//!
//! - `transfer` is the type, with its `plan` and `files`.
//! - `effects` carries out what the core decides; `effect_handler` does what must not run under the
//!   lock.
//! - `joining` runs links, `hashing` handles blocks that have arrived, `finishing` ends a download.
//! - `checking` opens and verifies files on disk; `unfinished` handles the files of a download that
//!   is not complete: an interrupted rename, a cancel; `waiting` handles downloads that wait for
//!   their files or for room on the disk, and `room_looks` says when they look for room; `lost`
//!   handles complete shares whose files have changed; `quiet_check` handles files of which only
//!   the inode number has changed; `check_progress` counts checked bytes.
//! - `times` exchanges the modification times of files with other peers.
//! - `announcing`, `metadata` and `report` are what trackers, peers and people see;
//!   `metadata_quota` limits how much metadata each host fetches.
//! - `sources` are the trackers, web seeds and named peers of the transfer.
//! - `versions` are other versions of its share at the same place.
//! - `record` is what the state folder keeps.

mod announcing;
mod check_progress;
mod checking;
mod effect_handler;
mod effects;
mod files;
mod finishing;
mod found_bad;
mod hashing;
mod joining;
mod local_source;
mod lost;
mod metadata;
mod metadata_quota;
mod plan;
mod quiet_check;
mod record;
mod report;
mod room_looks;
mod sources;
mod times;
#[expect(clippy::module_inception, reason = "the main type of the module")]
mod transfer;
mod unfinished;
mod versions;
mod waiting;

pub(super) use files::OpenFiles;
pub(super) use joining::run_link;
pub(super) use plan::{GroupShare, Membership, TransferPlan};
pub(super) use report::download_state;
pub(super) use transfer::Transfer;
