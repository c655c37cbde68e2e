//! From the handshakes of both sides to a link that runs.

use super::{About, Link, LinkStream, Outbox, Traffic, reader};
use crate::certificate::Member;
use crate::peer::{Transfer, transfer::Refusal};
use crate::swarm::allowed_fast;
use crate::wire::handshake::Handshake;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// A connection on which both sides sent their handshake.
pub(crate) struct Greeted {
    pub(crate) stream: LinkStream,
    /// Who the other side is, in a group's swarm.
    pub(crate) member: Option<Member>,
    pub(crate) address: SocketAddr,
    /// Whether we called.
    pub(crate) outgoing: bool,
    pub(crate) theirs: Handshake,
}

/// Runs a link from here to its end, if the transfer admits it.
pub(crate) fn begin(transfer: &Arc<Transfer>, greeted: Greeted) {
    let (context, theirs) = (&transfer.context, greeted.theirs);
    let (address, outgoing) = (greeted.address, greeted.outgoing);
    let link = Arc::new(Link {
        id: context.next_link(),
        stream: greeted.stream,
        member: greeted.member,
        address,
        outgoing,
        peer_id: theirs.peer_id,
        fast: theirs.fast,
        extensions: theirs.extensions,
        outbox: Outbox::default(),
        allowed_fast: if theirs.fast {
            let lengths = transfer.info().lengths();
            allowed_fast(address.ip(), transfer.info_hash(), lengths)
        } else {
            Vec::new()
        },
        traffic: Traffic::since(context.now()),
        about: Mutex::new(About::default()),
    });
    match transfer.admit(&link) {
        Ok(()) => {
            let way = if outgoing { "called" } else { "was called by" };
            log::info!(
                "{}: {way} {address} ({})",
                transfer.name(),
                link.peer_id.client()
            );
            let ended = reader::serve(transfer, &link);
            let reason = link.reason().unwrap_or_else(|| ended.to_string());
            log::info!(
                "{}: the link with {} ended: {reason}",
                transfer.name(),
                link.shown_address()
            );
            transfer.dismiss(&link, &ended);
        }
        Err(refusal) => {
            log::debug!("{}: {address}: {refusal}", transfer.name());
            if outgoing && refusal != Refusal::Linked {
                let now = context.now();
                transfer.state().contacts.call_failed(address, now);
            }
        }
    }
}
