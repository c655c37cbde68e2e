//! Announces to the swarms of groups. They have the content of a BEP 3 announce, but are sent over
//! a control connection, with the token of a login.

use super::bar::{Bar, BarsDigest, bars_item, read_bars};
use super::private_addresses::{FoundPeers, PrivateAddresses};
use super::refused::AccessRefusal;
use crate::bencode::{Item, Value};
use crate::torrent::InfoHash;
use crate::wire::control::{ControlError, MAX_PAGE, MessageFields, read_parsed};
use crate::wire::name::Label;
use crate::wire::{CompactAddresses, PeerId};
use std::num::NonZeroU16;

/// The most announces in one request.
pub const MAX_ANNOUNCES: usize = 100;
/// Bytes of one announce in a request: 20 of the info-hash; 8 each of the numbers `uploaded`,
/// `downloaded` and `left`, big-endian; 1 of the event.
const ANNOUNCE_LENGTH: usize = 45;

/// The announces of one peer to the swarms of shares of one group: at least one announce, at most
/// [`MAX_ANNOUNCES`]. One request for all of them saves round trips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceBatch {
    peer_id: PeerId,
    port: NonZeroU16,
    swarms: Vec<SwarmAnnounce>,
    seen_bars: Option<BarsDigest>,
    private: PrivateAddresses,
}

/// The announce of a peer to one swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwarmAnnounce {
    /// Identifies the swarm.
    pub info_hash: InfoHash,
    /// Bytes sent to other peers since `started`.
    pub uploaded: u64,
    /// Bytes received from other peers since `started`.
    pub downloaded: u64,
    /// Bytes that the peer still lacks. 0 means that it is a seed.
    pub left: u64,
    /// The reason for the announce. `None` for a periodic announce.
    pub event: Option<GroupAnnounceEvent>,
}

/// The reason for an announce (BEP 3, "event").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupAnnounceEvent {
    /// The first announce.
    Started,
    /// The download has just completed.
    Completed,
    /// The peer leaves the swarm.
    Stopped,
}

/// The answer to [`AnnounceBatch`]: the other peers of the swarms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceBatchAnswer {
    /// For each announce, in the order of the request: the other peers, or why the tracker refused
    /// the announce.
    pub swarms: Vec<Result<FoundPeers, AccessRefusal>>,
    /// Seconds until the next announce. 0 if every announce was refused.
    pub interval: u32,
    /// The bars of the group, at most [`MAX_BARS`](super::MAX_BARS), the latest first. Empty if no
    /// group of the user has any of the shares. `None` if they are those that the peer
    /// [has](AnnounceBatch::seen_bars).
    pub barred: Option<Vec<Bar>>,
    /// Where the group is announced. `None` if the cluster has at most
    /// [`TRACKERS_OF_GROUP`](super::TRACKERS_OF_GROUP) trackers: then the group is announced at
    /// each of them.
    pub placement: Option<Placement>,
    /// The present name of the group: it may have been renamed. `None` if no group of the user has
    /// any of the shares.
    pub group: Option<NamedGroup>,
}

/// The name of a group, and since when the group has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedGroup {
    /// The name.
    pub name: Label,
    /// When the group got the name, in milliseconds since 1970. Of two trackers that report
    /// different names, the one with the later time knows more.
    pub since: u64,
}

/// Where a group is announced, as the answering tracker sees it. The number of a tracker is its
/// position in the TRACKER_INFO of the answering tracker, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The number of the answering tracker.
    pub tracker: u32,
    /// The numbers of the trackers at which the group is announced.
    pub trackers_of_group: Vec<u32>,
}

impl AnnounceBatch {
    /// The announces of the peer `peer_id`, which listens on `port` at the address of its control
    /// connection. Returns `None` unless there are 1 to [`MAX_ANNOUNCES`].
    pub fn new(peer_id: PeerId, port: NonZeroU16, swarms: Vec<SwarmAnnounce>) -> Option<Self> {
        let fits = (1..=MAX_ANNOUNCES).contains(&swarms.len());
        fits.then_some(Self {
            peer_id,
            port,
            swarms,
            seen_bars: None,
            private: PrivateAddresses::default(),
        })
    }

