//! How a link begins: by a call of ours or of another.

use super::outbox::Outbox;
use super::stream::LinkStream;
use super::{About, CONNECT_LIMIT, Link, reader};
use crate::certificate::Member;
use crate::net::{
    GroupTlsError, Incoming, Refusal as Alert, TLS_FIRST_BYTE, accept_group, read_exact_by,
    write_all_by,
};
use crate::peer::links::Refusal;
use crate::peer::metadata;
use crate::peer::shared::Shared;
use crate::peer::transfer::Transfer;
use crate::swarm::allowed_fast;
use crate::wire::handshake::{FIRST_BYTE, HANDSHAKE, Handshake, NotBitTorrent};
use log::Level;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Serves a caller until the link ends. What is not the start of a handshake for a swarm served here is closed without
/// a word, whatever is wrong with it.
pub(in crate::peer) fn accept(shared: &Arc<Shared>, incoming: Incoming) {
    let Incoming {
        stream, address, ..
    } = incoming;
    // The first byte alone tells what the caller speaks; a stranger need not send 68 to be turned away.
    let mut first = [0];
    if let Err(error) = read_exact_by(&stream, &mut first, shared.deadlines.handshake) {
        return log::debug!("{address}: no handshake: {error}");
    }
    match first {
        [FIRST_BYTE] => accept_plain(shared, stream, address),
        [TLS_FIRST_BYTE] => accept_member(shared, stream, address),
        [other] => log::info!(
            "{address}: not a BitTorrent handshake (first byte {other:#04x}); encrypted ones are not understood here"
        ),
    }
}

/// A caller to an open swarm. One that names a group's is answered like one that names no swarm.
fn accept_plain(shared: &Arc<Shared>, stream: Arc<TcpStream>, address: SocketAddr) {
    let mut bytes = [FIRST_BYTE; HANDSHAKE];
    if let Some(rest) = bytes.get_mut(1..)
        && let Err(error) = read_exact_by(&stream, rest, shared.deadlines.handshake)
    {
        return log::info!("{address}: the handshake did not come whole: {error}");
    }
    let theirs = match Handshake::parse(&bytes) {
        Ok(theirs) => theirs,
        Err(error) => return log::info!("{address}: {error}"),
    };
    let transfer = shared.owned.transfer(theirs.info_hash);
    let Some(transfer) = transfer.filter(|transfer| transfer.group.is_none()) else {
        return log::info!(
            "{address}: asks for {}, which is not served here",
            theirs.info_hash
        );
    };
    let ours = shared.handshake(theirs.info_hash);
    if let Err(error) = write_all_by(&stream, &ours.encode(), shared.deadlines.handshake) {
        return log::info!("{address}: answering the handshake failed: {error}");
    }
    // After the answer, from which the calling thread of ours learns whom it called.
    if theirs.peer_id == shared.peer_id {
        return log::debug!("{address}: a call from ourselves");
    }
    let stream = LinkStream::Plain(stream);
    begin(shared, &transfer, stream, None, address, false, &theirs);
}

/// A caller to a group's swarm: TLS between members, then BEP 3 as anywhere.
fn accept_member(shared: &Arc<Shared>, socket: Arc<TcpStream>, address: SocketAddr) {
    let served = |info_hash| {
        let transfer = shared.owned.transfer(info_hash)?;
        transfer.group.as_ref()?.tls(transfer.authority)
    };
    let line = accept_group(
        Arc::clone(&socket),
        &[TLS_FIRST_BYTE],
        served,
        shared.deadlines.handshake,
    );
    let line = match line {
        Ok(line) => line,
        Err(error) => return log::info!("{address}: refused: {error}"),
    };
    let user = line.member.user.clone();
    let Some(transfer) = shared.owned.transfer(line.info_hash) else {
        return log::info!("{address} ({user}): {} went away", line.info_hash);
    };
    let deadline = Instant::now() + shared.deadlines.handshake;
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
    if is_barred(&transfer, &user) {
        return log::info!("{address}: refused: {user} is no member any more");
    }
    let ours = shared.handshake(theirs.info_hash).encode();
    if let Err(error) = line.stream.write_all_until(&ours, deadline) {
        return log::info!("{address} ({user}): answering the handshake failed: {error}");
    }
    if theirs.peer_id == shared.peer_id {
        return log::debug!("{address}: a call from ourselves");
    }
    let member = Some(line.member);
    let stream = LinkStream::Group {
        line: Box::new(line.stream),
        socket,
    };
    begin(shared, &transfer, stream, member, address, false, &theirs);
}

