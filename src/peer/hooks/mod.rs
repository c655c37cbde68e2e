//! Hooks: programs of the user that the peer runs when a download is complete, when a share or
//! download has ended with an error, and when a group has a new share.
//!
//! In scope: which events there are, the queue of each kind of hook, the environment of a hook, its
//! process and its end. Out of scope: what the user types (`cli`), and which shares of groups are
//! new (`group::catalogue_watch`).
//!
//! `ended`, `queue`, `patience`, `output` and `event` decide, and are pure. `process` runs one
//! hook. `runner` holds the state, and has the threads.

mod ended;
mod event;
mod output;
mod patience;
mod process;
mod queue;
mod runner;

use super::hook_options::{HookCommand, HookKind, HookOptions, HookResult, HookStatus};
pub(super) use runner::Hooks;
