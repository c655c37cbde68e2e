//! The exchange of BEP 3 handshakes on a new connection. The caller sends first.
//!
//! In scope: both sides of the exchange, for open swarms (plain TCP) and for group swarms (TLS
//! between members). Out of scope: which swarms this peer serves ([`ServedSwarms`]), and whether
//! the connection becomes a link or fetches metadata.

use super::LinkStream;
use crate::certificate::Member;
use crate::net::{
    GroupTls, GroupTlsError, MemberConnection, TLS_FIRST_BYTE, accept_group, read_exact_within,
    write_all_within,
};
use crate::peer::Context;
use crate::system::cause;
use crate::torrent::InfoHash;
use crate::wire::handshake::{HANDSHAKE_FIRST_BYTE, HANDSHAKE_LENGTH, Handshake, NotBitTorrent};
use log::Level;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection on which both sides have sent their handshakes.
pub(crate) struct PeerConnection {
    pub(crate) stream: LinkStream,
    /// The other peer's user; only in a group swarm.
    pub(crate) member: Option<Member>,
    pub(crate) address: SocketAddr,
    /// Whether this peer is the caller.
    pub(crate) outgoing: bool,
    /// The other peer's handshake.
    pub(crate) handshake: Handshake,
}

/// What a call into a group swarm needs.
pub(crate) struct GroupAccess<'a> {
    pub(crate) tls: GroupTls,
    /// Checks whether a member may have a link.
    pub(crate) admit: &'a dyn Fn(&Member) -> Result<(), AdmissionError>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{}", cause(.0))]
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
    #[error("it answered for another swarm")]
    OtherSwarm,
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// This peer has no TLS configuration for the group at present.
    #[error("no member of the group is logged in here")]
    NoCertificate,
}

/// Sends our handshake on a connection that we opened, and reads the answer.
///
/// # Errors
/// See [`CallError`]. The caller of this function closes the connection.
pub(crate) fn initiate_handshake(
    context: &Context,
    socket: Arc<TcpStream>,
    address: SocketAddr,
    info_hash: InfoHash,
    access: Option<GroupAccess<'_>>,
) -> Result<PeerConnection, CallError> {
    let limit = context.link_limits.deadlines.handshake;
    let our_handshake = context.handshake(info_hash).encode();
    let mut answer = [0; HANDSHAKE_LENGTH];
    let (stream, member) = match access {
        Some(GroupAccess { tls, admit }) => {
            let member_connection = tls.connect(Arc::clone(&socket), info_hash, limit)?;
            admit(&member_connection.member)?;
            member_connection.exchange(&our_handshake, &mut answer, limit)?;
            let (tls, member) = (Box::new(member_connection.stream), member_connection.member);
            (LinkStream::Group { tls, socket }, Some(member))
        }
        None => {
            let exchanged = write_all_within(&socket, &our_handshake, limit)
                .and_then(|()| read_exact_within(&socket, &mut answer, limit));
            exchanged.map_err(call_error)?;
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

fn call_error(error: io::Error) -> CallError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => CallError::HungUp,
        _ => error.into(),
    }
}

/// The swarms that this peer serves, and the callers that it accepts.
pub(crate) trait ServedSwarms {
    /// The TLS configuration for a group swarm; `None` if this peer does not serve that swarm.
    fn tls(&self, info_hash: InfoHash) -> Option<GroupTls>;

    /// Checks whether a caller may join the swarm. A caller without a certificate (`member` is
    /// `None`) may join open swarms only.
    ///
    /// # Errors
    /// See [`AdmissionError`].
    fn check_admission(
        &self,
        info_hash: InfoHash,
        member: Option<&Member>,
    ) -> Result<(), AdmissionError>;
}

/// Why a peer that speaks the protocol is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdmissionError {
    #[error("asks for {0}, which is not served here")]
    NotServed(InfoHash),
    #[error("refused: {0} is no member any more")]
    Barred(String),
    #[error("refused: {0} had no link here before, and no tracker has said yet who is a member")]
    Unknown(String),
}

