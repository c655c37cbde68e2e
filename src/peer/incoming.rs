//! Callers: from an accepted connection to a link, or to a connection that fetches metadata.

use super::link::{self, Served, Turned};
use super::{LinkStream, Services, Sockets, SwarmEntry, join, magnet};
use crate::certificate::Member;
use crate::net::{GroupTls, Incoming};
use crate::torrent::InfoHash;
use std::sync::Arc;

/// Serves a caller until its link ends.
pub(super) fn accept(services: &Arc<Services>, sockets: &Sockets, incoming: Incoming) {
    let Incoming {
        stream, address, ..
    } = incoming;
    let greeted = match link::answer(&services.context, &**services, stream, address) {
        Ok(greeted) => greeted,
        Err(error) => return log::log!(error.level(), "{address}: {error}"),
    };
    let theirs = &greeted.theirs;
    let is_member = greeted.member.is_some();
    match (
        served(services, theirs.info_hash, is_member),
        &greeted.stream,
    ) {
        (Some(SwarmEntry::Transfer(transfer)), _) => join(&transfer, greeted),
        (Some(SwarmEntry::Search(search)), LinkStream::Plain(stream)) => {
            let _registered = sockets.register(stream);
            if let Some(metadata) = magnet::fetch(&search, stream, address, false, theirs) {
                magnet::learn(services, &search, metadata);
            }
        }
        _ => log::info!("{address}: {} went away", theirs.info_hash),
    }
}

/// What a caller may have: an open swarm, or, as a member, one of a group. A magnet search lets
/// callers in too, because they may have the metadata.
fn served(services: &Services, info_hash: InfoHash, is_member: bool) -> Option<SwarmEntry> {
    let entry = services.transfers.entry(info_hash)?;
    let is_served = match &entry {
        SwarmEntry::Search(search) => !is_member && search.is_seeking(),
        SwarmEntry::Transfer(transfer) => {
            transfer.plan.group.is_some() == is_member && services.context.owned.serves(info_hash)
        }
    };
    is_served.then_some(entry)
}

impl Served for Services {
    fn tls(&self, info_hash: InfoHash) -> Option<GroupTls> {
        let transfer = served(self, info_hash, true)?.into_transfer()?;
        let membership = transfer.plan.group.as_ref()?;
        self.groups.of(membership).tls(transfer.authority())
    }

    fn admits(&self, info_hash: InfoHash, member: Option<&Member>) -> Result<(), Turned> {
        let entry = served(self, info_hash, member.is_some());
        let entry = entry.ok_or(Turned::NotServed(info_hash))?;
        let membership = match &entry {
            SwarmEntry::Search(_) => None,
            SwarmEntry::Transfer(transfer) => transfer.plan.group.as_ref(),
        };
        match (membership, member) {
            (Some(membership), Some(member))
                if self.groups.of(membership).is_barred(&member.user) =>
            {
                Err(Turned::Barred(member.user.clone()))
            }
            _ => Ok(()),
        }
    }
}
