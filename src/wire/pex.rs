//! The peer exchange message (BEP 11), by which a peer of an open swarm sends the addresses of the
//! peers that it has links with.
//!
//! In scope: parsing the message with bounds, and encoding it. Out of scope: how often a peer may
//! send it, and which addresses are sent.

use super::compact::{compact, read_canonical};
use crate::bencode::{self, Dictionary, Item, KeyOrder, Value};
use std::net::SocketAddr;

/// The most contacts in each list of a sent message (BEP 11: 50 added and 50 dropped).
pub const MAX_CONTACTS: usize = 50;
/// The most contacts that are read from a message: this number of added ones, and this number of
/// dropped ones. Further contacts are ignored. The limit is higher than [`MAX_CONTACTS`], because
/// the first message of a peer may have more contacts than its later messages.
const MAX_READ: usize = 100;

/// The most bencode values in a message. BEP 11 defines six keys, each with a string; other clients
/// may add keys.
const MAX_VALUES: usize = 64;

/// BEP 11, flag 0x02: the contact is a seed, or downloads nothing more.
pub const FLAG_SEED: u8 = 0x02;
/// BEP 11, flag 0x10: the sender has connected to the contact at this address.
pub const FLAG_REACHABLE: u8 = 0x10;

/// The changes since the last message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PexMessage {
    /// New contacts, each with its flags.
    pub added: Vec<(SocketAddr, u8)>,
    /// Contacts that are gone.
    pub dropped: Vec<SocketAddr>,
}

/// Why a message is not valid. Each error ends the link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PexError {
    /// The message is not a bencoded dictionary, or has too many values.
    #[error(transparent)]
    Bencode(#[from] bencode::Error),
    /// A list is not a string, or its length is not a multiple of the length of a contact.
    #[error("{0:?} is not a list of whole contacts")]
    Contacts(&'static str),
}

impl PexMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// See [`PexError`].
    pub fn parse(payload: &[u8]) -> Result<Self, PexError> {
        let value = Value::parse_bounded(payload, KeyOrder::Any, MAX_VALUES)?;
        let fields = value.dictionary().ok_or(bencode::Error::Unexpected(0))?;
        let mut added = Vec::new();
        for (key, flags, size) in [("added", "added.f", 6), ("added6", "added6.f", 18)] {
            let flags = fields.value(flags).and_then(Value::bytes);
            let mut flags = flags.unwrap_or_default().iter();
            let contacts = contacts(fields, key, size)?;
            added.extend(contacts.map(|address| (address, flags.next().copied().unwrap_or(0))));
        }
        let mut dropped: Vec<SocketAddr> = contacts(fields, "dropped", 6)?.collect();
        dropped.extend(contacts(fields, "dropped6", 18)?);
        added.truncate(MAX_READ);
        dropped.truncate(MAX_READ);
        Ok(Self { added, dropped })
    }

    /// The payload of the message.
    pub fn encode(&self) -> Vec<u8> {
        let added_of = |v4: bool| {
            let added = self.added.iter();
            added.filter(move |(address, _)| address.is_ipv4() == v4)
        };
        let (mut fields, dropped) = (Vec::new(), self.dropped.iter());
        for (v4, key, flags_key) in [(true, "added", "added.f"), (false, "added6", "added6.f")] {
            let contacts: Vec<u8> = added_of(v4)
                .flat_map(|(address, _)| compact(*address))
                .collect();
            let flags: Vec<u8> = added_of(v4).map(|(_, flags)| *flags).collect();
            fields.push((key, Item::from(contacts)));
            fields.push((flags_key, Item::from(flags)));
        }
        for (v4, key) in [(true, "dropped"), (false, "dropped6")] {
            let dropped = dropped.clone().filter(|address| address.is_ipv4() == v4);
            let contacts: Vec<u8> = dropped.flat_map(|address| compact(*address)).collect();
            fields.push((key, Item::from(contacts)));
        }
        Item::dictionary(fields).encode()
    }
}

