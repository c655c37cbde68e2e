//! The command `verify`: reads all files of a complete share, says what is wrong with each of them,
//! and repairs a download.

use crate::peer::{Peer, PeerError, SwarmEntry, Transfer, belongs_to, repair};
use crate::storage::{CheckReport, FaultyFile, RecordKind, check_share};
use crate::swarm::Phase;
use crate::torrent::InfoHash;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What `verify` has found.
#[derive(Debug)]
pub struct Verified {
    /// The name of the share; of a version of a group's share, `NAME@N`.
    pub name: String,
    /// Its swarm.
    pub info_hash: InfoHash,
    /// The path of its file or folder.
    pub path: PathBuf,
    /// The number of files that were read.
    pub files: usize,
    /// The number of pieces that are bad or missing.
    pub bad_pieces: u32,
    /// The files that are bad or missing.
    pub faults: Vec<FaultyFile>,
    /// What becomes of them.
    pub repair: Repair,
}

/// What becomes of files that `verify` has found bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing: no file is bad.
    NotNeeded,
    /// A download has begun that keeps what is good and fetches the rest.
    Begun,
    /// Nothing. The text says what a person can do.
    Not(String),
}

impl Peer {
    /// Reads the files of a complete share or download, and compares them with its pieces and with
    /// the SHA-1 of each file. If one is bad, the share is no longer served, and nothing else is
    /// changed. With `repairs`, the bad pieces of a download are then fetched again in the
    /// background. Files that this peer publishes are never written. `progress` is called with the
    /// number of bytes hashed so far and the number of all bytes.
    ///
    /// # Errors
    /// No complete share has this name, or several have it, or another check runs. The files are
    /// missing, the command was interrupted, or a repair cannot begin.
    pub fn verify(
        &self,
        name: &str,
        repairs: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Verified, PeerError> {
        let _turn = Turn::take(&self.services.verifies)?;
        let transfer = self.transfer_to_verify(name)?;
        let command = self.services.commands.current();
        let plan = &transfer.plan;
        let layout = plan.layout(transfer.info());
        // One thread, so that the peer serves meanwhile.
        let checked = check_share(layout, &plan.path(), 1, command.flag(), progress);
        let report = checked.map_err(|error| match error.is_absence() {
            true => PeerError::FilesMissing(transfer.reason_of_loss(&error)),
            false => error.into(),
        })?;
        let was_withdrawn = matches!(transfer.phase(), Phase::Withdrawn { .. });
        let is_bad = !report.faults.is_empty();
        if is_bad {
            transfer.on_found_bad(&report, &reason(&transfer, &report));
        }
        let repair = match (is_bad, repairs) {
            (false, _) => Repair::NotNeeded,
            (true, true) if !was_withdrawn => self.begin_repair(&transfer, &report)?,
            (true, _) => Repair::Not(advice(&transfer, was_withdrawn)),
        };
        Ok(Verified {
            name: transfer.name_of_version(),
            info_hash: transfer.info_hash(),
            path: plan.path(),
            files: report.files,
            bad_pieces: report.bad_pieces,
            faults: report.faults,
            repair,
        })
    }

    /// The complete share that `verify` means.
    fn transfer_to_verify(&self, name: &str) -> Result<Arc<Transfer>, PeerError> {
        let is_meant = |entry: &SwarmEntry| match entry {
            SwarmEntry::Search(_) => false,
            SwarmEntry::Transfer(transfer) => !transfer.plan.is_of_closed_run,
        };
        let found = self.only_entry(name, is_meant)?;
        let transfer = found.and_then(SwarmEntry::into_transfer);
        let transfer = transfer.ok_or_else(|| PeerError::NothingCalled(name.to_owned()))?;
        match transfer.settled_phase()?.was_complete() {
            true => Ok(transfer),
            false => Err(PeerError::NotWhole(transfer.name_of_version())),
        }
    }

    fn begin_repair(
        &self,
        transfer: &Arc<Transfer>,
        report: &CheckReport,
    ) -> Result<Repair, PeerError> {
        let user = self.account().user();
        let is_of_group = transfer.plan.group.is_some();
        if !transfer.plan.is_download() || is_of_group && !belongs_to(transfer, user.as_ref()) {
            return Ok(Repair::Not(advice(transfer, is_of_group)));
        }
        repair(&self.services, transfer, report)?;
        Ok(Repair::Begun)
    }
}

/// Why the share is not served.
fn reason(transfer: &Transfer, report: &CheckReport) -> String {
    let first = report.faults.first();
    let first = first.map_or_else(String::new, |fault| fault.to_string());
    let others = match report.faults.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(", and {more} more bad files"),
    };
    format!("{first}{others}; {}", advice(transfer, false))
}

/// What a person can do about bad files. `needs_user`: the share may not be fetched now.
fn advice(transfer: &Transfer, needs_user: bool) -> String {
    match (&transfer.plan.kind, transfer.plan.group.is_some()) {
        (RecordKind::Share(_), true) => {
            "this peer publishes it and never changes its files: put the right files back, or \
             publish them as they are with upload_file --update"
                .to_owned()
        }
        (RecordKind::Share(_), false) => {
            "this peer publishes it and never changes its files: put the right files back, or share \
             them as they are with send"
                .to_owned()
        }
        (RecordKind::Download(_), _) if needs_user => {
            "it is fetched again only for a member who is logged in: log in, then use verify \
             --repair"
                .to_owned()
        }
        (RecordKind::Download(_), _) => {
            "verify --repair fetches what is bad again".to_owned()
        }
    }
}

/// The right to run the only check at a time.
struct Turn<'a>(&'a AtomicBool);

impl<'a> Turn<'a> {
    fn take(runs: &'a AtomicBool) -> Result<Self, PeerError> {
        match runs.swap(true, Ordering::Acquire) {
            true => Err(PeerError::VerifyRuns),
            false => Ok(Self(runs)),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
