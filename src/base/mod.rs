//! Small helpers without state that several layers share: hexadecimal text, `%`-escapes, URLs,
//! address prefixes, zones of addresses, a keyed hash, text that is safe for a terminal, commands
//! that messages recommend.

mod address_prefix;
mod command_text;
mod escape;
pub mod hex;
pub mod percent;
mod siphash;
pub mod url;
mod zone;

pub use address_prefix::{AddressNetwork, AddressPrefix};
pub use command_text::{can_be_typed, command_text};
pub use escape::escape;
pub use siphash::SipKey;
pub use zone::Zone;
