//! The exchange of handshakes (BEP 3) on a new connection: the caller speaks first.
//!
//! In scope: both sides of the exchange, in open swarms and, inside TLS between members, in those of
//! groups. Out of scope: which swarms this peer serves ([`ServedSwarms`]), and what the connection
//! becomes: a link, or a connection for metadata.

use super::LinkStream;
use crate::certificate::Member;
use crate::net::{
    GroupTls, GroupTlsError, TLS_FIRST_BYTE, accept_group, read_exact_by, write_all_by,
};
use crate::peer::Context;
use crate::torrent::InfoHash;
use crate::wire::handshake::{FIRST_BYTE, HANDSHAKE, Handshake, NotBitTorrent};
use log::Level;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

/// A connection on which both sides sent their handshake.
pub(crate) struct PeerConnection {
    pub(crate) stream: LinkStream,
    /// Who the other peer is, in a group's swarm.
    pub(crate) member: Option<Member>,
    pub(crate) address: SocketAddr,
    /// Whether this peer called.
    pub(crate) outgoing: bool,
    pub(crate) handshake: Handshake,
}

/// How to call a peer of a group's swarm.
pub(crate) struct GroupAccess<'a> {
    pub(crate) tls: GroupTls,
    /// Whether a user is a member no longer.
    pub(crate) is_barred: &'a dyn Fn(&str) -> bool,
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
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

/// Sends our handshake on a connection that we opened, and reads the answer.
///
/// # Errors
/// See [`CallError`]; the connection is of no use.
pub(crate) fn initiate_handshake(
    context: &Context,
    socket: Arc<TcpStream>,
    address: SocketAddr,
    info_hash: InfoHash,
    member: Option<GroupAccess<'_>>,
) -> Result<PeerConnection, CallError> {
    let limit = context.link_limits.deadlines.handshake;
    let ours = context.handshake(info_hash).encode();
    let mut answer = [0; HANDSHAKE];
    let (stream, member) = match member {
        Some(GroupAccess { tls, is_barred }) => {
            let member_connection = tls.connect(Arc::clone(&socket), info_hash, limit)?;
            if is_barred(&member_connection.member.user) {
                return Err(CallError::Barred(member_connection.member.user));
            }
            member_connection.exchange(&ours, &mut answer, limit)?;
            let (tls, member) = (Box::new(member_connection.stream), member_connection.member);
            (LinkStream::Group { tls, socket }, Some(member))
        }
        None => {
            let exchanged = write_all_by(&socket, &ours, limit)
                .and_then(|()| read_exact_by(&socket, &mut answer, limit));
            exchanged.map_err(no_answer)?;
            (LinkStream::Plain(socket), None)
        }
    };
    let handshake = Handshake::parse(&answer)?;
    if handshake.info_hash != info_hash {
        return Err(CallError::OtherSwarm);
    }
    Ok(PeerConnection {
        stream,
        member,
        address,
        outgoing: true,
        handshake,
    })
}

fn no_answer(error: io::Error) -> CallError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => CallError::HungUp,
        _ => error.into(),
    }
}

/// The swarms that this peer serves, as a caller may reach them.
pub(crate) trait ServedSwarms {
    /// The certificates for a swarm of a group; `None` if no such swarm is served here.
    fn tls(&self, info_hash: InfoHash) -> Option<GroupTls>;

    /// Whether a caller is let in; one without a certificate to open swarms only.
    ///
    /// # Errors
    /// See [`AdmissionError`].
    fn check_admission(
        &self,
        info_hash: InfoHash,
        member: Option<&Member>,
    ) -> Result<(), AdmissionError>;
}

/// Why a caller is not let in, although it speaks the protocol.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdmissionError {
    #[error("asks for {0}, which is not served here")]
    NotServed(InfoHash),
    #[error("refused: {0} is no member any more")]
    Barred(String),
}

