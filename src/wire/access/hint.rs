//! Hints: messages that a tracker sends without a request, to a peer that watches its groups.
//!
//! A hint says that something has changed. The peer then requests the details earlier than it would
//! without the hint. Only the addresses of new peers are in the hint itself. A peer may miss hints.
//! The change numbers of a group ([`GroupNumbers`]) show the peer whether it has missed one.

use super::announce::{address_entries, read_addresses};
use crate::bencode::{Item, Value};
use crate::torrent::InfoHash;
use crate::wire::CompactAddresses;
use crate::wire::control::{self, ControlError, MAX_PAGE, MessageFields, read_parsed};
use crate::wire::name::Label;

/// The most groups, and the most swarms, that a tracker puts into one hint. A peer accepts up to
/// [`MAX_PAGE`] of each.
pub const MAX_HINTED: usize = 100;
/// The most new peers of one swarm in one hint.
pub const MAX_NEW_PEERS: usize = 20;

/// What has changed at the tracker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// The groups that have changed, with their present change numbers.
    pub groups: Vec<GroupNumbers>,
    /// New peers, for each swarm in which the receiving peer knows too few others.
    pub swarms: Vec<NewPeers>,
    /// Whether there is news for the user: decisions about the user, or new requests to join groups
    /// that the user owns.
    pub has_news: bool,
}

/// The two change numbers of a group, of up to 63 bits. If a number differs from the one that a
/// peer received before, something has changed. A number may become larger or smaller. Trackers
/// with the same data have the same numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupNumbers {
    /// The group.
    pub group: Label,
    /// The name that the group had before, if it has just been renamed.
    pub former: Option<Label>,
    /// This number changes when a share is published.
    pub added: u64,
    /// This number changes when a share is withdrawn, or a member leaves or returns.
    pub ended: u64,
    /// Whether a publisher has newly reported that the files of a share have changed. The numbers
    /// do not change then.
    pub has_reports: bool,
}

/// New peers of a swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPeers {
    /// The swarm.
    pub info_hash: InfoHash,
    /// The addresses on which the new peers listen.
    pub addresses: CompactAddresses,
}

impl Hint {
    /// The kind of the message on the wire.
    pub(super) const KIND: &'static str = "hint";

    /// Encodes the message as the body of a frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries = vec![("type", Item::from(Self::KIND))];
        if !self.groups.is_empty() {
            let groups = self.groups.iter().map(GroupNumbers::item);
            entries.push(("groups", Item::List(groups.collect())));
        }
        if !self.swarms.is_empty() {
            let swarms = self.swarms.iter().map(NewPeers::item);
            entries.push(("swarms", Item::List(swarms.collect())));
        }
        if self.has_news {
            entries.push(("news", 1u32.into()));
        }
        Item::dictionary(entries).encode()
    }

    /// Reads the body of a frame from a tracker. `None` if it is a message of another kind.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn decode(body: &[u8]) -> Result<Option<Self>, ControlError> {
        let value = control::parse(body)?;
        let mut fields = MessageFields::new(&value)?;
        // A tracker of another version may send messages without a type.
        let kind = fields.optional("type", |value, _| Ok(value.text()))?;
        if kind.flatten() != Some(Self::KIND) {
            return Ok(None);
        }
        let groups = fields.optional("groups", |value, key| {
            read_list(value, key, GroupNumbers::read)
        })?;
        let swarms =
            fields.optional("swarms", |value, key| read_list(value, key, NewPeers::read))?;
        let has_news = fields.optional_flag("news")?;
        fields.check_all_read(Self::KIND)?;
        Ok(Some(Self {
            groups: groups.unwrap_or_default(),
            swarms: swarms.unwrap_or_default(),
            has_news,
        }))
    }
}

impl GroupNumbers {
    fn item(&self) -> Item<'_> {
        let former = self.former.as_ref();
        let former = former.map(|former| ("former", former.to_string().into()));
        let reports = self.has_reports.then(|| ("reports", 1u32.into()));
        let numbers = [
            ("added", Item::from(self.added)),
            ("ended", self.ended.into()),
            ("group", self.group.to_string().into()),
        ];
        Item::dictionary(numbers.into_iter().chain(former).chain(reports))
    }

    fn read(value: &Value<'_>) -> Result<Self, ControlError> {
        let mut fields = MessageFields::new(value)?;
        let numbers = Self {
            group: fields.parsed("group")?,
            former: fields.optional("former", read_parsed)?,
            added: fields.u63("added")?,
            ended: fields.u63("ended")?,
            has_reports: fields.optional_flag("reports")?,
        };
        fields.check_all_read("group")?;
        Ok(numbers)
    }
}

