//! Replication: how the trackers of a cluster keep each other current, as a pure state machine.
//!
//! In scope: one [`Replica`] a tracker, which owns its [`Registry`] and decides what is told to whom, what is made durable,
//! when a write is acknowledged, and whether this tracker may serve at all. What happens goes in with the time it happens
//! at; what is to be done comes out as [`Effect`]s. Out of scope: sockets, threads, clocks, the database, and the bytes of
//! each message (see [`crate::wire::twin`]).
//!
//! # The rules
//! 1. **Nothing leaves before it is durable.** A write or merge is applied in memory and its [`Commit`] handed out at once;
//!    every message and acknowledgement made after it is held until that commit, and all before it, are durable. So a crash
//!    forgets only what nobody has heard of.
//! 2. **Push before acknowledging.** A write goes to every twin that is current. It is acknowledged as soon as one of them
//!    has it durably, or with "only here" after [`PUSH_WAIT`], or at once while no twin is current. A twin that let a write
//!    wait that long is not waited for again until it has caught up.
//! 3. **What is merged is complete.** A change is merged only if, with it, every write that its rows bear is known; else it
//!    is asked for by catching up. So the rows of a tracker are always exactly those that its version vector says, and two
//!    trackers with equal vectors have equal rows, even if a third died in the middle of telling them.
//! 4. **Catching up** is a series of [`Message::Pull`]s, each for one batch, from one twin at a time; whoever answers keeps no
//!    state for it. The batches are merged in one step at the end, while this tracker serves on. It begins whenever a twin
//!    says (at its hello, once a second, at a push) that it knows more; an absence of any length, a new empty tracker and
//!    a restored one need no other way. On a slow line the parts of a batch count as signs of life ([`Replica::arriving`]);
//!    what was staged when one was given up is gone on from over the same line.
//! 5. **Blobs first.** Rows that name a blob are merged only when the blob is here (it is fetched before them), so that
//!    [`Message::Pushed`] speaks for both. A blob that the twin has not got either does not hold up the rows: it is reported,
//!    and asked of every twin that comes.
//! 6. **No number is given twice.** If any twin knows an own write that is not known here, these data are an older copy, and
//!    to write on would give two writes one number: the replica halts ([`Halt`]). To notice in time, and lest it answer out
//!    of what has changed meanwhile, a tracker waits up to [`START_WAIT`] to hear of all twins and be in step with one before
//!    it serves; a new, empty one serves when it has caught up with whom it reached; a restored one only when it has caught
//!    up with a twin that serves, however long that takes. One that begins to serve without having heard of every twin
//!    cannot know whether it has an older copy: it takes a new origin, durable before its first write, and its former
//!    self's later writes are caught up with as anybody's. A single tracker has nobody to be confused with, and keeps its own.
//!    **Who stood still starts again.** If no [`Replica::tick`] came for [`STANDSTILL`], by either clock, others have gone on
//!    without this tracker, and what came meanwhile may have been given up and done elsewhere: it ends its lines and serves
//!    again once it would after a start.
//! 7. **Tombstones** are forgotten when they have said nothing for [`KEEP`], every listed tracker has told in this run that
//!    it has them, and no clock is known to be wrong. Blobs that no row has named for [`FORGET`] go too; a tracker that still
//!    has such a row has the blob as well.
//!
//! # How it is driven
//! One lock guards the replica. Each call is made, and its effects are handed on in their order, under that lock; handing on
//! must not block: commits go to the one thread that owns the database, messages to the outbox of their line. Several
//! commits may be made durable as one, if in order; then [`Replica::committed`] is told the last number. A commit that fails
//! leaves memory ahead of the disk: the process must end. [`Replica::tick`] is called about every 100 ms.
//!
//! Of two trackers the one with the higher number calls the other, again about once a second while there is no line, so that
//! there is one line for both directions. [`Replica::list`] is told when other trackers are listed than at the start. A line that both ends have authenticated is given to [`Replica::line_up`] under a
//! number greater than all before it, its messages to [`Replica::received`] in order, and its end to [`Replica::line_down`].
//! Messages may all the same be lost, late, repeated or out of order: then things take longer, and stay right.
//!
//! # What is bounded by what
//! | what | by |
//! |---|---|
//! | a message | one frame, 1 MiB |
//! | a batch | [`BATCH`], more only when one write alone is longer; a write, by [`MAX_ENCODED`](crate::wire::twin::MAX_ENCODED) when it is made |
//! | rows staged while catching up | the registry of the twin, once: one catching up at a time, or what was kept of it |
//! | blobs in memory | one of at most 16 MiB, asked for in parts of at most 128 KiB |
//! | messages to a twin that reads nothing | those of [`PUSH_WAIT`], then answers and a ping a second until [`SILENCE`] ends the line |
//! | time a write waits for twins | [`PUSH_WAIT`] |
//! | time an unanswered question blocks others | [`PATIENCE`]; then another twin is asked |

