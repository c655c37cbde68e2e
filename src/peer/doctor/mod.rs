//! Checks for the usual reasons why a peer does not work: `pieceful doctor`. It needs no running
//! peer, and changes nothing.
//!
//! In scope: what is checked, what counts as a fault, and the advice. Out of scope: how findings
//! are printed.

mod finding;
mod machine;
mod trackers;

pub use finding::{Check, DoctorOptions, Finding, Verdict};

use crate::net::HostNames;
use crate::storage::{KnownCluster, StateFolder};
use std::net::TcpListener;

/// Makes all checks, one after the other, and passes each finding to `found` as soon as it is
/// known. Looking up the name of a tracker takes 5 s at most. Each address of a tracker that does
/// not answer takes 20 s at most.
pub fn examine(options: &DoctorOptions, mut found: impl FnMut(Finding)) {
    let folder = options.folder.as_deref();
    let is_running = folder.is_some_and(StateFolder::is_in_use);
    if let Some(folder) = folder {
        found(machine::state_folder(folder, is_running));
    }
    found(machine::current_folder());
    found(machine::descriptors());
    let listener = TcpListener::bind(options.listen);
    let (finding, port) = machine::port(options.listen, &listener, is_running);
    found(finding);
    let Some(info) = trackers::read_tracker_info(&options.tracker_info, &mut found) else {
        return;
    };
    let stored = match folder.map(|folder| KnownCluster::new(folder).load()) {
        Some(Ok(stored)) => stored,
        Some(Err(error)) => return found(Finding::fault(Check::Fingerprint, error, None)),
        None => None,
    };
    let examiner = trackers::TrackerExaminer {
        options,
        info: &info,
        stored,
        port,
        names: HostNames::default(),
    };
    let usable = info
        .addresses
        .iter()
        .filter(|tracker| examiner.examine(tracker, &mut found));
    if usable.count() == 0 {
        let text = "no tracker can be used, and peers find each other only through trackers";
        let advice = "see the lines above";
        found(Finding::fault(Check::Tracker, text, Some(advice)));
    }
}