/// Why a caller got no handshake, or nothing after it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcceptError {
    #[error("no handshake: {0}")]
    Silent(#[source] io::Error),
    #[error(
        "not a BitTorrent handshake (first byte {0:#04x}); encrypted ones are not understood here"
    )]
    FirstByte(u8),
    #[error("the handshake did not come whole: {0}")]
    Cut(#[source] io::Error),
    #[error(transparent)]
    Handshake(#[from] NotBitTorrent),
    #[error("refused: {0}")]
    Group(#[from] GroupTlsError),
    #[error("refused: called for {0} and asks for {1}")]
    OtherSwarm(InfoHash, InfoHash),
    #[error(transparent)]
    AdmissionError(#[from] AdmissionError),
    #[error("answering the handshake failed: {0}")]
    Answer(#[source] io::Error),
    #[error("a call from ourselves")]
    Ourselves,
}

impl AcceptError {
    /// How much of a person's attention it deserves.
    pub(crate) fn level(&self) -> Level {
        match self {
            Self::Silent(_) | Self::Ourselves => Level::Debug,
            _ => Level::Info,
        }
    }
}

/// Reads the handshake of a caller, and answers it. A caller that does not begin a handshake for a
/// swarm served here gets no byte.
///
/// # Errors
/// See [`AcceptError`]; the connection is to be closed.
pub(crate) fn accept_handshake(
    context: &Context,
    served: &dyn ServedSwarms,
    socket: Arc<TcpStream>,
    address: SocketAddr,
) -> Result<PeerConnection, AcceptError> {
    // The first byte alone shows what the caller speaks; a stranger need not send 68 to be turned
    // away.
    let mut first = [0];
    let limit = context.link_limits.deadlines.handshake;
    read_exact_by(&socket, &mut first, limit).map_err(AcceptError::Silent)?;
    let (stream, member, handshake) = match first {
        [FIRST_BYTE] => {
            let handshake = accept_open(context, served, &socket)?;
            (LinkStream::Plain(socket), None, handshake)
        }
        [TLS_FIRST_BYTE] => accept_member(context, served, socket)?,
        [other] => return Err(AcceptError::FirstByte(other)),
    };
    // After the answer, from which our own calling thread learns whom it called.
    if handshake.peer_id == context.identity.peer_id {
        return Err(AcceptError::Ourselves);
    }
    Ok(PeerConnection {
        stream,
        member,
        address,
        outgoing: false,
        handshake,
    })
}

/// An open swarm. A caller that names a group's swarm is answered like one that names no swarm.
fn accept_open(
    context: &Context,
    served: &dyn ServedSwarms,
    socket: &TcpStream,
) -> Result<Handshake, AcceptError> {
    let limit = context.link_limits.deadlines.handshake;
    let mut bytes = [FIRST_BYTE; HANDSHAKE];
    if let Some(rest) = bytes.get_mut(1..) {
        read_exact_by(socket, rest, limit).map_err(AcceptError::Cut)?;
    }
    let handshake = Handshake::parse(&bytes)?;
    served.check_admission(handshake.info_hash, None)?;
    let ours = context.handshake(handshake.info_hash).encode();
    write_all_by(socket, &ours, limit).map_err(AcceptError::Answer)?;
    Ok(handshake)
}

/// A group's swarm: TLS between members, then BEP 3 as anywhere.
fn accept_member(
    context: &Context,
    served: &dyn ServedSwarms,
    socket: Arc<TcpStream>,
) -> Result<(LinkStream, Option<Member>, Handshake), AcceptError> {
    let limit = context.link_limits.deadlines.handshake;
    let tls = |info_hash| served.tls(info_hash);
    let member_connection = accept_group(Arc::clone(&socket), &[TLS_FIRST_BYTE], tls, limit)?;
    let deadline = Instant::now() + limit;
    let mut bytes = [0; HANDSHAKE];
    let read = member_connection
        .stream
        .read_exact_until(&mut bytes, deadline);
    read.map_err(AcceptError::Cut)?;
    let handshake = Handshake::parse(&bytes)?;
    if handshake.info_hash != member_connection.info_hash {
        return Err(AcceptError::OtherSwarm(
            member_connection.info_hash,
            handshake.info_hash,
        ));
    }
    served.check_admission(handshake.info_hash, Some(&member_connection.member))?;
    let ours = context.handshake(handshake.info_hash).encode();
    let answered = member_connection.stream.write_all_until(&ours, deadline);
    answered.map_err(AcceptError::Answer)?;
    let (tls, member) = (Box::new(member_connection.stream), member_connection.member);
    Ok((LinkStream::Group { tls, socket }, Some(member), handshake))
}
