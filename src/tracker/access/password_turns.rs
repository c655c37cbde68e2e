//! Requests with a password that wait until their password is checked. A request that waits takes
//! no thread: its connection is woken when its turn comes.
//!
//! In scope: the lock, and waking. Out of scope: the order (`attempt_queue`), and counting failures
//! (`throttle`).
//!
//! Locks: `queue`, for a look-up or a change. Connections are woken after it is released.

use super::attempt_queue::{AttemptNumber, AttemptQueue, NoPlace};
use crate::base::AddressPrefix;
use crate::net::ConnectionHandle;
use crate::system::{lock, processors};
use std::cell::Cell;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// How long a request waits for its turn.
pub(super) const MAX_TURN_WAIT: Duration = Duration::from_secs(10);
/// The most attempts that run at a time, for each processor. While one is hashed, the next one is
/// on its way to the hashing thread.
const RUNNING_PER_PROCESSOR: usize = 2;

/// The requests that wait for their turn, and how many have it.
#[derive(Debug)]
pub(super) struct PasswordTurns {
    queue: Mutex<AttemptQueue<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    decision: Arc<OnceLock<Decision>>,
    handle: ConnectionHandle,
}

/// What becomes of a request that has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is its turn.
    Admitted,
    /// There is no place for it.
    Refused,
}

/// Attempts that run at a time on a machine with many processors: half of the threads that may
/// wait.
const MAX_RUNNING: usize = 128;

/// The place of one request. It ends when it is dropped, or before that by [`PasswordTurn::end`].
#[derive(Debug)]
pub(super) struct PasswordTurn {
    turns: Arc<PasswordTurns>,
    /// `None`: it never had a place.
    number: Option<AttemptNumber>,
    decision: Arc<OnceLock<Decision>>,
    has_ended: Cell<bool>,
}

impl PasswordTurns {
    pub(super) fn new() -> Self {
        let max_running = processors().saturating_mul(RUNNING_PER_PROCESSOR);
        let max_running = max_running.min(MAX_RUNNING);
        Self {
            queue: Mutex::new(AttemptQueue::new(max_running)),
        }
    }

    /// A place for a request from `address`. Whenever its decision is made later, `handle` is
    /// woken. `is_known`: the user was logged in at this address before.
    pub(super) fn line_up(
        self: &Arc<Self>,
        address: AddressPrefix,
        is_known: bool,
        handle: ConnectionHandle,
    ) -> PasswordTurn {
        let decision = Arc::new(OnceLock::new());
        let waiter = Waiter {
            decision: Arc::clone(&decision),
            handle,
        };
        let mut queue = lock(&self.queue);
        let entered = queue.enter(address, is_known, waiter);
        drop(queue);
        let number = match entered {
            Ok((number, gave_way)) => {
                gave_way.iter().for_each(|it| it.decide(Decision::Refused));
                Some(number)
            }
            Err(NoPlace) => {
                let _ = decision.set(Decision::Refused);
                None
            }
        };
        self.admit();
        PasswordTurn {
            turns: Arc::clone(self),
            number,
            decision,
            has_ended: Cell::new(false),
        }
    }

    /// Lets all go on that wait: the tracker stops.
    pub(super) fn admit_all(&self) {
        lock(&self.queue).admit_all();
        self.admit();
    }

    fn admit(&self) {
        loop {
            let mut queue = lock(&self.queue);
            let Some(waiter) = queue.admit() else { return };
            // Under the lock, so that `PasswordTurn::end` sees it.
            let _ = waiter.decision.set(Decision::Admitted);
            drop(queue);
            waiter.handle.notify();
        }
    }
}

impl Waiter {
    fn decide(&self, decision: Decision) {
        let _ = self.decision.set(decision);
        self.handle.notify();
    }
}

impl PasswordTurn {
    /// What becomes of the request; `None` while it waits.
    pub(super) fn decision(&self) -> Option<Decision> {
        self.decision.get().copied()
    }

    /// The password was checked: the next request gets its turn.
    pub(super) fn end(&self) {
        if self.has_ended.replace(true) {
            return;
        }
        if let Some(number) = self.number {
            let mut queue = lock(&self.turns.queue);
            match self.decision.get() {
                Some(Decision::Admitted) => queue.on_end(),
                Some(Decision::Refused) => {}
                None => queue.leave(number),
            }
            drop(queue);
            self.turns.admit();
        }
    }
}

impl Drop for PasswordTurn {
    fn drop(&mut self) {
        self.end();
    }
}
