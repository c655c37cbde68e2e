//! Resumes the recorded transfers and magnet searches when the peer starts.

use super::{
    Context, DamagedRecord, PeerError, Services, SwarmEntry, Transfer, TransferPlan, magnet,
};
use crate::storage::{Record, RecordError, RecordKind, RecordState, is_same_entry};
use crate::torrent::{InfoHash, Metainfo};
use std::collections::HashSet;
use std::sync::Arc;

/// What the start of a peer found in its records.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// The records that cannot be used.
    pub(super) damaged: Vec<DamagedRecord>,
    /// The transfers that were complete, and whose files are unchanged.
    pub(super) unchanged: HashSet<InfoHash>,
    /// The transfers that had failed.
    pub(super) failed: HashSet<InfoHash>,
}

/// Resumes everything that is recorded, except stopped downloads. Complete and unchanged shares are
/// served at once. The others are checked in the background.
///
/// # Errors
/// When the record of a magnet search that became a download cannot be removed, or the system
/// cannot start a thread.
pub(super) fn restore(services: &Services) -> Result<Restored, PeerError> {
    let context = &services.context;
    let (mut to_check, mut damaged, mut complete) = (Vec::new(), Vec::new(), Vec::new());
    let mut found = Vec::new();
    let mut failed = HashSet::new();
    for loaded in context.records.load_all() {
        match loaded {
            Ok((record, _)) if record.state == RecordState::Stopped => {}
            Ok(loaded) => found.push(loaded),
            Err(error) => damaged.push(error),
        }
    }
    let superseded = superseded(found.iter().map(|(record, _)| record));
    for (record, metainfo) in found {
        // A crash came after the record of the other version was written.
        if superseded.contains(&record.info_hash) {
            stop(context, record);
            continue;
        }
        let transfer = recorded_transfer(services, &record, metainfo);
        let entered = services
            .transfers
            .enter(SwarmEntry::Transfer(Arc::clone(&transfer)));
        if entered.is_err() {
            continue;
        }
        if matches!(record.state, RecordState::Failed { .. }) {
            failed.insert(transfer.info_hash());
        }
        match transfer.reopen_unchanged(&record.state) {
            true => complete.push(transfer),
            false => to_check.push((transfer, record.state)),
        }
    }
    end_former_versions(&complete);
    // A version that takes the place of another one comes before that one, which may end then.
    to_check.sort_by_key(|(transfer, _)| transfer.supersedes().is_empty());
    damaged.extend(magnet::restore(services)?);
    let restored = Restored {
        damaged: damaged.iter().map(damaged_record).collect(),
        unchanged: complete.iter().map(|it| it.info_hash()).collect(),
        failed,
    };
    if to_check.is_empty() {
        return Ok(restored);
    }
    let stop = context.stop.clone();
    let spawned = context.tasks.spawn("restore", move || {
        for (transfer, recorded) in to_check {
            if stop.is_stopped() {
                return;
            }
            transfer.reopen_or_fail(&recorded);
        }
    });
    spawned.map_err(PeerError::Thread)?;
    Ok(restored)
}

/// The info-hashes of unfinished downloads whose place a later download of another version takes.
/// A version that was superseded once, and was started again since then, does not count.
fn superseded<'a>(found: impl Iterator<Item = &'a Record> + Clone) -> HashSet<InfoHash> {
    let is_superseded_by = |former: &Record, other: &Record| {
        let group = other.group.as_ref();
        group.is_some_and(|group| group.supersedes.contains(&former.info_hash))
            && other.added_ms > former.added_ms
            && is_same_entry(&other.kind.place(), &former.kind.place())
    };
    let others = found.clone().filter(|other| {
        let group = other.group.as_ref();
        group.is_some_and(|group| !group.supersedes.is_empty())
    });
    let others: Vec<&Record> = others.collect();
    let superseded = found.filter(|former| {
        let is_download = matches!(former.kind, RecordKind::Download(_));
        let is_complete = matches!(former.state, RecordState::Complete { .. });
        let mut others = others.iter();
        is_download && !is_complete && others.any(|other| is_superseded_by(former, other))
    });
    superseded.map(|record| record.info_hash).collect()
}

/// Records that the download of a version was ended. Its partial file stays: the version that takes
/// its place uses it.
fn stop(context: &Context, record: Record) {
    let stopped = Record {
        state: RecordState::Stopped,
        ..record
    };
    if let Err(error) = context.records.update(&stopped) {
        log::error!("cannot write the record of an older version: {error}");
    }
}

/// Ends the versions whose place complete ones have taken: a crash came before that.
fn end_former_versions(complete: &[Arc<Transfer>]) {
    for transfer in complete {
        if !transfer.supersedes().is_empty() {
            transfer.end_former_versions();
            transfer.update_record();
        }
    }
}

fn damaged_record(error: &RecordError) -> DamagedRecord {
    log::error!("{error}");
    DamagedRecord {
        path: error.path().to_owned(),
        info_hash: error.info_hash(),
        may_lose_download: error.may_lose_download(),
        message: error.to_string(),
    }
}

fn recorded_transfer(services: &Services, record: &Record, metainfo: Metainfo) -> Arc<Transfer> {
    let transfer = services.new_transfer(TransferPlan::recorded(record, metainfo));
    transfer.restore_byte_counts(&record.sources);
    transfer.restore_rename(record);
    transfer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Destination, RecordedGroup, UnfinishedRecord};

    /// The record of an unfinished download to `/FOLDER/set`.
    fn download(number: u8, added_ms: u64, folder: &str, supersedes: &[u8]) -> Record {
        let hash = |number: &u8| InfoHash([*number; 20]);
        Record {
            info_hash: hash(&number),
            kind: RecordKind::Download(Destination {
                folder: format!("/{folder}").into(),
                name: "set".to_owned(),
            }),
            state: RecordState::Partial,
            unfinished: UnfinishedRecord::default(),
            trackers: Vec::new(),
            sources: Vec::new(),
            added_ms,
            group: Some(RecordedGroup {
                user: "nik".parse().unwrap(),
                group: "lab".parse().unwrap(),
                version: None,
                supersedes: supersedes.iter().map(hash).collect(),
                forced: false,
                left: None,
            }),
            only: Vec::new(),
            sequential: false,
            peers: Vec::new(),
            web_seeds: Vec::new(),
        }
    }

    #[test]
    fn only_downloads_that_a_later_one_at_their_place_supersedes_are_stopped() {
        let stopped = |records: &[Record]| -> Vec<u8> {
            let mut numbers: Vec<u8> = superseded(records.iter())
                .iter()
                .map(|it| it.0[0])
                .collect();
            numbers.sort_unstable();
            numbers
        };
        let update = download(2, 20, "a", &[1]);
        assert_eq!(stopped(&[download(1, 10, "a", &[]), update.clone()]), [1]);
        // The version was started again, or at another place.
        assert_eq!(
            stopped(&[download(1, 30, "a", &[]), update.clone()]),
            Vec::<u8>::new()
        );
        assert_eq!(
            stopped(&[download(1, 10, "b", &[]), update.clone()]),
            Vec::<u8>::new()
        );
        // The user went back to the first version.
        assert_eq!(stopped(&[download(1, 30, "a", &[2]), update.clone()]), [2]);
        let complete = Record {
            state: RecordState::Complete { stamps: Vec::new() },
            ..download(1, 10, "a", &[])
        };
        assert_eq!(stopped(&[complete, update]), Vec::<u8>::new());
    }
}
