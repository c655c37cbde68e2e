//! Announces over UDP (BEP 15).
//!
//! Each announce asks for a new connection id: an id is valid for a minute, and announces to one
//! tracker are minutes apart. BEP 15 repeats an unanswered request after 15, 30, 60, ... seconds.
//! Here each tracker address has one such pause for all torrents together. The pause is at most two
//! minutes: with the limit of the standard, an hour, peers would stay away long after the tracker
//! is back.

use super::{AnnounceFailure, AnnounceSource, canonical};
use crate::base::Zone;
use crate::system::{cause, lock};
use crate::wire::udp_tracker::{
    AddressFamily, ConnectionId, TransactionId, UdpRequest, UdpResponse,
};
use crate::wire::{AnnounceRequest, AnnounceResponse, HostPort, Refusal};
use ring::rand::{SystemRandom, generate};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long a whole announce may take.
pub(super) const ANNOUNCE_LIMIT: Duration = Duration::from_secs(20);
/// How long to wait for the answer to one datagram.
const WAIT: Duration = Duration::from_secs(15);
/// The longest pause before a silent address is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// Interval at which a wait checks whether the peer stops.
const STOP_CHECK: Duration = Duration::from_millis(250);
/// The maximum number of addresses of a host that are tried, per family.
const MAX_ADDRESSES: usize = 4;
/// Length of the receive buffer. No tracker sends a longer answer.
const RECEIVE_BUFFER_BYTES: usize = 16 << 10;

/// The UDP client. It asks a silent tracker address again only after a pause.
#[derive(Debug)]
pub(super) struct UdpTrackers {
    source: AnnounceSource,
    pauses: Mutex<HashMap<SocketAddr, Pause>>,
}

/// The pause before a silent address is tried again.
#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Instant,
    /// The number of unanswered attempts in a row.
    unanswered: u32,
}

impl UdpTrackers {
    /// A client that announces from `source`.
    pub(super) fn new(source: AnnounceSource) -> Self {
        Self {
            source,
            pauses: Mutex::default(),
        }
    }

    /// Announces, within `limit`. `is_cancelled` returns whether the peer stops.
    pub(super) fn announce(
        &self,
        url: &str,
        announce: &AnnounceRequest,
        limit: Duration,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<AnnounceResponse, AnnounceFailure> {
        let (host, url_data) = parse_url(url).map_err(AnnounceFailure::Final)?;
        let deadline = Instant::now() + limit;
        let addresses = (host.host.as_str(), host.port).to_socket_addrs();
        let addresses = addresses
            .map_err(|error| AnnounceFailure::NoAddress(format!("{}: {error}", host.host)))?;
        let addresses: Vec<SocketAddr> = addresses
            .map(canonical)
            .filter(|address| Zone::of(address.ip()) != Zone::CloudMetadata)
            .collect();
        self.source.announce(|family| {
            let mut trouble = AnnounceFailure::NoAddress(format!("{} has no address", host.host));
            let addresses = addresses.iter().copied();
            let of_family = addresses.filter(|address| AddressFamily::of(address.ip()) == family);
            for address in of_family.take(MAX_ADDRESSES) {
                let exchange = Exchange {
                    source: self.source,
                    address,
                    deadline,
                    is_cancelled,
                };
                match self.ask(&exchange, announce, url_data) {
                    Err(failure) if failure.is_final() => return Err(failure),
                    Err(failure) => trouble = failure,
                    answered => return answered,
                }
            }
            Err(trouble)
        })
    }

    /// Announces to one address. While its pause lasts, sends nothing and returns `NoAnswer`.
    fn ask(
        &self,
        exchange: &Exchange<'_>,
        announce: &AnnounceRequest,
        url_data: &str,
    ) -> Result<AnnounceResponse, AnnounceFailure> {
        let (address, begun) = (exchange.address, Instant::now());
        let pause = lock(&self.pauses).get(&address).copied();
        let remaining = pause.map_or(Duration::ZERO, |pause| {
            pause.until.saturating_duration_since(begun)
        });
        if !remaining.is_zero() {
            return Err(exchange.no_answer());
        }
        let answered = exchange.announce(announce, url_data);
        let mut pauses = lock(&self.pauses);
        match &answered {
            Err(AnnounceFailure::NoAnswer(_)) => {
                let before = pause.map_or(0, |pause| pause.unanswered);
                let until = begun + pause_after(before);
                let unanswered = before.saturating_add(1);
                pauses.insert(address, Pause { until, unanswered });
            }
            _ => {
                pauses.remove(&address);
            }
        }
        answered
    }
}

/// The pause after an unanswered attempt. `before` is the number of unanswered attempts before it
/// (BEP 15, "time outs": 15 x 2^n).
fn pause_after(before: u32) -> Duration {
    WAIT.saturating_mul(1 << before.min(8)).min(LONGEST_PAUSE)
}

/// The tracker's host and port, and the URL data of BEP 41: path and query.
fn parse_url(url: &str) -> Result<(HostPort, &str), String> {
    let url = url.strip_prefix("udp://").unwrap_or(url);
    let end = url.find(['/', '?']).unwrap_or(url.len());
    let (host, url_data) = url.split_at_checked(end).unwrap_or((url, ""));
    // UDP has no place for a user name.
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host: HostPort = host.parse().map_err(|error| format!("{error}"))?;
    if host.port == 0 {
        return Err("the tracker's URL has port 0".to_owned());
    }
    Ok((host, if url_data == "/" { "" } else { url_data }))
}

/// One announce to one address.
struct Exchange<'a> {
    source: AnnounceSource,
    address: SocketAddr,
    deadline: Instant,
    is_cancelled: &'a dyn Fn() -> bool,
}

