//! One control line of a peer: requests in, replies out, in order.
//!
//! In scope: deadlines, dropping a write whose line was ended before its turn came, what is answered to bytes that are no request, long frames for those alone who have shown a session.
//! Out of scope: what a request means.
//!
//! The connection's own thread reads, has each request answered and writes the reply before it reads the next.

use super::registrar::Registrar;
use crate::net::{FrameIoError, FrameReader, TlsStream, write_frame};
use crate::tracker::closed_run::no_run;
use crate::wire::access::{ErrorKind, MAX_FIRST_FRAME, MAX_FRAME, Refused, Reply, Request};
use crate::wire::control::Line;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a line may be silent: its peer opens another when it has something to ask.
const IDLE: Duration = Duration::from_secs(60);
/// How long a frame that has begun may take to arrive, and a reply to be taken.
const FRAME: Duration = Duration::from_secs(10);

/// Serves a line until it ends.
pub(in crate::tracker) fn serve_peer(registrar: &Registrar, stream: &TlsStream, from: SocketAddr) {
    match converse(registrar, stream, from) {
        Ok(()) | Err(FrameIoError::Closed) => log::debug!("the control line of {from} ended"),
        Err(error) => log::info!("the control line of {from} ended: {error}"),
    }
    stream.finish(FRAME);
    stream.hang_up();
}

fn converse(
    registrar: &Registrar,
    stream: &TlsStream,
    from: SocketAddr,
) -> Result<(), FrameIoError> {
    let mut reader = FrameReader::new(stream, MAX_FIRST_FRAME);
    let mut is_known = false;
    loop {
        let body = match reader.next(IDLE, FRAME) {
            Err(FrameIoError::TooSlow(IDLE)) => return Ok(()),
            body => body?,
        };
        let request = match Request::decode(body) {
            Ok(request) => request,
            Err(error) => {
                log::info!("no request from {from}: {error}");
                let reply = refusal(body, &error.to_string());
                return write_frame(stream, &reply, MAX_FRAME, FRAME);
            }
        };
        if !is_known && registrar.holds(request.token.as_ref()) {
            is_known = true;
            reader.set_cap(MAX_FRAME);
        }
        // Whoever has given up asks elsewhere, and may have gone on from there since: done now, a write would be later.
        if request.ask.is_write() && stream.has_ended() {
            let kind = request.ask.kind();
            log::info!("{from} has given up {kind} and ended its line: it is not done");
            return Ok(());
        }
        let reply = registrar.answer(request, from.ip()).encode();
        write_frame(stream, &reply, MAX_FRAME, FRAME)?;
    }
}

/// The answer to somebody whose bytes are no request, before the line is closed.
fn refusal(body: &[u8], error: &str) -> Vec<u8> {
    if let Some(answer) = no_run(body) {
        return answer;
    }
    let result = Err(Refused {
        kind: ErrorKind::BadRequest,
        message: Line::new(&format!("this is no request: {error}")),
    });
    Reply {
        id: 0,
        renewed: None,
        only_here: false,
        result,
    }
    .encode()
}
