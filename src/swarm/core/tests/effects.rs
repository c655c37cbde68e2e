//! Helpers that read effects.

pub(super) use super::super::fuzz::link_of;

use crate::swarm::LinkId;
use crate::swarm::core::{CloseReason, Effect, OutgoingMessage};
use crate::torrent::BlockRange;
use std::net::SocketAddr;

pub(super) type Effects = Vec<Effect<u32>>;

/// The blocks that are requested from a link.
pub(super) fn requests(effects: &Effects, of: LinkId) -> Vec<BlockRange> {
    let sent = sent(effects, of).into_iter();
    let requested = sent.filter_map(|message| match message {
        OutgoingMessage::Request(range) => Some(range),
        _ => None,
    });
    requested.collect()
}

/// The messages to a link.
pub(super) fn sent(effects: &Effects, to: LinkId) -> Vec<OutgoingMessage> {
    let messages = effects.iter().filter_map(|effect| match effect {
        Effect::Send(id, message) if *id == to => Some(*message),
        _ => None,
    });
    messages.collect()
}

/// The addresses to call, sorted.
pub(super) fn connects(effects: &Effects) -> Vec<SocketAddr> {
    let addresses = effects.iter().filter_map(|effect| match effect {
        Effect::Connect(address) => Some(*address),
        _ => None,
    });
    let mut addresses: Vec<_> = addresses.collect();
    addresses.sort();
    addresses
}

/// The links to close, and why.
pub(super) fn closed(effects: &Effects) -> Vec<(LinkId, CloseReason)> {
    let closed = effects.iter().filter_map(|effect| match effect {
        Effect::Close(id, reason) => Some((*id, reason.clone())),
        _ => None,
    });
    closed.collect()
}

/// The names of the effects. If you add an effect, add its name here. Write a test in which the
/// core returns the effect, and one in which it does not.
pub(super) fn kinds(effects: &Effects) -> Vec<&'static str> {
    let kind = |effect: &Effect<u32>| match effect {
        Effect::Send(..) => "Send",
        Effect::SendExtended { .. } => "SendExtended",
        Effect::SendUploadOnly(_) => "SendUploadOnly",
        Effect::SendHaves(_) => "SendHaves",
        Effect::Choke(_) => "Choke",
        Effect::Unchoke(_) => "Unchoke",
        Effect::Serve(..) => "Serve",
        Effect::Stalled(_) => "Stalled",
        Effect::Close(..) => "Close",
        Effect::Connect(_) => "Connect",
        Effect::Hash(..) => "Hash",
        Effect::ReadAndHash(..) => "ReadAndHash",
        Effect::Announce(_) => "Announce",
        Effect::Offer(_) => "Offer",
        Effect::Withhold => "Withhold",
        Effect::Complete => "Complete",
        Effect::Failed(_) => "Failed",
    };
    effects.iter().map(kind).collect()
}
