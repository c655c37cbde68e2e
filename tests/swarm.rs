//! Open swarms end to end: the real binary, real sockets, real files and `kill -9`.

mod common;

/// The tests; their files are in `tests/swarm/`.
mod swarm {
    mod downloads;
    mod endings;
    mod failures;
    mod first_steps;
    mod kills;
    mod options;
    mod processes;
    mod publishing;
    mod run_local;
    mod scenarios;
    mod signals;
    mod torrents;
}
