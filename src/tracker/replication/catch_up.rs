//! Catching up with a tracker that knows more: batch by batch, then the blobs, then one merge.

use super::{ANSWER_TIMEOUT, Effects, Moment, ReplicaConnectionId};
use crate::tracker::registry::{Change, VersionVector};
use crate::wire::replica::{Encoded, ReplicaMessage, TrackerNumber};
use std::time::Duration;

/// How long staged batches are kept. This is far shorter than the time between the expiry of a row
/// and its deletion, so that the batches cannot bring a deleted row back.
const KEEP_STAGED: Duration = Duration::from_secs(60);

/// The catch-up that runs, if any. There is one at a time.
#[derive(Debug, Default)]
pub(super) struct CatchUp {
    pub(super) ongoing: Option<OngoingCatchUp>,
    /// The batches of a catch-up that was given up.
    kept: Option<KeptBatches>,
    /// Number of pulls sent so far.
    pulls: u32,
}

/// A running catch-up.
#[derive(Debug)]
pub(super) struct OngoingCatchUp {
    pub(super) other: TrackerNumber,
    pub(super) connection: ReplicaConnectionId,
    /// The unanswered pull. `None` when all batches have arrived.
    pull: Option<u32>,
    /// The batches so far, joined.
    pub(super) staged: Change,
    /// The version vector of this tracker's rows and the staged batches together.
    pub(super) reached: VersionVector,
    /// Time of the last progress.
    last_progress: Duration,
}

/// Staged batches of a catch-up that was given up. They are used again only over the same
/// connection. Over another connection, the tracker at the other end may run with an older copy of
/// its data, and may have given the numbers of these writes to other writes.
#[derive(Debug)]
struct KeptBatches {
    connection: ReplicaConnectionId,
    staged: Change,
    reached: VersionVector,
    since: Duration,
}

/// The tracker that sent a bad batch, and what is wrong with it.
pub(super) type BadBatch = (TrackerNumber, String);

impl CatchUp {
    /// Starts a catch-up and requests the first batch. `ours` is the version vector of this
    /// tracker.
    pub(super) fn begin(
        &mut self,
        other: TrackerNumber,
        connection: ReplicaConnectionId,
        ours: &VersionVector,
        now: Moment,
        effects: &mut Effects,
    ) {
        let mut reached = ours.clone();
        // The staged writes of an origin must have no gap. If a third tracker has meanwhile sent
        // writes beyond the kept batches, the next batch starts after those writes, and the kept
        // batches lack them.
        let is_usable = |kept: &KeptBatches| {
            let mut covers = kept.staged.covers();
            kept.connection == connection
                && now.elapsed < kept.since + KEEP_STAGED
                && covers.all(|(origin, span)| ours.of(origin) <= span.upto)
        };
        let staged = self.kept.take().filter(is_usable).map(|kept| {
            reached.join(&kept.reached);
            kept.staged
        });
        self.ongoing = Some(OngoingCatchUp {
            other,
            connection,
            pull: None,
            staged: staged.unwrap_or_default(),
            reached,
            last_progress: now.elapsed,
        });
        self.send_pull(effects);
    }

    fn send_pull(&mut self, effects: &mut Effects) {
        self.pulls = self.pulls.wrapping_add(1);
        let id = self.pulls;
        let Some(catch_up) = &mut self.ongoing else {
            return;
        };
        let Some(known) = Encoded::new(catch_up.reached.encode()) else {
            return;
        };
        catch_up.pull = Some(id);
        effects.send_when_durable(catch_up.connection, ReplicaMessage::Pull { id, known });
    }

    /// Stages the batch that answers the unanswered pull, and requests the next batch if there is
    /// one. Ignores an answer to any other pull. Returns whether the last batch was staged.
    ///
    /// # Errors
    /// What is wrong with the batch. It was not staged.
    pub(super) fn on_batch(
        &mut self,
        connection: ReplicaConnectionId,
        id: u32,
        change: Option<Encoded>,
        more: bool,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<bool, BadBatch> {
        let ongoing = self.ongoing.as_mut();
        let Some(catch_up) =
            ongoing.filter(|it| it.connection == connection && it.pull == Some(id))
        else {
            return Ok(false);
        };
        let bad = |reason: String| (catch_up.other, reason);
        let change = change.map(|change| Change::decode(change.as_bytes()));
        let change = change.transpose().map_err(|error| bad(error.to_string()))?;
        let change = change.unwrap_or_default();
        let before = catch_up.reached.clone();
        change.advance(&mut catch_up.reached);
        if more && catch_up.reached == before {
            return Err(bad("it announced more changes and sent none".to_owned()));
        }
        let joined = catch_up.staged.join(change);
        joined.map_err(|error| bad(error.to_string()))?;
        catch_up.last_progress = now.elapsed;
        match more {
            true => self.send_pull(effects),
            false => catch_up.pull = None,
        }
        Ok(!more)
    }

    /// The running catch-up, if all its batches have arrived.
    pub(super) fn fully_staged(&self) -> Option<&OngoingCatchUp> {
        self.ongoing.as_ref().filter(|it| it.pull.is_none())
    }

    /// Notes progress of the catch-up if it runs over `connection`. `None` stands for any
    /// connection.
    pub(super) fn note_progress(&mut self, connection: Option<ReplicaConnectionId>, now: Moment) {
        let ongoing = self.ongoing.as_mut();
        if let Some(it) =
            ongoing.filter(|it| connection.is_none_or(|connection| it.connection == connection))
        {
            it.last_progress = now.elapsed;
        }
    }

    /// A connection has closed. Ends the catch-up over it, and drops the batches kept for it.
    pub(super) fn on_disconnected(&mut self, connection: ReplicaConnectionId) {
        self.ongoing.take_if(|it| it.connection == connection);
        self.kept.take_if(|it| it.connection == connection);
    }

    /// Gives up the catch-up if it has made no progress for [`ANSWER_TIMEOUT`], and keeps its
    /// batches. Returns the tracker that was asked.
    pub(super) fn give_up_if_stuck(&mut self, now: Moment) -> Option<TrackerNumber> {
        let stuck = |it: &mut OngoingCatchUp| now.elapsed >= it.last_progress + ANSWER_TIMEOUT;
        let catch_up = self.ongoing.take_if(stuck)?;
        self.kept = Some(KeptBatches {
            connection: catch_up.connection,
            staged: catch_up.staged,
            reached: catch_up.reached,
            since: now.elapsed,
        });
        Some(catch_up.other)
    }
}
