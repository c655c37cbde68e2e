//! The thread `watch`: it checks regularly whether the files of complete shares are unchanged. A
//! share whose files change or vanish is not served until they are again as they were when they
//! were verified.
//!
//! `transfer::lost` decides what happens to such a share. Downloads in progress are not checked:
//! this peer writes their files itself, and pieces that do not verify never count.

use super::Transfers;
use crate::swarm::Phase;
use crate::torrent::InfoHash;
use std::time::Duration;

/// Interval of the checks.
const INTERVAL: Duration = Duration::from_secs(2);
/// Files per check. The next check continues after them.
const FILES_PER_CHECK: usize = 2_000;

/// Runs until the peer stops.
pub(super) fn run(transfers: &Transfers) {
    let mut next = None;
    while !transfers.context.stop.wait(INTERVAL) {
        next = check(transfers, next);
    }
}

/// Checks some files, starting with file `next.1` of share `next.0`. Returns where the next check
/// starts.
fn check(transfers: &Transfers, next: Option<(InfoHash, usize)>) -> Option<(InfoHash, usize)> {
    let mut transfers = transfers.transfers();
    transfers.sort_by_key(|transfer| transfer.info_hash());
    if let Some((first, _)) = next {
        let before = transfers.partition_point(|transfer| transfer.info_hash() < first);
        transfers.rotate_left(before);
    }
    let mut left = FILES_PER_CHECK;
    for transfer in transfers {
        let info_hash = transfer.info_hash();
        let start = next.filter(|(first, _)| *first == info_hash);
        let start = start.map_or(0, |(_, file)| file);
        if left == 0 {
            return Some((info_hash, start));
        }
        match (transfer.phase(), transfer.store()) {
            (Phase::Complete | Phase::Withdrawn { .. }, Some(store)) => {
                match store.check_paths(start, left) {
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
