//! What the state folder keeps of a transfer.

use super::transfer::Transfer;
use crate::storage::{Record, RecordError, RecordState};
use crate::swarm::Phase;

impl Transfer {
    /// Keeps what of it is known for the next start, for the first time.
    pub(crate) fn save(&self) -> Result<(), RecordError> {
        let records = &self.context.records;
        records.save(&self.to_record(), &self.plan.metainfo)
    }

    /// Writes to the state folder what is to be known after a restart.
    pub(crate) fn record(&self) {
        if !self.plan.listed {
            return;
        }
        if let Err(error) = self.context.records.update(&self.to_record()) {
            log::error!("{}: cannot be recorded: {error}", self.name());
        }
    }

    /// What the state folder keeps of it.
    pub(crate) fn to_record(&self) -> Record {
        // Never as they are now: nobody has verified that.
        let whole = || match self.files.sealed() {
            Some(stamps) => RecordState::Complete { stamps },
            None => RecordState::Partial,
        };
        let plan = &self.plan;
        let state = match self.phase() {
            Phase::Failed { reason } => RecordState::Failed { reason },
            // Sealed at its end only, when the files have their final names.
            Phase::Complete | Phase::Withdrawn { .. } | Phase::Lost { .. } | Phase::Finishing => {
                whole()
            }
            Phase::Checking if !plan.is_download() => whole(),
            Phase::Checking | Phase::Fetching { .. } | Phase::Retired => RecordState::Partial,
        };
        let mut sources: Vec<(String, u64)> = self.inspect(|core| {
            let sources = core.progress().sources();
            sources
                .map(|(source, bytes)| (source.to_owned(), bytes))
                .collect()
        });
        sources.sort();
        let is_whole = matches!(state, RecordState::Complete { .. });
        let group = plan.group.as_ref();
        Record {
            replaces: plan.replaces && !is_whole,
            extends: plan.extends && !is_whole,
            group: group.map(|group| (group.user.clone(), group.group.clone())),
            info_hash: self.info_hash(),
            kind: plan.kind.clone(),
            state,
            trackers: plan.metainfo.trackers().to_vec(),
            sources,
            added_ms: plan.added_ms,
            only: plan.choice.patterns(),
            sequential: plan.choice.sequential,
            peers: plan.peers.clone(),
        }
    }
}
