//! More of a share that is here: from now on the union of what was chosen before and what is asked for now is wanted.
//!
//! In scope: what asking again for the same share does to its transfer. Another transfer takes its place, and starts with
//! the pieces that are known to be good. Files of a finished choice stay under the final name (`storage/extend.rs`).
//!
//! The record is written before the files are touched. It is written back if they cannot be used. So a crash at any step
//! leaves a record that goes on.

use super::{already_here, elsewhere, planned::Planned};
use crate::peer::{Entry, FileChoice, PeerError, Services, Transfer, Transfers};
use crate::storage::{Record, RecordKind, RecordState};
use crate::swarm::Phase;
use crate::torrent::{PieceSet, Selection};
use std::sync::Arc;
use std::time::Duration;

/// Why links end that were made while less was wanted.
const MORE: &str = "more of it is wanted from now on";

impl Planned {
    /// A transfer of the same share has failed. What it wanted is wanted still, so that nothing is left half fetched in its
    /// folder. Returns as well whether some of its files are under the final name.
    pub(crate) fn go_on_with(self, former: &Transfer) -> (Self, bool) {
        let here = matches!(&former.plan.kind, RecordKind::Download(place) if *place == self.place);
        if !here || former.plan.group.is_some() {
            return (self, false);
        }
        let choice = FileChoice {
            // It is not inherited: it must be given each time.
            force: self.choice.force,
            ..former.plan.choice.union(&self.choice)
        };
        (Self { choice, ..self }, former.plan.extends)
    }

    /// The share is downloaded here, or is being: what is asked for is wanted too. That is a
    /// download like any other, of all that is wanted by now.
    pub(crate) fn extend(
        self,
        services: &Services,
        former: &Arc<Transfer>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), PeerError> {
        let choice = former.plan.choice.union(&self.choice);
        // Patterns that choose no file are an error, whatever is here.
        Selection::of(self.metainfo.info(), &self.choice.only)?;
        let RecordKind::Download(place) = &former.plan.kind else {
            return Err(already_here(former));
        };
        let selection = Selection::of(former.info(), &choice.only)?;
        if former.plan.group.is_some() || !former.plan.listed || selection == *former.plan.selection
        {
            return Err(already_here(former));
        }
        if *place != self.place {
            return Err(elsewhere(former));
        }
        let (recorded, known) = set_aside(former)?;
        let complete = matches!(recorded, RecordState::Complete { .. });
        let in_place = former.plan.extends || complete;
        let known_peers = former.plan.peers.iter();
        let more = self.peers.iter();
        let more = more.filter(|peer| !former.plan.peers.contains(peer));
        let extended = Self {
            metainfo: former.plan.metainfo.clone(),
            place: self.place,
            choice: FileChoice {
                force: former.plan.replaces && !complete,
                ..choice
            },
            peers: known_peers.chain(more).cloned().collect(),
            replaces: Some(Entry::Transfer(Arc::clone(former))),
        };
        let record = Record {
            only: extended.choice.patterns(),
            sequential: extended.choice.sequential,
            replaces: extended.choice.force,
            extends: in_place,
            state: RecordState::Partial,
            ..former.to_record()
        };
        let updated = services.context.records.update(&record);
        let begun = updated.map_err(PeerError::from);
        let begun = begun.and_then(|()| extended.begin(services, progress, in_place, Some(known)));
        if begun.is_err() {
            go_on_as_recorded(former, &services.transfers, recorded)?;
        }
        begun
    }
}

/// Ends what is under way, and lets go of the files. What is being checked or finished comes to its end
/// first. Gives what its record says, and the pieces that are good and hold nothing of files that were
/// left out.
fn set_aside(transfer: &Transfer) -> Result<(RecordState, PieceSet), PeerError> {
    let context = &transfer.context;
    let recorded = loop {
        let seen = context.changes.count();
        let (phase, is_aside) = transfer.decide(|core, now| {
            let phase = core.phase().clone();
            (phase, core.set_aside(MORE, now))
        });
        match phase {
            Phase::Complete if is_aside => {
                let sealed = transfer.sealed();
                break sealed.map_or(RecordState::Partial, |stamps| RecordState::Complete {
                    stamps,
                });
            }
            _ if is_aside => break RecordState::Partial,
            Phase::Checking | Phase::Finishing => {}
            _ => return Err(already_here(transfer)),
        }
        if context.is_interrupted() {
            return Err(PeerError::Stopping);
        }
        context.changes.wait(seen, Duration::from_millis(100));
    };
    transfer.wait_for_workers();
    let store = transfer.store();
    transfer.close_files();
    let lengths = transfer.info().lengths();
    let mut known = PieceSet::empty(lengths);
    let unchanged = store.filter(|store| match &recorded {
        RecordState::Complete { stamps } => store.has_files_unchanged(stamps),
        _ => true,
    });
    if let Some(store) = unchanged {
        let owned = transfer.inspect(|core| core.owned().clone());
        let good = lengths.all_pieces().filter(|piece| owned.contains(*piece));
        // Parts of the mixed ones move from the parts file to files.
        for piece in good.filter(|piece| !store.is_mixed(*piece)) {
            known.insert(piece);
        }
    }
    Ok((recorded, known))
}

/// Nothing came of the extension: a transfer that was set aside goes on as before.
fn go_on_as_recorded(
    former: &Arc<Transfer>,
    transfers: &Transfers,
    recorded: RecordState,
) -> Result<(), PeerError> {
    if former.has_failed() {
        return Ok(());
    }
    // Its successor may have come and gone, or be here still.
    match transfers.enter(Entry::Transfer(Arc::clone(former))) {
        Err(Entry::Transfer(other)) if Arc::ptr_eq(&other, former) => {}
        Err(_) => return Ok(()),
        Ok(()) => {}
    }
    let record = Record {
        state: recorded.clone(),
        ..former.to_record()
    };
    transfers.context.records.update(&record)?;
    former.resume(recorded).map_err(PeerError::Thread)
}
