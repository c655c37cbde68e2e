//! Small helpers without state that several layers share: hexadecimal text, `%`-escapes, URLs,
//! address prefixes.

mod address_prefix;
pub mod hex;
pub mod percent;
pub mod url;

pub use address_prefix::AddressPrefix;
