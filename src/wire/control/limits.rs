//! How much one message of a control line may hold.

/// The most bytes the body of a frame on the control line may have.
pub const MAX_FRAME: u32 = 1 << 20;
/// The most entries a list in one message may have.
pub const MAX_PAGE: usize = 1000;
