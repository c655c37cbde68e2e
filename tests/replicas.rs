//! Trackers that replicate one registry: the real binary, real replica connections, `kill -9`, and
//! a network that a test can cut.

mod common;

/// The tests; their files are in `tests/replicas/`.
mod replicas {
    mod backups;
    mod conflicts;
    mod crowded;
    mod failover;
    mod figures;
    mod holders;
    mod joining;
    mod kills;
    mod logins;
    mod machine_writes;
    mod machines;
    mod operator;
    mod outcome;
    mod pair;
    mod paused;
    mod placement;
    mod proxy;
    mod renamed;
    mod repeats;
    mod share_versions;
    mod strangers;
    mod write_wait;
}
