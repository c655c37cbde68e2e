//! The thread `watch`: it checks regularly whether the files of complete shares are unchanged. A
//! share whose files change or vanish is not served until the files are again the same as when they
//! were verified. If only inode numbers change, the content is checked while the share is served (a
//! quiet check), one share at a time. A download that waits goes on when its files are back or its
//! disk has room.
//!
//! The thread also writes what could not be written before, perhaps because the disk was full: the
//! records of transfers, and the login. It writes what is known of the members of groups, and ends
//! links of former members.
//!
//! `transfer::lost` decides what happens to a share with changed or missing files. Downloads in
//! progress are not checked: this peer writes their files itself, and a piece counts as downloaded
//! only if its hash is right.

use super::{Transfer, Transfers};
use crate::swarm::Phase;
use crate::torrent::InfoHash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Interval of the checks.
const INTERVAL: Duration = Duration::from_secs(2);
/// Files per check. The next check continues after them.
const FILES_PER_CHECK: usize = 2_000;

/// Runs until the peer stops. `check_accounts` is called at each check: it stores the login and
/// what is known of members if their files lack the last changes, and ends links of former members.
pub(super) fn run(transfers: &Transfers, check_accounts: impl Fn()) {
    let mut next = None;
    let quiet_check = QuietCheck::default();
    loop {
        let stops = transfers.context.stop.wait(INTERVAL);
        write_outdated_records(transfers);
        check_accounts();
        if stops {
            return;
        }
        end_one_wait(transfers);
        next = check(transfers, next, &quiet_check);
    }
}

/// Tries again to write the records whose last change could not be written.
fn write_outdated_records(transfers: &Transfers) {
    let records = &transfers.context.records;
    for info_hash in records.outdated() {
        let Some(transfer) = transfers.transfer(info_hash) else {
            records.forget_outdated(info_hash);
            continue;
        };
        if let Err(error) = transfer.update_outdated_record() {
            log::debug!("{}: cannot write its record yet: {error}", transfer.name());
        }
    }
}

/// Ends the wait of one download, if its files are back or its disk has room. Others wait until the
/// next call, because each download hashes its files on a thread of its own, and may fill the disk
/// again.
fn end_one_wait(transfers: &Transfers) {
    let waiting = transfers.waiting();
    waiting
        .iter()
        .find(|transfer| transfer.end_wait_if_possible());
}

/// The quiet check of one share at a time (`transfer::quiet_check`).
#[derive(Default)]
struct QuietCheck {
    is_running: Arc<AtomicBool>,
}

impl QuietCheck {
    /// Starts the check of a share, unless another one is running.
    fn start(&self, transfer: &Arc<Transfer>) {
        if self.is_running.swap(true, Ordering::Relaxed) {
            return;
        }
        let (is_running, for_task) = (Arc::clone(&self.is_running), Arc::clone(transfer));
        let spawned = transfer.context.tasks.spawn("check", move || {
            for_task.check_quietly();
            is_running.store(false, Ordering::Relaxed);
        });
        if let Err(error) = spawned {
            log::warn!("{}: cannot be checked: {error}", transfer.name());
            self.is_running.store(false, Ordering::Relaxed);
        }
    }
}

/// Checks some files, starting with file `next.1` of share `next.0`, or with the first share if
/// `next` is `None`. Returns where the next check starts.
fn check(
    transfers: &Transfers,
    next: Option<(InfoHash, usize)>,
    quiet_check: &QuietCheck,
) -> Option<(InfoHash, usize)> {
    let first = next.map_or(InfoHash([0; 20]), |(first, _)| first);
    let mut transfers = transfers.transfers_from(first, FILES_PER_CHECK + 1);
    // The limit applies to transfers too. The next check starts with the first transfer that is
    // left out here.
    let first_left_out = transfers
        .get(FILES_PER_CHECK)
        .map(|transfer| (transfer.info_hash(), 0));
    transfers.truncate(FILES_PER_CHECK);
    let mut files_left = FILES_PER_CHECK;
    for transfer in transfers {
        let info_hash = transfer.info_hash();
        let start = next.filter(|(first, _)| *first == info_hash);
        let start = start.map_or(0, |(_, file)| file);
        if files_left == 0 {
            return Some((info_hash, start));
        }
        match (transfer.phase(), transfer.store()) {
            (Phase::Complete | Phase::Withdrawn { .. }, Some(store)) => {
                match store.check_paths(start, files_left) {
                    Ok(found) => {
                        if found.has_other_inode {
                            quiet_check.start(&transfer);
                        }
                        if let Some(file) = found.next {
                            return Some((info_hash, file));
                        }
                    }
                    Err(error) => {
                        transfer.on_files_unservable(&transfer.reason_of_loss(&error));
                    }
                }
            }
            (Phase::Lost { .. }, _) => {
                let (scanned, has_more) = transfer.scan_lost(files_left);
                if has_more {
                    return Some((info_hash, 0));
                }
                files_left = files_left.saturating_sub(scanned.max(1));
                continue;
            }
            _ => continue,
        }
        let files = transfer.info().files().len().saturating_sub(start);
        files_left = files_left.saturating_sub(files.max(1));
    }
    first_left_out
}
