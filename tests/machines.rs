//! Machines without people, with real processes: join lines, tokens, suspensions, and trackers that
//! are away for long.

mod common;

/// Two trackers of one cluster, as the tests of replication use them.
#[allow(dead_code)]
#[path = "replicas/pair.rs"]
mod pair;
#[allow(dead_code)]
#[path = "replicas/proxy.rs"]
mod proxy;

/// The tests; their files are in `tests/machines/`.
mod machines {
    mod clones;
    mod fleet;
    mod folders;
    mod holders;
    mod lines;
    mod machine;
    mod mistakes;
    mod outage;
    mod tokens;
}
