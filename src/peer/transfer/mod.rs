//! One share or download of this peer: files, and a lock around one `swarm::Core`.
//!
//! `transfer` holds it, by its `plan` and with its `files`. `effects` carries out what the core
//! decides, with `working` for what takes longer. Links come in through `joining`; blocks that have
//! arrived go through `hashing`; the end of a download is `finishing`. `checking` leads from files
//! on disk to a transfer that is served, `lost` deals with files that change. What others see is in
//! `announcing`, `metadata` and `report`, what the state folder keeps in `record`.

mod announcing;
mod checking;
mod effect_handler;
mod effects;
mod files;
mod finishing;
mod hashing;
mod joining;
mod lost;
mod metadata;
mod metadata_quota;
mod plan;
mod record;
mod report;
#[expect(clippy::module_inception, reason = "the type that the room is about")]
mod transfer;

pub(super) use files::OpenFiles;
pub(super) use joining::run_link;
pub(super) use plan::{Membership, TransferPlan};
pub(super) use report::download_state;
pub(super) use transfer::Transfer;
