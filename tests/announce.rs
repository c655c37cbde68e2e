//! Announces and scrapes: trackers against clients that send any bytes over HTTP and UDP, and peers
//! against trackers of several tiers.

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
