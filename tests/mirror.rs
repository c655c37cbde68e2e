//! Mirrors of groups, end to end: real peers, a real tracker, real files.

mod common;

#[allow(dead_code)]
#[path = "groups/team.rs"]
mod team;

/// The tests; their files are in `tests/mirror/`.
mod mirror {
    mod fleet;
    mod follow;
    mod others;
    mod prune;
}
