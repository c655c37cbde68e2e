//! Access: requests of peers over control connections, and of the operator at the console, about
//! accounts, logins, groups, shares and invites.
//!
//! In scope: who may do what, passwords and tokens, the kinds and texts of refusals. Out of scope:
//! the rules of accounts and groups ([`registry`](super::registry)), and their storage
//! ([`store`](super::store)).

mod attempt_queue;
mod attempts;
mod bars;
mod catalogues;
mod changed_shares;
mod code;
mod control_connection;
#[cfg(test)]
mod cost;
mod group_authority;
mod hints;
mod holder_lists;
mod holders;
mod idempotency;
mod idempotent_writes;
mod info_cache;
mod known_addresses;
mod lists;
mod login_list;
mod logins;
mod machines;
mod mirrors;
mod network_table;
mod new_accounts;
mod operator;
mod own_groups;
mod password_turns;
mod passwords;
mod phc;
mod port_checks;
mod private_machines;
mod refusals;
mod registrar;
mod request_context;
mod settings;
mod shares;
mod throttle;
mod token;
mod uploads;
mod views;
mod withdrawals;

use attempts::{AttemptRefused, PasswordAttempt, PasswordAttempts};
use bars::Bars;
use catalogues::Catalogues;
use changed_shares::ChangedShares;
pub use code::{INVITE_LIFETIME, InviteCode};
pub(super) use control_connection::ControlSession;
use group_authority::{group_authority, no_certificate};
use hints::{Hints, Waiting, Watch};
use holder_lists::HolderLists;
use idempotency::{IdempotencyKey, RECEIPT_LIFETIME};
use idempotent_writes::{IdempotentWrites, once};
use info_cache::{InfoCache, InfoPartError};
use logins::{BeginOfLogin, Logins};
use machines::Machines;
use new_accounts::NewAccounts;
pub use operator::{OperatorAccess, RegistryCounts};
use password_turns::{MAX_TURN_WAIT, PasswordTurn, PasswordTurns, TurnDecision};
use passwords::{HashingError, PasswordHasher};
use port_checks::PortChecks;
use private_machines::{PrivateMachine, PrivateMachines};
use refusals::{
    check_new_password, from_hashing_error, from_refusal, from_token_error, from_write_error,
    no_randomness, not_of_this_kind, refused,
};
pub(super) use registrar::Registrar;
use request_context::{CompletedRequest, RequestContext, Requester};
pub use settings::{AccessSettings, DEFAULT_LOGIN_LIFE, DEFAULT_NEW_ACCOUNTS, Registration};
use shares::GroupShares;
use token::{TokenError, TokenKey};
use uploads::{InfoUploads, UploadError};
use views::{PAGE_LENGTH, account_label, log_name, subject_label};
