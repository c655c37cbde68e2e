//! Replication: how the trackers of a cluster keep each other current, as a pure state machine.
//!
//! In scope: one [`Replica`] a tracker, which owns its [`Registry`](super::registry::Registry) and
//! decides what is sent to whom, what is made durable, when a write is acknowledged, and whether
//! this tracker may serve at all. What happens goes in with the time it happens at; what is to be
//! done comes out as [`Effect`]s. Out of scope: sockets, threads, clocks, the database, and the
//! bytes of each message (see [`crate::wire::replica`]).
//!
//! # The rules
//! 1. **Nothing leaves before it is durable.** A write or merge is applied in memory and its
//!    [`Commit`] handed out at once; every message and acknowledgement made after it is held until
//!    that commit, and all before it, are durable. So a crash forgets only what nobody has heard
//!    of.
//! 2. **Push before acknowledging.** A write goes to every other tracker that is current. It is
//!    acknowledged as soon as one of them has it durably, or with "only here" after [`PUSH_WAIT`],
//!    or at once while none is current. A tracker that let a write wait that long is not waited
//!    for again until it has caught up.
//! 3. **What is merged is complete.** A change is merged only if, with it, every write that its
//!    rows bear is known; else it is asked for by catching up. So the rows of a tracker are always
//!    exactly those that its version vector says, and two trackers with equal vectors have equal
//!    rows, even if a third died in the middle of telling them.
//! 4. **Catching up** is a series of [`Message::Pull`](crate::wire::replica::Message::Pull)s, each
//!    for one batch, from one tracker at a time; the one that answers keeps no state for it. The
//!    batches are merged in one step at the end, while this tracker serves on. It begins whenever
//!    another tracker says (at its hello, once a second, at a push) that it knows more; an absence
//!    of any length, a new empty tracker and a restored one need no other way. On a slow line the
//!    parts of a batch count as signs of life ([`Replica::arriving`]); what was staged when one
//!    was given up is gone on from over the same line.
//! 5. **Blobs first.** Rows that name a blob are merged only when the blob is here (it is fetched
//!    before them), so that [`Message::Pushed`](crate::wire::replica::Message::Pushed) speaks for
//!    both. A blob that the sender has not got either does not hold up the rows: it is reported,
//!    and every tracker that connects is asked for it.
//! 6. **No number is given twice.** If any other tracker knows an own write that is not known
//!    here, these data are an older copy, and to write on would give two writes one number: the
//!    replica halts ([`Halt`]). To notice in time, and so that it does not answer from old data, a
//!    tracker waits up to [`START_WAIT`] to hear of all other trackers and be in step with one
//!    before it serves; a new, empty one serves when it has caught up with whom it reached; a
//!    restored one only when it has caught up with a tracker that serves, however long that takes.
//!    One that begins to serve without having heard of every other tracker cannot know whether it
//!    has an older copy: it takes a new origin, durable before its first write, and its former
//!    self's later writes are caught up with as anybody's. A single tracker has nobody to be
//!    confused with, and keeps its own. **Who stood still starts again.** If no [`Replica::tick`]
//!    came for [`STANDSTILL`], by either clock, others have gone on without this tracker, and what
//!    came meanwhile may have been given up and done elsewhere: it ends its lines and serves again
//!    once it would after a start.
//! 7. **Tombstones** are forgotten when they have said nothing for [`KEEP`], every listed tracker
//!    has said in this run that it has them, and no clock is known to be wrong. Blobs that no row
//!    has named for [`FORGET`] go too; a tracker that still has such a row has the blob as well.
//!
//! # How it is driven
//! One lock guards the replica. Each call is made, and its effects are handed on in their order,
//! under that lock; handing on must not block: commits go to the one thread that owns the
//! database, messages to the outbox of their line. Several commits may be made durable as one, if
//! in order; then [`Replica::committed`] takes the last number. A commit that fails leaves memory
//! ahead of the disk: the process must end. [`Replica::tick`] is called about every 100 ms.
//!
//! Of two trackers the one with the higher number calls the other, again about once a second while
//! there is no line, so that there is one line for both directions. [`Replica::list`] is called
//! when other trackers are listed than at the start. A line that both ends have authenticated is
//! given to [`Replica::line_up`] under a number greater than all before it, its messages to
//! [`Replica::received`] in order, and its end to [`Replica::line_down`]. Messages may all the
//! same be lost, late, repeated or out of order: then things take longer, and stay right.
//!
//! # What is bounded by what
//! | what | by |
//! |---|---|
//! | a message | one frame, 1 MiB |
//! | a batch | [`BATCH`], more only when one write alone is longer; a write, by [`MAX_ENCODED`](crate::wire::replica::MAX_ENCODED) when it is made |
//! | rows staged while catching up | the registry of the other tracker, once: one catching up at a time, or what was kept of it |
//! | blobs in memory | one of at most 16 MiB, asked for in parts of at most 128 KiB |
//! | messages to a tracker that reads nothing | those of [`PUSH_WAIT`], then answers and a ping a second until [`SILENCE`] ends the line |
//! | time a write waits for other trackers | [`PUSH_WAIT`] |
//! | time an unanswered question blocks others | [`PATIENCE`]; then another tracker is asked |

mod blobs;
mod catch_up;
mod effects;
mod limits;
mod others;
mod replica;
mod report;
mod serving;
#[cfg(test)]
mod simulation;
mod stage;
mod status;
#[cfg(test)]
mod tests;
mod writes;

pub use blobs::Blobs;
use blobs::{BlobFetcher, Part};
use catch_up::CatchingUp;
use effects::Effects;
pub use effects::{Commit, Copies, Effect, LineId, Moment};
pub use limits::{
    BATCH, FORGET, KEEP, PATIENCE, PAUSE, PING, PUSH_WAIT, SILENCE, STANDSTILL, START_WAIT,
};
use others::{Hello, Others};
pub use replica::{Replica, Settings};
pub use report::Report;
pub use serving::{Halt, Serving, Start};
use stage::Stage;
pub use status::{ReplicaStatus, Status};
pub use writes::WriteError;
use writes::Writes;
