//! Starved trackers: they get no processor for a while. Which requests wait for such a tracker, and
//! how it must behave afterwards.

use super::super::super::{STALL_LIMIT, Serving};
use super::super::{Failure, Mutation};
use super::{Event, TICK_MILLIS, Unanswered, World};
use crate::tracker::registry::RowId;
use crate::tracker::registry::tests::convergence::Command;

/// Milliseconds after which a client repeats its request at another tracker.
const CLIENT_TIMEOUT_MILLIS: u64 = 4_000;
/// A tracker that has had no event for more milliseconds than this was paused.
const MAX_IDLE_MILLIS: u64 = 1_000;

/// The state of a tracker before an event.
pub(super) struct BeforeEvent {
    /// Milliseconds since its last event.
    idle_millis: u64,
    /// Whether its wall clock jumped since its last event.
    wall_clock_jumped: bool,
    was_serving: bool,
}

impl World {
    /// A tracker gets no processor for some time.
    pub(super) fn starve(&mut self, at: usize, millis: u64) {
        let node = &mut self.nodes[at];
        if node.replica.is_some() && node.starved_until <= self.now {
            node.starved_until = self.now + millis;
            self.oracle.counts.note("tracker without a processor");
            self.log_step(|| format!("{at} gets no processor for {millis} ms"));
        }
    }

    /// One tracker after another gets no processor for a while. Clients make requests meanwhile.
    pub(super) fn starve_in_turn(&mut self) -> Result<(), Failure> {
        self.oracle
            .counts
            .note("trackers without a processor, one after another");
        for _ in 0..self.rng.u8(1..4) {
            for at in 0..self.nodes.len() {
                let millis = match self.rng.u8(..4) {
                    0 => self.rng.u64(500..30_000),
                    _ => self.rng.u64(500..4_000),
                };
                self.starve(at, millis);
                for _ in 0..self.rng.u8(1..4) {
                    let receiver = self.rng.usize(..self.nodes.len());
                    self.request_operation(receiver)?;
                    let until_next_request = self.rng.u64(..millis);
                    self.pass(until_next_request)?;
                }
            }
        }
        Ok(())
    }

    /// A client sends a request to a starved tracker. If it gets no answer in time, it closes the
    /// connection and repeats the request elsewhere. The starved tracker then does not execute the
    /// request, unless the network loses the closing of the connection.
    pub(super) fn send_to_starved(
        &mut self,
        at: usize,
        command: Command,
        ids: (RowId, RowId),
        receipt: RowId,
    ) {
        self.oracle
            .counts
            .note("request waited for a tracker without a processor");
        let (now, generation) = (self.now, self.nodes[at].generation);
        let gives_up = self.nodes[at].starved_until - now >= CLIENT_TIMEOUT_MILLIS;
        if gives_up && command.is_repeatable {
            self.unanswered.push(Unanswered {
                command: command.clone(),
                ids,
                receipt,
                promises: Vec::new(),
                has_unknown_attempt: true,
            });
        }
        if !gives_up || self.rng.u8(..4) == 0 {
            let request = Event::Request {
                command,
                ids,
                receipt,
            };
            self.schedule(now, at, generation, request);
        }
    }

    /// A tracker is about to handle an event. Returns `None` if the tracker is down.
    pub(super) fn before_event(&mut self, at: usize) -> Option<BeforeEvent> {
        let node = &mut self.nodes[at];
        let was_serving = node.replica.as_ref()?.serving() == Serving::Yes;
        let wall = self.wall + node.skew;
        let (last, last_wall) = std::mem::replace(&mut node.last_event, (self.now, wall));
        let idle_millis = self.now - last;
        let elapsed = i64::try_from(idle_millis).unwrap();
        if idle_millis > MAX_IDLE_MILLIS {
            // After a long pause a replica restarts: it does not serve before it has asked the
            // others. A mutation hides the pause from the replica, so that it never restarts, or
            // makes the pause seem longer, so that it always restarts.
            match self.mutation {
                Mutation::NeverRestart => node.uncounted += elapsed,
                Mutation::AlwaysRestart => node.uncounted -= stall_millis(),
                _ => {}
            }
        }
        Some(BeforeEvent {
            idle_millis,
            wall_clock_jumped: wall - last_wall != elapsed,
            was_serving,
        })
    }

    /// A tracker has handled an event. Checks whether it serves as it must after a pause. After a
    /// pause of [`STALL_LIMIT`] or more, others may have gone on without it. So it must not serve
    /// before it knows what they have acknowledged. After a shorter pause it must go on serving.
    pub(super) fn after_event(
        &mut self,
        at: usize,
        before: Option<BeforeEvent>,
    ) -> Result<(), Failure> {
        let (Some(before), Some(replica)) = (before, &self.nodes[at].replica) else {
            return Ok(());
        };
        let BeforeEvent {
            idle_millis,
            wall_clock_jumped,
            was_serving,
        } = before;
        if idle_millis <= MAX_IDLE_MILLIS || !was_serving {
            return Ok(());
        }
        let is_serving = replica.serving() == Serving::Yes;
        let is_long = i64::try_from(idle_millis).unwrap() >= stall_millis();
        if is_long && is_serving && self.oracle.lacks_an_acknowledged_write(replica) {
            return Err(Failure(format!(
                "tracker {at} serves old data after {idle_millis} ms without a processor"
            )));
        }
        // A dropped push ([`Mutation::DropPushes`]) does not reach the replica. So the pause that
        // the replica measures may have begun one tick earlier.
        let is_short = i64::try_from(idle_millis + TICK_MILLIS).unwrap() < stall_millis();
        if is_short && !is_serving && !wall_clock_jumped {
            return Err(Failure(format!(
                "tracker {at} leaves service after {idle_millis} ms without a processor"
            )));
        }
        if is_serving {
            self.oracle.counts.note("pause without a restart");
        }
        Ok(())
    }
}

fn stall_millis() -> i64 {
    i64::try_from(STALL_LIMIT.as_millis()).unwrap()
}
