//! The queue of changes that are to be saved in the database. One thread takes everything that is
//! queued and writes it in one transaction. If that fails, the thread repeats it until it succeeds.

use crate::storage::{Batch, Database, DatabaseError};
use crate::system::{lock, recover};
use crate::tracker::replication::Commit;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Pause before a failed commit is repeated for the first time. Each later pause is twice as long.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The longest pause before a failed commit is repeated. An operator who made room waits for it.
const MAX_RETRY: Duration = Duration::from_secs(5);

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
    /// Whether a commit has failed and was not repeated with success so far.
    failed: bool,
}

/// What happened to a commit.
#[derive(Debug)]
pub(super) enum SaveEvent<'a> {
    /// The commit with this number is durable, and all before it.
    Durable(u64),
    /// A commit has failed. It is repeated.
    Failed(&'a DatabaseError),
    /// Repeating the commit has failed for another reason than before.
    StillFailing(&'a DatabaseError),
    /// The commit that had failed is durable.
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

    /// Saves changes until the queue has ended. Reports each event to `on`.
    pub(super) fn save(&self, database: &Database, mut on: impl FnMut(SaveEvent<'_>)) {
        while let Some(saves) = self.next() {
            let (batch, last_commit) = batch(saves);
            if let Err(error) = database.commit(batch) {
                self.set_failed(true);
                on(SaveEvent::Failed(&error));
                if !self.retry(database, &error, &mut on) {
                    return;
                }
                self.set_failed(false);
                on(SaveEvent::Resumed);
            }
            if let Some(last_commit) = last_commit {
                on(SaveEvent::Durable(last_commit));
                self.queue().durable = last_commit;
                self.changed.notify_all();
            }
        }
    }

    /// Repeats the commit that failed with `first`, until it succeeds or the queue has ended.
    /// Reports each other error once. Returns whether it succeeded.
    fn retry(
        &self,
        database: &Database,
        first: &DatabaseError,
        on: &mut impl FnMut(SaveEvent<'_>),
    ) -> bool {
        let (mut pause, mut last_error) = (FIRST_RETRY, first.to_string());
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
                    on(SaveEvent::StillFailing(&error));
                }
            }
            if is_last {
                return false;
            }
            // Opening a large database again takes long. Half of the time is left to others.
            pause = MAX_RETRY.min(pause * 2).max(begun.elapsed());
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
