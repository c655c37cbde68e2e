//! The record of a transfer in the state folder.

use super::transfer::Transfer;
use crate::storage::{Record, RecordError, RecordState, UnfinishedRecord};
use crate::swarm::Phase;

impl Transfer {
    /// Writes the first record of a transfer, and claims the paths of the transfer. If the record
    /// of a stopped download names one of these paths as its partial file, the name is removed from
    /// that record: the file is gone, or the user has allowed this transfer to replace it. Returns
    /// the record that the new one replaces.
    pub(crate) fn create_record(&self) -> Result<Option<Record>, RecordError> {
        let records = &self.context.records;
        let _writing = records.lock_writing();
        let former = records.find(self.info_hash());
        records.claim(self.info_hash(), &self.paths())?;
        records.save(&self.to_record(), &self.plan.metainfo)?;
        Ok(former)
    }

    /// Undoes [`Transfer::create_record`]. `former` is the record that it returned.
    pub(crate) fn undo_record(&self, former: Option<&Record>) -> Result<(), RecordError> {
        let records = &self.context.records;
        let _writing = records.lock_writing();
        match former {
            Some(former) => records.update(former),
            None => records.remove(self.info_hash()),
        }
    }

    /// Updates the record of the transfer. Transfers of a closed run have no record. If the record
    /// cannot be written, the thread `watch` tries again.
    pub(crate) fn update_record(&self) {
        self.write_or_log(Self::write_record);
    }

    /// Like [`Transfer::update_record`], but records this state. The caller then resumes the
    /// transfer.
    pub(crate) fn update_record_as(&self, state: RecordState) {
        self.write_or_log(|transfer| {
            let record = Record {
                state,
                ..transfer.to_record()
            };
            transfer.context.records.update(&record)
        });
    }

    /// Writes the record again if its last change could not be written. Does nothing while the
    /// files are being checked: the record also has the state, which is known only after the check.
    ///
    /// # Errors
    /// The record still cannot be written.
    pub(crate) fn update_outdated_record(&self) -> Result<(), RecordError> {
        let _writing = self.context.records.lock_writing();
        let is_outdated = self.context.records.is_outdated(self.info_hash());
        if !is_outdated || matches!(self.phase(), Phase::Checking | Phase::Retired) {
            return Ok(());
        }
        self.write_record()?;
        log::info!("{}: its record is written", self.name());
        Ok(())
    }

    /// Adds new trackers, web seeds and peers to the record. Whether the files are complete is
    /// known only after they are checked. Until then, the state in the record stays as it is.
    pub(super) fn record_sources(&self) {
        self.write_or_log(|transfer| match transfer.phase() {
            Phase::Checking => transfer.write_sources(),
            _ => transfer.write_record(),
        });
    }

    /// Writes the present name of the group to the record, if the record says something else.
    pub(crate) fn record_group_name(&self) {
        self.write_or_log(|transfer| {
            let group = transfer.recorded_group();
            let records = &transfer.context.records;
            match records.find(transfer.info_hash()) {
                // A change that waits to be written brings the name along.
                Some(record) if record.group != group => {
                    match records.is_outdated(record.info_hash) {
                        true => Ok(()),
                        false => records.update(&Record { group, ..record }),
                    }
                }
                _ => Ok(()),
            }
        });
    }

    /// Calls `write`. If it fails, logs the error. Does nothing for a transfer of a closed run,
    /// which has no record, and for a transfer that has left the map: its record belongs to its
    /// successor.
    fn write_or_log(&self, write: impl FnOnce(&Self) -> Result<(), RecordError>) {
        if self.plan.is_of_closed_run {
            return;
        }
        let _writing = self.context.records.lock_writing();
        if self.phase() == Phase::Retired {
            return;
        }
        if let Err(error) = write(self) {
            log::error!("{}: cannot write its record: {error}", self.name());
        }
    }

    /// Adds the sources to the record on disk. Does nothing in two cases: if there is no record
    /// yet, because the first record will have the sources; and if another change of the record
    /// waits to be written, because then the sources are written with that change.
    fn write_sources(&self) -> Result<(), RecordError> {
        let (named_sources, records) = (self.sources(), &self.context.records);
        if records.is_outdated(self.info_hash()) {
            return Ok(());
        }
        let Some(record) = records.find(self.info_hash()) else {
            return Ok(());
        };
        records.update(&Record {
            trackers: named_sources.trackers,
            web_seeds: named_sources.web_seeds,
            peers: named_sources.peers,
            ..record
        })
    }

    fn write_record(&self) -> Result<(), RecordError> {
        let (record, records) = (self.to_record(), &self.context.records);
        let times = self.files.times();
        // When the download is complete, the modification times that other peers have sent are
        // saved in the recorded torrent.
        let times_to_save = times.filter(|times| {
            let is_complete = matches!(record.state, RecordState::Complete { .. });
            is_complete && self.plan.metainfo.times() != Some(times)
        });
        match times_to_save {
            Some(times) => {
                records.save(&record, &self.plan.metainfo.clone().with_times(Some(times)))
            }
            None => records.update(&record),
        }
    }

    /// Records that the user ended this download. From now on, the record only says which partial
    /// file is left on disk, so that another download can continue that file. Without a partial
    /// file, the record is removed.
    pub(crate) fn record_as_stopped(&self) -> Result<(), RecordError> {
        let records = &self.context.records;
        let _writing = records.lock_writing();
        if self.plan.partial.is_none() {
            return records.remove(self.info_hash());
        }
        records.update(&Record {
            state: RecordState::Stopped,
            ..self.to_record()
        })
    }

    /// A record of the current state of the transfer.
    pub(crate) fn to_record(&self) -> Record {
        // `sealed` returns the stamps with which the files of a complete share were verified. The
        // files may have changed since then.
        let complete_if_sealed = || match self.files.sealed() {
            Some(stamps) => RecordState::Complete { stamps },
            None => RecordState::Partial,
        };
        let plan = &self.plan;
        let state = match self.phase() {
            Phase::Failed { reason } => RecordState::Failed { reason },
            // The files of a download are not sealed until they have their final names.
            Phase::Complete | Phase::Withdrawn { .. } | Phase::Lost { .. } | Phase::Finishing => {
                complete_if_sealed()
            }
            Phase::Checking if !plan.is_download() => complete_if_sealed(),
            Phase::Checking | Phase::Waiting { .. } | Phase::Fetching { .. } | Phase::Retired => {
                RecordState::Partial
            }
        };
        let mut bytes_by_source: Vec<(String, u64)> = self.inspect(|core| {
            let sources = core.progress().sources();
            sources
                .map(|(source, bytes)| (source.to_owned(), bytes))
                .collect()
        });
        bytes_by_source.sort();
        let is_complete = matches!(state, RecordState::Complete { .. });
        let named_sources = self.sources();
        Record {
            group: self.recorded_group(),
            info_hash: self.info_hash(),
            kind: plan.kind.clone(),
            unfinished: match is_complete {
                true => UnfinishedRecord::default(),
                false => UnfinishedRecord {
                    replaces: self.may_replace(),
                    extends: plan.extends,
                    partial: plan.partial.clone(),
                    steps: self.files.steps(),
                },
            },
            state,
            trackers: named_sources.trackers,
            web_seeds: named_sources.web_seeds,
            sources: bytes_by_source,
            added_ms: plan.added_ms,
            only: plan.choice.patterns(),
            sequential: plan.choice.sequential,
            peers: named_sources.peers,
        }
    }
}
