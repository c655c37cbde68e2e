//! Open trackers inside the process of the test.

use pieceful::tracker::{Access, Options, Tracker, bind, bind_with_udp};

/// Options of an open tracker that listens at `address`.
pub(crate) fn open_options(address: &str) -> Options {
    let listener = bind(&address.parse().unwrap()).unwrap();
    Options {
        access: Access::Open,
        ..Options::new(listener)
    }
}

/// Starts an open tracker.
pub(crate) fn start_tracker() -> Tracker {
    Tracker::start(open_options("127.0.0.1:0")).unwrap()
}

/// Starts an open tracker that takes announces over UDP too.
pub(crate) fn start_udp_tracker(address: &str) -> Tracker {
    let (listener, udp) = bind_with_udp(&address.parse().unwrap()).unwrap();
    Tracker::start(Options {
        access: Access::Open,
        udp: Some(udp),
        ..Options::new(listener)
    })
    .unwrap()
}