mod blobs;
mod catch_up;
mod commits;
mod lines;
mod messages;
mod report;
#[cfg(test)]
mod simulation;
mod start;
mod status;
#[cfg(test)]
mod tests;
mod timers;
mod twin;
mod writes;

pub use blobs::Blobs;
pub use report::Report;
pub use start::{Halt, Serving, Start};
pub use status::{Status, TwinStatus};
pub use writes::WriteError;

use super::registry::{Origin, Registry, Row, RowId, Sequence, VersionVector};
use crate::torrent::InfoHash;
use crate::wire::twin::{Message, TrackerNumber};
use catch_up::CatchUp;
use commits::Commits;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use twin::Twin;
use writes::Waiting;

/// How long a write waits for a twin to have it.
pub const PUSH_WAIT: Duration = Duration::from_secs(2);
/// How long after the start it is waited for a twin to be in step with.
pub const START_WAIT: Duration = Duration::from_secs(2);
/// How long without a tick a tracker counts as having stood still. The monotonic clock does not count a machine's sleep, the
/// wall clock does; one that is set forward by as much looks the same, and costs a moment.
pub const STANDSTILL: Duration = Duration::from_secs(2);
/// How often a twin is told what is known here.
pub const PING: Duration = Duration::from_secs(1);
/// How long a line may be silent before it is closed.
pub const SILENCE: Duration = Duration::from_secs(5);
/// How long the answer to a pull, or the next part of a blob, may take.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// How long a twin that failed an answer is not asked again.
pub const PAUSE: Duration = Duration::from_secs(1);
/// About how many bytes one batch of changes has.
pub const BATCH: usize = 64 << 10;
/// How long past its time a row is kept at least: clocks that are wrong by hours drop nothing too early.
pub const KEEP: Duration = Duration::from_secs(24 * 60 * 60);
/// How often it is looked for rows to forget; the first time when a line has had time to come up.
pub const FORGET: Duration = Duration::from_secs(60);

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Time that never jumps, since an epoch of the caller's choosing.
    pub elapsed: Duration,
    /// What the wall clock says: time since 1970. It may be wrong and may jump.
    pub wall: Duration,
}

/// A line to another tracker, numbered by whoever opens and accepts them: each greater than all before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineId(pub u64);

/// Who this tracker is among which others.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its number.
    pub number: TrackerNumber,
    /// The numbers of all trackers listed, its own among them or not.
    pub listed: Vec<TrackerNumber>,
    /// About how many bytes one batch of changes has, as [`BATCH`].
    pub batch: usize,
    /// What rows have to do with blobs.
    pub blobs: Blobs,
    /// Random bits that are in use nowhere, for the case that the stored origin may not be used any more.
    pub spare: Origin,
}

/// What is to be done, in this order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send this; if the line is gone, nothing.
    Send(LineId, Message),
    /// Read the blob and send the part of it from `offset` on (see [`Message::blob`]); if that cannot be, end the line.
    SendBlob {
        /// To whom.
        line: LineId,
        /// Which blob.
        info_hash: InfoHash,
        /// First byte of the part.
        offset: u32,
    },
    /// End the line. [`Replica::line_down`] need not be told.
    Close(LineId),
    /// Make this durable, then tell [`Replica::committed`].
    Commit(Commit),
    /// Tell the client that its write is done.
    Acknowledge {
        /// Which write.
        write: Sequence,
        /// Where it is durable.
        copies: Copies,
    },
    /// Tell the client that this tracker has stopped serving and what became of its write is not known.
    Abandon {
        /// Which write.
        write: Sequence,
    },
    /// Tell the operator.
    Report(Report),
}

/// What must be on the disk, all of it or nothing.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Its number: commits are made durable in this order.
    pub number: u64,
    /// Rows, each replacing what is stored under its id.
    pub rows: Vec<Row>,
    /// Rows to be deleted, before the new ones are stored.
    pub forgotten: Vec<RowId>,
    /// The version vector, replacing the stored one.
    pub versions: VersionVector,
    /// The origin, replacing the stored one, if it is new.
    pub origin: Option<Origin>,
    /// Blobs to be deleted, before the new ones are stored.
    pub dropped: Vec<InfoHash>,
    /// Blobs that are new.
    pub blobs: Vec<(InfoHash, Vec<u8>)>,
}

