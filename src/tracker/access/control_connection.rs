//! A control connection of a peer: requests are read and answered in order.
//!
//! In scope: deadlines, the reply to bytes that are not a request, and the limit on the length of
//! frames. Only a peer that has shown a valid token may send long frames. A write is not executed
//! if the peer has closed the connection before the turn of the write. Out of scope: what a request
//! means.
//!
//! The thread of the connection reads a request, passes it to the registrar and writes the reply.
//! Then it reads the next request.

use super::registrar::Registrar;
use crate::net::{FrameIoError, FrameReader, TlsStream, write_frame};
use crate::tracker::closed_run::no_run;
use crate::wire::access::{
    AccessErrorKind, AccessRefusal, AccessReplyMessage, AccessRequestMessage, MAX_FIRST_FRAME,
    MAX_FRAME, PROTOCOL, SAME_VERSION,
};
use crate::wire::control::{ControlError, TextLine};
use std::net::SocketAddr;
use std::time::Duration;

/// How long a connection may be silent. A peer opens a new one for its next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a frame may take to arrive once it has begun, and how long a reply may take to be
/// written.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a connection until it ends.
pub(in crate::tracker) fn serve_peer(registrar: &Registrar, stream: &TlsStream, from: SocketAddr) {
    match answer_requests(registrar, stream, from) {
        Ok(()) | Err(FrameIoError::Closed) => log::debug!("the control connection of {from} ended"),
        Err(error) => log::info!("the control connection of {from} ended: {error}"),
    }
    stream.finish(FRAME_TIMEOUT);
    stream.hang_up();
}

fn answer_requests(
    registrar: &Registrar,
    stream: &TlsStream,
    from: SocketAddr,
) -> Result<(), FrameIoError> {
    let mut reader = FrameReader::new(stream, MAX_FIRST_FRAME);
    let mut has_login = false;
    loop {
        let body = match reader.next(IDLE_TIMEOUT, FRAME_TIMEOUT) {
            Err(FrameIoError::TooSlow(IDLE_TIMEOUT)) => return Ok(()),
            body => body?,
        };
        let request = match AccessRequestMessage::decode(body) {
            Ok(request) => request,
            Err(error) => {
                log::info!("bytes from {from} are not a request: {error}");
                let reply = bad_request_reply(body, &error);
                return write_frame(stream, &reply, MAX_FRAME, FRAME_TIMEOUT);
            }
        };
        if !has_login && registrar.is_logged_in(request.token.as_ref()) {
            has_login = true;
            reader.set_cap(MAX_FRAME);
        }
        // A peer that has closed the connection repeats the command at another tracker, and may
        // have sent more commands since. A write made now would be later than those.
        if request.ask.is_write() && stream.has_ended() {
            let kind = request.ask.kind();
            log::info!(
                "{from} has given up {kind} and closed its connection; the command is not executed"
            );
            return Ok(());
        }
        let reply = registrar.answer(request, from.ip()).encode();
        write_frame(stream, &reply, MAX_FRAME, FRAME_TIMEOUT)?;
    }
}

/// The reply to bytes that are not a request. The connection is closed after it.
fn bad_request_reply(body: &[u8], error: &ControlError) -> Vec<u8> {
    if let Some(answer) = no_run(body) {
        return answer;
    }
    let (theirs, message) = match error {
        ControlError::OtherProtocol { theirs, ours } => {
            let message = format!(
                "this tracker speaks version {ours} of the protocol, and the peer version \
                 {theirs}; {SAME_VERSION}"
            );
            (*theirs, message)
        }
        error => (PROTOCOL, format!("this is not a request: {error}")),
    };
    let reply = AccessReplyMessage {
        id: 0,
        renewed: None,
        only_here: false,
        result: Err(AccessRefusal {
            kind: AccessErrorKind::BadRequest,
            message: TextLine::new(&message),
        }),
    };
    reply.encode_for(theirs)
}
