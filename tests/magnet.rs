//! Magnet links, peer exchange, web seeds and the choice of files in a share: the real binary
//! against itself and against scripted peers and servers.

mod common;

/// The tests; their files are in `tests/magnet/`.
mod magnet {
    mod extended_choice;
    mod file_choice;
    mod metadata;
    mod peer_exchange;
    mod sources;
    mod web_seeds;
}
