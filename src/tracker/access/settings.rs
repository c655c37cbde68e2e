//! The settings of a tracker for its users.

use crate::tracker::registry::AccountQuotas;
use std::time::Duration;

/// The default of [`AccessSettings::new_accounts`].
pub const DEFAULT_NEW_ACCOUNTS: u32 = 1_000;

/// The default of [`AccessSettings::login_life`].
pub const DEFAULT_LOGIN_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Who may create an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// Every user who can reach the tracker.
    #[default]
    Open,
    /// Only users with an invite code, and the operator at the console.
    Closed,
}

/// The settings of a tracker for its users.
#[derive(Clone, Copy, Debug)]
pub struct AccessSettings {
    /// Who may create an account.
    pub registration: Registration,
    /// The usual interval between two announces of a pieceful peer. The tracker sends a longer one
    /// if very many machines are connected, or if one address has many peers. A peer that misses
    /// two announces is dropped.
    pub announce_interval: Duration,
    /// How long the certificate of a member is valid.
    pub certificate_lifetime: Duration,
    /// How long a login goes on without being used, at most
    /// [`MAX_LOGIN_LIFE`](crate::tracker::registry::MAX_LOGIN_LIFE).
    pub login_life: Duration,
    /// The most new accounts of one address within a day, without invite codes.
    pub new_accounts: u32,
    /// The most that one account may use.
    pub quotas: AccountQuotas,
}
