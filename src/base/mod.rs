//! Helpers without state that several floors share: hexadecimal text, `%`-escapes, and which addresses count as one host.

mod address_prefix;
pub mod hex;
pub mod percent;

pub use address_prefix::AddressPrefix;
