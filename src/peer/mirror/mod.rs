//! Mirrors: this machine fetches every share of a group, and every new version, now and later.
//!
//! In scope: what a mirror fetches and removes, and when; what is kept over a restart. Out of
//! scope: how the catalogues are kept current (`group::catalogue_watch`), how a download runs
//! (`download`, `transfer`), and what the user types (`cli`).
//!
//! `plan` and `failures` decide, and are pure. `mirrored` is one mirror. `book` holds all of them,
//! and gets the catalogues. `follow` has the thread that carries out what they decide;
//! `removing` is the part that removes shares.

mod book;
mod failures;
mod follow;
mod mirrored;
mod plan;
#[cfg(test)]
mod plan_tests;
mod removing;

pub(super) use book::{Mirrors, NewMirror};
pub(super) use follow::Follower;
