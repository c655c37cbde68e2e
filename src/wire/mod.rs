//! Bytes to messages and back: what goes over the lines between peers and trackers.
//!
//! No socket, thread or clock lives here: bytes are handed in.
