//! Faults that tests plant, to see that the simulation catches each of them.
//!
//! A fault is planted for the thread of one test. The hooks are marked `cfg(test)`: of all this
//! nothing is in the program.

use std::cell::Cell;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// A block is asked of a second link though others are free.
    AskedTwice,
    /// The blocks that a lost link was asked for stay asked.
    LostLinkKeepsBlocks,
    /// A link whose block came from another is not told.
    CancelLeftOut,
    /// After a choke without BEP 6 the requests stay in flight.
    ChokeKeepsRequests,
    /// A rejected block stays asked.
    RejectKeepsBlock,
    /// A stalled link keeps its requests.
    StalledKeepsBlocks,
    /// Links do not hear that what they were asked for is given up.
    GivenUpUntold,
    /// Links that choke are asked.
    AskedWhileChoked,
    /// Who is choked is served.
    ChokedServed,
    /// Pieces that are not here are served.
    UnownedServed,
    /// Whoever loses its slot is not choked.
    ChokeLeftOut,
    /// One is unchoked for whom there is no slot.
    SlotTooMany,
    /// Interest in new pieces is not told, once there was none.
    InterestNotRenewed,
    /// Links do not hear of a new piece.
    HaveLeftOut,
    /// The buffers of a run are not given back.
    BuffersKept,
    /// A piece that failed is not fetched again.
    FailedNotFetched,
    /// Who sent a bad piece alone is not barred.
    LiarNotBarred,
    /// One of several that sent a bad piece is blamed.
    WrongOneBlamed,
    /// A peer has two links.
    TwoLinks,
}

thread_local! {
    static PLANTED: Cell<Option<Mutation>> = const { Cell::new(None) };
}

/// Whether this fault is planted here.
pub(super) fn is_planted(mutation: Mutation) -> bool {
    PLANTED.get() == Some(mutation)
}

/// Runs `act`, which does not panic, with the fault planted.
pub(super) fn with<R>(mutation: Mutation, act: impl FnOnce() -> R) -> R {
    PLANTED.set(Some(mutation));
    let result = act();
    PLANTED.set(None);
    result
}
