//! More of a share that is here: from now on the union of what was chosen before and what is asked
//! for now is wanted.
//!
//! In scope: what asking again for the same share does to its transfer. Another transfer takes its
//! place, and starts with the pieces that are known to be good. Files of a finished choice stay
//! under the final name (`storage/extend.rs`).
//!
//! The record is written before the files are touched. It is written back if they cannot be used.
//! So a crash at any step leaves a record that goes on.

use super::download::Planned;
use super::shared::Shared;
use super::transfer::{Kind, Phase, Transfer};
use super::{Peer, PeerError, place};
use crate::storage::{Place, Record, RecordState};
use crate::torrent::{Metainfo, PieceSet, Selection};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Why links end that were made while less was wanted.
const MORE: &str = "more of it is wanted from now on";

/// What is known of a transfer when another is to take its place.
struct SetAside {
    /// As its record has it.
    recorded: RecordState,
    /// The pieces that are good and hold nothing of files that were left out.
    known: PieceSet,
}

/// The error for a share that is here already.
pub(super) fn already(other: &Transfer) -> PeerError {
    let files = other.info().files();
    let stored = || {
        (0..files.len()).filter(|at| files.get(*at).is_some_and(|file| !file.attributes.padding))
    };
    let chosen = stored().filter(|at| other.selection.has_file(*at)).count();
    let of = match other.selection.is_all() || other.sought().is_some() {
        true => String::new(),
        false => format!(" ({chosen} chosen of {} files)", stored().count()),
    };
    let what = match (other.is_download(), &other.state().phase) {
        (false, _) => "shared".to_owned(),
        (true, Phase::Complete) => format!("downloaded{of} and shared"),
        (true, _) => format!("downloading{of}"),
    };
    PeerError::Already {
        name: other.name().to_owned(),
        what,
        path: other.path(),
        advice: String::new(),
    }
}

impl Peer {
    /// Where a share is to go. The folder that it is here already is its place itself, not a folder
    /// to put it in: naming a new one twice means the same place.
    pub(super) fn place_of(
        &self,
        metainfo: &Metainfo,
        destination: Option<&Path>,
    ) -> Result<Place, PeerError> {
        let known = self.shared.transfer(metainfo.info().info_hash());
        if let (Some(known), Some(named)) = (known, destination)
            && let Kind::Download(place) = &known.kind
            && std::path::absolute(named).is_ok_and(|named| named == place.path())
        {
            return Ok(place.clone());
        }
        place(metainfo, destination)
    }
}

impl Planned {
    /// A transfer of the same share has failed. What it wanted is wanted still, so that nothing is
    /// left half fetched in its folder. Returns whether some of its files are under the final name.
    pub(super) fn goes_on_with(&mut self, former: &Transfer) -> bool {
        let here = matches!(&former.kind, Kind::Download(place) if *place == self.place);
        if !here || former.group.is_some() {
            return false;
        }
        // `--force` is not inherited: it must be given each time.
        let force = self.wishes.force;
        self.wishes = former.wishes.and(&self.wishes);
        self.wishes.force = force;
        former.extends
    }

