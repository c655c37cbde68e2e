//! Open trackers inside the process of the test.

use pieceful::tracker::{AnnouncePolicy, Tracker, TrackerOptions, bind, bind_with_udp};

/// Options of an open tracker that listens at `address`.
pub(crate) fn open_options(address: &str) -> TrackerOptions {
    let listener = bind(&address.parse().unwrap()).unwrap();
    TrackerOptions {
        access: AnnouncePolicy::Open,
        ..TrackerOptions::new(listener)
    }
}

/// Starts an open tracker.
pub(crate) fn start_tracker() -> Tracker {
    Tracker::start(open_options("127.0.0.1:0")).unwrap()
}

/// Starts an open tracker that takes announces over UDP too.
pub(crate) fn start_udp_tracker(address: &str) -> Tracker {
    let (listener, udp) = bind_with_udp(&address.parse().unwrap()).unwrap();
    Tracker::start(TrackerOptions {
        access: AnnouncePolicy::Open,
        udp: Some(udp),
        ..TrackerOptions::new(listener)
    })
    .unwrap()
}
