//! What a person calls a holder.

use super::units::duration;
use crate::wire::access::{HolderName, MirrorEntry};
use std::time::Duration;

/// `HOST (USER)`, or the name of the machine.
pub(super) fn who(holder: &HolderName) -> String {
    match &holder.host {
        Some(host) => format!("{host} ({})", holder.user),
        None => holder.user.to_string(),
    }
}

/// A mirror that was not seen for long.
pub(super) fn not_seen(mirror: &MirrorEntry) -> String {
    let silent = duration(Duration::from_millis(mirror.silent_ms));
    format!("{}, last seen {silent} ago", who(&mirror.holder))
}
