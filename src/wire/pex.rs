//! The message by which peers of an open swarm tell each other whom else they are linked to (BEP 11).
//!
//! In scope: reading it bounded, writing it. Out of scope: how often it may come, and who is told of whom.

use super::compact::{compact, read_canonical};
use crate::bencode::{self, Dictionary, Item, KeyOrder, Value};
use std::net::SocketAddr;

/// The most contacts that a message names as new, and as gone (BEP 11: of each 50).
pub const MAX_CONTACTS: usize = 50;
/// The most that are read of each; a first message may have more than others. What is beyond is passed over.
const MAX_READ: usize = 100;

/// How many values a message may hold: it has six strings, others may have some more.
const MAX_VALUES: usize = 64;

/// BEP 11, flag 0x02: the contact has everything, or fetches nothing more.
pub const FLAG_SEED: u8 = 0x02;
/// BEP 11, flag 0x10: the contact was reached at that address.
pub const FLAG_REACHABLE: u8 = 0x10;

/// Who came and who went since the last message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PexMessage {
    /// Contacts that are new, each with its flags.
    pub added: Vec<(SocketAddr, u8)>,
    /// Contacts that are gone.
    pub dropped: Vec<SocketAddr>,
}

/// Why a message is none. It ends the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PexError {
    /// Not bencode.
    #[error(transparent)]
    Bencode(#[from] bencode::Error),
    /// A list that is no string of whole contacts.
    #[error("{0:?} is no list of whole contacts")]
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
        for (key, flags, of) in [("added", "added.f", 6), ("added6", "added6.f", 18)] {
            let flags = fields.value(flags).and_then(Value::bytes);
            let mut flags = flags.unwrap_or_default().iter();
            let contacts = contacts(fields, key, of)?;
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
        let of = |v4: bool| {
            let added = self.added.iter();
            added.filter(move |(address, _)| address.is_ipv4() == v4)
        };
        let (mut fields, gone) = (Vec::new(), self.dropped.iter());
        for (v4, added, flags) in [(true, "added", "added.f"), (false, "added6", "added6.f")] {
            let contacts: Vec<u8> = of(v4).flat_map(|(address, _)| compact(*address)).collect();
            let bits: Vec<u8> = of(v4).map(|(_, flags)| *flags).collect();
            fields.push((added, Item::from(contacts)));
            fields.push((flags, Item::from(bits)));
        }
        for (v4, key) in [(true, "dropped"), (false, "dropped6")] {
            let gone = gone.clone().filter(|address| address.is_ipv4() == v4);
            let contacts: Vec<u8> = gone.flat_map(|address| compact(*address)).collect();
            fields.push((key, Item::from(contacts)));
        }
        Item::dictionary(fields).encode()
    }
}

/// At most so many contacts of `size` bytes each.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_of_both_families_are_written_and_read() {
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
    fn flags_may_be_missing_and_a_mapped_address_is_what_it_stands_for() {
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
    fn what_is_no_message_gets_its_error_and_no_more_is_read_than_is_allowed() {
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
