//! The answers for a share that this peer has already.

use super::place::{TakenOver, absolute_destination, place_of};
use crate::peer::{PeerError, Started, SwarmEntry, Transfer, Transfers, WantedPlace};
use crate::swarm::Phase;
use crate::torrent::InfoHash;

/// Turns the error for a share that is here already into a success, if the share is at the
/// destination or no destination was named. An error with advice stays an error: the command asked
/// for files that this peer neither has nor fetches. `result` is the result of starting the
/// download.
pub(crate) fn accept_existing(
    transfers: &Transfers,
    info_hash: InfoHash,
    destination: &WantedPlace,
    result: Result<Started, PeerError>,
) -> Result<Started, PeerError> {
    let path = match &result {
        Err(PeerError::Already { path, advice, .. }) if advice.is_empty() => path.clone(),
        _ => return result,
    };
    let destination_matches = match (&destination.named, transfers.transfer(info_hash)) {
        (None, _) => true,
        (Some(named), None) => absolute_destination(named)? == path,
        (Some(_), Some(transfer)) => {
            place_of(transfers, &transfer.plan.metainfo, destination)?.path() == path
        }
    };
    match transfers.entry(info_hash) {
        Some(entry) if destination_matches => Ok(Started {
            name: entry.name().to_owned(),
            info_hash,
            path,
            already: true,
            taken_over: TakenOver::Nothing,
            version: transfers
                .transfer(info_hash)
                .and_then(|transfer| Some(transfer.version()?.number)),
            replaces: None,
        }),
        _ => result,
    }
}

/// The error for an entry that exists already.
pub(crate) fn entry_exists_error(existing: &SwarmEntry) -> PeerError {
    match existing {
        SwarmEntry::Search(_) => {
            PeerError::already(existing.name(), "downloading", existing.path())
        }
        SwarmEntry::Transfer(transfer) => transfer_exists_error(transfer),
    }
}

/// The error for a transfer that exists already.
pub(crate) fn transfer_exists_error(existing: &Transfer) -> PeerError {
    let files = existing.info().files();
    let stored = || {
        (0..files.len()).filter(|at| files.get(*at).is_some_and(|file| !file.attributes.padding))
    };
    let chosen = stored()
        .filter(|at| existing.plan.selection.has_file(*at))
        .count();
    let part = match existing.plan.selection.is_all() {
        true => String::new(),
        false => format!(" ({chosen} chosen of {} files)", stored().count()),
    };
    let what = match (existing.plan.is_download(), existing.phase()) {
        (false, _) => "shared".to_owned(),
        (true, Phase::Complete | Phase::Withdrawn { .. }) => format!("downloaded{part} and shared"),
        (true, _) => format!("downloading{part}"),
    };
    PeerError::already(existing.name(), &what, existing.plan.path())
}

/// The error for a share to which no files can be added in its present phase.
pub(crate) fn cannot_add_files_error(existing: &Transfer) -> PeerError {
    let mut error = transfer_exists_error(existing);
    if let PeerError::Already { advice, .. } = &mut error {
        *advice = "; no files can be added to it now".to_owned();
    }
    error
}

/// The error for a share that is here, but at another place than the one named.
pub(crate) fn other_place_error(existing: &Transfer) -> PeerError {
    let mut error = transfer_exists_error(existing);
    if let PeerError::Already { advice, .. } = &mut error {
        *advice = format!(
            "; to add files, name that place; to use another place, run {} first",
            existing.command_to_end()
        );
    }
    error
}