    /// The share is downloaded here, or is being: what is asked for is wanted too. That is a
    /// download like any other, of all that is wanted by now.
    pub(super) fn extend(
        mut self,
        shared: &Arc<Shared>,
        former: &Arc<Transfer>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), PeerError> {
        let wishes = former.wishes.and(&self.wishes);
        // Patterns that choose no file are an error, whatever is here.
        Selection::of(self.metainfo.info(), &self.wishes.only)?;
        let Kind::Download(place) = &former.kind else {
            return Err(already(former));
        };
        let selection = Selection::of(former.info(), &wishes.only)?;
        if former.group.is_some() || !former.listed || selection == *former.selection {
            return Err(already(former));
        }
        if *place != self.place {
            return Err(elsewhere(former));
        }
        let aside = former.set_aside(shared)?;
        let complete = matches!(aside.recorded, RecordState::Complete { .. });
        let in_place = former.extends || complete;
        self.metainfo = former.metainfo.clone();
        self.wishes = wishes;
        self.wishes.force = former.replaces && !complete;
        self.peers.retain(|peer| !former.peers.contains(peer));
        self.peers.splice(..0, former.peers.iter().cloned());
        self.replaces = Some(Arc::clone(former));
        let record = former.to_record().map(|record| Record {
            only: self.wishes.patterns(),
            sequential: self.wishes.sequential,
            replaces: self.wishes.force,
            extends: in_place,
            state: RecordState::Partial,
            ..record
        });
        let recorded = record.map_or(Ok(()), |record| shared.records.update(&record));
        let begun = recorded.map_err(PeerError::from);
        let begun = begun.and_then(|()| self.begin(shared, progress, in_place, Some(aside.known)));
        if begun.is_err() {
            former.go_on_as_recorded(shared, aside.recorded)?;
        }
        begun
    }
}

/// The share is at another place than the one named.
fn elsewhere(former: &Transfer) -> PeerError {
    let mut error = already(former);
    if let PeerError::Already { advice, .. } = &mut error {
        let end = match former.state().phase {
            Phase::Complete => format!("end that with stop_share - {}", former.name()),
            _ => format!("give that up with cancel {}", former.name()),
        };
        *advice = format!("; for more of its files name that place, for another place {end} first");
    }
    error
}

impl Transfer {
    /// Ends what is under way, and lets go of the files. What is being checked or finished comes to
    /// its end first.
    fn set_aside(&self, shared: &Shared) -> Result<SetAside, PeerError> {
        let recorded = loop {
            let seen = shared.changes();
            let mut state = self.state();
            match state.phase {
                Phase::Active | Phase::Complete => {
                    let sealed = state.sealed.clone();
                    let sealed = sealed.filter(|_| state.phase == Phase::Complete);
                    state.phase = Phase::Checking;
                    state.drop_parked(shared);
                    state.links.values().for_each(|link| link.close(MORE));
                    break sealed.map_or(RecordState::Partial, |stamps| RecordState::Complete {
                        stamps,
                    });
                }
                Phase::Checking | Phase::Finishing => {}
                _ => {
                    drop(state);
                    return Err(already(self));
                }
            }
            drop(state);
            if shared.interrupt.load(Ordering::Relaxed) || shared.stop.is_stopped() {
                return Err(PeerError::Stopping);
            }
            shared.wait_for_change(seen, Duration::from_millis(100));
        };
        shared.owned.remove(self.info_hash());
        self.wait_for_pool(shared);
        let store = self.store();
        self.close_files();
        let mut known = PieceSet::empty(self.info().lengths());
        let unchanged = store.filter(|store| match &recorded {
            RecordState::Complete { stamps } => store.has_files_unchanged(stamps),
            _ => true,
        });
        if let Some(store) = unchanged {
            let state = self.state();
            let pieces = self.info().lengths().all_pieces();
            let good = pieces.filter(|piece| state.picker.owned().contains(*piece));
            // Parts of the mixed ones move from the parts file to files.
            for piece in good.filter(|piece| !store.is_mixed(*piece)) {
                known.insert(piece);
            }
        }
        Ok(SetAside { recorded, known })
    }

    /// Nothing came of the extension: a transfer that was set aside goes on as before.
    fn go_on_as_recorded(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        recorded: RecordState,
    ) -> Result<(), PeerError> {
        let Some(mut record) = self.to_record().filter(|_| !self.has_failed()) else {
            return Ok(());
        };
        // Its successor may have come and gone, or be here still.
        match shared.enter(Arc::clone(self)) {
            Err(other) if !Arc::ptr_eq(&other, self) => return Ok(()),
            _ => {}
        }
        record.state = recorded.clone();
        shared.records.update(&record)?;
        self.go_on(shared, recorded)
    }
}
