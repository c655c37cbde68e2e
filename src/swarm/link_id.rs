//! The number of a link or web seed.

/// Identifies a link of a swarm, or a web seed. The code around the core chooses the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);
