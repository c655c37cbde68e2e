//! The thread that looks at the files of whole shares now and then: one whose files change or
//! vanish is not served until they are again what was verified.
//!
//! What becomes of such a share is decided in `transfer::lost`. Downloads under way are not looked
//! at: they are written here, and what does not verify never counts.

use super::Transfers;
use crate::swarm::Phase;
use crate::torrent::InfoHash;
use std::time::Duration;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How many files one look takes; the next goes on after them.
const FILES: usize = 2_000;

/// Looks until the peer stops. Runs on the thread `watch`.
pub(super) fn run(transfers: &Transfers) {
    let mut next = None;
    while !transfers.context.stop.wait(LOOK) {
        next = look(transfers, next);
    }
}

/// Looks at some files, from that one of that share on; returns where the next look is to begin.
fn look(transfers: &Transfers, next: Option<(InfoHash, usize)>) -> Option<(InfoHash, usize)> {
    let mut transfers = transfers.transfers();
    transfers.sort_by_key(|transfer| transfer.info_hash());
    if let Some((first, _)) = next {
        let before = transfers.partition_point(|transfer| transfer.info_hash() < first);
        transfers.rotate_left(before);
    }
    let mut left = FILES;
    for transfer in transfers {
        let info_hash = transfer.info_hash();
        let start = next.filter(|(first, _)| *first == info_hash);
        let start = start.map_or(0, |(_, file)| file);
        if left == 0 {
            return Some((info_hash, start));
        }
        match (transfer.phase(), transfer.store()) {
            (Phase::Complete | Phase::Withdrawn { .. }, Some(store)) => {
                match store.look(start, left) {
                    Ok(Some(file)) => return Some((info_hash, file)),
                    Ok(None) => {}
                    Err(error) => transfer.on_files_unservable(&error.to_string()),
                }
            }
            (Phase::Lost { .. }, _) => {
                let (looked, goes_on) = transfer.scan_lost(left);
                if goes_on {
                    return Some((info_hash, 0));
                }
                left = left.saturating_sub(looked.max(1));
                continue;
            }
            _ => continue,
        }
        let files = transfer.info().files().len().saturating_sub(start);
        left = left.saturating_sub(files.max(1));
    }
    None
}
