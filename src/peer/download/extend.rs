//! Extends a download: a person asks again for a share that this peer has. From then on, the union
//! of the former choice of files and the new one is wanted.
//!
//! In scope: what this does to the transfer. A new transfer replaces it, and starts with the pieces
//! that are known to be good. Files that were complete before stay under the final name
//! (`storage/extend.rs`).
//!
//! The new record is written before the files are made. If they cannot be made, the former record
//! is written again. So a crash at any step leaves a record that the next start can resume.

use super::recorded_place::RecordedPlace;
use super::{
    cannot_add_files_error, other_place_error, planned::PlannedDownload, transfer_exists_error,
};
use crate::peer::{
    FileChoice, PeerError, RunningCommand, Services, SwarmEntry, Transfer, Transfers,
};
use crate::storage::{RecordKind, RecordState};
use crate::swarm::Phase;
use crate::torrent::{NamedSources, PieceSet, Selection};
use std::sync::Arc;
use std::time::Duration;

/// The reason for ending the links of the former transfer, which wanted less.
const EXTENDED: &str = "replaced by a download of more files of the same torrent";

impl PlannedDownload {
    /// Adds the choice of `former`, a transfer of the same share that has ended, if it has the same
    /// place. So no file that `former` began stays half fetched. Also returns whether some
    /// files of `former` are under the final name.
    pub(crate) fn inherit_choice(self, former: &Transfer) -> (Self, bool) {
        let is_same_place =
            matches!(&former.plan.kind, RecordKind::Download(place) if *place == self.place);
        if !is_same_place || former.plan.group.is_some() != self.group.is_some() {
            return (self, false);
        }
        let choice = FileChoice {
            // `force` must be given each time.
            force: self.choice.force,
            ..former.plan.choice.union(&self.choice)
        };
        (Self { choice, ..self }, former.plan.extends)
    }

    /// Extends a download of the same share, running or complete. The result is a normal download
    /// with the union of both choices.
    pub(crate) fn extend(
        self,
        services: &Services,
        former: &Arc<Transfer>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), PeerError> {
        let choice = former.plan.choice.union(&self.choice);
        // Patterns that choose no file are reported before any other reason to refuse.
        Selection::of(self.metainfo.info(), &self.choice.only)?;
        let RecordKind::Download(place) = &former.plan.kind else {
            return Err(transfer_exists_error(former));
        };
        let selection = Selection::of(former.info(), &choice.only)?;
        if former.plan.group.is_some() != self.group.is_some()
            || former.plan.is_of_closed_run
            || selection == *former.plan.selection
        {
            return Err(transfer_exists_error(former));
        }
        if *place != self.place {
            return Err(other_place_error(former));
        }
        if let Some(group) = &self.group {
            group.require_holder(services)?;
        }
        let (former_state, known_good) = stop_for_extension(former, &services.commands.current())?;
        let complete = matches!(former_state, RecordState::Complete { .. });
        // Whether the files under the final names are known to belong to the share.
        let are_files_known = former.plan.extends || complete;
        let mut sources = former.sources();
        sources.merge(&NamedSources {
            peers: self.peers,
            ..NamedSources::default()
        });
        let extended = Self {
            metainfo: former.metainfo(),
            place: self.place,
            choice: FileChoice {
                // If the former download replaces other content, that content is at the
                // destination until the download is complete.
                force: former.plan.replaces && !complete,
                ..choice
            },
            peers: sources.peers,
            former: Some(SwarmEntry::Transfer(Arc::clone(former))),
            group: self.group.map(|group| group.extending(former, complete)),
        };
        let recorded_place = RecordedPlace::of_transfer(former, &extended.place, complete);
        let found = (are_files_known, recorded_place);
        let begun = extended.begin(services, progress, found, Some(known_good));
        if begun.is_err() {
            resume_former(former, &services.transfers, former_state)?;
        }
        begun
    }
}

/// Stops the transfer and closes its files. While the transfer is checking or finishing, waits for
/// the end of that first. Returns the state for its record, and the good pieces that hold no bytes
/// of unwanted files.
fn stop_for_extension(
    transfer: &Transfer,
    command: &RunningCommand,
) -> Result<(RecordState, PieceSet), PeerError> {
    let context = &transfer.context;
    let state = loop {
        let change_count = context.changes.count();
        let (phase, is_set_aside) = transfer.decide(|core, now| {
            let phase = core.phase().clone();
            (phase, core.set_aside(EXTENDED, now))
        });
        match phase {
            // Set aside: its links end, and nothing is fetched or served.
            Phase::Complete if is_set_aside => {
                let sealed = transfer.sealed();
                break sealed.map_or(RecordState::Partial, |stamps| RecordState::Complete {
                    stamps,
                });
            }
            _ if is_set_aside => break RecordState::Partial,
            Phase::Checking | Phase::Finishing => {}
            _ => return Err(cannot_add_files_error(transfer)),
        }
        if context.is_interrupted() || command.is_interrupted() {
            return Err(PeerError::Stopping);
        }
        context
            .changes
            .wait(change_count, Duration::from_millis(100));
    };
    transfer.wait_for_workers();
    let store = transfer.store();
    transfer.close_files();
    let lengths = transfer.info().lengths();
    let mut known_good = PieceSet::empty(lengths);
    let unchanged = store.filter(|store| match &state {
        RecordState::Complete { stamps } => store.are_wanted_files_the_same(stamps),
        _ => true,
    });
    if let Some(store) = unchanged {
        let owned = transfer.inspect(|core| core.owned().clone());
        let good = lengths.all_pieces().filter(|piece| owned.contains(*piece));
        // The bytes of mixed pieces move from the parts file to files, so these pieces are checked
        // again.
        for piece in good.filter(|piece| !store.is_mixed(*piece)) {
            known_good.insert(piece);
        }
    }
    Ok((state, known_good))
}

/// Resumes the former transfer after its extension failed. If its record cannot be written, the
/// thread `watch` tries again.
fn resume_former(
    former: &Arc<Transfer>,
    transfers: &Transfers,
    state: RecordState,
) -> Result<(), PeerError> {
    if former.has_ended() {
        return Ok(());
    }
    match transfers.enter(SwarmEntry::Transfer(Arc::clone(former))) {
        // It was not in the map, or its successor there has ended. Now it is in the map.
        Ok(()) => {}
        // It was in the map already.
        Err(SwarmEntry::Transfer(other)) if Arc::ptr_eq(&other, former) => {}
        // Its successor is in the map and has not ended.
        Err(_) => return Ok(()),
    }
    former.update_record_as(state.clone());
    former.resume(state).map_err(PeerError::Thread)
}