/// Where an acknowledged write is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// Here and at another tracker.
    Two,
    /// Only here so far: no twin is up, or none has answered in time. It goes to them when they are back.
    OnlyHere,
}

/// A tracker's registry and what it has to do with the other trackers.
#[derive(Debug)]
pub struct Replica {
    number: TrackerNumber,
    registry: Registry,
    twins: BTreeMap<TrackerNumber, Twin>,
    lines: BTreeMap<LineId, Line>,
    commits: Commits,
    writes: BTreeMap<Sequence, Waiting>,
    catch_up: Option<CatchUp>,
    /// What was staged when a catching up was given up.
    kept: Option<catch_up::Kept>,
    pulls: u32,
    batch: usize,
    blobs: Blobs,
    /// The blobs that are here.
    stored: BTreeSet<InfoHash>,
    /// Blobs that rows name and that are not here.
    lacking: BTreeSet<InfoHash>,
    /// Blobs that no row named at the last look.
    unnamed: BTreeSet<InfoHash>,
    fetch: Option<blobs::Fetch>,
    stage: start::Stage,
    spare: Option<Origin>,
    /// Whether the next commit is to store the origin.
    origin_is_new: bool,
    /// When the last tick was.
    ticked: Moment,
    next_forget: Duration,
    /// Whose stamps were last reported as far ahead, and when.
    drifts: BTreeMap<Origin, Duration>,
    /// What was last wrong with somebody who is no twin.
    stranger: Option<String>,
    effects: Vec<Effect>,
}

/// A line as long as it is up.
#[derive(Debug)]
struct Line {
    /// When something last came over it.
    heard: Duration,
    /// Whose it is, once that has been said.
    twin: Option<TrackerNumber>,
}

impl Replica {
    /// The replica with that registry, as it was loaded, and the blobs that are stored beside it.
    pub fn new(
        settings: Settings,
        registry: Registry,
        stored: impl IntoIterator<Item = InfoHash>,
        start: Start,
        now: Moment,
    ) -> Self {
        let others = settings.listed.into_iter();
        let others = others.filter(|number| *number != settings.number);
        let stored: BTreeSet<InfoHash> = stored.into_iter().collect();
        let named = registry.rows().filter_map(settings.blobs.named_by);
        let lacking = named.filter(|blob| !stored.contains(blob)).collect();
        let mut replica = Self {
            number: settings.number,
            twins: others.map(|number| (number, Twin::default())).collect(),
            lines: BTreeMap::new(),
            commits: Commits::default(),
            writes: BTreeMap::new(),
            catch_up: None,
            kept: None,
            pulls: 0,
            batch: settings.batch,
            blobs: settings.blobs,
            stored,
            lacking,
            fetch: None,
            stage: start::Stage::new(start, now),
            spare: Some(settings.spare),
            origin_is_new: false,
            ticked: now,
            unnamed: BTreeSet::new(),
            next_forget: now.elapsed + SILENCE,
            drifts: BTreeMap::new(),
            stranger: None,
            effects: Vec::new(),
            registry,
        };
        replica.consider_serving(now);
        replica
    }

    /// The registry, to be asked: what it says may still be on its way to the disk.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Whether there is no other tracker to keep current.
    pub fn is_single(&self) -> bool {
        self.twins.is_empty()
    }

    /// A commit, and all before it, are durable.
    pub fn committed(&mut self, number: u64, now: Moment) -> Vec<Effect> {
        let released = self.commits.durable(number);
        self.effects.extend(released);
        self.writes_are_durable(now);
        self.done(now)
    }

    /// What follows from whatever has happened, and all effects so far.
    fn done(&mut self, now: Moment) -> Vec<Effect> {
        self.consider_catching_up(now);
        self.consider_fetching(now);
        self.consider_serving(now);
        std::mem::take(&mut self.effects)
    }

    fn report(&mut self, report: Report) {
        self.effects.push(Effect::Report(report));
    }

    /// Sends a message that tells of the present state, once that is durable.
    fn send(&mut self, line: LineId, message: Message) {
        self.hold(Effect::Send(line, message));
    }

    fn hold(&mut self, effect: Effect) {
        self.effects.extend(self.commits.hold(effect));
    }
}
