//! What a tracker answers to each HTTP request: which path leads where, and who may announce.
//!
//! In scope: request to response, the time handed in. Out of scope: sockets.

use super::http::{self, Request};
use super::swarms::Swarms;
use crate::wire::{AnnounceRequest, Event, PeerList, ScrapeRequest, encode_failure};
use std::net::IpAddr;
use std::time::Duration;

/// Whom a tracker lets announce and scrape over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody, any swarm.
    Open,
    /// Nobody: the tracker was not started with `--open`.
    NotOpen,
    /// Nobody: the tracker serves a closed run and nothing else.
    ClosedRun,
}

/// Answers requests out of the swarms.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) swarms: Swarms,
    pub(super) access: Access,
}

impl Service {
    /// Appends the response to `request`, which came from `from`. A refusal is a `failure reason` under status 200, as
    /// clients read no other answer's body.
    pub(super) fn respond(
        &self,
        request: &Request<'_>,
        from: IpAddr,
        now: Duration,
        out: &mut Vec<u8>,
    ) {
        let answer = match request.path {
            "/announce" => self.announce(request.query, from, now),
            "/scrape" => self.scrape(request.query),
            "/" => {
                let text = concat!("pieceful ", env!("CARGO_PKG_VERSION"), " tracker\n");
                return http::respond(request, "200 OK", text.as_bytes(), out);
            }
            _ => {
                let text = b"nothing here: this tracker answers /announce and /scrape\n";
                return http::respond(request, "404 Not Found", text, out);
            }
        };
        let body = answer.unwrap_or_else(|reason| {
            log::debug!("refused {from}: {reason}");
            encode_failure(&reason)
        });
        http::respond(request, "200 OK", &body, out);
    }

    fn announce(&self, query: &str, from: IpAddr, now: Duration) -> Result<Vec<u8>, String> {
        self.admit()?;
        let request = AnnounceRequest::parse(query).map_err(|error| error.to_string())?;
        let response = self.swarms.announce(now, &request, from);
        let response = response.map_err(|refusal| refusal.to_string())?;
        if let Some(event) = request.event {
            let what = match event {
                Event::Started => "joins",
                Event::Completed => "has all of",
                Event::Stopped => "leaves",
            };
            let (id, swarm, port) = (request.peer_id, request.info_hash, request.port);
            log::debug!("peer {id} at {from} port {port} {what} {swarm}");
        }
        Ok(response.encode(if request.compact {
            PeerList::Compact
        } else {
            PeerList::Dictionaries
        }))
    }

    fn scrape(&self, query: &str) -> Result<Vec<u8>, String> {
        self.admit()?;
        let request = ScrapeRequest::parse(query).map_err(|error| error.to_string())?;
        Ok(self.swarms.scrape(&request).encode())
    }

    fn admit(&self) -> Result<(), String> {
        match self.access {
            Access::Open => Ok(()),
            Access::NotOpen => {
                Err("this tracker serves no open swarms (start it with --open)".into())
            }
            Access::ClosedRun => Err("this tracker serves a closed run and nothing else".into()),
        }
    }
}