/// The first [`MAX_READ`] contacts of a list. Each contact has `size` bytes.
fn contacts<'a>(
    fields: &Dictionary<'a>,
    key: &'static str,
    size: usize,
) -> Result<impl Iterator<Item = SocketAddr> + use<'a>, PexError> {
    let bytes = match fields.value(key) {
        None => &[],
        Some(value) => value.bytes().ok_or(PexError::Contacts(key))?,
    };
    if bytes.len() % size != 0 {
        return Err(PexError::Contacts(key));
    }
    Ok(bytes.chunks(size).take(MAX_READ).filter_map(read_canonical))
}

/// The fuzz function of the parser: what is written is read back, with the IPv4 addresses first. A
/// list of IPv6 addresses may also contain IPv4 addresses, in their mapped form, at any place.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(payload: &[u8]) {
    if let Ok(mut message) = PexMessage::parse(payload) {
        assert!(message.added.len() <= MAX_READ && message.dropped.len() <= MAX_READ);
        let read = PexMessage::parse(&message.encode());
        message.added.sort_by_key(|(address, _)| address.is_ipv6());
        message.dropped.sort_by_key(SocketAddr::is_ipv6);
        assert_eq!(read, Ok(message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_of_both_families_are_encoded_and_parsed_again() {
        let message = PexMessage {
            added: vec![
                ("10.1.2.3:258".parse().unwrap(), FLAG_SEED),
                ("[2001:db8::1]:9".parse().unwrap(), FLAG_REACHABLE),
            ],
            dropped: vec![
                "10.1.2.4:1".parse().unwrap(),
                "[::1]:65535".parse().unwrap(),
            ],
        };
        let bytes = message.encode();
        assert!(bytes.starts_with(b"d5:added6:\x0a\x01\x02\x03\x01\x027:added.f1:\x02"));
        assert_eq!(PexMessage::parse(&bytes), Ok(message));
        let empty = PexMessage::default();
        assert_eq!(PexMessage::parse(&empty.encode()), Ok(empty.clone()));
        assert_eq!(PexMessage::parse(b"de"), Ok(empty));
    }

    #[test]
    fn flags_may_be_missing_and_a_mapped_address_is_read_as_an_ipv4_address() {
        let read = PexMessage::parse(b"d5:added6:\x01\x02\x03\x04\x00\x05e").unwrap();
        assert_eq!(read.added, [("1.2.3.4:5".parse().unwrap(), 0)]);
        let mapped = [
            b"d6:added618:".as_slice(),
            &[0; 10],
            &[255; 2],
            &[1, 2, 3, 4, 0, 5],
            b"e",
        ];
        let read = PexMessage::parse(&mapped.concat()).unwrap();
        assert_eq!(read.added, [("1.2.3.4:5".parse().unwrap(), 0)]);
    }

    #[test]
    fn each_kind_of_bad_message_has_its_own_error_and_a_long_list_is_cut() {
        for (bytes, key) in [
            (&b"d5:added5:aaaaae"[..], "added"),
            (b"d5:addedi1ee", "added"),
            (b"d6:added66:aaaaaae", "added6"),
            (b"d7:dropped1:ae", "dropped"),
            (b"d8:dropped6lee", "dropped6"),
        ] {
            assert_eq!(PexMessage::parse(bytes), Err(PexError::Contacts(key)));
        }
        for bytes in [&b""[..], b"le", b"d5:added", b"dexx"] {
            let error = PexMessage::parse(bytes).unwrap_err();
            assert!(matches!(error, PexError::Bencode(_)), "{bytes:?}");
        }
        let long = [b"d1:xl".as_slice(), &[b'd', b'e'].repeat(70), b"ee"].concat();
        let error = bencode::Error::TooMany(MAX_VALUES);
        assert_eq!(PexMessage::parse(&long), Err(PexError::Bencode(error)));
        let many = [b"d5:added600000:".as_slice(), &vec![7; 600_000], b"e"].concat();
        assert_eq!(PexMessage::parse(&many).unwrap().added.len(), MAX_READ);
    }
}
