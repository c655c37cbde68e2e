//! Control connections: which certificates a peer trusts, what crosses the wire, and which files
//! may hold the key of a cluster.

mod common;

/// The tests; their files are in `tests/control/`.
mod control {
    mod cluster;
    mod trust;
    mod wire;
}