impl Exchange<'_> {
    fn announce(
        &self,
        announce: &AnnounceRequest,
        url_data: &str,
    ) -> Result<AnnounceResponse, AnnounceFailure> {
        // A new socket for each announce, because its port is then hard to guess. It is connected,
        // so that `recv` returns an error if the tracker's port is closed.
        let own = SocketAddr::new(self.source.address_for(self.address.ip()), 0);
        let socket = UdpSocket::bind(own).and_then(|socket| {
            socket.connect(self.address)?;
            socket.set_read_timeout(Some(STOP_CHECK))?;
            Ok(socket)
        });
        let socket = socket.map_err(|error| self.socket_failure(&error))?;
        let transaction = new_transaction_id()?;
        let connected =
            self.send_and_receive(&socket, &UdpRequest::Connect { transaction }, |response| {
                match response {
                    UdpResponse::Connect { connection, .. } => Some(connection),
                    _ => None,
                }
            });
        let connection: ConnectionId = connected?;
        let request = UdpRequest::Announce {
            connection,
            transaction: new_transaction_id()?,
            announce: announce.clone(),
            url_data: url_data.as_bytes().to_vec(),
        };
        let announced = self.send_and_receive(&socket, &request, |response| match response {
            UdpResponse::Announce { announced, .. } => Some(announced),
            _ => None,
        });
        Ok(announced?.into_response())
    }

    /// Sends a request and waits for its answer. `extract` takes the answer out of a response of
    /// the right kind. An error response to the request is a refusal. Other datagrams are ignored.
    fn send_and_receive<T>(
        &self,
        socket: &UdpSocket,
        request: &UdpRequest,
        extract: impl Fn(UdpResponse) -> Option<T>,
    ) -> Result<T, AnnounceFailure> {
        let family = AddressFamily::of(self.address.ip());
        let until = self.deadline.min(Instant::now() + WAIT);
        let sent = socket.send(&request.encode());
        sent.map_err(|error| self.socket_failure(&error))?;
        let mut datagram = [0; RECEIVE_BUFFER_BYTES];
        while Instant::now() < until {
            if (self.is_cancelled)() {
                return Err(AnnounceFailure::Final("the peer stops".to_owned()));
            }
            let length = match socket.recv(&mut datagram) {
                Ok(length) => length,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                        continue;
                    }
                    _ => return Err(self.socket_failure(&error)),
                },
            };
            let datagram = datagram.get(..length).unwrap_or_default();
            match UdpResponse::parse(datagram, family) {
                Ok(response) if response.transaction() != request.transaction() => {}
                Ok(UdpResponse::Error { message, .. }) => {
                    return Err(AnnounceFailure::Refused(Refusal {
                        reason: format!("the tracker refuses: {message}"),
                        retry: None,
                    }));
                }
                Ok(response) => {
                    if let Some(answer) = extract(response) {
                        return Ok(answer);
                    }
                }
                Err(error) => log::debug!("{}: {error}", self.address),
            }
        }
        Err(self.no_answer())
    }

    fn no_answer(&self) -> AnnounceFailure {
        AnnounceFailure::NoAnswer(format!("{} does not answer over UDP", self.address))
    }

    fn socket_failure(&self, error: &std::io::Error) -> AnnounceFailure {
        AnnounceFailure::NoAnswer(format!("{}: {}", self.address, cause(error)))
    }
}

fn new_transaction_id() -> Result<TransactionId, AnnounceFailure> {
    let random = generate(&SystemRandom::new());
    let random = random
        .map_err(|_| AnnounceFailure::Final("the system provides no random bytes".to_owned()))?;
    Ok(TransactionId(random.expose()))
}

#[cfg(test)]
mod tests;
