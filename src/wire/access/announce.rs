//! Announces to the swarms of groups. They have the content of a BEP 3 announce over HTTP, and are
//! sent with the token of a login.

use super::refused::AccessRefusal;
use crate::bencode::{Item, Value};
use crate::torrent::InfoHash;
use crate::wire::PeerId;
use crate::wire::compact::compact;
use crate::wire::control::{ControlError, MessageFields, read_address, read_parsed};
use crate::wire::name::Label;
use crate::wire::words::words;
use std::net::SocketAddr;
use std::num::NonZeroU16;

/// The most announces in one request.
pub const MAX_ANNOUNCES: usize = 100;

/// The announces of one peer to the swarms of shares of one group: at least one announce, at most
/// [`MAX_ANNOUNCES`]. One request for all of them saves round trips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceBatch {
    peer_id: PeerId,
    port: NonZeroU16,
    swarms: Vec<SwarmAnnounce>,
}

/// The announce of a peer to one swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwarmAnnounce {
    /// The swarm.
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
    /// For each announce, in the order of the request: the listening addresses of the other peers,
    /// or why the tracker refused the announce.
    pub swarms: Vec<Result<Vec<SocketAddr>, AccessRefusal>>,
    /// Seconds until the next announce. 0 if every announce was refused.
    pub interval: u32,
    /// Former members whose certificates may still be valid. A peer must not have links with them.
    pub barred: Vec<Label>,
}

words!(GroupAnnounceEvent { Started => "started", Completed => "completed", Stopped => "stopped" });

impl AnnounceBatch {
    /// The announces of the peer `peer_id`, which listens on `port` at the address of its control
    /// connection. Returns `None` unless there are 1 to [`MAX_ANNOUNCES`].
    pub fn new(peer_id: PeerId, port: NonZeroU16, swarms: Vec<SwarmAnnounce>) -> Option<Self> {
        let fits = (1..=MAX_ANNOUNCES).contains(&swarms.len());
        fits.then_some(Self {
            peer_id,
            port,
            swarms,
        })
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
        let swarms = self.swarms.iter().map(SwarmAnnounce::item).collect();
        entries.extend([
            ("peer id", Item::from(&self.peer_id.0[..])),
            ("port", u32::from(self.port.get()).into()),
            ("swarms", Item::List(swarms)),
        ]);
    }

    pub(super) fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        let peer_id = PeerId(fields.array("peer id")?);
        let port = fields.port("port")?;
        let swarms = fields.list("swarms", SwarmAnnounce::read)?;
        Self::new(peer_id, port, swarms).ok_or(ControlError::WrongValue("swarms"))
    }
}

impl SwarmAnnounce {
    fn item(&self) -> Item<'_> {
        let mut entries = vec![
            ("downloaded", Item::from(self.downloaded)),
            ("info hash", Item::from(&self.info_hash.0[..])),
            ("left", self.left.into()),
            ("uploaded", self.uploaded.into()),
        ];
        entries.extend(self.event.map(|event| ("event", event.as_str().into())));
        Item::dictionary(entries)
    }

    fn read(value: &Value<'_>) -> Result<Self, ControlError> {
        let mut fields = MessageFields::new(value)?;
        let announce = Self {
            info_hash: fields.info_hash("info hash")?,
            uploaded: fields.u63("uploaded")?,
            downloaded: fields.u63("downloaded")?,
            left: fields.u63("left")?,
            event: fields.optional("event", |value, key| {
                let event = value.text().and_then(GroupAnnounceEvent::parse);
                event.ok_or(ControlError::WrongValue(key))
            })?,
        };
        fields.check_all_read("announce")?;
        Ok(announce)
    }
}

impl AnnounceBatchAnswer {
    pub(super) fn put<'a>(&'a self, entries: &mut Vec<(&'static str, Item<'a>)>) {
        let barred = self.barred.iter().map(|user| user.to_string().into());
        entries.push(("barred", Item::List(barred.collect())));
        entries.push(("interval", self.interval.into()));
        let swarms = self.swarms.iter().map(|swarm| match swarm {
            Ok(addresses) => {
                let addresses = addresses.iter().map(|address| compact(*address));
                let addresses = addresses.map(Item::from).collect();
                Item::dictionary([("addresses", Item::List(addresses))])
            }
            Err(refused) => Item::dictionary(refused.entries()),
        });
        entries.push(("swarms", Item::List(swarms.collect())));
    }

    pub(super) fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            swarms: fields.list("swarms", |swarm| {
                let mut fields = MessageFields::new(swarm)?;
                let kind = fields.optional("kind", |kind, _| Ok(kind))?;
                let swarm = match kind {
                    Some(kind) => Err(AccessRefusal::read(kind, &mut fields)?),
                    None => Ok(fields.list("addresses", read_address)?),
                };
                fields.check_all_read("peers")?;
                Ok(swarm)
            })?,
            interval: fields.number("interval")?,
            barred: fields.list("barred", |user| read_parsed(user, "barred"))?,
        })
    }
}