    /// The same announces of a peer that has this list of bars.
    #[must_use]
    pub fn with_seen_bars(self, seen_bars: Option<BarsDigest>) -> Self {
        Self { seen_bars, ..self }
    }

    /// The same announces of a peer whose machine has these private addresses.
    #[must_use]
    pub fn with_private(self, private: PrivateAddresses) -> Self {
        Self { private, ..self }
    }

    /// The private addresses at which the peer listens too, on the same port.
    pub fn private(&self) -> &PrivateAddresses {
        &self.private
    }

    /// The last list of bars of the group that the peer got from any tracker and still has.
    pub fn seen_bars(&self) -> Option<BarsDigest> {
        self.seen_bars
    }

    /// The id of the announcing peer.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// The port that the peer listens on.
    pub fn port(&self) -> NonZeroU16 {
        self.port
    }

    /// The announces, one per swarm.
    pub fn swarms(&self) -> &[SwarmAnnounce] {
        &self.swarms
    }

    pub(super) fn put<'a>(&'a self, entries: &mut Vec<(&'static str, Item<'a>)>) {
        let seen_bars = self.seen_bars.as_ref();
        entries.extend(seen_bars.map(|digest| ("bars", Item::from(&digest.0[..]))));
        let swarms = self.swarms.iter().flat_map(SwarmAnnounce::to_bytes);
        entries.extend([
            ("peer id", Item::from(&self.peer_id.0[..])),
            ("port", u32::from(self.port.get()).into()),
            ("swarms", swarms.collect::<Vec<u8>>().into()),
        ]);
        self.private.put(entries);
    }

    pub(super) fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        let peer_id = PeerId(fields.array("peer id")?);
        let port = fields.port("port")?;
        let wrong = ControlError::WrongValue("swarms");
        let (records, rest) = match fields.value("swarms")?.bytes() {
            Some(bytes) => bytes.as_chunks::<ANNOUNCE_LENGTH>(),
            None => return Err(wrong),
        };
        let swarms: Option<Vec<_>> = records.iter().map(SwarmAnnounce::read).collect();
        let swarms = swarms.filter(|_| rest.is_empty());
        let seen_bars = fields.optional("bars", read_digest)?;
        let batch = swarms.and_then(|swarms| Self::new(peer_id, port, swarms));
        let batch = batch.ok_or(wrong)?.with_seen_bars(seen_bars);
        Ok(batch.with_private(PrivateAddresses::read(fields)?))
    }
}

fn read_digest(value: &Value<'_>, key: &'static str) -> Result<BarsDigest, ControlError> {
    let digest = value.bytes().and_then(|bytes| bytes.try_into().ok());
    digest.map(BarsDigest).ok_or(ControlError::WrongValue(key))
}

impl SwarmAnnounce {
    fn to_bytes(&self) -> [u8; ANNOUNCE_LENGTH] {
        let mut bytes = [0; ANNOUNCE_LENGTH];
        let amounts = [self.uploaded, self.downloaded, self.left].map(u64::to_be_bytes);
        let event = [self.event.map_or(0, GroupAnnounceEvent::to_byte)];
        let fields = self.info_hash.0.iter().chain(amounts.as_flattened());
        for (to, from) in bytes.iter_mut().zip(fields.chain(&event)) {
            *to = *from;
        }
        bytes
    }

    /// Amounts have at most 63 bits, as everywhere on control connections.
    fn read(bytes: &[u8; ANNOUNCE_LENGTH]) -> Option<Self> {
        let (info_hash, rest) = bytes.split_first_chunk()?;
        let (amounts, event) = rest.as_chunks();
        let &[uploaded, downloaded, left] = amounts else {
            return None;
        };
        let amount = |bytes| Some(u64::from_be_bytes(bytes)).filter(|it| *it < 1 << 63);
        Some(Self {
            info_hash: InfoHash(*info_hash),
            uploaded: amount(uploaded)?,
            downloaded: amount(downloaded)?,
            left: amount(left)?,
            event: match event {
                [0] => None,
                [byte] => Some(GroupAnnounceEvent::from_byte(*byte)?),
                _ => return None,
            },
        })
    }
}

