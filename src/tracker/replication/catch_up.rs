//! Catching up with a tracker that knows more: batch by batch, then its blobs, then all in one step.

use super::{Effects, LineId, Moment, PATIENCE};
use crate::tracker::registry::{Change, VersionVector};
use crate::wire::replica::{Encoded, Message, TrackerNumber};
use std::time::Duration;

/// How long what was staged is kept: far shorter than any row after its end, so that nothing forgotten comes back by it.
const KEPT: Duration = Duration::from_secs(60);

/// Catching up with one tracker at a time.
#[derive(Debug, Default)]
pub(super) struct CatchingUp {
    pub(super) current: Option<CatchUp>,
    /// What was staged when a catching up was given up.
    kept: Option<Kept>,
    /// The number of pulls so far.
    pulls: u32,
}

/// A catching up that goes on.
#[derive(Debug)]
pub(super) struct CatchUp {
    pub(super) other: TrackerNumber,
    pub(super) line: LineId,
    /// The pull that has not been answered; none when all batches are here.
    pull: Option<u32>,
    /// The batches so far.
    pub(super) staged: Change,
    /// What is known here together with them.
    pub(super) reached: VersionVector,
    /// When it last got on.
    progress: Duration,
}

/// What was staged. It is gone on from over the same line: at the other end of another one may be an older copy of that
/// tracker's data, which gives the numbers of these writes to others.
#[derive(Debug)]
struct Kept {
    line: LineId,
    staged: Change,
    reached: VersionVector,
    since: Duration,
}

/// What is wrong with a batch: which tracker sent it, and the reason.
pub(super) type Bad = (TrackerNumber, String);

impl CatchingUp {
    /// Begins, and asks for the first batch. `ours` is what is known here.
    pub(super) fn begin(
        &mut self,
        other: TrackerNumber,
        line: LineId,
        ours: &VersionVector,
        now: Moment,
        effects: &mut Effects,
    ) {
        let mut reached = ours.clone();
        // What a third tracker has sent since would leave a gap between it and what comes next.
        let good = |kept: &Kept| {
            let mut covers = kept.staged.covers();
            kept.line == line
                && now.elapsed < kept.since + KEPT
                && covers.all(|(origin, span)| ours.of(origin) <= span.upto)
        };
        let staged = self.kept.take().filter(good).map(|kept| {
            reached.join(&kept.reached);
            kept.staged
        });
        self.current = Some(CatchUp {
            other,
            line,
            pull: None,
            staged: staged.unwrap_or_default(),
            reached,
            progress: now.elapsed,
        });
        self.pull(effects);
    }

    fn pull(&mut self, effects: &mut Effects) {
        self.pulls = self.pulls.wrapping_add(1);
        let id = self.pulls;
        let Some(catch_up) = &mut self.current else {
            return;
        };
        let Some(known) = Encoded::new(catch_up.reached.encode()) else {
            return;
        };
        catch_up.pull = Some(id);
        effects.send(catch_up.line, Message::Pull { id, known });
    }

    /// Takes the answer to a pull, and asks for the next batch if there is one; returns whether it was the last one.
    ///
    /// # Errors
    /// What is wrong with it; it was not taken.
    pub(super) fn batch(
        &mut self,
        line: LineId,
        id: u32,
        change: Option<Encoded>,
        more: bool,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<bool, Bad> {
        let asked = self.current.as_mut();
        let Some(catch_up) = asked.filter(|it| it.line == line && it.pull == Some(id)) else {
            return Ok(false);
        };
        let bad = |reason: String| (catch_up.other, reason);
        let change = change.map(|change| Change::decode(change.as_bytes()));
        let change = change.transpose().map_err(|error| bad(error.to_string()))?;
        let change = change.unwrap_or_default();
        let before = catch_up.reached.clone();
        change.advance(&mut catch_up.reached);
        if more && catch_up.reached == before {
            return Err(bad("it says there is more and does not tell it".to_owned()));
        }
        let joined = catch_up.staged.join(change);
        joined.map_err(|error| bad(error.to_string()))?;
        catch_up.progress = now.elapsed;
        match more {
            true => self.pull(effects),
            false => catch_up.pull = None,
        }
        Ok(!more)
    }

    /// The one that goes on, if all its batches are here.
    pub(super) fn staged(&self) -> Option<&CatchUp> {
        self.current.as_ref().filter(|it| it.pull.is_none())
    }

    /// What it waits for came nearer, over that line or, with none, over any.
    pub(super) fn got_on(&mut self, line: Option<LineId>, now: Moment) {
        let current = self.current.as_mut();
        if let Some(it) = current.filter(|it| line.is_none_or(|line| it.line == line)) {
            it.progress = now.elapsed;
        }
    }

    /// Ends what goes on over a line, and drops what was kept of it.
    pub(super) fn line_down(&mut self, line: LineId) {
        self.current.take_if(|it| it.line == line);
        self.kept.take_if(|it| it.line == line);
    }

    /// Gives up one that does not get on, and keeps what was staged; returns whom it was asked of.
    pub(super) fn give_up_if_stuck(&mut self, now: Moment) -> Option<TrackerNumber> {
        let stuck = |it: &mut CatchUp| now.elapsed >= it.progress + PATIENCE;
        let catch_up = self.current.take_if(stuck)?;
        self.kept = Some(Kept {
            line: catch_up.line,
            staged: catch_up.staged,
            reached: catch_up.reached,
            since: now.elapsed,
        });
        Some(catch_up.other)
    }
}
