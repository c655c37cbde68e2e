//! The binary opens the state that the previous version wrote, and continues with it.
//!
//! `testdata/state/README.md` describes that state and how it was written.

mod common;

/// The tests; their files are in `tests/state/`.
mod state {
    mod before;
    mod fixture;
}
