//! Control connections: which certificates a peer trusts, what crosses the wire, which files may
//! hold the key of a cluster, and what `doctor` finds.

mod common;

/// The tests; their files are in `tests/control/`.
mod control {
    mod cluster;
    mod doctor;
    mod silent;
    mod trust;
    mod wire;
}
