//! Access: accounts, sessions, groups, what these share, and invites, as peers ask for them over control lines and the operator at the console.
//!
//! In scope: who is asking, what is refused and how it is told, passwords and tokens. Out of scope: the rules of accounts
//! and groups themselves ([`registry`](super::registry)), and how they last ([`store`](super::store)).

mod catalogue;
mod changes;
mod code;
mod console;
mod dictionaries;
mod gate;
mod line;
mod lists;
mod logins;
mod once;
mod passwords;
mod phc;
mod refusals;
mod registrar;
mod throttle;
mod token;
mod uploads;
mod views;

pub use code::InviteCode;
pub use console::Counts;
pub use registrar::{INVITE, Registrar, Registration, Terms};
