//! Announces and scrapes. The tests send valid and invalid bytes to trackers over HTTP and UDP, and
//! give peers trackers in several tiers.

mod common;

/// The tests; their files are in `tests/announce/`.
mod announce {
    mod answers;
    mod counts;
    mod http;
    mod limits;
    mod odd_trackers;
    mod private;
    mod restart;
    mod source;
    mod stopped;
    mod tiers;
    mod trackers;
    mod udp;
}
