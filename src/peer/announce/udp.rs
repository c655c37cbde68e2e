//! Announces over UDP (BEP 15).
//!
//! Each announce asks for a connection id anew: trackers of others are announced to once in
//! minutes, an id may be used for one. What BEP 15 asks of who gets no answer, to send again after
//! 15, 30, 60 ... seconds, holds for each tracker's address, whichever torrents are announced
//! there, and is bounded by two minutes: who waits for an hour as the standard has it finds nobody
//! when the tracker is back.

use super::{Failure, Source, canonical};
use crate::system::lock;
use crate::wire::udp_tracker::{ConnectionId, Family, Request, Response, TransactionId};
use crate::wire::{AnnounceRequest, AnnounceResponse, HostPort};
use ring::rand::{SystemRandom, generate};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long all of an announce may take.
pub(super) const ANSWER: Duration = Duration::from_secs(20);
/// How long an answer to one datagram is waited for.
const WAIT: Duration = Duration::from_secs(15);
/// The longest time between two tries at an address that does not answer.
const LONGEST: Duration = Duration::from_secs(120);
/// How often a wait looks whether the peer ends.
const LOOK: Duration = Duration::from_millis(250);
/// How many addresses of a host are tried in one family.
const MAX_ADDRESSES: usize = 4;
/// Room for the answer: more peers than any tracker sends.
const ROOM: usize = 16 << 10;

/// What is known of trackers that do not answer.
#[derive(Debug)]
pub(super) struct UdpTrackers {
    source: Source,
    silent: Mutex<HashMap<SocketAddr, Silence>>,
}

#[derive(Clone, Copy, Debug)]
struct Silence {
    until: Instant,
    times: u32,
}

impl UdpTrackers {
    /// For a peer that announces from there.
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            silent: Mutex::default(),
        }
    }

    /// Announces, within `limit`; `gives_up` says whether the peer ends.
    pub(super) fn announce(
        &self,
        url: &str,
        announce: &AnnounceRequest,
        limit: Duration,
        gives_up: &dyn Fn() -> bool,
    ) -> Result<AnnounceResponse, String> {
        let (host, url_data) = target(url)?;
        let deadline = Instant::now() + limit;
        let addresses = (host.host.as_str(), host.port).to_socket_addrs();
        let addresses = addresses.map_err(|error| format!("{}: {error}", host.host))?;
        let addresses: Vec<SocketAddr> = addresses.map(canonical).collect();
        self.source.announce(|family| {
            let mut trouble = Failure::NoAddress(format!("{} has no address", host.host));
            let addresses = addresses.iter().copied();
            let of_family = addresses.filter(|address| Family::of(address.ip()) == family);
            for address in of_family.take(MAX_ADDRESSES) {
                let exchange = Exchange {
                    source: self.source,
                    address,
                    deadline,
                    gives_up,
                };
                match self.ask(&exchange, announce, url_data) {
                    Err(failure @ Failure::Final(_)) => return Err(failure),
                    Err(failure) => trouble = failure,
                    told => return told,
                }
            }
            Err(trouble)
        })
    }

    fn ask(
        &self,
        exchange: &Exchange<'_>,
        announce: &AnnounceRequest,
        url_data: &str,
    ) -> Result<AnnounceResponse, Failure> {
        let (address, begun) = (exchange.address, Instant::now());
        let silence = lock(&self.silent).get(&address).copied();
        let left = silence.map_or(Duration::ZERO, |silence| {
            silence.until.saturating_duration_since(begun)
        });
        if !left.is_zero() {
            return Err(exchange.silent());
        }
        let answered = exchange.announce(announce, url_data);
        let mut silent = lock(&self.silent);
        match &answered {
            Err(Failure::Unheard(_)) => {
                let times = silence.map_or(0, |silence| silence.times);
                let until = begun + pause(times);
                let times = times.saturating_add(1);
                silent.insert(address, Silence { until, times });
            }
            _ => {
                silent.remove(&address);
            }
        }
        answered
    }
}

