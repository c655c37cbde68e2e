//! More of a share that is here: what was chosen before and what is asked for now, from now on.
//!
//! In scope: what asking again for the same share does to the transfer that it is; another takes its place, which knows what
//! of it is good. What stands under the final name stays there (`storage/standing.rs`).
//!
//! The record is written before anything is done to the files, and says again what it said if they cannot be used: so a crash
//! at any step leaves one that goes on.

use super::download::Planned;
use super::shared::Shared;
use super::transfer::{Kind, Phase, Transfer};
use super::{Peer, PeerError, place};
use crate::storage::{Place, RecordState, Store};
use crate::torrent::{Metainfo, PieceSet, Selection};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Why links end that stood while less was wanted.
const MORE: &str = "more of it is wanted from now on";
/// How long the files may still be in use after the links have ended.
const LET_GO: Duration = Duration::from_secs(10);

/// What was known of a transfer when another was to take its place.
struct SetAside {
    /// As its record has it.
    recorded: RecordState,
    /// The pieces that are good and hold nothing of files that were not wanted.
    known: PieceSet,
}

/// Why a share that is here is not taken in again.
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
    /// Where a share is to go. A folder that it stands as here already is meant as that, though it is a folder: who names a new
    /// one twice means the same place.
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
    /// A transfer of the same share has failed. What it wanted is wanted still, so that nothing is left half fetched in its
    /// folder. Says whether some of its files stand under the final name.
    pub(super) fn goes_on_with(&mut self, former: &Transfer) -> bool {
        let here = matches!(&former.kind, Kind::Download(place) if *place == self.place);
        if !here || former.group.is_some() {
            return false;
        }
        // What stands in the way is insisted on each time.
        let force = self.wishes.force;
        self.wishes = former.wishes.and(&self.wishes);
        self.wishes.force = force;
        former.widens
    }

    /// The share is downloaded here, or is being: from now on what is asked for is wanted too.
    pub(super) fn widen(
        self,
        shared: &Arc<Shared>,
        former: &Arc<Transfer>,
    ) -> Result<(), PeerError> {
        let info = former.info();
        let (wishes, asked) = (former.wishes.and(&self.wishes), &self.wishes.only);
        // Patterns that mean nothing are told, whatever is here.
        Selection::of(self.metainfo.info(), asked)?;
        let Kind::Download(place) = &former.kind else {
            return Err(already(former));
        };
        let selection = Selection::of(info, &wishes.only)?;
        if former.group.is_some() || !former.listed || selection == *former.selection {
            return Err(already(former));
        }
        if *place != self.place {
            return Err(elsewhere(former));
        }
        let aside = former.set_aside(shared)?;
        let complete = matches!(aside.recorded, RecordState::Complete { .. });
        let kind = former.kind.clone();
        let mut transfer = Transfer::new(shared, former.metainfo.clone(), kind, true);
        transfer.selection = Arc::new(selection);
        transfer.wishes = wishes;
        transfer.replaces = former.replaces && !complete;
        transfer.widens = former.widens || complete;
        transfer.peers = former.peers.clone();
        let new = self
            .peers
            .into_iter()
            .filter(|peer| !former.peers.contains(peer));
        transfer.peers.extend(new.collect::<Vec<_>>());
        transfer.added_ms = former.added_ms;
        transfer.count_on_from(former);
        {
            let (former, mut state) = (former.state(), transfer.state());
            state.candidates = former.candidates.handed_on();
            state.sources.clone_from(&former.sources);
        }
        let transfer = Arc::new(transfer);
        let opened = transfer.save(shared).and_then(|()| {
            let store = transfer.open_download(place)?;
            if transfer.replaces {
                store.copy_replaced(&shared.interrupt)?;
            }
            transfer.set_store(Arc::new(store));
            shared
                .replace(former, Arc::clone(&transfer))
                .map_err(|other| already(&other))
        });
        if let Err(error) = opened {
            if let Some(store) = transfer.take_store() {
                store.undo();
            }
            former.comes_back_from(shared, aside.recorded)?;
            return Err(error);
        }
        shared.notify_change();
        transfer.call_named_peers(shared);
        transfer.check_others_and_begin(shared, aside.known)
    }
}

/// It is in another place than the one named.
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
    /// Ends what is under way, and lets go of the files. What is being checked or finished comes to its end first.
    fn set_aside(&self, shared: &Shared) -> Result<SetAside, PeerError> {
        let is_ended = || shared.interrupt.load(Ordering::Relaxed) || shared.stop.is_stopped();
        loop {
            let seen = shared.changes();
            let phase = self.state().phase.clone();
            match phase {
                Phase::Active | Phase::Complete => break,
                Phase::Checking | Phase::Finishing if !is_ended() => {
                    shared.wait_for_change(seen, Duration::from_millis(100));
                }
                Phase::Checking | Phase::Finishing => return Err(PeerError::Stopping),
                _ => return Err(already(self)),
            }
        }
        let sealed = {
            let mut state = self.state();
            let complete = match state.phase {
                Phase::Active => false,
                Phase::Complete => true,
                _ => return Err(already(self)),
            };
            state.phase = Phase::Checking;
            state.drop_parked(shared);
            state.links.values().for_each(|link| link.close(MORE));
            state.sealed.clone().filter(|_| complete)
        };
        shared.owned.remove(self.info_hash());
        self.wait_for_pool(shared);
        let store = self.take_store();
        let until = shared.now() + LET_GO;
        while store
            .as_ref()
            .is_some_and(|store| Arc::strong_count(store) > 1)
            && shared.now() < until
        {
            shared.stop.wait(Duration::from_millis(5));
        }
        let mut known = PieceSet::empty(self.info().lengths());
        let unchanged = |store: &Store| {
            let sealed = sealed.as_ref();
            sealed.is_none_or(|sealed| store.has_files_unchanged(sealed))
        };
        if let Some(store) = store.filter(|store| unchanged(store)) {
            let state = self.state();
            let pieces = self.info().lengths().all_pieces();
            let good = pieces.filter(|piece| state.picker.owned().contains(*piece));
            // What lies beside the files is to come into files, some of it.
            for piece in good.filter(|piece| !store.is_mixed(*piece)) {
                known.insert(piece);
            }
        }
        let recorded = match sealed {
            Some(stamps) => RecordState::Complete { stamps },
            None => RecordState::Partial,
        };
        Ok(SetAside { recorded, known })
    }

    /// Nothing came of it: what was set aside goes on as it was.
    fn comes_back_from(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        recorded: RecordState,
    ) -> Result<(), PeerError> {
        if let Some(mut record) = self.to_record() {
            record.state = recorded.clone();
            shared.records.update(&record)?;
        }
        self.go_on(shared, recorded)
    }
}
