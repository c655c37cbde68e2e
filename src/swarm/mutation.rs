//! Faults that tests plant, to show that the simulation catches each of them.
//!
//! A fault is planted for the thread of one test. The hooks are `cfg(test)`: the product does not
//! contain them.

use std::cell::Cell;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// A block is requested from a second link although other blocks are free.
    RequestedTwice,
    /// The blocks that were requested from a lost link stay requested.
    LostLinkKeepsRequests,
    /// A link gets no cancel for a requested block that came from another link.
    CancelLeftOut,
    /// After a choke without BEP 6 the requests stay in flight.
    ChokeKeepsRequests,
    /// A rejected block stays requested.
    RejectKeepsRequest,
    /// A stalled link keeps its requests.
    StalledKeepsRequests,
    /// Requests that are given up are not cancelled at their links.
    GivenUpNotCancelled,
    /// Blocks are requested from links that choke us.
    RequestedWhileChoked,
    /// Choked peers are served.
    ChokedServed,
    /// Pieces that are not owned are served.
    UnownedServed,
    /// A peer that loses its slot is not choked.
    ChokeLeftOut,
    /// There is one slot too many.
    OneSlotTooMany,
    /// After a `not interested`, interest in new pieces is never sent again.
    InterestNotRenewed,
    /// Links get no `have` for a new piece.
    HaveLeftOut,
    /// The buffers of a run are not returned.
    BuffersKept,
    /// A piece that failed is not fetched again.
    FailedNotFetched,
    /// A peer that is the only source of a bad piece is not barred.
    LiarNotBarred,
    /// One of several sources of a bad piece is blamed.
    OneOfSeveralBlamed,
    /// A link keeps a piece that it has alone, although it holds the piece back.
    HeldBack,
    /// Local blocks are requested from links.
    LocalRequested,
    /// A link is blamed for a bad piece that had local blocks.
    LocalBlamed,
    /// A bad piece keeps its local blocks.
    LocalKept,
    /// Local blocks that cannot be read are not requested from links.
    UnreadableNotFetched,
    /// The buffers of a run whose local blocks cannot be read are returned, although links deliver
    /// blocks of this run.
    UnreadableBuffersReturned,
    /// A piece whose blocks are all local is not begun.
    LocalNotBegun,
    /// A peer keeps two links to one other peer.
    TwoLinks,
}

thread_local! {
    static PLANTED: Cell<Option<Mutation>> = const { Cell::new(None) };
}

/// Whether this fault is planted in this thread.
pub(super) fn is_planted(mutation: Mutation) -> bool {
    PLANTED.get() == Some(mutation)
}

/// Runs `act` with the fault planted. `act` must not panic.
pub(super) fn with_planted<R>(mutation: Mutation, act: impl FnOnce() -> R) -> R {
    PLANTED.set(Some(mutation));
    let result = act();
    PLANTED.set(None);
    result
}