impl GroupAnnounceEvent {
    fn to_byte(self) -> u8 {
        match self {
            Self::Started => 1,
            Self::Completed => 2,
            Self::Stopped => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        let mut all = [Self::Started, Self::Completed, Self::Stopped].into_iter();
        all.find(|event| event.to_byte() == byte)
    }
}

impl AnnounceBatchAnswer {
    pub(super) fn put<'a>(&'a self, entries: &mut Vec<(&'static str, Item<'a>)>) {
        let barred = self.barred.as_deref();
        entries.extend(barred.map(|bars| ("barred", bars_item(bars))));
        entries.push(("interval", self.interval.into()));
        if let Some(group) = &self.group {
            entries.push(("group", group.name.to_string().into()));
            entries.push(("named", group.since.into()));
        }
        let swarms = self.swarms.iter().map(|swarm| match swarm {
            Ok(found) => {
                let addresses = address_entries(&found.addresses);
                Item::dictionary(addresses.chain(found.private_entries()))
            }
            Err(refused) => Item::dictionary(refused.entries()),
        });
        entries.push(("swarms", Item::List(swarms.collect())));
        if let Some(placement) = &self.placement {
            let trackers = placement.trackers_of_group.iter();
            entries.push(("tracker", placement.tracker.into()));
            entries.push((
                "trackers",
                Item::List(trackers.map(|it| Item::from(*it)).collect()),
            ));
        }
    }

    pub(super) fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            placement: Placement::read(fields)?,
            group: NamedGroup::read(fields)?,
            swarms: fields.list("swarms", |swarm| {
                let mut fields = MessageFields::new(swarm)?;
                let kind = fields.optional("kind", |kind, _| Ok(kind))?;
                let swarm = match kind {
                    Some(kind) => Err(AccessRefusal::read(kind, &mut fields)?),
                    None => {
                        let addresses = read_addresses(&mut fields)?;
                        Ok(FoundPeers::read(addresses, &mut fields)?)
                    }
                };
                fields.check_all_read("peers")?;
                Ok(swarm)
            })?,
            interval: fields.number("interval")?,
            barred: fields.optional("barred", read_bars)?,
        })
    }
}

impl NamedGroup {
    fn read(fields: &mut MessageFields<'_>) -> Result<Option<Self>, ControlError> {
        let Some(name) = fields.optional("group", read_parsed)? else {
            return Ok(None);
        };
        let since = fields.u63("named")?;
        Ok(Some(Self { name, since }))
    }
}

impl Placement {
    fn read(fields: &mut MessageFields<'_>) -> Result<Option<Self>, ControlError> {
        let Some(tracker) = fields.optional("tracker", read_number)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            tracker,
            trackers_of_group: fields.list("trackers", |number| read_number(number, "trackers"))?,
        }))
    }
}

fn read_number(value: &Value<'_>, key: &'static str) -> Result<u32, ControlError> {
    let number = value
        .integer()
        .and_then(|number| u32::try_from(number).ok());
    number.ok_or(ControlError::WrongValue(key))
}

/// The entries with the addresses of one swarm. A family without an address has no key.
pub(super) fn address_entries<'a>(
    addresses: &'a CompactAddresses,
) -> impl Iterator<Item = (&'a str, Item<'a>)> {
    let (v4, v6) = addresses.as_bytes();
    let families = [("addresses", v4), ("addresses6", v6)];
    let present = families.into_iter().filter(|(_, bytes)| !bytes.is_empty());
    present.map(|(key, bytes)| (key, bytes.into()))
}

/// Reads what [`address_entries`] wrote.
pub(super) fn read_addresses(
    fields: &mut MessageFields<'_>,
) -> Result<CompactAddresses, ControlError> {
    let mut family = |key| {
        let bytes = fields.optional(key, |value, key| {
            value.bytes().ok_or(ControlError::WrongValue(key))
        });
        bytes.map(Option::unwrap_or_default)
    };
    let (v4, v6) = (family("addresses")?, family("addresses6")?);
    let addresses = CompactAddresses::read(v4, v6);
    addresses
        .filter(|addresses| addresses.len() <= MAX_PAGE)
        .ok_or(ControlError::WrongValue("addresses"))
}
