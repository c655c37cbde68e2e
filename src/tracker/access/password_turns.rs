//! A request with a password waits for its turn to have the password checked. A waiting request
//! occupies no thread. When its turn comes, its connection is woken.
//!
//! In scope: the lock of the queue, and waking connections. Out of scope: the order
//! (`attempt_queue`), and counting failures (`throttle`).
//!
//! Locks: `queue`, for a look-up or a change. Connections are woken after it is released.

use super::attempt_queue::{AttemptNumber, AttemptQueue, LineFull};
use crate::base::AddressPrefix;
use crate::net::ConnectionHandle;
use crate::system::{lock, processors};
use std::cell::Cell;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// The maximum time that a request waits for its turn.
pub(super) const MAX_TURN_WAIT: Duration = Duration::from_secs(10);
/// The number of attempts that may run at a time for each processor. While a thread hashes the
/// password of one attempt, the other attempt can already put its password into the queue of the
/// hashing threads.
const RUNNING_PER_PROCESSOR: usize = 2;
/// The maximum number of attempts that run at a time, even with many processors: half of the
/// threads that may wait for something (`Lane::Patient`).
const MAX_RUNNING: usize = 128;

/// The requests that wait for their turn, and the number of requests whose turn it is.
#[derive(Debug)]
pub(super) struct PasswordTurns {
    queue: Mutex<AttemptQueue<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    decision: Arc<OnceLock<TurnDecision>>,
    handle: ConnectionHandle,
}

/// Whether a request gets its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnDecision {
    /// The turn of the request has come.
    Admitted,
    /// The request gets no turn, because its line is full.
    Refused,
}

/// The turn of one request: the request waits for it, has it, or does not get it. The turn ends
/// with [`PasswordTurn::end`], and at the latest when this value is dropped.
#[derive(Debug)]
pub(super) struct PasswordTurn {
    turns: Arc<PasswordTurns>,
    /// The number of the request in the queue. `None`: the request never entered the queue.
    number: Option<AttemptNumber>,
    decision: Arc<OnceLock<TurnDecision>>,
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

    /// Adds a request from `address` to the queue. If the request has to wait for the decision,
    /// `handle` is woken after the decision. `is_known`: the user was logged in at this address
    /// before.
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
                gave_way
                    .iter()
                    .for_each(|it| it.decide(TurnDecision::Refused));
                Some(number)
            }
            Err(LineFull) => {
                let _ = decision.set(TurnDecision::Refused);
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

    /// Admits all requests, those that wait and those that come later: the tracker stops.
    pub(super) fn admit_all(&self) {
        lock(&self.queue).remove_limit();
        self.admit();
    }

    /// Admits waiting requests until the maximum number runs.
    fn admit(&self) {
        loop {
            let mut queue = lock(&self.queue);
            let Some(waiter) = queue.admit() else { return };
            // Set under the lock, so that `PasswordTurn::end` knows whether the request still
            // waits.
            let _ = waiter.decision.set(TurnDecision::Admitted);
            drop(queue);
            waiter.handle.notify();
        }
    }
}

impl Waiter {
    fn decide(&self, decision: TurnDecision) {
        let _ = self.decision.set(decision);
        self.handle.notify();
    }
}

impl PasswordTurn {
    /// Whether the request gets its turn. `None` while it waits.
    pub(super) fn decision(&self) -> Option<TurnDecision> {
        self.decision.get().copied()
    }

    /// Ends the turn or the wait for it. The next request gets its turn. A second call does
    /// nothing.
    pub(super) fn end(&self) {
        if self.has_ended.replace(true) {
            return;
        }
        if let Some(number) = self.number {
            let mut queue = lock(&self.turns.queue);
            match self.decision.get() {
                Some(TurnDecision::Admitted) => queue.on_end(),
                Some(TurnDecision::Refused) => {}
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
