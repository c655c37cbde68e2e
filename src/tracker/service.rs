//! Answers to HTTP requests, and to announces and scrapes of any kind.
//!
//! In scope: the response to each path, and which peers may announce. The caller passes the time.
//! Out of scope: sockets.

use super::http::{self, Request};
use super::monitoring;
use super::{Announced, AnswerFamilies, OwnNames, RegistryStore, Swarms};
use crate::base::escape;
use crate::wire::{
    AnnounceEvent, AnnounceRequest, AnnounceResponse, PeerListFormat, ScrapeRequest,
    ScrapeResponse, SwarmPeer, encode_failure,
};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Which peers may announce and scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnouncePolicy {
    /// All peers, in any swarm.
    Open,
    /// None: the tracker was started without `--open`.
    NotOpen,
    /// None, and `/stats` and `/metrics` do not exist: the tracker is used for something else, as
    /// this text says.
    Nothing(&'static str),
}

/// Answers requests with what the swarms contain.
pub(super) struct Service {
    pub(super) swarms: Swarms,
    pub(super) access: AnnouncePolicy,
    pub(super) store: Option<Arc<RegistryStore>>,
    pub(super) names: Arc<OwnNames>,
}

impl Service {
    /// Answers `request`, which came from `from`: appends the response to `out`. A refused announce
    /// or scrape gets a `failure reason` with status 200, because clients do not read the body of
    /// any other status.
    pub(super) fn respond(
        &self,
        request: &Request<'_>,
        from: IpAddr,
        now: Duration,
        out: &mut Vec<u8>,
    ) {
        let wrong_host = (!self.names.allow_host(request.host)).then(|| wrong_host(request.host));
        let answer = match (request.path, wrong_host) {
            ("/announce" | "/scrape", Some(refusal)) => Err(refusal),
            (_, Some(refusal)) => {
                let text = refusal + "\n";
                return http::respond(request, "421 Misdirected Request", text.as_bytes(), out);
            }
            ("/announce", None) => self.announce_query(request.query, from, now),
            ("/scrape", None) => self.scrape_query(request.query),
            ("/stats", None) if self.shows_counts() => {
                let text = monitoring::json(&self.swarms.stats(), now);
                return http::respond_as(request, "200 OK", monitoring::JSON, text.as_bytes(), out);
            }
            ("/metrics", None) if self.shows_counts() => {
                let mut text = monitoring::metrics(&self.swarms.stats(), now);
                if let Some(store) = &self.store {
                    monitoring::cluster_metrics(&store.status(), &mut text);
                }
                return http::respond_as(
                    request,
                    "200 OK",
                    monitoring::METRICS,
                    text.as_bytes(),
                    out,
                );
            }
            ("/", None) => {
                let text = concat!("pieceful ", env!("CARGO_PKG_VERSION"), " tracker\n");
                return http::respond(request, "200 OK", text.as_bytes(), out);
            }
            _ => {
                let text =
                    b"nothing here: this tracker answers /announce, /scrape, /stats and /metrics\n";
                return http::respond(request, "404 Not Found", text, out);
            }
        };
        let body = answer.unwrap_or_else(|reason| {
            log::debug!("refused {from}: {reason}");
            encode_failure(&reason)
        });
        http::respond(request, "200 OK", &body, out);
    }

    /// Handles an announce over UDP. Passes the peers of the answer to `chosen`, one by one.
    pub(super) fn announce_over_udp(
        &self,
        request: &AnnounceRequest,
        from: IpAddr,
        now: Duration,
        mut chosen: impl FnMut(SocketAddr),
    ) -> Result<Announced, String> {
        self.admit_announce(request)?;
        let families = AnswerFamilies::OwnFamily;
        let chosen = |peer: SwarmPeer| chosen(peer.address);
        let announced = self
            .swarms
            .announce_to(now, request, from, families, chosen);
        let announced = announced.map_err(|refusal| refusal.to_string())?;
        log_event(request, from);
        Ok(announced)
    }

    /// Handles an announce over HTTP.
    fn announce(
        &self,
        request: &AnnounceRequest,
        from: IpAddr,
        now: Duration,
    ) -> Result<AnnounceResponse, String> {
        self.admit_announce(request)?;
        let families = AnswerFamilies::Both;
        let response = self.swarms.announce(now, request, from, families);
        let response = response.map_err(|refusal| refusal.to_string())?;
        log_event(request, from);
        Ok(response)
    }

    fn admit_announce(&self, request: &AnnounceRequest) -> Result<(), String> {
        self.admit()?;
        let store = self.store.as_ref();
        // Members of a group announce its shares over their control connections, not here.
        if store.is_some_and(|store| store.read(|it| it.is_shared(request.info_hash))) {
            return Err("this torrent is not served here".into());
        }
        Ok(())
    }

    /// Answers a scrape from any transport.
    pub(super) fn scrape(&self, request: &ScrapeRequest) -> Result<ScrapeResponse, String> {
        self.admit()?;
        Ok(self.swarms.scrape(request))
    }

    fn announce_query(&self, query: &str, from: IpAddr, now: Duration) -> Result<Vec<u8>, String> {
        self.admit()?;
        let request = AnnounceRequest::parse(query).map_err(|error| error.to_string())?;
        let response = self.announce(&request, from, now)?;
        Ok(response.encode(if request.compact {
            PeerListFormat::Compact
        } else {
            PeerListFormat::Dictionaries
        }))
    }

    fn scrape_query(&self, query: &str) -> Result<Vec<u8>, String> {
        self.admit()?;
        let request = ScrapeRequest::parse(query).map_err(|error| error.to_string())?;
        Ok(self.scrape(&request)?.encode())
    }

    fn admit(&self) -> Result<(), String> {
        match self.access {
            AnnouncePolicy::Open => Ok(()),
            AnnouncePolicy::NotOpen => {
                Err("this tracker serves no open swarms (start it with --open)".into())
            }
            AnnouncePolicy::Nothing(why) => Err(why.into()),
        }
    }

    fn shows_counts(&self) -> bool {
        !matches!(self.access, AnnouncePolicy::Nothing(_))
    }
}

/// The refusal of a request for `host`, which is not a name of this tracker.
fn wrong_host(host: &str) -> String {
    format!(
        "this tracker is not called {}: use its address, or start it with --host-name",
        escape(host)
    )
}

fn log_event(request: &AnnounceRequest, from: IpAddr) {
    let Some(event) = request.event else {
        return;
    };
    let what = match event {
        AnnounceEvent::Started => "joins",
        AnnounceEvent::Completed => "has all of",
        AnnounceEvent::Stopped => "leaves",
        AnnounceEvent::Paused => "has what it wants of",
    };
    let (id, swarm, port) = (request.peer_id, request.info_hash, request.port);
    log::debug!("peer {id} at {from} port {port} {what} {swarm}");
}
