//! SIGUSR1: opens the log anew, and reads the configuration file again.

use super::arguments::{Change, Configuration, Invocation, reread};
use super::logging::{LogOptions, ProcessLog};
use super::output::Output;
use crate::peer::Peer;
use crate::system::lock;
use std::sync::{Arc, Mutex, Weak};

/// The settings that take effect at once: of a peer, and of a tracker.
const OF_PEER: [&str; 4] = ["up", "down", "log", "log-size"];
const OF_TRACKER: [&str; 2] = ["log", "log-size"];

/// What a process does at SIGUSR1. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Reload(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    log: ProcessLog,
    /// The configuration at the start. What needs a restart is in force as it says.
    at_start: Option<Configuration>,
    /// The configuration that was read last.
    config: Mutex<Option<Configuration>>,
    limits: Mutex<RateLimits>,
}

/// The rate limits that SIGUSR1 has changed.
#[derive(Debug, Default)]
struct RateLimits {
    /// The upload limit and the download limit in bytes per second; `None` before a change.
    wanted: Option<(Option<u64>, Option<u64>)>,
    /// The peer, once it has started.
    peer: Weak<Peer>,
}

impl Reload {
    pub(super) fn new(log: ProcessLog, config: Option<Configuration>) -> Self {
        Self(Arc::new(Shared {
            log,
            at_start: config.clone(),
            config: Mutex::new(config),
            limits: Mutex::default(),
        }))
    }

    /// The peer has started: its settings can change from now on. Those that have changed while it
    /// started take effect now.
    pub(super) fn set_peer(&self, peer: &Arc<Peer>) {
        let mut limits = lock(&self.0.limits);
        limits.peer = Arc::downgrade(peer);
        if let Some((up, down)) = limits.wanted {
            peer.set_rate_limits(up, down);
        }
    }

    /// Opens the log anew, reads the file again, and reports what has changed.
    pub(super) fn run(&self) {
        self.0.log.reopen();
        let mut config = lock(&self.0.config);
        let Some(before) = config.as_ref() else {
            return;
        };
        let (invocation, changes) = match reread(before) {
            Ok(read) => read,
            Err(error) => {
                return report(&format!("{error}; the settings stay as they were"));
            }
        };
        let path = before.path.display().to_string();
        let (now, at_once) = self.apply(invocation, &changes);
        for change in &changes {
            let at_start = self.0.at_start.as_ref();
            let at_start = at_start.and_then(|config| config.value(&change.key));
            report(&format!("{path}: {}", text(change, at_once, at_start)));
        }
        if changes.is_empty() {
            report(&format!("{path}: no setting has changed"));
        }
        *config = now;
    }

    /// Puts into force what can change now. Returns the new configuration, and the settings that
    /// take effect at once.
    fn apply(
        &self,
        invocation: Invocation,
        changes: &[Change],
    ) -> (Option<Configuration>, &'static [&'static str]) {
        let changed = |keys: &[&str]| changes.iter().any(|change| keys.contains(&&*change.key));
        let set_log = |log: LogOptions| {
            if changed(&OF_TRACKER) {
                self.0.log.set(log);
            }
        };
        let peer = match invocation {
            Invocation::Peer(peer) => peer,
            Invocation::Join(join) => join.peer,
            Invocation::Tracker(arguments) => {
                set_log(arguments.log);
                return (arguments.client.process.config, &OF_TRACKER);
            }
            _ => return (None, &[]),
        };
        set_log(peer.log);
        if changed(&["up", "down"]) {
            self.set_limits(peer.limits.up, peer.limits.down);
        }
        (peer.process.config, &OF_PEER)
    }

    fn set_limits(&self, up: Option<u64>, down: Option<u64>) {
        let mut limits = lock(&self.0.limits);
        limits.wanted = Some((up, down));
        if let Some(peer) = limits.peer.upgrade() {
            peer.set_rate_limits(up, down);
        }
    }
}

/// Writes a line to the log and to standard error.
fn report(line: &str) {
    log::info!("{line}");
    Output::new(false).note(line);
}

/// What has changed, and whether it is in force. `at_start` is the value at the start.
fn text(change: &Change, at_once: &[&str], at_start: Option<String>) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "the default".to_owned());
    let in_force = shown(&at_start);
    let Change { key, .. } = change;
    let (now, before) = (shown(&change.now), shown(&change.before));
    if change.is_overridden {
        format!("{key} is {now} (before: {before}), but an option of this process overrides it")
    } else if at_once.contains(&&**key) {
        format!("{key} is now {now} (before: {before})")
    } else if change.now == at_start {
        format!("{key} is {now} (before: {before}), which is in force since the start")
    } else {
        format!("{key} = {now} needs a restart; until then {in_force} is in force")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_what_is_in_force() {
        let text = |key: &str, now: Option<&str>, is_overridden, at_start: Option<&str>| {
            let change = Change {
                key: key.to_owned(),
                before: Some("8".to_owned()),
                now: now.map(str::to_owned),
                is_overridden,
            };
            text(&change, &OF_PEER, at_start.map(str::to_owned))
        };
        for (found, expected) in [
            (
                text("up", Some("2M"), false, None),
                "up is now 2M (before: 8)",
            ),
            (
                text("up", None, false, None),
                "up is now the default (before: 8)",
            ),
            (
                text("up", Some("2M"), true, None),
                "up is 2M (before: 8), but an option of this process overrides it",
            ),
            (
                text("threads", Some("16"), false, Some("4")),
                "threads = 16 needs a restart; until then 4 is in force",
            ),
            (
                text("threads", Some("4"), false, Some("4")),
                "threads is 4 (before: 8), which is in force since the start",
            ),
        ] {
            assert_eq!(found, expected);
        }
    }
}
