//! One HTTP connection at the tracker: requests in, responses out, until either side has had enough.
//!
//! In scope: deadlines, keeping alive, requests sent ahead (RFC 9112, section 9.3.2), closing so that a refusal arrives.
//! Out of scope: what a request means.

use super::http::{self, HttpError, MAX_HEAD};
use super::service::Service;
use crate::net::{DeadlineReader, write_all_by};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Responses to requests sent ahead are gathered up to this many bytes before they are sent.
const GATHERED: usize = 16 << 10;
/// The first response goes without a time limit if it has at most this many bytes: an empty socket takes it at once.
const UNHINDERED: usize = 4 << 10;
/// What is read of a refused request's rest, so that the refusal is not lost with the connection.
const DRAINED: usize = 256 << 10;
/// How long that may take.
const DRAINING: Duration = Duration::from_secs(1);

/// How long an HTTP client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For a whole request head to arrive, however it trickles, and for responses to be taken.
    pub head: Duration,
    /// For the next request to begin.
    pub idle: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(30),
        }
    }
}

/// Answers an announce that is all a connection is for, if `said`, the beginning of what is to be read, is just that;
/// whether it was. Waits for nothing: what is read is here, and an empty socket takes the response.
///
/// # Errors
/// What the socket says; the connection is of no use any more.
pub(super) fn serve_at_once(
    mut stream: &TcpStream,
    said: &[u8],
    from: IpAddr,
    service: &Service,
    now: Duration,
) -> io::Result<bool> {
    let request = match http::parse(said) {
        Ok(Some((request, length))) if length == said.len() => request,
        _ => return Ok(false),
    };
    if request.keep_alive || request.path != "/announce" {
        return Ok(false);
    }
    // With nothing left unread, closing resets nothing.
    let mut rest = [0; MAX_HEAD];
    stream.read_exact(rest.get_mut(..said.len()).unwrap_or_default())?;
    let mut out = Vec::with_capacity(UNHINDERED);
    service.respond(&request, from, now, &mut out);
    stream.write_all(&out)?;
    Ok(true)
}

/// Serves requests until the connection ends. Its first bytes are here. `epoch` is when the tracker's time began.
///
/// # Errors
/// What the socket says; the connection is of no use any more.
pub(super) fn serve(
    stream: &TcpStream,
    from: IpAddr,
    service: &Service,
    deadlines: Deadlines,
    epoch: Instant,
) -> io::Result<()> {
    let mut reader = DeadlineReader::new(stream, deadlines.head);
    let mut buffer = vec![0; MAX_HEAD];
    let (mut filled, mut idle, mut out) = (0, false, Vec::new());
    let mut stays = false;
    loop {
        let unread = buffer.get_mut(filled..).unwrap_or_default();
        // What is first is here already.
        let is_first = filled == 0 && !stays;
        let read = match read(stream, &mut reader, is_first, unread) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::TimedOut && !idle && filled > 0 => {
                return refuse(stream, HttpError::TooSlow, &mut out, deadlines);
            }
            Err(error) => return Err(error),
        };
        filled += read;
        if idle {
            reader.set_deadline(deadlines.head);
            idle = false;
        }
        if !buffer.first().is_some_and(|byte| is_http(*byte)) {
            return Ok(());
        }
        let mut start = 0;
        loop {
            match http::parse(buffer.get(start..filled).unwrap_or_default()) {
                Ok(Some((request, length))) => {
                    service.respond(&request, from, epoch.elapsed(), &mut out);
                    start += length;
                    if !stays && (request.keep_alive || out.len() > UNHINDERED) {
                        stays = true;
                        // Responses are written whole; waiting to fill a packet would only delay them.
                        stream.set_nodelay(true)?;
                        stream.set_write_timeout(Some(deadlines.head))?;
                    }
                    if !request.keep_alive {
                        send(stream, &mut out, deadlines)?;
                        // With nothing left unread, closing resets nothing.
                        return match start == filled {
                            true => Ok(()),
                            false => close(stream),
                        };
                    }
                    if out.len() > GATHERED {
                        send(stream, &mut out, deadlines)?;
                    }
                }
                Ok(None) => break,
                Err(error) => return refuse(stream, error, &mut out, deadlines),
            }
        }
        if start > 0 {
            send(stream, &mut out, deadlines)?;
            buffer.copy_within(start..filled, 0);
            filled -= start;
            idle = filled == 0;
            reader.set_deadline(if idle { deadlines.idle } else { deadlines.head });
        }
    }
}

fn read(
    mut stream: &TcpStream,
    reader: &mut DeadlineReader<'_>,
    is_first: bool,
    unread: &mut [u8],
) -> io::Result<usize> {
    match is_first {
        true => stream.read(unread),
        false => reader.read(unread),
    }
}

/// Whether a connection that begins with this byte, or a request that does, may be HTTP.
fn is_http(byte: u8) -> bool {
    byte.is_ascii_graphic() || matches!(byte, b'\r' | b'\n')
}

fn send(mut stream: &TcpStream, out: &mut Vec<u8>, deadlines: Deadlines) -> io::Result<()> {
    // One call does nearly always; only what it left needs a deadline of its own.
    let sent = stream.write(out)?;
    if let Some(rest) = out.get(sent..).filter(|rest| !rest.is_empty()) {
        write_all_by(stream, rest, deadlines.head)?;
    }
    out.clear();
    Ok(())
}

fn refuse(
    stream: &TcpStream,
    error: HttpError,
    out: &mut Vec<u8>,
    deadlines: Deadlines,
) -> io::Result<()> {
    error.write(out);
    send(stream, out, deadlines)?;
    log::debug!("refused an HTTP request: {error}");
    close(stream)
}

/// Closes so that the last response arrives: closing with bytes unread would make the system reset the connection.
fn close(stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let mut reader = DeadlineReader::new(stream, DRAINING);
    let (mut drained, mut waste) = (0, [0; 4 << 10]);
    while drained < DRAINED {
        match reader.read(&mut waste) {
            Ok(0) | Err(_) => break,
            Ok(read) => drained += read,
        }
    }
    Ok(())
}
