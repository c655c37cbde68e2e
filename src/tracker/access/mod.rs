//! Access: accounts, sessions, groups, what these share, and invites, as peers ask for them over control lines and the operator at the console.
//!
//! In scope: who is asking, what is refused and how it is told, passwords and tokens. Out of scope: the rules of accounts
//! and groups themselves ([`registry`](super::registry)), and how they last ([`store`](super::store)).

mod asker;
mod changes;
mod code;
mod dictionaries;
mod gate;
mod idempotency;
mod line;
mod lists;
mod logins;
mod operator;
mod passwords;
mod phc;
mod refusals;
mod registrar;
mod shares;
mod terms;
mod throttle;
mod token;
mod uploads;
mod views;

pub use code::{INVITE, InviteCode};
pub(super) use line::serve_peer;
pub use operator::{Counts, Operator};
pub(super) use registrar::Registrar;
pub use terms::{Registration, Terms};
