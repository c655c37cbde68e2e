//! Limits of a message.

/// The most bytes in the body of a frame.
pub const MAX_FRAME: u32 = 1 << 20;
/// The most entries of a list in one message.
pub const MAX_PAGE: usize = 1000;
