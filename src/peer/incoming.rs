//! Callers: from an accepted connection to a link, or to a line that fetches metadata.

use super::{Entry, Greeted, LinkStream, Sockets, Transfer, Transfers, join, magnet};
use crate::net::{Incoming, TLS_FIRST_BYTE, accept_group, read_exact_by, write_all_by};
use crate::torrent::InfoHash;
use crate::wire::handshake::{FIRST_BYTE, HANDSHAKE, Handshake};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

/// Serves a caller until the link ends. What is not the start of a handshake for a swarm served
/// here is closed without a word, whatever is wrong with it.
pub(super) fn accept(transfers: &Arc<Transfers>, sockets: &Sockets, incoming: Incoming) {
    let Incoming {
        stream, address, ..
    } = incoming;
    // The first byte alone tells what the caller speaks; a stranger need not send 68 to be turned
    // away.
    let mut first = [0];
    let limit = transfers.context.bounds.deadlines.handshake;
    if let Err(error) = read_exact_by(&stream, &mut first, limit) {
        return log::debug!("{address}: no handshake: {error}");
    }
    match first {
        [FIRST_BYTE] => accept_plain(transfers, sockets, stream, address),
        [TLS_FIRST_BYTE] => accept_member(transfers, stream, address),
        [other] => log::info!(
            "{address}: not a BitTorrent handshake (first byte {other:#04x}); encrypted ones are not understood here"
        ),
    }
}

/// A caller to an open swarm. One that names a group's is answered like one that names no swarm.
fn accept_plain(
    transfers: &Arc<Transfers>,
    sockets: &Sockets,
    stream: Arc<TcpStream>,
    address: SocketAddr,
) {
    let limit = transfers.context.bounds.deadlines.handshake;
    let mut bytes = [FIRST_BYTE; HANDSHAKE];
    if let Some(rest) = bytes.get_mut(1..)
        && let Err(error) = read_exact_by(&stream, rest, limit)
    {
        return log::info!("{address}: the handshake did not come whole: {error}");
    }
    let theirs = match Handshake::parse(&bytes) {
        Ok(theirs) => theirs,
        Err(error) => return log::info!("{address}: {error}"),
    };
    let is_open = |entry: &Entry| match entry {
        Entry::Search(_) => true,
        Entry::Transfer(transfer) => transfer.plan.group.is_none(),
    };
    let Some(entry) = served(transfers, theirs.info_hash).filter(is_open) else {
        return log::info!(
            "{address}: asks for {}, which is not served here",
            theirs.info_hash
        );
    };
    let ours = transfers.context.handshake(theirs.info_hash);
    if let Err(error) = write_all_by(&stream, &ours.encode(), limit) {
        return log::info!("{address}: answering the handshake failed: {error}");
    }
    // After the answer, from which the calling thread of ours learns whom it called.
    if theirs.peer_id == transfers.context.identity.peer_id {
        return log::debug!("{address}: a call from ourselves");
    }
    match entry {
        Entry::Transfer(transfer) => join(
            &transfer,
            Greeted {
                stream: LinkStream::Plain(stream),
                member: None,
                address,
                outgoing: false,
                theirs,
            },
        ),
        Entry::Search(search) => {
            let _registered = sockets.register(&stream);
            if let Some(metadata) = magnet::fetch(&search, &stream, address, false, &theirs) {
                magnet::learn(transfers, &search, metadata);
            }
        }
    }
}

/// A caller to a group's swarm: TLS between members, then BEP 3 as anywhere.
fn accept_member(transfers: &Transfers, socket: Arc<TcpStream>, address: SocketAddr) {
    let tls = |info_hash| {
        let transfer = served_transfer(transfers, info_hash)?;
        transfer.plan.group.as_ref()?.tls(transfer.authority())
    };
    let limit = transfers.context.bounds.deadlines.handshake;
    let line = match accept_group(Arc::clone(&socket), &[TLS_FIRST_BYTE], tls, limit) {
        Ok(line) => line,
        Err(error) => return log::info!("{address}: refused: {error}"),
    };
    let user = line.member.user.clone();
    let Some(transfer) = served_transfer(transfers, line.info_hash) else {
        return log::info!("{address} ({user}): {} went away", line.info_hash);
    };
    let deadline = Instant::now() + limit;
    let mut bytes = [0; HANDSHAKE];
    if let Err(error) = line.stream.read_exact_until(&mut bytes, deadline) {
        return log::info!("{address} ({user}): no handshake: {error}");
    }
    let theirs = match Handshake::parse(&bytes) {
        Ok(theirs) if theirs.info_hash == line.info_hash => theirs,
        Ok(theirs) => {
            return log::info!(
                "{address} ({user}): refused: called for {} and asks for {}",
                line.info_hash,
                theirs.info_hash
            );
        }
        Err(error) => return log::info!("{address} ({user}): {error}"),
    };
    let group = transfer.plan.group.as_ref();
    if group.is_some_and(|group| group.is_barred(&user)) {
        return log::info!("{address}: refused: {user} is no member any more");
    }
    let ours = transfers.context.handshake(theirs.info_hash).encode();
    if let Err(error) = line.stream.write_all_until(&ours, deadline) {
        return log::info!("{address} ({user}): answering the handshake failed: {error}");
    }
    if theirs.peer_id == transfers.context.identity.peer_id {
        return log::debug!("{address}: a call from ourselves");
    }
    let greeted = Greeted {
        stream: LinkStream::Group {
            line: Box::new(line.stream),
            socket,
        },
        member: Some(line.member),
        address,
        outgoing: false,
        theirs,
    };
    join(&transfer, greeted);
}

/// What a caller may have: a search lets callers in too, as they may have the metadata.
fn served(transfers: &Transfers, info_hash: InfoHash) -> Option<Entry> {
    transfers.entry(info_hash).filter(|entry| match entry {
        Entry::Search(search) => search.is_seeking(),
        Entry::Transfer(transfer) => transfers.context.owned.serves(transfer.info_hash()),
    })
}

fn served_transfer(transfers: &Transfers, info_hash: InfoHash) -> Option<Arc<Transfer>> {
    served(transfers, info_hash)?.into_transfer()
}
