//! The answer of a tracker to a request for a certificate.

use crate::wire::access::Bar;
use crate::wire::role::Role;

/// A certificate that a tracker has issued. Not checked yet.
#[derive(Debug)]
pub(crate) struct Certified {
    /// The certificate (DER).
    pub(crate) leaf: Vec<u8>,
    /// The certificate of the group's authority (PEM).
    pub(crate) authority: Vec<u8>,
    /// The bars of the group.
    pub(crate) barred: Vec<Bar>,
    /// The role of the user in the group.
    pub(crate) role: Role,
}
