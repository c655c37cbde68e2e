//! Answers to UDP datagrams.

use super::connection_ids::ConnectionIds;
use crate::tracker::service::Service;
use crate::wire::ScrapeResponse;
use crate::wire::udp_tracker::{UdpAnnounceResponse, UdpRequest, UdpRequestHeader, UdpResponse};
use ring::hmac;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The initial capacity of the list of peers in an answer.
const USUAL_PEERS: usize = 50;

/// Answers datagrams.
pub(super) struct UdpService {
    service: Arc<Service>,
    connection_ids: ConnectionIds,
}

impl UdpService {
    /// `service` handles the requests. `key` signs the connection ids.
    pub(super) fn new(service: Arc<Service>, key: hmac::Key) -> Self {
        let connection_ids = ConnectionIds::new(key);
        Self {
            service,
            connection_ids,
        }
    }

    /// The response to a datagram from `from`. Only a valid connect request, or a datagram with a
    /// valid connection id, gets a response.
    pub(super) fn answer(
        &self,
        datagram: &[u8],
        from: IpAddr,
        now: Duration,
    ) -> Option<UdpResponse> {
        let head = UdpRequestHeader::parse(datagram)?;
        let (from, transaction) = (from.to_canonical(), head.transaction);
        if !head.is_connect() && !self.connection_ids.is_valid(head.connection, from, now) {
            return None;
        }
        let result = match UdpRequest::parse(datagram) {
            Ok(UdpRequest::Connect { .. }) => {
                let connection = self.connection_ids.issue(from, now);
                return Some(UdpResponse::Connect {
                    transaction,
                    connection,
                });
            }
            // A malformed connect request has no valid connection id, so it gets no error either.
            Err(_) if head.is_connect() => return None,
            Ok(UdpRequest::Announce { announce, .. }) => {
                let mut peers = Vec::with_capacity(USUAL_PEERS);
                let add = |peer| peers.push(peer);
                let announced = self.service.announce_over_udp(&announce, from, now, add);
                announced.map(|announced| UdpResponse::Announce {
                    transaction,
                    announced: UdpAnnounceResponse {
                        interval: u32::try_from(announced.interval.as_secs()).unwrap_or(u32::MAX),
                        leechers: announced.counts.incomplete,
                        seeders: announced.counts.complete,
                        peers,
                    },
                })
            }
            Ok(UdpRequest::Scrape { scrape, .. }) => {
                let info_hashes = scrape.info_hashes();
                let response = self.service.scrape(&scrape);
                response.map(|ScrapeResponse { files }| UdpResponse::Scrape {
                    transaction,
                    counts: info_hashes
                        .iter()
                        .map(|info_hash| files.get(info_hash).copied().unwrap_or_default())
                        .collect(),
                })
            }
            Err(error) => Err(error.to_string()),
        };
        Some(result.unwrap_or_else(|message| {
            log::debug!("refused {from} over UDP: {message}");
            UdpResponse::Error {
                transaction,
                message,
            }
        }))
    }
}

#[cfg(test)]
mod tests;
