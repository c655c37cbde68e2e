//! Announces to the swarms of groups: what BEP 3 has over HTTP, in the name of a session.

use super::fields::parsed;
use crate::bencode::Item;
use crate::torrent::InfoHash;
use crate::wire::PeerId;
use crate::wire::control::{ControlError, Fields, compact, read_address};
use crate::wire::name::Label;
use std::net::SocketAddr;
use std::num::NonZeroU16;

/// A peer tells that it is in a swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The swarm.
    pub info_hash: InfoHash,
    /// The peer's own id.
    pub peer_id: PeerId,
    /// Where it listens, at the address the line comes from.
    pub port: NonZeroU16,
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

/// Who else is in a swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers {
    /// Where they listen.
    pub addresses: Vec<SocketAddr>,
    /// After how many seconds to announce again.
    pub interval: u32,
    /// Who is no member any more, while certificates given to them may still hold: nobody to have a link with.
    pub barred: Vec<Label>,
}

impl AnnounceEvent {
    const ALL: [Self; 3] = [Self::Started, Self::Completed, Self::Stopped];

    fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
        }
    }
}

impl Announce {
    pub(super) fn put<'a>(&'a self, entries: &mut Vec<(&'static str, Item<'a>)>) {
        entries.extend([
            ("downloaded", Item::from(self.downloaded)),
            ("info hash", Item::from(&self.info_hash.0[..])),
            ("left", self.left.into()),
            ("peer id", Item::from(&self.peer_id.0[..])),
            ("port", u32::from(self.port.get()).into()),
            ("uploaded", self.uploaded.into()),
        ]);
        entries.extend(self.event.map(|event| ("event", event.as_str().into())));
    }

    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, ControlError> {
        let wrong = ControlError::WrongValue;
        let peer_id = fields.bytes("peer id", 20)?;
        Ok(Self {
            info_hash: fields.info_hash("info hash")?,
            peer_id: PeerId(peer_id.try_into().map_err(|_| wrong("peer id"))?),
            port: fields.port("port")?,
            uploaded: fields.large("uploaded")?,
            downloaded: fields.large("downloaded")?,
            left: fields.large("left")?,
            event: fields.optional("event", |value| {
                let word = value.text().ok_or(wrong("event"))?;
                let all = AnnounceEvent::ALL.into_iter();
                let mut found = all.filter(|event| event.as_str() == word);
                found.next().ok_or(wrong("event"))
            })?,
        })
    }
}

impl Peers {
    pub(super) fn put<'a>(&'a self, entries: &mut Vec<(&'static str, Item<'a>)>) {
        let addresses = self.addresses.iter().map(|address| compact(*address));
        let addresses = addresses.map(Item::from).collect();
        entries.push(("addresses", Item::List(addresses)));
        let barred = self.barred.iter().map(|user| user.to_string().into());
        entries.push(("barred", Item::List(barred.collect())));
        entries.push(("interval", self.interval.into()));
    }

    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            addresses: fields.list("addresses", read_address)?,
            interval: fields.number("interval")?,
            barred: fields.list("barred", |user| parsed(user, "barred"))?,
        })
    }
}
