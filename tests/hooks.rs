//! Hooks end to end: the real binary runs real scripts after real events.

mod common;

#[allow(dead_code)]
#[path = "groups/team.rs"]
mod team;

/// The tests; their files are in `tests/hooks/`.
mod hooks {
    mod ends;
    mod processes;
    mod script;
    mod shares;
}
