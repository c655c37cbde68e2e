//! The simulated network, disks, clocks and clients, and the scheduler.

mod clients;
mod disasters;
mod logins;
mod network;
mod shares;
mod starvation;

use super::super::{
    EXPIRED_ROW_GRACE, Effect, HaltReason, IDLE_TIMEOUT, Moment, ReplicaConnectionId, Report,
    Serving,
};
use super::node::{Node, blob};
use super::oracle::{Oracle, Promise};
use super::{Failure, Mutation};
use crate::tracker::registry::mutation::{FORGETS_LOG_OUTS, REUSES_NUMBERS, WITHDRAWS_ANYTHING};
use crate::tracker::registry::tests::convergence::Command;
use crate::tracker::registry::{
    CodeHash, LONGEST_TOKEN_LIFE, Login, NewAccount, Origin, PasswordHash, Row, RowId,
};
use crate::wire::replica::ReplicaMessage;
use fastrand::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const HOUR_MILLIS: i64 = 3_600_000;
/// A twelfth of the longest life of a token, in milliseconds.
const LIFE_PART_MILLIS: i64 = LONGEST_TOKEN_LIFE.as_millis() as i64 / 12;
/// The wall time at the start: 2010, so that no clock goes back to before 1970.
const START_MILLIS: i64 = 1_262_304_000_000;
/// Milliseconds between two ticks of a tracker.
const TICK_MILLIS: u64 = 400;
/// Milliseconds between two attempts to call another tracker.
const CALL_MILLIS: u64 = 900;
/// Milliseconds in which all trackers must recover after the last fault.
const SETTLE_MILLIS: u64 = 60_000;

/// An event for one generation of a tracker. It is ignored if the tracker has crashed meanwhile.
enum Event {
    /// A request that waited for a starved tracker: one that got no processor.
    Request {
        command: Command,
        ids: (RowId, RowId),
        receipt: RowId,
    },
    Message(ReplicaConnectionId, ReplicaMessage),
    Disconnected(ReplicaConnectionId),
    /// The disk has made commits durable.
    Disk,
    Tick,
}

/// A request that got no answer.
struct Unanswered {
    command: Command,
    ids: (RowId, RowId),
    receipt: RowId,
    /// The promises of the attempts that made the write: more than one, if a tracker made it that
    /// did not know of the others.
    promises: Vec<Promise>,
    /// Whether an attempt that waits for a starved tracker may make the write too.
    has_unknown_attempt: bool,
}

pub(crate) struct World {
    rng: Rng,
    nodes: Vec<Node>,
    /// Future events by time, then by `scheduled_events`: the tracker, its generation, and the
    /// event.
    events: BTreeMap<(u64, u64), (usize, u32, Event)>,
    /// The number of events scheduled so far. Events of the same time happen in the order in which
    /// they were scheduled.
    scheduled_events: u64,
    made_connections: u64,
    /// Milliseconds since the start of the simulation.
    now: u64,
    /// Milliseconds since 1970 by a clock without error.
    wall: i64,
    made_ids: u64,
    /// When trackers next call each other.
    next_call: u64,
    /// Start times of trackers that are down.
    starts: BTreeMap<usize, u64>,
    /// `blocked[from][to]`: whether messages from tracker `from` to tracker `to` are lost.
    blocked: [[bool; 5]; 5],
    /// Lost messages per 100.
    loss: u8,
    /// Whether faults have ended.
    faults_ended: bool,
    /// How many times the wall clock has jumped ahead by 30 hours, so that rows expire.
    days: u32,
    /// Requests that got no answer and will be repeated.
    unanswered: Vec<Unanswered>,
    /// Tokens that clients have received. Anybody may have copied them.
    tokens: Vec<Login>,
    mutation: Mutation,
    trace: bool,
    pub(super) oracle: Oracle,
}

impl World {
    pub(super) fn new(seed: u64, mutation: Mutation, trace: bool) -> Self {
        FORGETS_LOG_OUTS.set(mutation == Mutation::ForgetLogOuts);
        REUSES_NUMBERS.set(mutation == Mutation::ReuseNumbers);
        WITHDRAWS_ANYTHING.set(mutation == Mutation::WithdrawAnything);
        let mut rng = Rng::with_seed(seed);
        let count = *rng.choice(&[2, 2, 2, 2, 2, 3, 3, 3, 4, 5]).unwrap_or(&2);
        let mut world = Self {
            rng,
            nodes: Vec::new(),
            events: BTreeMap::new(),
            scheduled_events: 0,
            made_connections: 0,
            now: 0,
            wall: START_MILLIS,
            made_ids: 0,
            next_call: 0,
            starts: BTreeMap::new(),
            blocked: Default::default(),
            loss: 0,
            faults_ended: false,
            days: 0,
            unanswered: Vec::new(),
            tokens: Vec::new(),
            mutation,
            trace,
            oracle: Oracle::default(),
        };
        for at in 0..count {
            let origin = world.new_origin();
            world.nodes.push(Node::new(origin));
            if world.rng.u8(..4) == 0 {
                world.nodes[at].skew = world.rng.i64(-3 * HOUR_MILLIS..=3 * HOUR_MILLIS);
            }
            let latest = if world.rng.u8(..4) == 0 { 4_000 } else { 5 };
            let start = world.rng.u64(..latest);
            world.starts.insert(at, start);
        }
        world
    }

