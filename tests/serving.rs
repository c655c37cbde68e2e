//! Choking, serving, limits on rates, and what peers report about themselves: the real binary
//! against itself and against scripted peers. An *owner* is a peer that has the whole share.

mod common;

/// The tests; their files are in `tests/serving/`.
mod serving {
    mod choking;
    mod extension_handshake;
    mod limits;
    mod many_shares;
    mod owners;
}
