//! The extension handshake (BEP 10, "handshake message"). A peer sends it at the start of a link,
//! and again when a value changes.

use super::times;
use crate::bencode::{self, Item, KeyOrder, Value};

/// The extension message id of the handshake (BEP 10).
pub const HANDSHAKE_ID: u8 = 0;
/// The most characters of a text from a remote peer. The rest is cut.
const MAX_TEXT_CHARS: usize = 64;
/// The most bencode values in a handshake.
const MAX_VALUES: usize = 1_000;

/// The keys of the handshake that this program uses. Other keys are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionHandshake {
    /// `v`: the name and version of the client.
    pub client: Option<String>,
    /// `name`: the name that the user gave to the peer. This key is an extension of this program.
    pub name: Option<String>,
    /// `reqq`: the number of outstanding requests that the peer accepts without dropping any.
    pub request_queue: Option<u32>,
    /// `p`: the TCP port that the peer listens on.
    pub port: Option<u16>,
    /// BEP 21, `upload_only`: the peer downloads nothing more, whether or not it has everything.
    pub upload_only: Option<bool>,
    /// `ut_metadata` in `m` (BEP 9): the message id that the peer gives to it; 0 if disabled.
    pub metadata: Option<u8>,
    /// BEP 9, `metadata_size`: length of the info dictionary in bytes, if the peer has it.
    pub metadata_size: Option<u32>,
    /// `ut_pex` in `m` (BEP 11): the message id that the peer gives to it; 0 if disabled.
    pub pex: Option<u8>,
    /// `pieceful_mtimes` in `m` (modification times): the message id that the peer gives to it; 0
    /// if disabled. The name is not in a BEP: this program has added it.
    pub times: Option<u8>,
}

impl ExtensionHandshake {
    /// Reads a handshake. Values of a wrong type are ignored. Control characters are removed from
    /// texts.
    ///
    /// # Errors
    /// The payload is not bencode or not a dictionary.
    pub fn parse(payload: &[u8]) -> Result<Self, bencode::Error> {
        let value = Value::parse_bounded(payload, KeyOrder::Any, MAX_VALUES)?;
        let dictionary = value.dictionary().ok_or(bencode::Error::Unexpected(0))?;
        let text = |key| {
            let text = dictionary.value(key).and_then(Value::text)?;
            let sanitized: String = text
                .chars()
                .filter(|c| !c.is_control())
                .take(MAX_TEXT_CHARS)
                .collect();
            (!sanitized.is_empty()).then_some(sanitized)
        };
        let number = |key| dictionary.value(key).and_then(Value::integer);
        let numbers = dictionary.value("m").and_then(Value::dictionary);
        let extension = |key| {
            let number = numbers?.value(key)?.integer()?;
            u8::try_from(number).ok()
        };
        Ok(Self {
            client: text("v"),
            name: text("name"),
            request_queue: number("reqq").and_then(|number| u32::try_from(number).ok()),
            port: number("p")
                .and_then(|number| u16::try_from(number).ok())
                .filter(|port| *port > 0),
            upload_only: number("upload_only").map(|number| number != 0),
            metadata: extension("ut_metadata"),
            metadata_size: number("metadata_size").and_then(|number| u32::try_from(number).ok()),
            pex: extension("ut_pex"),
            times: extension(times::EXTENSION_NAME),
        })
    }

    /// Adopts the values of a later handshake of the same peer. Values that are missing in `later`
    /// stay.
    pub fn update(&mut self, later: Self) {
        let earlier = std::mem::take(self);
        *self = Self {
            client: later.client.or(earlier.client),
            name: later.name.or(earlier.name),
            request_queue: later.request_queue.or(earlier.request_queue),
            port: later.port.or(earlier.port),
            upload_only: later.upload_only.or(earlier.upload_only),
            metadata: later.metadata.or(earlier.metadata),
            metadata_size: later.metadata_size.or(earlier.metadata_size),
            pex: later.pex.or(earlier.pex),
            times: later.times.or(earlier.times),
        };
    }

