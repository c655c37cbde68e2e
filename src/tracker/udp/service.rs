//! Answers to UDP datagrams.

use super::connection_ids::ConnectionIds;
use crate::tracker::announcing::Reach;
use crate::tracker::service::Service;
use crate::wire::ScrapeResponse;
use crate::wire::udp_tracker::{Announced, Head, Request, Response};
use ring::hmac;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Answers datagrams.
pub(super) struct UdpService {
    service: Arc<Service>,
    connection_ids: ConnectionIds,
}

impl UdpService {
    /// Answers from `service`. `key` signs the connection ids.
    pub(super) fn new(service: Arc<Service>, key: hmac::Key) -> Self {
        let connection_ids = ConnectionIds::new(key);
        Self {
            service,
            connection_ids,
        }
    }

    /// The response to a datagram from `from`. Datagrams outside the protocol mostly get none.
    pub(super) fn answer(&self, datagram: &[u8], from: IpAddr, now: Duration) -> Option<Response> {
        let head = Head::parse(datagram)?;
        let (from, transaction) = (from.to_canonical(), head.transaction);
        if !head.is_connect() && !self.connection_ids.is_valid(head.connection, from, now) {
            return None;
        }
        let answered = match Request::parse(datagram) {
            Ok(Request::Connect { .. }) => {
                let connection = self.connection_ids.issue(from, now);
                return Some(Response::Connect {
                    transaction,
                    connection,
                });
            }
            // A malformed connect request shows no valid connection id.
            Err(_) if head.is_connect() => return None,
            Ok(Request::Announce { announce, .. }) => self
                .service
                .announce(&announce, from, now, Reach::OwnFamily)
                .map(|response| Response::Announce {
                    transaction,
                    announced: Announced {
                        interval: u32::try_from(response.interval.as_secs()).unwrap_or(u32::MAX),
                        leechers: response.incomplete.unwrap_or(0),
                        seeders: response.complete.unwrap_or(0),
                        peers: response.peers.iter().map(|peer| peer.address).collect(),
                    },
                }),
            Ok(Request::Scrape { scrape, .. }) => {
                let asked = scrape.info_hashes();
                let response = self.service.scrape(&scrape);
                response.map(|ScrapeResponse { files }| Response::Scrape {
                    transaction,
                    counts: asked
                        .iter()
                        .map(|info_hash| files.get(info_hash).copied().unwrap_or_default())
                        .collect(),
                })
            }
            Err(error) => Err(error.to_string()),
        };
        Some(answered.unwrap_or_else(|message| {
            log::debug!("refused {from} over UDP: {message}");
            Response::Error {
                transaction,
                message,
            }
        }))
    }
}

#[cfg(test)]
mod tests;