    /// Runs the part of the simulation in which faults happen.
    pub(super) fn run_faults(&mut self) -> Result<(), Failure> {
        let steps = self.rng.u32(8..36);
        let first_pause = self.rng.u64(..2_500);
        self.pass(first_pause)?;
        for _ in 0..steps {
            let pause = match self.rng.u8(..12) {
                0 => 3_000,
                1..=3 => 300,
                _ => 40,
            };
            let pause = self.rng.u64(..pause);
            self.pass(pause)?;
            let at = self.rng.usize(..self.nodes.len());
            match self.rng.u8(..70) {
                0..=1 => self.crash(at),
                2 => self.lose_disk(at)?,
                3 => self.restore(at)?,
                16 => self.put_older_copy_back(at)?,
                4..=5 => self.nodes[at].backup = Some(self.nodes[at].disk.clone()),
                6..=7 => {
                    let to = self.rng.usize(..self.nodes.len());
                    self.blocked[at][to] = self.rng.bool();
                    self.oracle.counts.note("one-way partition");
                    self.log_step(|| format!("blocked from {at}: {:?}", self.blocked[at]));
                }
                8 => self.blocked = Default::default(),
                9 => self.loss = *self.rng.choice(&[0, 0, 5, 30]).unwrap_or(&0),
                10 => {
                    self.nodes[at].skew = self.rng.i64(-3 * HOUR_MILLIS..=3 * HOUR_MILLIS);
                    self.oracle.counts.note("clock jump");
                }
                11..=12 => self.cut_connection(at),
                13 => {
                    let millis = self.rng.u64(..7_000);
                    self.starve(at, millis);
                }
                25 => self.starve_in_turn()?,
                26 if self.rng.bool() => self.logins_over_days()?,
                27..=29 => self.use_a_login(at)?,
                14 if self.rng.u8(..6) == 0 => {
                    self.wall += 30 * LIFE_PART_MILLIS;
                    self.days += 1;
                    self.oracle.counts.note("clocks set 30 hours ahead");
                }
                15 => {
                    self.crash(at);
                    self.lose_blob(at);
                }
                17..=24 if !self.unanswered.is_empty() => self.repeat_request(at)?,
                _ => {
                    for _ in 0..self.rng.u8(1..5) {
                        let at = self.rng.usize(..self.nodes.len());
                        self.request_operation(at)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends all faults. Then all trackers must reach the same state, serve, and delete expired
    /// rows.
    pub(super) fn heal(&mut self) -> Result<(), Failure> {
        self.log_step(|| "faults end".to_owned());
        self.faults_ended = true;
        self.blocked = Default::default();
        self.loss = 0;
        for at in 0..self.nodes.len() {
            self.nodes[at].skew = 0;
            self.nodes[at].starved_until = 0;
            if let Some(start) = self.starts.get_mut(&at) {
                *start = self.now;
            }
        }
        self.settle()?;
        for at in 0..self.nodes.len() {
            let (id, now) = (self.new_id(), self.clock_of(at));
            let code = CodeHash(
                self.rng
                    .u128(..)
                    .to_be_bytes()
                    .repeat(2)
                    .try_into()
                    .unwrap(),
            );
            let expires = now.wall * 2;
            self.write(at, |_, registry| {
                registry.create_invite(id, code, expires, now.wall)
            })?;
        }
        self.settle()?;
        if self.days > 0 {
            self.wall += 30 * LIFE_PART_MILLIS;
            // After a start, the first garbage collection already comes after `IDLE_TIMEOUT`.
            for at in 0..self.nodes.len() {
                self.crash(at);
                self.starts.insert(at, self.now + 1);
            }
            self.pass(u64::try_from(IDLE_TIMEOUT.as_millis()).unwrap() + 2 * TICK_MILLIS)?;
            self.settle()?;
            for (at, node) in self.nodes.iter().enumerate() {
                let latest_expiry = self
                    .clock_of(at)
                    .wall
                    .saturating_sub(EXPIRED_ROW_GRACE)
                    .as_millis();
                let old = |row: &&Row| {
                    row.expires()
                        .is_some_and(|it| u128::from(it) <= latest_expiry)
                };
                if let Some(row) = node.disk.rows.values().find(old) {
                    return Err(Failure(format!("tracker {at} still has {row:?}")));
                }
            }
        }
        Ok(())
    }

    pub(super) fn check(&self) -> Result<(), Failure> {
        self.oracle.check(&self.nodes)
    }

    /// Lets time pass until all trackers have recovered.
    fn settle(&mut self) -> Result<(), Failure> {
        let end = self.now + SETTLE_MILLIS;
        loop {
            self.pass(500)?;
            match self.unsettled() {
                None => return Ok(()),
                Some(reason) if self.now >= end => {
                    return Err(Failure(format!("the trackers do not recover: {reason}")));
                }
                Some(_) => {}
            }
        }
    }

    /// Why the trackers have not recovered yet. `None` once they have.
    fn unsettled(&self) -> Option<String> {
        for (at, node) in self.nodes.iter().enumerate() {
            let Some(replica) = &node.replica else {
                return Some(format!("tracker {at} is down"));
            };
            if replica.serving() != Serving::Yes {
                return Some(format!("tracker {at}: {}", replica.serving()));
            }
            let status = replica.status(self.clock_of(at));
            let behind = status
                .others
                .iter()
                .any(|other| !other.current || other.it_lacks != Some(0) || other.we_lack > 0);
            if behind || status.waiting > 0 || status.missing_blobs > 0 || !node.commits.is_empty()
            {
                return Some(format!("{status:?}, {} commits", node.commits.len()));
            }
        }
        None
    }

    /// Lets `millis` milliseconds pass.
    fn pass(&mut self, millis: u64) -> Result<(), Failure> {
        let end = self.now + millis;
        loop {
            let event = self.events.first_key_value().map(|((when, _), _)| *when);
            let start = self.starts.values().min().copied();
            let next = [event, start, Some(self.next_call)];
            let Some(next) = next.into_iter().flatten().min().filter(|when| *when <= end) else {
                break;
            };
            self.advance(next);
            if start == Some(next) {
                let due = self.starts.iter().find(|(_, when)| **when == next);
                if let Some(at) = due.map(|(at, _)| *at) {
                    self.starts.remove(&at);
                    self.start(at)?;
                }
            } else if self.next_call == next {
                self.next_call += CALL_MILLIS;
                self.call()?;
            } else if let Some((_, (to, generation, event))) = self.events.pop_first() {
                self.handle_event(to, generation, event)?;
            }
        }
        self.advance(end);
        Ok(())
    }

    fn advance(&mut self, to: u64) {
        let passed = to.saturating_sub(self.now);
        self.now += passed;
        self.wall += i64::try_from(passed).unwrap();
    }

    fn handle_event(&mut self, to: usize, generation: u32, event: Event) -> Result<(), Failure> {
        if self.nodes[to].generation != generation {
            return Ok(());
        }
        if self.nodes[to].starved_until > self.now {
            let then = self.nodes[to].starved_until;
            self.schedule(then, to, generation, event);
            return Ok(());
        }
        let is_known = |connection| self.nodes[to].connections.contains_key(connection);
        if matches!(&event, Event::Disconnected(connection) if !is_known(connection)) {
            return Ok(());
        }
        // `after_event` checks that a tracker goes on serving after a short pause without a
        // processor. But the tracker leaves service if another tracker gave up their connection
        // during the pause. So nothing is checked after a disconnection.
        let may_leave_service = matches!(event, Event::Disconnected(_));
        let before = self.before_event(to).filter(|_| !may_leave_service);
        self.perform_event(to, event)?;
        self.after_event(to, before)
    }

    fn perform_event(&mut self, to: usize, event: Event) -> Result<(), Failure> {
        let now = self.clock_of(to);
        let node = &mut self.nodes[to];
        let Some(replica) = &mut node.replica else {
            return Ok(());
        };
        let effects = match event {
            Event::Request {
                command,
                ids,
                receipt,
            } => {
                let made = self.execute_command(to, &command, ids, receipt, |promise| promise);
                return made.map(drop);
            }
            Event::Message(connection, message) => {
                if self.trace {
                    eprintln!("{:>7} {to} <- {} {message:?}", self.now, connection.0);
                }
                return self.deliver(to, connection, message);
            }
            Event::Disconnected(connection) => {
                node.connections.remove(&connection);
                replica.on_disconnected(connection, now)
            }
            Event::Disk => {
                let count = match self.rng.u8(..4) {
                    0 => 1,
                    _ => node.commits.len(),
                };
                let mut last = None;
                for commit in node.commits.drain(..count) {
                    last = Some(commit.number);
                    node.disk.store(commit);
                }
                let more = !node.commits.is_empty();
                let effects = last.map_or_else(Vec::new, |last| replica.on_committed(last, now));
                if more {
                    self.schedule_disk(to);
                }
                effects
            }
            Event::Tick => {
                let effects = replica.tick(now);
                let generation = node.generation;
                self.schedule(self.now + TICK_MILLIS, to, generation, Event::Tick);
                effects
            }
        };
        self.perform(to, effects)
    }

    fn perform(&mut self, at: usize, effects: Vec<Effect>) -> Result<(), Failure> {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Send(connection, message) => self.transmit(at, connection, message)?,
                Effect::SendBlob {
                    connection,
                    info_hash,
                    offset,
                } => {
                    let here = self.nodes[at].disk.blobs.contains(&info_hash);
                    let bytes = here.then(|| blob(info_hash));
                    if bytes.is_none() {
                        return Err(Failure(format!(
                            "tracker {at} sends a blob that it does not have"
                        )));
                    }
                    if let Ok(message) = ReplicaMessage::blob(info_hash, offset, bytes.as_deref()) {
                        self.transmit(at, connection, message)?;
                    }
                }
                Effect::Close(connection) => {
                    if let Some(other) = self.nodes[at].connections.remove(&connection) {
                        self.schedule_disconnect(at, other, connection);
                    }
                }
                Effect::Commit(commit) => {
                    if !commit.dropped_rows.is_empty() {
                        self.oracle.counts.note("dropped row");
                    }
                    let number = commit.number;
                    let node = &mut self.nodes[at];
                    node.commits.push_back(commit);
                    let first = node.commits.len() == 1;
                    if first {
                        self.schedule_disk(at);
                    }
                    if self.mutation == Mutation::AcknowledgeBeforeCommit {
                        let now = self.clock_of(at);
                        if let Some(replica) = &mut self.nodes[at].replica {
                            effects.extend(replica.on_committed(number, now));
                        }
                    }
                }
                Effect::Acknowledge { write, copies } => {
                    self.log_step(|| format!("{at} acknowledges {} {copies:?}", write.number()));
                    if let Some(promise) = self.nodes[at].promises.remove(&write) {
                        self.oracle
                            .on_acknowledged(promise, copies, at, &self.nodes)?;
                    }
                }
                Effect::Abandon { write } => {
                    self.nodes[at].promises.remove(&write);
                }
                Effect::Report(report) => {
                    self.log_step(|| format!("{at}: {report}"));
                    if report == Report::Serves {
                        self.on_serves(at);
                    }
                    let rewound = matches!(report, Report::Halted(HaltReason::Rewound { .. }));
                    if rewound && self.nodes[at].disk.is_older_copy {
                        self.restart_under_new_origin(at);
                        return Ok(());
                    }
                    if matches!(report, Report::Stalled { .. }) {
                        self.oracle.counts.note("stall");
                    }
                    if matches!(report, Report::Halted(_) | Report::Trouble { .. }) {
                        return Err(Failure(format!("tracker {at}: {report}")));
                    }
                }
            }
        }
        Ok(())
    }

    fn on_serves(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.restored = false;
        if !node.disk.is_older_copy {
            return;
        }
        self.oracle.counts.note("older copy serves");
        // If the tracker serves with its old origin, no other tracker knows later writes of that
        // origin, so the disk is no longer an older copy. If the tracker has taken a new origin
        // that is not on the disk yet, the disk is still an older copy: after a crash, the tracker
        // would start with the old origin again.
        let origin = node.replica.as_ref().map(|it| it.registry().origin());
        node.disk.is_older_copy = origin != Some(node.disk.origin);
    }

    fn schedule(&mut self, when: u64, to: usize, generation: u32, event: Event) {
        self.scheduled_events += 1;
        self.events
            .insert((when, self.scheduled_events), (to, generation, event));
    }

    /// The time by the clock of a tracker.
    fn clock_of(&self, at: usize) -> Moment {
        let Node {
            skew, uncounted, ..
        } = &self.nodes[at];
        let wall = self.wall + skew - uncounted;
        let elapsed = i64::try_from(self.now).unwrap() - uncounted;
        Moment {
            elapsed: Duration::from_millis(u64::try_from(elapsed).unwrap()),
            wall: Duration::from_millis(u64::try_from(wall).unwrap()),
        }
    }

    fn new_id(&mut self) -> RowId {
        self.made_ids += 1;
        let mut id = self.rng.u128(..).to_be_bytes();
        id[8..].copy_from_slice(&self.made_ids.to_be_bytes());
        RowId(id)
    }

    fn new_origin(&mut self) -> Origin {
        Origin(self.new_id().0)
    }

    fn log_step(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>7} {}", self.now, what());
        }
    }
}

fn new_account(rng: &mut Rng, id: RowId) -> NewAccount {
    let name = ["nik", "mayank", "olga", "ada", "Nik"][rng.usize(..5)];
    NewAccount {
        id,
        name: name.parse().unwrap(),
        password: PasswordHash::new("first").unwrap(),
    }
}