fn is_barred(transfer: &Transfer, user: &str) -> bool {
    let group = transfer.group.as_ref();
    group.is_some_and(|group| group.is_barred(user))
}

/// Calls an address and serves the link until it ends.
pub(in crate::peer) fn call(shared: &Arc<Shared>, transfer: &Arc<Transfer>, address: SocketAddr) {
    match greet(shared, transfer, address) {
        Ok((_, _, theirs)) if theirs.peer_id == shared.peer_id => {
            log::debug!("{address} is this peer itself");
            transfer.is_ourselves(address);
        }
        Ok((stream, member, theirs)) => {
            transfer.reached();
            begin(shared, transfer, stream, member, address, true, &theirs);
        }
        Err(error) => {
            // A person may do something about this one; but whoever is called in vain is called many times.
            let told = matches!(error, CallError::HungUp) && transfer.hung_up_first(address);
            let level = if told { Level::Info } else { Level::Debug };
            log::log!(level, "{}: calling {address}: {error}", transfer.name());
            transfer.unreached(format!("{address}: {error}"));
            transfer.call_failed(shared, address);
        }
    }
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Group(#[from] GroupTlsError),
    #[error(transparent)]
    Handshake(#[from] NotBitTorrent),
    #[error(
        "it hung up at the handshake; it does not share this, or accepts encrypted connections only, which are not \
         understood here"
    )]
    HungUp,
    #[error("it answers for another swarm")]
    OtherSwarm,
    #[error("{0} is no member any more")]
    Barred(String),
    #[error("nobody of the group is logged in here")]
    Suspended,
}

fn greet(
    shared: &Shared,
    transfer: &Transfer,
    address: SocketAddr,
) -> Result<(LinkStream, Option<Member>, Handshake), CallError> {
    let socket = Arc::new(TcpStream::connect_timeout(&address, CONNECT_LIMIT)?);
    let _registered = shared.register_call(&socket);
    let info_hash = transfer.info_hash();
    let ours = shared.handshake(info_hash).encode();
    let mut bytes = [0; HANDSHAKE];
    let (stream, member) = match &transfer.group {
        None => {
            let limit = shared.deadlines.handshake;
            let said = write_all_by(&socket, &ours, limit)
                .and_then(|()| read_exact_by(&socket, &mut bytes, limit));
            said.map_err(no_answer)?;
            (LinkStream::Plain(socket), None)
        }
        Some(group) => {
            let tls = group.tls(transfer.authority);
            let tls = tls.ok_or(CallError::Suspended)?;
            let doubted = |error: &GroupTlsError| {
                if matches!(error, GroupTlsError::Refused(Alert::Group)) {
                    group.doubt();
                }
            };
            let line = tls.connect(Arc::clone(&socket), info_hash, shared.deadlines.handshake);
            let line = line.inspect_err(doubted)?;
            if group.is_barred(&line.member.user) {
                return Err(CallError::Barred(line.member.user));
            }
            line.exchange(&ours, &mut bytes, shared.deadlines.handshake)
                .inspect_err(doubted)?;
            let stream = LinkStream::Group {
                line: Box::new(line.stream),
                socket,
            };
            (stream, Some(line.member))
        }
    };
    let theirs = Handshake::parse(&bytes)?;
    if theirs.info_hash != info_hash {
        return Err(CallError::OtherSwarm);
    }
    Ok((stream, member, theirs))
}

fn no_answer(error: io::Error) -> CallError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => CallError::HungUp,
        _ => error.into(),
    }
}

fn begin(
    shared: &Arc<Shared>,
    transfer: &Arc<Transfer>,
    stream: LinkStream,
    member: Option<Member>,
    address: SocketAddr,
    outgoing: bool,
    theirs: &Handshake,
) {
    if let Some(sought) = transfer.sought()
        && let LinkStream::Plain(stream) = &stream
    {
        return metadata::fetch(shared, transfer, sought, stream, address, outgoing, theirs);
    }
    let link = Arc::new(Link {
        id: shared.next_link(),
        stream,
        member,
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
