//! Accepted connections: from the handshake to a link, or to fetching metadata.

use super::link::{self, AdmissionError, ServedSwarms};
use super::{LinkStream, Services, Sockets, SwarmEntry, magnet, run_link};
use crate::base::AddressPrefix;
use crate::certificate::Member;
use crate::net::{GroupTls, IncomingConnection};
use crate::torrent::InfoHash;
use std::sync::Arc;

/// Handles an accepted connection until its link ends.
pub(super) fn accept(services: &Arc<Services>, sockets: &Sockets, incoming: IncomingConnection) {
    let IncomingConnection {
        stream, address, ..
    } = incoming;
    let source = AddressPrefix::of(address.ip());
    let connection = match link::accept_handshake(&services.context, &**services, stream, address) {
        Ok(connection) => connection,
        Err(error) => return log::log!(error.level(), source:%; "{address}: {error}"),
    };
    let handshake = &connection.handshake;
    let is_member = connection.member.is_some();
    match (
        joinable(services, handshake.info_hash, is_member),
        &connection.stream,
    ) {
        (Some(SwarmEntry::Transfer(transfer)), _) => run_link(&transfer, connection),
        (Some(SwarmEntry::Search(search)), LinkStream::Plain(stream)) => {
            let _registered = sockets.register(stream);
            if let Some(metadata) = magnet::fetch(&search, stream, address, false, handshake) {
                magnet::handle_metadata(services, &search, metadata);
            }
        }
        _ => log::info!(
            source:%;
            "{address}: {} is no longer served here",
            handshake.info_hash
        ),
    }
}

/// The swarm with this info-hash, if the connecting peer may join it. Members join group swarms;
/// other peers join open swarms and magnet searches. A search accepts peers, because they may have
/// the metadata.
fn joinable(services: &Services, info_hash: InfoHash, is_member: bool) -> Option<SwarmEntry> {
    let entry = services.transfers.entry(info_hash)?;
    let is_served = match &entry {
        SwarmEntry::Search(search) => !is_member && search.is_seeking(),
        SwarmEntry::Transfer(transfer) => {
            transfer.plan.group.is_some() == is_member && services.context.owned.serves(info_hash)
        }
    };
    is_served.then_some(entry)
}

impl ServedSwarms for Services {
    fn tls(&self, info_hash: InfoHash) -> Option<GroupTls> {
        let transfer = joinable(self, info_hash, true)?.into_transfer()?;
        let membership = transfer.membership()?;
        self.groups.of(&membership).tls(transfer.authority())
    }

    fn check_admission(
        &self,
        info_hash: InfoHash,
        member: Option<&Member>,
    ) -> Result<(), AdmissionError> {
        let entry = joinable(self, info_hash, member.is_some());
        let entry = entry.ok_or(AdmissionError::NotServed(info_hash))?;
        let membership = match &entry {
            SwarmEntry::Search(_) => None,
            SwarmEntry::Transfer(transfer) => {
                let membership = transfer.membership();
                membership.map(|membership| (membership, transfer.authority()))
            }
        };
        match (membership, member) {
            (Some((membership, authority)), Some(member)) => {
                self.groups.of(&membership).admit(authority, member)
            }
            _ => Ok(()),
        }
    }
}
