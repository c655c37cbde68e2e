//! Writes of this tracker: made durable, pushed, acknowledged.

use super::{Commit, Copies, Effect, Moment, PUSH_WAIT, Replica, Serving};
use crate::torrent::InfoHash;
use crate::tracker::registry::{Refusal, Registry, Row, Sequence, Update};
use crate::wire::twin::{Encoded, MAX_ENCODED, Message};
use std::time::Duration;

/// Why a write was not made. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// This tracker does not serve.
    #[error(transparent)]
    NotServing(Serving),
    /// A rule of the registry.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A row names a blob that is neither here nor handed in.
    #[error("the metainfo {0} has not been sent; send it first")]
    NoBlob(InfoHash),
    /// It is too large to be told to another tracker.
    #[error("a write of {0} bytes is larger than {MAX_ENCODED}")]
    TooLarge(usize),
}

/// A write that has not been acknowledged.
#[derive(Debug)]
pub(super) struct Waiting {
    commit: u64,
    /// Until when a twin is waited for, once it is durable here.
    deadline: Option<Duration>,
}

impl Replica {
    /// Makes a write by an operation of the registry, which is given the wall time; `blobs` are those that its rows name
    /// and that are not here yet. [`Effect::Acknowledge`] tells, under the number given, when it is done.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn write(
        &mut self,
        blobs: Vec<(InfoHash, Vec<u8>)>,
        now: Moment,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<(Sequence, Vec<Effect>), WriteError> {
        self.notice_standstill(now);
        if !self.serves() {
            return Err(WriteError::NotServing(self.serving()));
        }
        let update = operation(&self.registry, now.wall)?;
        let mut named = update.rows().iter().filter_map(self.blobs.named_by);
        let given = |blob: &InfoHash| blobs.iter().any(|(hash, _)| hash == blob);
        if let Some(blob) = named.find(|it| !self.stored.contains(it) && !given(it)) {
            return Err(WriteError::NoBlob(blob));
        }
        let bytes = update.change().map(|change| change.encode());
        let bytes = bytes.unwrap_or_default();
        let length = bytes.len();
        let change = Encoded::new(bytes).ok_or(WriteError::TooLarge(length))?;
        let commit = self.commit_update(update, blobs);
        let write = self.own_last();
        let message = Message::Push {
            id: write.number(),
            change,
        };
        let current = self.twins.values().filter_map(|twin| twin.session.as_ref());
        let current = current.filter(|session| session.current);
        let lines: Vec<_> = current.map(|session| session.line).collect();
        for line in lines {
            self.send(line, message.clone());
        }
        let deadline = None;
        self.writes.insert(write, Waiting { commit, deadline });
        Ok((write, self.done(now)))
    }

    /// The last own write.
    pub(super) fn own_last(&self) -> Sequence {
        let versions = self.registry.version_vector();
        versions.of(self.registry.origin())
    }

    /// Applies an update that was just made and hands out its commit, then confirms to its makers what it brought.
    pub(super) fn commit_update(&mut self, update: Update, blobs: Vec<(InfoHash, Vec<u8>)>) -> u64 {
        let rows: Vec<Row> = update.rows().to_vec();
        // Made from the present state: it cannot be stale.
        let applied = self.registry.apply(update);
        debug_assert_eq!(applied, Ok(()));
        let named = rows.iter().filter_map(self.blobs.named_by);
        let new = blobs.iter().map(|(hash, _)| *hash);
        self.stored.extend(new);
        let lacking = named.filter(|blob| !self.stored.contains(blob));
        self.lacking.extend(lacking);
        let number = self.issue(Vec::new(), Vec::new(), rows, blobs);
        self.confirm();
        number
    }

    /// Hands out a commit of these and the present version vector.
    pub(super) fn issue(
        &mut self,
        forgotten: Vec<crate::tracker::registry::RowId>,
        dropped: Vec<InfoHash>,
        rows: Vec<Row>,
        blobs: Vec<(InfoHash, Vec<u8>)>,
    ) -> u64 {
        let number = self.commits.issue();
        let versions = self.registry.version_vector().clone();
        let origin = std::mem::take(&mut self.origin_is_new).then(|| self.registry.origin());
        self.effects.push(Effect::Commit(Commit {
            number,
            rows,
            forgotten,
            versions,
            origin,
            dropped,
            blobs,
        }));
        number
    }

    /// Tells each twin up to which of its writes all are durable here, where that is news.
    fn confirm(&mut self) {
        let versions = self.registry.version_vector();
        let mut news = Vec::new();
        for twin in self.twins.values_mut() {
            let Some(session) = &mut twin.session else {
                continue;
            };
            let known = versions.of(session.origin);
            if known > session.confirmed {
                session.confirmed = known;
                news.push((session.line, known.number()));
            }
        }
        for (line, id) in news {
            self.send(line, Message::Pushed { id });
        }
    }

    /// Writes have become durable here: those with nobody to wait for are acknowledged.
    pub(super) fn writes_are_durable(&mut self, now: Moment) {
        let awaited = self.awaits_twins();
        for waiting in self.writes.values_mut() {
            if waiting.deadline.is_none() && self.commits.is_durable(waiting.commit) {
                waiting.deadline = Some(now.elapsed + PUSH_WAIT);
            }
        }
        if !awaited {
            self.acknowledge_alone(None);
        }
    }

    /// A twin has all own writes up to this one.
    pub(super) fn acknowledge_upto(&mut self, last: Sequence) {
        let later = self.writes.split_off(&last.next());
        let written = std::mem::replace(&mut self.writes, later);
        let copies = Copies::Two;
        let effects = written
            .into_keys()
            .map(|write| Effect::Acknowledge { write, copies });
        self.effects.extend(effects);
    }

    /// Acknowledges what is durable here and has waited long enough, or all that is durable here if there is no time given.
    pub(super) fn acknowledge_alone(&mut self, now: Option<Moment>) {
        let copies = Copies::OnlyHere;
        let effects = &mut self.effects;
        self.writes.retain(|write, waiting| {
            let over = waiting
                .deadline
                .is_some_and(|deadline| now.is_none_or(|now| now.elapsed >= deadline));
            if over {
                let write = *write;
                effects.push(Effect::Acknowledge { write, copies });
            }
            !over
        });
    }

    /// The last write that has waited too long for twins.
    pub(super) fn overdue(&self, now: Moment) -> Option<Sequence> {
        let overdue = self.writes.iter().filter(|(_, waiting)| {
            waiting
                .deadline
                .is_some_and(|deadline| now.elapsed >= deadline)
        });
        overdue.map(|(write, _)| *write).next_back()
    }

    pub(super) fn awaits_twins(&self) -> bool {
        let mut sessions = self.twins.values().filter_map(|twin| twin.session.as_ref());
        sessions.any(|session| session.current)
    }
}
