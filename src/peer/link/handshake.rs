//! How a link begins: by a call of ours or of another.

use super::outbox::Outbox;
use super::{About, CONNECT_LIMIT, HANDSHAKE_LIMIT, Link, reader};
use crate::net::{Incoming, read_exact_by, write_all_by};
use crate::peer::shared::Shared;
use crate::peer::transfer::{Refusal, Transfer};
use crate::swarm::allowed_fast;
use crate::wire::handshake::{FIRST_BYTE, HANDSHAKE, Handshake};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

/// Serves a caller until the link ends. What is not the start of a handshake for a swarm served here is closed without
/// a word, whatever is wrong with it.
pub(in crate::peer) fn accept(shared: &Arc<Shared>, incoming: Incoming) {
    let Incoming { stream, address } = incoming;
    let mut bytes = [0; HANDSHAKE];
    // The first byte alone tells what the caller speaks; a stranger need not send 68 to be turned away.
    let (first, rest) = bytes.split_at_mut(1);
    if let Err(error) = read_exact_by(&stream, first, HANDSHAKE_LIMIT) {
        return log::debug!("{address}: no handshake: {error}");
    }
    if *first != [FIRST_BYTE] {
        return log::info!(
            "{address}: not a BitTorrent handshake (first byte {:#04x})",
            first[0]
        );
    }
    if let Err(error) = read_exact_by(&stream, rest, HANDSHAKE_LIMIT) {
        return log::info!("{address}: the handshake did not come whole: {error}");
    }
    let theirs = match Handshake::parse(&bytes) {
        Ok(theirs) => theirs,
        Err(error) => return log::info!("{address}: {error}"),
    };
    let Some(transfer) = shared.owned.transfer(theirs.info_hash) else {
        return log::info!(
            "{address}: asks for {}, which is not served here",
            theirs.info_hash
        );
    };
    let ours = shared.handshake(theirs.info_hash);
    if let Err(error) = write_all_by(&stream, &ours.encode(), HANDSHAKE_LIMIT) {
        return log::info!("{address}: answering the handshake failed: {error}");
    }
    // After the answer, from which the calling thread of ours learns whom it called.
    if theirs.peer_id == shared.peer_id {
        return log::debug!("{address}: a call from ourselves");
    }
    begin(shared, &transfer, stream, address, false, &theirs);
}

/// Calls an address and serves the link until it ends.
pub(in crate::peer) fn call(shared: &Arc<Shared>, transfer: &Arc<Transfer>, address: SocketAddr) {
    match greet(shared, transfer, address) {
        Ok((stream, theirs)) if theirs.peer_id == shared.peer_id => {
            drop(stream);
            log::debug!("{address} is this peer itself");
            transfer.is_ourselves(address);
        }
        Ok((stream, theirs)) => begin(shared, transfer, stream, address, true, &theirs),
        Err(error) => {
            log::debug!("{}: calling {address}: {error}", transfer.name());
            transfer.call_failed(shared, address);
        }
    }
}

fn greet(
    shared: &Shared,
    transfer: &Transfer,
    address: SocketAddr,
) -> std::io::Result<(Arc<TcpStream>, Handshake)> {
    let stream = Arc::new(TcpStream::connect_timeout(&address, CONNECT_LIMIT)?);
    let _registered = shared.register_call(&stream);
    let ours = shared.handshake(transfer.info_hash());
    write_all_by(&stream, &ours.encode(), HANDSHAKE_LIMIT)?;
    let mut bytes = [0; HANDSHAKE];
    read_exact_by(&stream, &mut bytes, HANDSHAKE_LIMIT)?;
    let invalid = |text: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, text);
    let theirs = Handshake::parse(&bytes).map_err(|error| invalid(&error.to_string()))?;
    if theirs.info_hash != transfer.info_hash() {
        return Err(invalid("it answers for another swarm"));
    }
    Ok((stream, theirs))
}

fn begin(
    shared: &Arc<Shared>,
    transfer: &Arc<Transfer>,
    stream: Arc<TcpStream>,
    address: SocketAddr,
    outgoing: bool,
    theirs: &Handshake,
) {
    // Requests are small and must not wait for one another.
    if let Err(error) = stream.set_nodelay(true) {
        return log::debug!("{address}: {error}");
    }
    let link = Arc::new(Link {
        id: shared.next_link(),
        stream,
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
        paused: AtomicBool::new(false),
        downloaded: AtomicU64::new(0),
        uploaded: AtomicU64::new(0),
        used: AtomicU64::new(0),
        since: shared.now(),
        about: Mutex::new(About::default()),
    });
    link.use_at(shared.now());
    match transfer.admit(shared, &link) {
        Ok(()) => {
            let way = if outgoing { "called" } else { "was called by" };
            log::info!(
                "{}: {way} {address} ({})",
                transfer.name(),
                link.peer_id.client()
            );
            let ended = reader::serve(shared, transfer, &link);
            let reason = link.reason().unwrap_or_else(|| ended.to_string());
            log::info!(
                "{}: the link with {} ended: {reason}",
                transfer.name(),
                link.shown_address()
            );
            transfer.dismiss(shared, &link, &ended);
        }
        Err(refusal) => {
            log::debug!("{}: {address}: {refusal}", transfer.name());
            if outgoing && refusal != Refusal::Linked {
                transfer.call_failed(shared, address);
            }
        }
    }
}