    /// The payload of the handshake.
    pub fn encode(&self) -> Vec<u8> {
        let numbers = [
            ("ut_metadata", self.metadata),
            ("ut_pex", self.pex),
            (times::EXTENSION_NAME, self.times),
        ];
        let numbers = numbers
            .into_iter()
            .filter_map(|(name, number)| Some((name, u32::from(number?).into())));
        let mut entries = vec![("m", Item::dictionary(numbers))];
        entries.extend(self.client.as_deref().map(|text| ("v", text.into())));
        entries.extend(self.name.as_deref().map(|text| ("name", text.into())));
        entries.extend(self.request_queue.map(|number| ("reqq", number.into())));
        entries.extend(self.port.map(|port| ("p", u32::from(port).into())));
        let upload_only = self.upload_only.map(u32::from);
        entries.extend(upload_only.map(|number| ("upload_only", number.into())));
        let size = self.metadata_size;
        entries.extend(size.map(|number| ("metadata_size", number.into())));
        Item::dictionary(entries).encode()
    }
}

/// The fuzz function of the parser: what is written is read back, and the same handshake again
/// changes nothing.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(payload: &[u8]) {
    if let Ok(handshake) = ExtensionHandshake::parse(payload) {
        let again = ExtensionHandshake::parse(&handshake.encode());
        assert_eq!(again.as_ref(), Ok(&handshake));
        let mut updated = handshake.clone();
        updated.update(handshake.clone());
        assert_eq!(updated, handshake);
    }
    if let Some(times) = super::times::TimesMessage::parse(payload) {
        assert_eq!(
            super::times::TimesMessage::parse(&times.encode()),
            Some(times)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_encoded_and_parsed_again() {
        let handshake = ExtensionHandshake {
            client: Some("pieceful 0.1.0".into()),
            name: Some("desk".into()),
            request_queue: Some(500),
            port: Some(6881),
            upload_only: Some(true),
            metadata: Some(2),
            metadata_size: Some(31_235),
            pex: Some(0),
            times: Some(4),
        };
        assert_eq!(
            ExtensionHandshake::parse(&handshake.encode()),
            Ok(handshake)
        );
    }

    #[test]
    fn a_long_text_is_cut_and_a_handshake_of_too_many_values_is_refused() {
        let long = format!("d1:v{}:{}e", 100, "ü".repeat(50));
        let handshake = ExtensionHandshake::parse(long.as_bytes()).unwrap();
        assert_eq!(handshake.client, Some("ü".repeat(50)));
        let long = format!("d1:v{}:{}e", 200, "ü".repeat(100));
        let handshake = ExtensionHandshake::parse(long.as_bytes()).unwrap();
        assert_eq!(handshake.client, Some("ü".repeat(MAX_TEXT_CHARS)));
        let values = |count| format!("d1:xl{}ee", "i0e".repeat(count));
        assert!(ExtensionHandshake::parse(values(MAX_VALUES - 3).as_bytes()).is_ok());
        assert!(ExtensionHandshake::parse(values(MAX_VALUES).as_bytes()).is_err());
    }

    #[test]
    fn a_later_handshake_changes_only_the_values_that_it_has() {
        let mut known = ExtensionHandshake::parse(b"d1:pi7e4:reqqi9e1:v1:xe").unwrap();
        known.update(ExtensionHandshake::parse(b"d1:md6:ut_pexi3eee").unwrap());
        known.update(ExtensionHandshake::parse(b"d1:mi0e4:reqqi5e11:upload_onlyi1ee").unwrap());
        assert_eq!((known.port, known.request_queue), (Some(7), Some(5)));
        assert_eq!((known.pex, known.metadata), (Some(3), None));
        assert_eq!(
            (known.client.as_deref(), known.upload_only),
            (Some("x"), Some(true))
        );
        known.update(ExtensionHandshake::parse(b"d11:upload_onlyi0ee").unwrap());
        assert_eq!(
            (known.request_queue, known.upload_only),
            (Some(5), Some(false))
        );
    }

    #[test]
    fn values_of_wrong_types_are_ignored_and_broken_bencode_is_refused() {
        let odd = b"d1:md11:ut_metadatai256e6:ut_pexi-1ee13:metadata_sizei-1e4:name2:\x1b[1:pi0e4:reqqi-1e1:vle1:zi1ee";
        let read = ExtensionHandshake::parse(odd).unwrap();
        assert_eq!(
            read,
            ExtensionHandshake {
                name: Some("[".into()),
                ..Default::default()
            }
        );
        for bad in [&b""[..], b"le", b"d", b"d1:v99:xe"] {
            assert!(ExtensionHandshake::parse(bad).is_err(), "{bad:?}");
        }
    }
}
