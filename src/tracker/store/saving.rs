//! The queue of changes that are to be saved in the database. One thread takes everything that is
//! queued and writes it in one transaction. If the transaction fails, the thread repeats it until
//! it succeeds.

use crate::storage::{Batch, Database, DatabaseError};
use crate::system::{lock, recover};
use crate::tracker::replication::Commit;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Pause between a failed commit and its first repetition. The pause doubles after each repetition.
const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between two repetitions, unless a repetition takes longer than this. The pause
/// is short, because an operator who has made room waits for its end.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(5);

/// A change to be saved.
#[derive(Debug)]
pub(super) enum Save {
    /// A commit of the replica.
    Commit(Commit),
    /// A restored registry has caught up. Its mark as restored is to be removed.
    CaughtUp,
}

/// The queue of saves.
#[derive(Debug, Default)]
pub(super) struct Saves {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Save>,
    /// Number of the last durable commit.
    durable: u64,
    /// Set by [`Saves::end`]: no more changes will be queued, and [`Saves::save`] returns when
    /// `waiting` is empty.
    ended: bool,
    /// Whether a commit has failed, and no repetition of it has succeeded yet.
    failed: bool,
}

/// What happened to a commit.
#[derive(Debug)]
pub(super) enum SaveEvent<'a> {
    /// The commit with this number is durable, and so are all earlier commits.
    Durable(u64),
    /// A commit has failed. The thread repeats it from now on.
    Failed(&'a DatabaseError),
    /// A repetition of the commit has failed too. Its error differs from the previous error.
    StillFailing(&'a DatabaseError),
    /// A repetition of the commit has succeeded: the commit is durable.
    Resumed,
}

impl Saves {
    pub(super) fn push(&self, save: Save) {
        self.queue().waiting.push(save);
        self.changed.notify_all();
    }

    /// Makes [`Saves::save`] return when everything is saved.
    pub(super) fn end(&self) {
        self.queue().ended = true;
        self.changed.notify_all();
    }

    /// Waits until a commit and all before it are durable. Returns `false` if they are not, because
    /// `limit` has passed or a commit has failed.
    pub(super) fn wait_for(&self, commit: u64, limit: Duration) -> bool {
        let pending = |queue: &mut Queue| queue.durable < commit && !queue.failed;
        let waited = self
            .changed
            .wait_timeout_while(self.queue(), limit, pending);
        recover(waited).0.durable >= commit
    }

    /// Saves changes until the queue has ended. Calls `report` with each event.
    pub(super) fn save(&self, database: &Database, mut report: impl FnMut(SaveEvent<'_>)) {
        while let Some(saves) = self.next() {
            let (batch, last_commit) = batch(saves);
            if let Err(error) = database.commit(batch) {
                self.set_failed(true);
                report(SaveEvent::Failed(&error));
                if !self.retry(database, &error, &mut report) {
                    return;
                }
                self.set_failed(false);
                report(SaveEvent::Resumed);
            }
            if let Some(last_commit) = last_commit {
                report(SaveEvent::Durable(last_commit));
                self.queue().durable = last_commit;
                self.changed.notify_all();
            }
        }
    }

    /// Repeats the commit that failed with `first_error`, until it succeeds or the queue has ended.
    /// Reports an error only if it differs from the previous one. Returns whether the commit
    /// succeeded.
    fn retry(
        &self,
        database: &Database,
        first_error: &DatabaseError,
        report: &mut impl FnMut(SaveEvent<'_>),
    ) -> bool {
        let (mut pause, mut last_error) = (FIRST_RETRY_PAUSE, first_error.to_string());
        loop {
            let is_waiting = |queue: &mut Queue| !queue.ended;
            let waited = self
                .changed
                .wait_timeout_while(self.queue(), pause, is_waiting);
            let is_last = recover(waited).0.ended;
            let begun = Instant::now();
            match database.retry() {
                Ok(()) => return true,
                Err(error) if error.to_string() == last_error => {}
                Err(error) => {
                    last_error = error.to_string();
                    report(SaveEvent::StillFailing(&error));
                }
            }
            if is_last {
                return false;
            }
            // A repetition opens the database again, which takes long if the database is large. So
            // the pause is at least as long as the repetition was.
            pause = MAX_RETRY_PAUSE.min(pause * 2).max(begun.elapsed());
        }
    }

    fn set_failed(&self, failed: bool) {
        self.queue().failed = failed;
        self.changed.notify_all();
    }

    /// Waits until something is queued, and takes everything. Returns `None` after [`Saves::end`],
    /// if the queue is empty.
    fn next(&self) -> Option<Vec<Save>> {
        let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.ended;
        let waited = self.changed.wait_while(self.queue(), idle);
        let mut queue = recover(waited);
        let saves = std::mem::take(&mut queue.waiting);
        (!saves.is_empty()).then_some(saves)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

/// All changes as one batch, and the number of the last commit in it.
fn batch(saves: Vec<Save>) -> (Batch, Option<u64>) {
    let (mut batch, mut last_commit) = (Batch::new(), None);
    for save in saves {
        let Save::Commit(commit) = save else {
            batch.mark_caught_up();
            continue;
        };
        for id in commit.dropped_rows {
            batch.remove_row(id.0);
        }
        for row in commit.rows {
            batch.put_row(row.id().0, row.encode());
        }
        for info_hash in commit.dropped_blobs {
            batch.remove_blob(info_hash.0);
        }
        for (info_hash, blob) in commit.blobs {
            batch.put_blob(info_hash.0, blob);
        }
        batch.put_versions(commit.versions.encode());
        if let Some(origin) = commit.origin {
            batch.put_origin(origin.0);
        }
        last_commit = Some(commit.number);
    }
    (batch, last_commit)
}
