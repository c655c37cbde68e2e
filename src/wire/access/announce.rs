//! Announces to the swarms of groups: what BEP 3 has over HTTP, in the name of a session.

use super::refused::Refused;
use crate::bencode::{Item, Value};
use crate::torrent::InfoHash;
use crate::wire::PeerId;
use crate::wire::compact::compact;
use crate::wire::control::{ControlError, Fields, parsed, read_address};
use crate::wire::name::Label;
use crate::wire::words::words;
use std::net::SocketAddr;
use std::num::NonZeroU16;

/// The most swarms that one request announces to.
pub const MAX_ANNOUNCES: usize = 100;

/// A peer tells in which swarms it is, 1 to [`MAX_ANNOUNCES`], all of shares of one group: who has many shares would else
/// need a round trip for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announces {
    peer_id: PeerId,
    port: NonZeroU16,
    swarms: Vec<Announce>,
}

/// A peer tells that it is in a swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The swarm.
    pub info_hash: InfoHash,
    /// Bytes sent to others since it joined.
    pub uploaded: u64,
    /// Bytes taken from others since it joined.
    pub downloaded: u64,
    /// Bytes still missing; 0 makes it a seed.
    pub left: u64,
    /// Why it announces, if not merely because the interval is over.
    pub event: Option<AnnounceEvent>,
}

/// Why a peer announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceEvent {
    /// The first announce.
    Started,
    /// The download is complete since now.
    Completed,
    /// The peer leaves the swarm.
    Stopped,
}

/// Who else is in the swarms that were announced to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers {
    /// Where they listen, for each announce in the order of the request; or why that announce is not taken.
    pub swarms: Vec<Result<Vec<SocketAddr>, Refused>>,
    /// After how many seconds to announce again; 0 if none was taken.
    pub interval: u32,
    /// Who is no member any more, while certificates given to them may still hold: nobody to have a link with.
    pub barred: Vec<Label>,
}

words!(AnnounceEvent { Started => "started", Completed => "completed", Stopped => "stopped" });

impl Announces {
    /// Of the peer with that id, which listens on that port at the address that the line comes from; none if there are too few
    /// or too many.
    pub fn new(peer_id: PeerId, port: NonZeroU16, swarms: Vec<Announce>) -> Option<Self> {
        let fits = (1..=MAX_ANNOUNCES).contains(&swarms.len());
        fits.then_some(Self {
            peer_id,
            port,
            swarms,
        })
    }

    /// The peer's own id.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Where it listens.
    pub fn port(&self) -> NonZeroU16 {
        self.port
    }

    /// What it tells of each swarm.
    pub fn swarms(&self) -> &[Announce] {
        &self.swarms
    }

    pub(super) fn put<'a>(&'a self, entries: &mut Vec<(&'static str, Item<'a>)>) {
        let swarms = self.swarms.iter().map(Announce::item).collect();
        entries.extend([
            ("peer id", Item::from(&self.peer_id.0[..])),
            ("port", u32::from(self.port.get()).into()),
            ("swarms", Item::List(swarms)),
        ]);
    }

    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, ControlError> {
        let peer_id = PeerId(fields.array("peer id")?);
        let port = fields.port("port")?;
        let swarms = fields.list("swarms", Announce::read)?;
        Self::new(peer_id, port, swarms).ok_or(ControlError::WrongValue("swarms"))
    }
}

impl Announce {
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
        let mut fields = Fields::new(value)?;
        let announce = Self {
            info_hash: fields.info_hash("info hash")?,
            uploaded: fields.large("uploaded")?,
            downloaded: fields.large("downloaded")?,
            left: fields.large("left")?,
            event: fields.optional("event", |value, key| {
                let event = value.text().and_then(AnnounceEvent::parse);
                event.ok_or(ControlError::WrongValue(key))
            })?,
        };
        fields.end("announce")?;
        Ok(announce)
    }
}

impl Peers {
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

    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            swarms: fields.list("swarms", |swarm| {
                let mut fields = Fields::new(swarm)?;
                let kind = fields.optional("kind", |kind, _| Ok(kind))?;
                let swarm = match kind {
                    Some(kind) => Err(Refused::read(kind, &mut fields)?),
                    None => Ok(fields.list("addresses", read_address)?),
                };
                fields.end("peers")?;
                Ok(swarm)
            })?,
            interval: fields.number("interval")?,
            barred: fields.list("barred", |user| parsed(user, "barred"))?,
        })
    }
}
