//! The bounds of a link.

/// The stack of a link's threads, in bytes.
pub(crate) const STACK: usize = 256 << 10;
/// The most blocks asked of one link at a time: 8 MiB.
pub(crate) const LARGEST_WINDOW: u32 = 512;
/// Requests kept by a program that does not say how many it keeps (what libtorrent and others
/// assume).
pub(crate) const USUAL_REQUEST_QUEUE: u32 = 250;
/// How many requests of another are kept, as the extension handshake says.
pub(super) const REQUEST_QUEUE: u32 = 1_000;
/// How many requests are kept of one that does not heed that.
pub(super) const MAX_REQUEST_QUEUE: usize = 2_000;
