//! Choking, serving, limits on rates, and what peers report about themselves: the real binary
//! against itself and against scripted peers.

mod common;

/// The tests; their files are in `tests/serving/`.
mod serving {
    mod choking;
    mod choking_seeds;
    mod extension_handshake;
    mod large_share;
    mod limits;
    mod many_shares;
}
