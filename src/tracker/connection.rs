//! One HTTP connection: requests in, responses out, until one end closes it.
//!
//! In scope: deadlines, keep-alive, pipelined requests (RFC 9112, section 9.3.2), and closing so
//! that a refusal arrives. Out of scope: the meaning of a request.

use super::http::{self, HttpError, MAX_HEAD};
use super::service::Service;
use crate::net::{DeadlineReader, Inline, send_now, write_all_by};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Responses to pipelined requests are gathered up to this number of bytes before they are sent.
const PIPELINE_BUFFER: usize = 16 << 10;
/// A first response of at most this number of bytes is sent without a time limit: an empty socket
/// buffer takes it at once.
const UNLIMITED_RESPONSE: usize = 4 << 10;
/// Maximum number of bytes read from the rest of a refused request, so that the refusal is not lost
/// when the connection closes.
const MAX_DRAINED: usize = 256 << 10;
/// How long reading the rest may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Time limits of an HTTP client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDeadlines {
    /// For a whole request head to arrive, even in small pieces, and for responses to be read.
    pub head: Duration,
    /// For the next request to begin.
    pub idle: Duration,
}

impl Default for HttpDeadlines {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(30),
        }
    }
}

/// Answers the connection's only announce, if the bytes `received` are exactly that request. Never
/// blocks: the request is already here, and a caller that reads nothing leaves the response unsent.
///
/// # Errors
/// Errors of the socket. The connection cannot be used any longer.
pub(super) fn serve_at_once(
    mut stream: &TcpStream,
    received: &[u8],
    from: IpAddr,
    service: &Service,
    now: Duration,
) -> io::Result<Inline> {
    let request = match http::parse(received) {
        Ok(Some((request, length))) if length == received.len() => request,
        _ => return Ok(Inline::NotServed),
    };
    if request.keep_alive || request.path != "/announce" {
        return Ok(Inline::NotServed);
    }
    // With nothing unread, closing does not reset the connection.
    let mut rest = [0; MAX_HEAD];
    stream.read_exact(rest.get_mut(..received.len()).unwrap_or_default())?;
    let mut out = Vec::with_capacity(UNLIMITED_RESPONSE);
    service.respond(&request, from, now, &mut out);
    let sent = send_now(stream, &out)?;
    Ok(match out.split_off(sent) {
        rest if rest.is_empty() => Inline::Served,
        rest => Inline::Unsent(rest),
    })
}

/// Serves requests until the connection closes. Its first bytes have already arrived. `epoch` is
/// the start of the tracker's time.
///
/// # Errors
/// Errors of the socket. The connection cannot be used any longer.
pub(super) fn serve(
    stream: &TcpStream,
    from: IpAddr,
    service: &Service,
    deadlines: HttpDeadlines,
    epoch: Instant,
) -> io::Result<()> {
    let mut reader = DeadlineReader::new(stream, deadlines.head);
    let mut buffer = vec![0; MAX_HEAD];
    let (mut filled, mut idle, mut out) = (0, false, Vec::new());
    let mut is_kept_alive = false;
    loop {
        let unread = buffer.get_mut(filled..).unwrap_or_default();
        // The first bytes have already arrived, so the first read needs no deadline.
        let is_first = filled == 0 && !is_kept_alive;
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
                    if !is_kept_alive && (request.keep_alive || out.len() > UNLIMITED_RESPONSE) {
                        is_kept_alive = true;
                        // Responses are written whole. Waiting to fill a packet would only delay
                        // them.
                        stream.set_nodelay(true)?;
                        stream.set_write_timeout(Some(deadlines.head))?;
                    }
                    if !request.keep_alive {
                        send(stream, &mut out, deadlines)?;
                        // With nothing unread, closing does not reset the connection.
                        return match start == filled {
                            true => Ok(()),
                            false => close(stream),
                        };
                    }
                    if out.len() > PIPELINE_BUFFER {
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

/// Whether an HTTP request may begin with this byte.
fn is_http(byte: u8) -> bool {
    byte.is_ascii_graphic() || matches!(byte, b'\r' | b'\n')
}

fn send(mut stream: &TcpStream, out: &mut Vec<u8>, deadlines: HttpDeadlines) -> io::Result<()> {
    // One call is nearly always enough. Only the rest needs a deadline.
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
    deadlines: HttpDeadlines,
) -> io::Result<()> {
    error.write(out);
    send(stream, out, deadlines)?;
    log::debug!("refused an HTTP request: {error}");
    close(stream)
}

/// Closes the connection so that the last response arrives. Reads what the client still sends,
/// because the system resets a connection that is closed with unread bytes.
fn close(stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let mut reader = DeadlineReader::new(stream, DRAIN_TIMEOUT);
    let (mut drained, mut waste) = (0, [0; 4 << 10]);
    while drained < MAX_DRAINED {
        match reader.read(&mut waste) {
            Ok(0) | Err(_) => break,
            Ok(read) => drained += read,
        }
    }
    Ok(())
}
