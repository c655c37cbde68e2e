//! Small helpers without state that several layers share: hexadecimal text, `%`-escapes, URLs,
//! address prefixes, a keyed hash.

mod address_prefix;
pub mod hex;
pub mod percent;
mod siphash;
pub mod url;

pub use address_prefix::AddressPrefix;
pub use siphash::SipKey;
