//! A version that a user has named by its number, but that no peer has, as far as a tracker knows.

use crate::peer::{Account, AccountError, PeerError, Services};
use crate::wire::name::Label;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a command waits for a peer that has the version. The peer that has just published it
/// may not have announced it yet, and a tracker that has just started does not know the peers yet.
const HOLDER_WAIT: Duration = Duration::from_secs(10);
/// The pause before a tracker is asked again.
const HOLDER_PAUSE: Duration = Duration::from_millis(500);

/// A version that no peer seems to have.
#[derive(Clone, Debug)]
pub(crate) struct MissingVersion {
    group: Label,
    /// The name that the user has given.
    name: String,
}

impl MissingVersion {
    pub(crate) fn new(group: &Label, name: &str) -> Self {
        Self {
            group: group.clone(),
            name: name.to_owned(),
        }
    }

    /// Asks trackers until a peer has the version. Returns whether one has it.
    fn wait_for_holder(&self, account: &Account) -> Result<bool, AccountError> {
        let begun = Instant::now();
        loop {
            if account.has_holder(&self.group, &self.name)? {
                return Ok(true);
            }
            if begun.elapsed() >= HOLDER_WAIT {
                return Ok(false);
            }
            thread::sleep(HOLDER_PAUSE);
        }
    }

    /// Waits until a peer has the version.
    ///
    /// # Errors
    /// [`PeerError::NoHolder`], [`PeerError::Account`].
    pub(crate) fn require_holder(&self, services: &Services) -> Result<(), PeerError> {
        let account = Arc::clone(&services.account);
        let (asked, name) = (self.clone(), shown(&self.name));
        let work = move || asked.wait_for_holder(&account);
        let what = || Some(format!("a peer that has {name}"));
        let found = services.commands.wait_for(work, what);
        let found = found.map_err(AccountError::Thread)?;
        match found.ok_or(AccountError::Interrupted)?? {
            true => Ok(()),
            false => Err(PeerError::NoHolder(name)),
        }
    }
}

/// A name for a message.
fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}
