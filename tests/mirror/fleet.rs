//! A group whose owner publishes, and a machine that mirrors it.

use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::bytes;
use crate::common::waiting::{PATIENCE, POLL_INTERVAL, poll, wait_until};
use crate::team::team;
use serde_json::Value;
use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

/// The length of each share.
pub(super) const LENGTH: usize = 50_000;

/// Publishes a share, or with `options` a version of it. `seed` determines its content.
pub(super) fn publish(
    tracker: &AccountTracker,
    nik: &mut Peer,
    name: &str,
    seed: u64,
    options: &str,
) -> Value {
    let path = format!("nik.{seed}/{name}");
    let path = tracker.sandbox.file(&path, LENGTH, seed);
    nik.run(&format!("upload_file lab {} {options}", quoted(&path)))
}

/// Runs a command `mirror`. The tests must not depend on how full the disk of this machine is, so
/// the least free space is 0 unless the command has it.
pub(super) fn mirror(peer: &mut Peer, command: &str) -> Value {
    if command.contains("--min-free") {
        return peer.run(command);
    }
    peer.run(&format!("{command} --min-free 0"))
}

/// nik owns the group `lab` and publishes. mayank mirrors it into the folder `copy`.
pub(super) struct Fleet {
    pub(super) tracker: AccountTracker,
    pub(super) nik: Peer,
    pub(super) mayank: Peer,
}

impl Fleet {
    pub(super) fn new() -> Self {
        Self::with(&["--interval", "3600"])
    }

    /// A fleet with a tracker with these options.
    pub(super) fn with(options: &[&str]) -> Self {
        let tracker = AccountTracker::with(options);
        let [nik, mayank] = team(&tracker, ["nik", "mayank"]);
        Self {
            tracker,
            nik,
            mayank,
        }
    }

    /// Publishes a share, or with `options` a version of it. `seed` determines its content.
    pub(super) fn publish(&mut self, name: &str, seed: u64, options: &str) -> Value {
        publish(&self.tracker, &mut self.nik, name, seed, options)
    }

    /// Makes a file.
    pub(super) fn make(&self, name: &str, seed: u64) -> PathBuf {
        self.tracker.sandbox.file(name, LENGTH, seed)
    }

    pub(super) fn copy(&self, name: &str) -> PathBuf {
        self.tracker.sandbox.path("copy").join(name)
    }

    /// The command `mirror` with these options.
    pub(super) fn mirror(&mut self, options: &str) -> Value {
        let folder = self.tracker.sandbox.path("copy");
        let command = format!("mirror lab {} {options}", quoted(&folder));
        mirror(&mut self.mayank, &command)
    }

    /// The command `mirror` again, with these options.
    pub(super) fn mirror_again(&mut self, options: &str) -> Value {
        mirror(&mut self.mayank, &format!("mirror lab {options}"))
    }

    /// Waits until the mirror has this content of a share under its name.
    pub(super) fn wait_for_copy(&self, name: &str, seed: u64) {
        let path = self.copy(name);
        wait_until(&format!("the mirror has {name} ({seed})"), || {
            fs::read(&path).is_ok_and(|content| content == bytes(LENGTH, seed))
        });
    }

    /// The mirror in `status`.
    pub(super) fn status(&mut self) -> Value {
        self.mayank.run("status")["mirrors"][0].clone()
    }

    /// Waits until `status` shows a mirror for which this is true.
    pub(super) fn wait_for_status(
        &mut self,
        what: &str,
        mut is: impl FnMut(&Value) -> bool,
    ) -> Value {
        let found = RefCell::new(Value::Null);
        poll(
            PATIENCE,
            POLL_INTERVAL,
            || {
                let status = self.status();
                let is = is(&status);
                found.replace(status);
                is.then_some(())
            },
            || format!("this never came true: {what}: {}", found.borrow()),
        );
        found.into_inner()
    }

    /// Waits until this number of shares is mirrored and complete.
    pub(super) fn wait_for_complete(&mut self, shares: usize) {
        self.wait_for_status(&format!("{shares} shares are complete"), |mirror| {
            mirror["shares"] == shares && mirror["complete"] == shares
        });
    }

    /// Kills the mirroring peer, and starts it again.
    pub(super) fn restart(self) -> Self {
        self.restart_after(|_, _| {})
    }

    /// Kills the mirroring peer, and starts it again after `meanwhile`.
    pub(super) fn restart_after(self, meanwhile: impl FnOnce(&AccountTracker, &mut Peer)) -> Self {
        let Self {
            tracker,
            mut nik,
            mayank,
        } = self;
        mayank.kill();
        meanwhile(&tracker, &mut nik);
        let mayank = tracker.sandbox.debug_peer("mayank", &[]);
        Self {
            tracker,
            nik,
            mayank,
        }
    }

    /// The names in the folder of the mirror.
    pub(super) fn names(&self) -> Vec<String> {
        let folder = fs::read_dir(self.copy("")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}