impl NewPeers {
    fn item(&self) -> Item<'_> {
        let info_hash = [("info hash", Item::from(&self.info_hash.0[..]))];
        Item::dictionary(address_entries(&self.addresses).chain(info_hash))
    }

    fn read(value: &Value<'_>) -> Result<Self, ControlError> {
        let mut fields = MessageFields::new(value)?;
        let new = Self {
            info_hash: fields.info_hash("info hash")?,
            addresses: read_addresses(&mut fields)?,
        };
        fields.check_all_read("swarm")?;
        Ok(new)
    }
}

fn read_list<T>(
    value: &Value<'_>,
    key: &'static str,
    read_entry: impl FnMut(&Value<'_>) -> Result<T, ControlError>,
) -> Result<Vec<T>, ControlError> {
    let items = value.list().ok_or(ControlError::WrongValue(key))?;
    if items.len() > MAX_PAGE {
        return Err(ControlError::LongList(items.len()));
    }
    items.iter().map(read_entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn numbers(group: &str) -> GroupNumbers {
        GroupNumbers {
            group: group.parse().unwrap(),
            former: None,
            added: 1,
            ended: 2,
            has_reports: false,
        }
    }

    fn new_peers(address: &str, count: usize) -> NewPeers {
        let address: SocketAddr = address.parse().unwrap();
        NewPeers {
            info_hash: InfoHash([b'h'; 20]),
            addresses: vec![address; count].into_iter().collect(),
        }
    }

    #[test]
    fn a_hint_is_encoded_to_its_bytes_and_decoded_again() {
        let with_news = Hint {
            has_news: true,
            ..Hint::default()
        };
        let with_all = Hint {
            groups: vec![numbers("lab")],
            swarms: vec![new_peers("1.2.3.4:258", 1)],
            has_news: true,
        };
        let with_reports = Hint {
            groups: vec![GroupNumbers {
                has_reports: true,
                ..numbers("lab")
            }],
            ..Hint::default()
        };
        let with_new_name = Hint {
            groups: vec![GroupNumbers {
                former: Some("lab".parse().unwrap()),
                ..numbers("hall")
            }],
            ..Hint::default()
        };
        let cases: [(Hint, &[u8]); 5] = [
            (Hint::default(), b"d4:type4:hinte"),
            (
                with_new_name,
                b"d6:groupsld5:addedi1e5:endedi2e6:former3:lab5:group4:hallee4:type4:hinte",
            ),
            (
                with_reports,
                b"d6:groupsld5:addedi1e5:endedi2e5:group3:lab7:reportsi1eee4:type4:hinte",
            ),
            (with_news, b"d4:newsi1e4:type4:hinte"),
            (
                with_all,
                b"d6:groupsld5:addedi1e5:endedi2e5:group3:labee4:newsi1e6:swarmsld9:addresses6:\x01\x02\x03\x04\x01\x029:info hash20:hhhhhhhhhhhhhhhhhhhhee4:type4:hinte",
            ),
        ];
        for (hint, bytes) in cases {
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(String::from_utf8_lossy(&hint.encode()), text);
            assert_eq!(Hint::decode(bytes), Ok(Some(hint)), "{text}");
        }
    }

    #[test]
    fn other_messages_are_no_hints_and_malformed_hints_are_refused() {
        for other in [&b"de"[..], b"d4:type5:peerse", b"d4:typei1ee"] {
            assert_eq!(Hint::decode(other), Ok(None));
        }
        let malformed = [
            &b"d4:newsi2e4:type4:hinte"[..],
            b"d6:groupsi1e4:type4:hinte",
            b"d6:groupsld5:addedi1e5:group3:labee4:type4:hinte",
            b"d6:swarmsld9:addresses5:abcde9:info hash20:hhhhhhhhhhhhhhhhhhhhee4:type4:hinte",
            b"d5:otheri1e4:type4:hinte",
            b"d4:type4:hint",
        ];
        for bytes in malformed {
            let text = String::from_utf8_lossy(bytes);
            assert!(Hint::decode(bytes).is_err(), "{text}");
        }
    }

    #[test]
    fn the_largest_hint_has_at_most_64_kib() {
        let group = format!("{}~00ab12ff", "x".repeat(64));
        let largest = Hint {
            groups: vec![
                GroupNumbers {
                    former: Some(group.parse().unwrap()),
                    added: (1 << 63) - 1,
                    ended: (1 << 63) - 1,
                    has_reports: true,
                    ..numbers(&group)
                };
                MAX_HINTED
            ],
            swarms: vec![new_peers("[2001:db8::1]:6881", MAX_NEW_PEERS); MAX_HINTED],
            has_news: true,
        };
        let bytes = largest.encode();
        assert!(bytes.len() <= 64 << 10, "{}", bytes.len());
        assert_eq!(Hint::decode(&bytes), Ok(Some(largest)));
    }
}
