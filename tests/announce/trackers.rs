//! Open trackers inside the process of the test.

use pieceful::tracker::{Access, Options, Tracker, bind, bind_with_udp};

pub(crate) fn options(address: &str) -> Options {
    let listener = bind(&address.parse().unwrap()).unwrap();
    Options {
        access: Access::Open,
        ..Options::new(listener)
    }
}

pub(crate) fn tracker() -> Tracker {
    Tracker::start(options("127.0.0.1:0")).unwrap()
}

/// An open tracker that takes announces over UDP too.
pub(crate) fn udp_tracker(address: &str) -> Tracker {
    let (listener, udp) = bind_with_udp(&address.parse().unwrap()).unwrap();
    Tracker::start(Options {
        access: Access::Open,
        udp: Some(udp),
        ..Options::new(listener)
    })
    .unwrap()
}
