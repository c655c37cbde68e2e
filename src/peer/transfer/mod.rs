//! One share or download of this peer.
//!
//! `state` holds it: its files, its links, its picker, what of it is under way. Each other file is one
//! matter: who comes and goes (`links`), what the other sides send (`events`), the steps after a run
//! of blocks has arrived (`pieces`), from files on disk to a transfer that is served (`checking`),
//! what happens by the clock (`clock`), files that change (`lost`), and what others see (`serving`,
//! `metadata`, `pex`, `announcing`, `report`).

mod announcing;
pub(super) mod arrivals;
mod checking;
mod clock;
mod events;
mod file_watch;
mod links;
mod lost;
mod metadata;
mod metadata_quota;
mod pex;
mod pieces;
mod report;
mod serving;
mod state;

use arrivals::{PendingBlock, PieceHash, Source, Sources, add_sources};
use file_watch::{FileWatch, Looking};
pub(super) use links::Refusal;
use state::SEED_AGAIN;
pub(super) use state::{Files, Phase, State, Transfer};