/// How long after a try that was not answered the next may be, after so many of them (BEP 15, "time
/// outs": 15 x 2^n).
fn pause(times: u32) -> Duration {
    WAIT.saturating_mul(1 << times.min(8)).min(LONGEST)
}

/// The tracker's host and port, and what BEP 41 calls URL data: path and query.
fn target(url: &str) -> Result<(HostPort, &str), String> {
    let rest = url.strip_prefix("udp://").unwrap_or(url);
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, url_data) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let host: HostPort = host.parse().map_err(|error| format!("{error}"))?;
    if host.port == 0 {
        return Err("port 0 cannot be announced to".to_owned());
    }
    Ok((host, if url_data == "/" { "" } else { url_data }))
}

/// One announce to one address.
struct Exchange<'a> {
    source: Source,
    address: SocketAddr,
    deadline: Instant,
    gives_up: &'a dyn Fn() -> bool,
}

impl Exchange<'_> {
    fn announce(
        &self,
        announce: &AnnounceRequest,
        url_data: &str,
    ) -> Result<AnnounceResponse, Failure> {
        // A socket of its own for each: a port that is hard to guess, and word of a port that
        // nobody listens on.
        let own = SocketAddr::new(self.source.towards(self.address.ip()), 0);
        let socket = UdpSocket::bind(own).and_then(|socket| {
            socket.connect(self.address)?;
            socket.set_read_timeout(Some(LOOK))?;
            Ok(socket)
        });
        let socket = socket.map_err(|error| self.failed(&error))?;
        let transaction = transaction()?;
        let connected =
            self.exchange(
                &socket,
                &Request::Connect { transaction },
                |response| match response {
                    Response::Connect { connection, .. } => Some(connection),
                    _ => None,
                },
            );
        let connection: ConnectionId = connected?;
        let request = Request::Announce {
            connection,
            transaction: self::transaction()?,
            announce: announce.clone(),
            url_data: url_data.as_bytes().to_vec(),
        };
        let announced = self.exchange(&socket, &request, |response| match response {
            Response::Announce { announced, .. } => Some(announced),
            _ => None,
        });
        Ok(announced?.into_response())
    }

    /// Sends a request and waits for its answer; whatever else comes in is passed over.
    fn exchange<T>(
        &self,
        socket: &UdpSocket,
        request: &Request,
        answer: impl Fn(Response) -> Option<T>,
    ) -> Result<T, Failure> {
        let family = Family::of(self.address.ip());
        let until = self.deadline.min(Instant::now() + WAIT);
        let sent = socket.send(&request.encode());
        sent.map_err(|error| self.failed(&error))?;
        let mut datagram = [0; ROOM];
        while Instant::now() < until {
            if (self.gives_up)() {
                return Err(Failure::Final("the peer ends".to_owned()));
            }
            let length = match socket.recv(&mut datagram) {
                Ok(length) => length,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                        continue;
                    }
                    _ => return Err(self.failed(&error)),
                },
            };
            let datagram = datagram.get(..length).unwrap_or_default();
            match Response::parse(datagram, family) {
                Ok(response) if response.transaction() != request.transaction() => {}
                Ok(Response::Error { message, .. }) => {
                    return Err(Failure::Final(format!("the tracker refuses: {message}")));
                }
                Ok(response) => {
                    if let Some(answer) = answer(response) {
                        return Ok(answer);
                    }
                }
                Err(error) => log::debug!("{}: {error}", self.address),
            }
        }
        Err(self.silent())
    }

    fn silent(&self) -> Failure {
        Failure::Unheard(format!("{} does not answer over UDP", self.address))
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        Failure::Unheard(format!("{}: {error}", self.address))
    }
}

fn transaction() -> Result<TransactionId, Failure> {
    let random = generate(&SystemRandom::new());
    let random =
        random.map_err(|_| Failure::Final("the system gives no random bytes".to_owned()))?;
    Ok(TransactionId(random.expose()))
}

#[cfg(test)]
mod tests;