/// Why the handshake with a caller failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcceptError {
    #[error("no handshake: {0}")]
    Silent(#[source] io::Error),
    #[error(
        "not a BitTorrent handshake (first byte {0:#04x}); encrypted handshakes are not supported"
    )]
    FirstByte(u8),
    #[error("the handshake did not come whole: {0}")]
    Cut(#[source] io::Error),
    #[error(transparent)]
    Handshake(#[from] NotBitTorrent),
    #[error("refused: {0}")]
    Group(#[from] GroupTlsError),
    #[error("refused: it named {0} in TLS, but {1} in its handshake")]
    OtherSwarm(InfoHash, InfoHash),
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    #[error("answering the handshake failed: {0}")]
    Answer(#[source] io::Error),
    #[error("a call from ourselves")]
    Ourselves,
    /// One of the other errors, of a caller whose certificate was verified.
    #[error("({user}) {error}")]
    OfMember {
        user: String,
        #[source]
        error: Box<Self>,
    },
}

impl AcceptError {
    /// The log level of the error.
    pub(crate) fn level(&self) -> Level {
        match self {
            Self::Silent(_) | Self::Ourselves => Level::Debug,
            Self::OfMember { error, .. } => error.level(),
            _ => Level::Info,
        }
    }
}

/// Reads the handshake of a caller and answers it. This peer sends nothing until the caller has
/// named a swarm that is served here.
///
/// # Errors
/// See [`AcceptError`]. The caller of this function closes the connection.
pub(crate) fn accept_handshake(
    context: &Context,
    served: &dyn ServedSwarms,
    socket: Arc<TcpStream>,
    address: SocketAddr,
) -> Result<PeerConnection, AcceptError> {
    // The first byte shows the protocol. So a connection of another protocol is refused before it
    // has sent 68 bytes.
    let mut first = [0];
    let limit = context.link_limits.deadlines.handshake;
    read_exact_within(&socket, &mut first, limit).map_err(AcceptError::Silent)?;
    let (stream, member, handshake) = match first {
        [HANDSHAKE_FIRST_BYTE] => {
            let handshake = accept_open(context, served, &socket)?;
            (LinkStream::Plain(socket), None, handshake)
        }
        [TLS_FIRST_BYTE] => accept_member(context, served, socket)?,
        [other] => return Err(AcceptError::FirstByte(other)),
    };
    // This check comes after our answer was sent. If this peer has called itself, its calling
    // thread needs the answer to notice that.
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

/// Accepts a caller of an open swarm. A caller that names a group swarm is refused like one that
/// names an unknown swarm, so that it learns nothing.
fn accept_open(
    context: &Context,
    served: &dyn ServedSwarms,
    socket: &TcpStream,
) -> Result<Handshake, AcceptError> {
    let limit = context.link_limits.deadlines.handshake;
    let mut bytes = [HANDSHAKE_FIRST_BYTE; HANDSHAKE_LENGTH];
    if let Some(rest) = bytes.get_mut(1..) {
        read_exact_within(socket, rest, limit).map_err(AcceptError::Cut)?;
    }
    let handshake = Handshake::parse(&bytes)?;
    served.check_admission(handshake.info_hash, None)?;
    let our_handshake = context.handshake(handshake.info_hash).encode();
    write_all_within(socket, &our_handshake, limit).map_err(AcceptError::Answer)?;
    Ok(handshake)
}

/// Accepts a caller of a group swarm: TLS between members first, then the BEP 3 handshake.
fn accept_member(
    context: &Context,
    served: &dyn ServedSwarms,
    socket: Arc<TcpStream>,
) -> Result<(LinkStream, Option<Member>, Handshake), AcceptError> {
    let limit = context.link_limits.deadlines.handshake;
    let tls = |info_hash| served.tls(info_hash);
    let member_connection = accept_group(Arc::clone(&socket), &[TLS_FIRST_BYTE], tls, limit)?;
    let handshake = exchange_inside_tls(context, served, &member_connection, limit);
    let handshake = handshake.map_err(|error| match error {
        // This error names the user already.
        error @ AcceptError::Admission(AdmissionError::Barred(_) | AdmissionError::Unknown(_)) => {
            error
        }
        error => AcceptError::OfMember {
            user: member_connection.member.user.clone(),
            error: Box::new(error),
        },
    })?;
    let (tls, member) = (Box::new(member_connection.stream), member_connection.member);
    Ok((LinkStream::Group { tls, socket }, Some(member), handshake))
}

fn exchange_inside_tls(
    context: &Context,
    served: &dyn ServedSwarms,
    member_connection: &MemberConnection,
    limit: Duration,
) -> Result<Handshake, AcceptError> {
    let deadline = Instant::now() + limit;
    let mut bytes = [0; HANDSHAKE_LENGTH];
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
    let our_handshake = context.handshake(handshake.info_hash).encode();
    let answered = member_connection
        .stream
        .write_all_until(&our_handshake, deadline);
    answered.map_err(AcceptError::Answer)?;
    Ok(handshake)
}
