//! Replication: how the trackers of a cluster keep each other current, as a pure state machine.
//!
//! In scope: one [`Replica`] per tracker. It owns the tracker's
//! [`Registry`](super::registry::Registry) and decides what is sent to which tracker, what is made
//! durable, when a write is acknowledged, and whether this tracker may serve. Each event goes in
//! with its time; each resulting action comes out as an [`Effect`].
//!
//! Out of scope: sockets, threads, clocks, the database, and the bytes of each message (see
//! [`crate::wire::replica`]).
//!
//! # The rules
//! 1. **Nothing is sent before it is durable.** A write or merge is applied in memory, and its
//!    [`Commit`] is handed out at once. Every later acknowledgement, and every later message except
//!    a pong, is held until that commit, and all commits before it, are durable. So a crash loses
//!    only changes that no other program has seen.
//! 2. **Push before acknowledging.** A write is pushed to every other tracker that is current. It
//!    is acknowledged when one of them has it durably. It is acknowledged as "only here" after
//!    [`PUSH_WAIT`], or at once while no other tracker is current. If a tracker has not confirmed a
//!    write within [`PUSH_WAIT`], no write waits for that tracker before it has caught up. A
//!    repeated command confirms its earlier write with a new one
//!    ([`Update::confirms_earlier`](super::registry::Update::confirms_earlier)). The earlier write
//!    may be of another tracker, or of an earlier origin of this one. So the new write is pushed
//!    only to trackers that have reported that they have everything that this tracker had then. All
//!    others get it when they catch up, together with the earlier write. So a tracker that has the
//!    new write has the earlier one.
//! 3. **A merge is complete.** A change is merged only if this tracker then knows every write that
//!    the rows contain. Otherwise it catches up with the sender. So the rows of a tracker are
//!    always exactly those that its version vector describes, and two trackers with equal vectors
//!    have equal rows, even if a third tracker died while it was sending changes.
//! 4. **Catching up** is a series of requests
//!    ([`ReplicaMessage::Pull`](crate::wire::replica::ReplicaMessage::Pull)) for one batch each, to
//!    one tracker at a time. The answering tracker keeps no state for them. The batches are merged
//!    in one step at the end. A tracker that serves goes on serving while it catches up. Catching
//!    up starts whenever another tracker reports (in its hello, once a second, or with a push) that
//!    it knows more. A long absence, a new empty tracker and a restored one need no other
//!    mechanism. On a slow connection the parts of a batch count as signs of life
//!    ([`Replica::on_bytes`]). If a catch-up is given up, a later one over the same connection
//!    continues with the staged batches.
//! 5. **Blobs first.** A blob is the info dictionary of a share. Rows that name a blob are merged
//!    only when the blob is stored here; it is fetched before them. So
//!    [`ReplicaMessage::Pushed`](crate::wire::replica::ReplicaMessage::Pushed) confirms both. If
//!    the sender has no such blob either, the rows are merged without it. The missing blob is
//!    reported, and every tracker that connects is asked for it.
//! 6. **No write number is used twice.** If another tracker knows a write of this origin that is
//!    not known here, the data of this tracker are an older copy. Going on would give two writes
//!    one number, so the replica halts ([`HaltReason`]).
//!    - To detect this in time, and to avoid answers from old data, a tracker waits up to
//!      [`START_WAIT`] before it serves. The wait ends earlier when every other tracker has
//!      reported and this tracker is in sync with one of them. A report counts if it was sent after
//!      the hello of this process had arrived: before that, writes of an earlier process may still
//!      be on their way.
//!    - A new, empty tracker serves when it has caught up with a tracker that it reached. A
//!      restored tracker serves only when it has caught up with a tracker that serves, however long
//!      that takes.
//!    - A tracker that begins to serve before every other tracker has reported cannot know whether
//!      it has an older copy. It takes a new origin, which is made durable before the tracker's
//!      first write. The same holds for a tracker that does not serve yet and must keep a log-out
//!      longer than the tracker that made it (see `registry::logins`). It catches up with later
//!      writes of its old origin as with those of any other origin. A single tracker keeps its
//!      origin.
//!    - **A stalled tracker starts again**, unless it is the only one. A tracker has stalled if no
//!      event came for [`STALL_LIMIT`] by one of its clocks, or if another tracker gave up the
//!      connection to it during a shorter pause. The others may have gone on without it, and its
//!      clients may have repeated their pending requests there. The stalled tracker closes its
//!      connections and serves again under the rules for a start. After any other pause it goes on
//!      serving: every other tracker still has the connection, and the messages that the others
//!      sent during the pause arrive now. All time limits count only the time in which the tracker
//!      ran.
//! 7. **Expired rows** are deleted when they expired at least [`EXPIRED_ROW_GRACE`] ago, every
//!    listed tracker has reported, since this tracker last started, that it has them, this tracker
//!    has all writes that they have reported, and each of their clocks was compared with the clock
//!    of this tracker and agrees with it. A clock is compared again after each hello and each
//!    stall: a tracker whose clock was set far ahead must not delete a row before it notices that.
//!    Blobs that no row has named for [`GC_INTERVAL`] are deleted too. If rows of another tracker
//!    still name such a blob, that tracker has the blob itself.
//!
//! # How it is driven
//! One lock guards the replica. The caller makes each call, and hands on the returned effects in
//! their order, while it holds that lock. Handing on must not block: commits go to the thread that
//! owns the database, messages to the outbox of their connection. Several consecutive commits may
//! be made durable together; then [`Replica::on_committed`] takes the number of the last one. After
//! a failed commit, memory is ahead of the disk: the caller makes no further calls until it has
//! repeated the commit with success, except [`Replica::on_disconnected`] and
//! [`Replica::set_listed`]. [`Replica::tick`] is called about every 100 ms.
//!
//! Of two trackers, only the one with the higher number connects to the other, so that one
//! connection serves both directions. While there is no connection, that tracker tries about once a
//! second. [`Replica::set_listed`] is called when the list of trackers has changed. When both ends
//! of a connection are authenticated, the caller passes the connection to
//! [`Replica::on_connected`], with a number greater than those of all earlier connections. Then it
//! passes each message of the connection to [`Replica::on_message`], in order. When the connection
//! has closed, the caller calls [`Replica::on_disconnected`]. Lost, late, repeated or reordered
//! messages are tolerated: they only cost time.
//!
//! # Limits
//! | what | limited by |
//! |---|---|
//! | a message | one frame, 1 MiB |
//! | a batch | [`BATCH_BYTES`], exceeded only by a single larger write |
//! | a write | [`MAX_ENCODED`](crate::wire::replica::MAX_ENCODED), checked when it is made |
//! | staged rows | the registry of one other tracker: one catch-up runs or is kept at a time |
//! | blobs in memory | one of at most 16 MiB, requested in parts of at most 128 KiB |
//! | pushes to a tracker that does not confirm them | [`PUSH_WAIT`]; then it gets no more |
//! | messages to a silent tracker | [`IDLE_TIMEOUT`]; then the connection is closed |
//! | time a write waits for other trackers | [`PUSH_WAIT`] |
//! | time lost with an unanswered request | [`ANSWER_TIMEOUT`]; then another tracker is asked |

mod blobs;
mod catch_up;
mod effects;
mod lifecycle;
mod limits;
mod other_replicas;
mod replica;
mod report;
mod running_clock;
mod serving;
#[cfg(test)]
mod simulation;
mod status;
#[cfg(test)]
mod tests;
mod writes;

pub use blobs::BlobRules;
use blobs::{BlobFetcher, PartOutcome};
use catch_up::CatchUp;
use effects::Effects;
pub use effects::{Commit, Copies, Effect, Moment, ReplicaConnectionId};
use lifecycle::Lifecycle;
pub use limits::{
    ANSWER_TIMEOUT, BATCH_BYTES, EXPIRED_ROW_GRACE, GC_INTERVAL, IDLE_TIMEOUT, PING_INTERVAL,
    PUSH_WAIT, RETRY_PAUSE, STALL_LIMIT, START_WAIT,
};
use other_replicas::{Hello, OtherReplicas};
pub use replica::{Replica, ReplicaSettings};
pub use report::Report;
use running_clock::RunningClock;
use serving::COPY_REMEDY;
pub use serving::{HaltReason, Serving, StartData};
pub use status::{ClusterStatus, ReplicaStatus};
use writes::PendingWrites;
pub use writes::ReplicaError;
