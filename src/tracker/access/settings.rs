//! What a tracker grants.

use std::time::Duration;

/// Who may make an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// Whoever reaches the tracker.
    #[default]
    Open,
    /// Whoever has an invite code; others only by the tracker's console.
    Closed,
}

/// What a tracker grants.
#[derive(Clone, Copy, Debug)]
pub struct AccessSettings {
    /// Who may make an account.
    pub registration: Registration,
    /// How often peers announce to the swarms of groups; one that misses two is dropped.
    pub announce_interval: Duration,
    /// How long a member's certificate holds.
    pub certificate_lifetime: Duration,
}
