//! Faults that tests plant, to show that the simulation catches them.

use std::cell::Cell;

thread_local! {
    /// In this thread, a log-out that arrives from another tracker is kept only as long as that
    /// tracker needs it.
    pub(in crate::tracker) static FORGETS_LOG_OUTS: Cell<bool> = const { Cell::new(false) };
    /// In this thread, the numbers of withdrawn versions of a share are given again.
    pub(in crate::tracker) static REUSES_NUMBERS: Cell<bool> = const { Cell::new(false) };
    /// In this thread, a withdrawal by a name withdraws what the name means at this tracker, even
    /// if the person who withdraws has seen something else.
    pub(in crate::tracker) static WITHDRAWS_ANYTHING: Cell<bool> = const { Cell::new(false) };
}
