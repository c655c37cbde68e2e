//! Catching up with a twin that knows more: batch by batch, then its blobs, then all in one step.

use super::{LineId, Moment, PAUSE, Replica};
use crate::torrent::InfoHash;
use crate::tracker::registry::{Change, VersionVector};
use crate::wire::twin::{Encoded, Message, TrackerNumber};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long what was staged is kept: far shorter than any row after its end, so that nothing forgotten comes back by it.
const KEPT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct CatchUp {
    pub(super) twin: TrackerNumber,
    pub(super) line: LineId,
    /// The pull that has not been answered; none when all batches are here.
    pull: Option<u32>,
    /// The batches so far.
    staged: Change,
    /// What is known here together with them.
    reached: VersionVector,
    /// When it last got on.
    pub(super) progress: Duration,
}

/// What was staged when a catching up was given up. It is gone on from over the same line: at the other end of another one may
/// be an older copy of that twin's data, which gives the numbers of these writes to others.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) line: LineId,
    staged: Change,
    reached: VersionVector,
    since: Duration,
}

impl Replica {
    /// Begins to catch up with the twin that has most to tell, unless that is under way.
    pub(super) fn consider_catching_up(&mut self, now: Moment) {
        if self.catch_up.is_some() || self.is_halted() {
            return;
        }
        let ours = self.registry.version_vector();
        let ahead = self.twins.iter().filter_map(|(number, twin)| {
            let (session, told) = (twin.session.as_ref()?, twin.told.as_ref()?);
            let lacking = ours.behind(told);
            (lacking > 0 && twin.pause <= now.elapsed).then_some((
                lacking,
                Reverse(*number),
                session.line,
            ))
        });
        let Some((_, Reverse(twin), line)) = ahead.max() else {
            return;
        };
        let mut reached = ours.clone();
        // What a third tracker has told since would leave a gap between it and what comes next.
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
        self.catch_up = Some(CatchUp {
            twin,
            line,
            pull: None,
            staged: staged.unwrap_or_default(),
            reached,
            progress: now.elapsed,
        });
        self.pull();
    }

    fn pull(&mut self) {
        self.pulls = self.pulls.wrapping_add(1);
        let id = self.pulls;
        let Some(catch_up) = &mut self.catch_up else {
            return;
        };
        let Some(known) = Encoded::new(catch_up.reached.encode()) else {
            return;
        };
        catch_up.pull = Some(id);
        let line = catch_up.line;
        self.send(line, Message::Pull { id, known });
    }

    /// The answer to a pull.
    pub(super) fn batch(
        &mut self,
        line: LineId,
        id: u32,
        change: Option<Encoded>,
        more: bool,
        now: Moment,
    ) {
        let Some(catch_up) = &mut self.catch_up else {
            return;
        };
        if catch_up.line != line || catch_up.pull != Some(id) {
            return;
        }
        let twin = catch_up.twin;
        let change = change.map(|change| Change::decode(change.as_bytes()));
        let change = match change.transpose() {
            Ok(change) => change.unwrap_or_default(),
            Err(error) => return self.unreadable(line, twin, &error),
        };
        let before = catch_up.reached.clone();
        change.extend(&mut catch_up.reached);
        if more && catch_up.reached == before {
            let reason = "it says there is more and does not tell it".to_owned();
            return self.turn_away(line, Some(twin), reason);
        }
        if let Err(error) = catch_up.staged.join(change) {
            return self.turn_away(line, Some(twin), error.to_string());
        }
        catch_up.progress = now.elapsed;
        if more {
            return self.pull();
        }
        catch_up.pull = None;
        self.finish_catching_up(now);
    }

    /// Merges what was staged, if all is here that it needs.
    pub(super) fn finish_catching_up(&mut self, now: Moment) {
        let staged = self.catch_up.as_ref().filter(|it| it.pull.is_none());
        if !staged.is_some_and(|it| self.missing_blobs(&it.staged).is_empty()) {
            return;
        }
        let Some(catch_up) = self.catch_up.take() else {
            return;
        };
        self.merge(catch_up.line, catch_up.twin, &catch_up.staged, now);
        let versions = self.registry.version_vector();
        if let Some(twin) = self.twins.get_mut(&catch_up.twin) {
            if !versions.includes(&catch_up.reached) {
                twin.pause = now.elapsed + PAUSE;
            }
            let told = twin.told.clone().unwrap_or_default();
            self.is_told(catch_up.twin, told);
        }
    }

    /// The next blob that catching up needs, and from whom.
    pub(super) fn blob_for_catching_up(&self) -> Option<(TrackerNumber, LineId, InfoHash)> {
        let catch_up = self.catch_up.as_ref().filter(|it| it.pull.is_none())?;
        let missing: BTreeSet<InfoHash> = self.missing_blobs(&catch_up.staged);
        let first = missing.into_iter().next()?;
        Some((catch_up.twin, catch_up.line, first))
    }

    /// Blobs came nearer.
    pub(super) fn catching_up_got_on(&mut self, now: Moment) {
        if let Some(catch_up) = &mut self.catch_up {
            catch_up.progress = now.elapsed;
        }
    }

    /// Gives a catching up that does not get on up; another twin may be asked first.
    pub(super) fn give_catching_up_up(&mut self, now: Moment) {
        let Some(catch_up) = self.catch_up.take() else {
            return;
        };
        self.fetch = None;
        if let Some(twin) = self.twins.get_mut(&catch_up.twin) {
            twin.pause = now.elapsed + PAUSE;
        }
        self.kept = Some(Kept {
            line: catch_up.line,
            staged: catch_up.staged,
            reached: catch_up.reached,
            since: now.elapsed,
        });
    }
}
