//! Small helpers without state that several layers share: hexadecimal text, `%`-escapes, URLs,
//! address prefixes, zones of addresses, a keyed hash, text that is safe for a terminal, commands
//! that messages recommend, bytes as text that people can type.

mod address_prefix;
mod command_text;
mod escape;
pub mod hex;
pub mod percent;
mod siphash;
mod typed_text;
pub mod url;
mod zone;

pub use address_prefix::{AddressNetwork, AddressPrefix};
pub use command_text::{can_be_typed, command_text};
pub use escape::escape;
pub use siphash::SipKey;
pub use typed_text::{
    TypedTextError, begins_with_word, count_word, from_typed_text, to_typed_text,
};
pub use zone::Zone;

#[cfg(any(test, fuzzing))]
pub(crate) use typed_text::fuzz as fuzz_typed_text;
