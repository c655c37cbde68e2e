//! Small helpers without state that several layers share: hexadecimal text, `%`-escapes, address
//! prefixes.

mod address_prefix;
pub mod hex;
pub mod percent;

pub use address_prefix::AddressPrefix;
