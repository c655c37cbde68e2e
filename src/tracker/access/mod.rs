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

use asker::{Asker, Done};
use changes::Changes;
pub use code::{INVITE, InviteCode};
use dictionaries::{Dictionaries, DictionaryError};
use gate::{Closed, Gate, Try};
use idempotency::{IdempotencyKey, RECEIPT};
pub(super) use line::serve_peer;
use logins::Logins;
pub use operator::{Counts, Operator};
use passwords::{Passwords, PasswordsError};
use refusals::{no_randomness, overloaded, refused, told, unwritten};
pub(super) use registrar::Registrar;
use shares::GroupShares;
pub use terms::{Registration, Terms};
use token::{LIFETIME, Session, TokenError, TokenKey};
use uploads::{UploadError, Uploads};
use views::{PAGE, name_of, shown};
