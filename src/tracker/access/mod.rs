//! Access: accounts, sessions, groups, what these share, and invites, as peers ask for them over control lines and the operator at the console.
//!
//! In scope: who is asking, what is refused and how it is from_refusal, passwords and tokens. Out of scope: the rules of accounts
//! and groups themselves ([`registry`](super::registry)), and how they last ([`store`](super::store)).

mod attempts;
mod code;
mod control_connection;
mod idempotency;
mod idempotent_writes;
mod info_cache;
mod lists;
mod logins;
mod operator;
mod passwords;
mod phc;
mod refusals;
mod registrar;
mod request_context;
mod settings;
mod shares;
mod throttle;
mod token;
mod uploads;
mod views;

use attempts::{AttemptRefused, PasswordAttempt, PasswordAttempts};
pub use code::{INVITE_LIFETIME, InviteCode};
pub(super) use control_connection::serve_peer;
use idempotency::{IdempotencyKey, RECEIPT_LIFETIME};
use idempotent_writes::IdempotentWrites;
use info_cache::{InfoCache, InfoPartError};
use logins::Logins;
pub use operator::{OperatorAccess, RegistryCounts};
use passwords::{HashingError, PasswordHasher};
use refusals::{from_hashing_error, from_refusal, from_write_error, no_randomness, refused};
pub(super) use registrar::Registrar;
use request_context::{CompletedRequest, RequestContext};
pub use settings::{AccessSettings, Registration};
use shares::GroupShares;
use token::{Login, TOKEN_LIFETIME, TokenError, TokenKey};
use uploads::{InfoUploads, UploadError};
use views::{PAGE, account_label, log_name};
