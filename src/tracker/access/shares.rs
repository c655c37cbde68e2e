//! The certificates of members, and the swarms of groups.
//!
//! In scope: everything that only members of a group receive, together with `catalogues`. Out of
//! scope: the links between members, which do not pass through a tracker.

use super::{
    Bars, Catalogues, Hints, HolderLists, PrivateMachine, PrivateMachines, RequestContext, Watch,
    from_refusal, group_authority, no_certificate, refused, subject_label, views,
};
use crate::base::AddressPrefix;
use crate::certificate::{AccountId, MemberPublicKey};
use crate::system::since_1970;
use crate::tracker::announcing::AnswerFamilies;
use crate::tracker::quotas::SwarmLimits;
use crate::tracker::registry::{AccountQuotas, Label, Refusal, RowId};
use crate::tracker::store::RegistryStore;
use crate::tracker::swarms::{Announced, Swarms};
use crate::wire::access::{
    AccessAnswer, AccessErrorKind, AccessRefusal, AnnounceBatch, AnnounceBatchAnswer, FoundPeers,
    GroupAnnounceEvent, KeyRequest, Placement, SwarmAnnounce, TRACKERS_OF_GROUP,
    preferred_trackers,
};
use crate::wire::{AnnounceEvent, AnnounceRequest, CompactAddresses};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The announce interval is at least this time multiplied by the number of connected machines, but
/// at most [`LONGEST_INTERVAL`]. So up to 60,000 machines that only serve, each in one group, send
/// a tracker at most 100 requests with announces a second.
const INTERVAL_PER_MACHINE: Duration = Duration::from_millis(10);
/// The longest announce interval. It is shorter than the time after which the tracker closes a
/// silent connection.
const LONGEST_INTERVAL: Duration = Duration::from_secs(600);
/// A downloading peer gets hints about new peers of its swarm if the answer to its announce had
/// fewer peers than this.
const FEW_PEERS: usize = 3;

/// The number of peers in an answer about a large swarm. Memory for them is allocated in advance.
const MANY_PEERS: usize = 50;

/// The shares and swarms of groups.
#[derive(Debug)]
pub(super) struct GroupShares {
    store: Arc<RegistryStore>,
    /// The requests about catalogues.
    pub(super) catalogues: Catalogues,
    /// Who has which share, and who mirrors which group.
    pub(super) holders: HolderLists,
    bars: Bars,
    /// The swarms of groups, separate from the open swarms that are announced over HTTP and UDP.
    swarms: Arc<Swarms>,
    hints: Arc<Hints>,
    private_machines: PrivateMachines,
    /// The interval of announces of a small team.
    shortest_interval: Duration,
    /// How long the certificate of a member is valid.
    certificate_lifetime: Duration,
    epoch: Instant,
}

impl GroupShares {
    pub(super) fn new(
        store: Arc<RegistryStore>,
        hints: Arc<Hints>,
        announce_interval: Duration,
        certificate_lifetime: Duration,
        quotas: AccountQuotas,
        holders: HolderLists,
    ) -> Self {
        let swarms = Swarms::new(announce_interval, SwarmLimits::for_groups());
        let swarms = Arc::new(swarms);
        Self {
            catalogues: Catalogues::new(
                Arc::clone(&store),
                Arc::clone(&swarms),
                Arc::clone(&hints),
                quotas,
            ),
            holders,
            bars: Bars::new(Arc::clone(&store)),
            swarms,
            hints,
            private_machines: PrivateMachines::default(),
            shortest_interval: announce_interval,
            certificate_lifetime,
            epoch: Instant::now(),
            store,
        }
    }

    pub(super) fn certify(
        &self,
        context: &RequestContext<'_>,
        group: &Label,
        request: &KeyRequest,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let account = context.login.account;
        let authority = group_authority(&self.store, account, group)?;
        let found = self.store.read(|registry| {
            let id = registry.group_id(group)?;
            let role = registry.role_of(id, account);
            let role = role.ok_or_else(|| Refusal::NotMember(group.clone()))?;
            Ok((id, role))
        });
        let (group_id, role) = found.map_err(from_refusal)?;
        let user = subject_label(&self.store, account)?.to_string();
        // The signature in the request covers the token, so that another user who has the request
        // cannot use it.
        let key = MemberPublicKey::from_request(&request.0, context.token.as_bytes());
        let key = key.map_err(|error| refused(AccessErrorKind::BadRequest, error))?;
        let unusable = |error| no_certificate(&format!("for {user} of {group}"), &error);
        let (id, now) = (AccountId(account.0), since_1970());
        let leaf = authority
            .issue(&user, id, &key, now, self.certificate_lifetime)
            .map_err(unusable)?;
        let certificate = authority.certificate().map_err(unusable)?;
        let source = AddressPrefix::of(context.from);
        log::info!(source:%; "{user} at {} gets a certificate of {group}", context.from);
        Ok(AccessAnswer::Certificate {
            leaf,
            authority: certificate.to_pem().into_bytes(),
            barred: self.bars.of(group_id).bars.clone(),
            role,
        })
    }

    /// Answers each announce of the request separately: some may be refused.
    pub(super) fn announce(
        &self,
        context: &RequestContext<'_>,
        announces: &AnnounceBatch,
        watch: Option<&Watch>,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let account = context.login.account;
        let address = SocketAddr::new(context.from, announces.port().get());
        let (groups, holder) = self.store.read(|registry| {
            let swarms = announces.swarms().iter();
            let groups = registry.groups_for_swarms(account, swarms.map(|it| it.info_hash));
            (groups, (account, registry.holder_of(context.login)))
        });
        let mut interval = 0;
        let swarms = announces.swarms().iter().zip(groups);
        let (group, swarms) = announce_each(swarms, |announce| {
            let (announced, addresses) = self.announce_one(context, announces, announce)?;
            let lifetime = announced.lifetime;
            self.holders.on_announce(holder, announce, lifetime);
            self.hint_about(address, watch, announce, addresses.len());
            interval = u32::try_from(announced.interval.as_secs()).unwrap_or(u32::MAX);
            Ok(addresses)
        });
        if let Some(group) = group {
            self.holders.on_seen(group, holder.1);
        }
        let swarms = self.add_private(context, announces, group, swarms);
        let seen_bars = announces.seen_bars();
        let barred = match group {
            Some(group) => self.bars.of(group).unless_seen(seen_bars),
            None => Some(Vec::new()),
        };
        Ok(AccessAnswer::Peers(AnnounceBatchAnswer {
            swarms,
            interval,
            barred,
            placement: group.and_then(|group| self.placement(group)),
            group: group
                .and_then(|group| self.store.read(|registry| views::named(registry, group))),
        }))
    }

    /// The trackers at which a group is announced. `None` if it is announced at every tracker.
    fn placement(&self, group: RowId) -> Option<Placement> {
        let status = self.store.status();
        if status.others.len() < TRACKERS_OF_GROUP {
            return None;
        }
        let label = self.store.read(|registry| registry.group_label(group))?;
        let tracker = status.number.get();
        let others = status.others.iter();
        let others = others.filter(|other| other.is_up() && other.serving);
        let live = others.map(|other| other.number.get());
        let mut trackers_of_group = preferred_trackers(&label, live.chain([tracker]));
        trackers_of_group.truncate(TRACKERS_OF_GROUP);
        Some(Placement {
            tracker,
            trackers_of_group,
        })
    }

    /// Adds the private addresses of the peers that the asking peer may get them of, and keeps its
    /// own ones for the others.
    fn add_private(
        &self,
        context: &RequestContext<'_>,
        announces: &AnnounceBatch,
        group: Option<RowId>,
        swarms: Vec<Result<CompactAddresses, AccessRefusal>>,
    ) -> Vec<Result<FoundPeers, AccessRefusal>> {
        let is_announced = swarms.iter().any(Result::is_ok);
        let mut others = Vec::new();
        if let Some(group) = group.filter(|_| is_announced) {
            let now = self.epoch.elapsed();
            let own = PrivateMachine::new(context.login.account, announces);
            others = self.private_machines.exchange(context.from, own, now);
            // Another account may have announced the id of a member's peer.
            self.store.read(|registry| {
                others.retain(|it| registry.role_of(group, it.account()).is_some());
            });
        }
        let swarms = announces.swarms().iter().zip(swarms);
        let with_private = swarms.map(|(announce, found)| {
            let in_swarm = match others.is_empty() {
                true => Vec::new(),
                false => {
                    let ids = others.iter().map(PrivateMachine::peer_id);
                    self.swarms.knows(&announce.info_hash, ids)
                }
            };
            let present = others.iter().zip(in_swarm).filter(|(_, known)| *known);
            let private = present.flat_map(|(machine, _)| machine.addresses());
            found.map(|addresses| FoundPeers::new(addresses, private))
        });
        with_private.collect()
    }

    fn announce_one(
        &self,
        context: &RequestContext<'_>,
        announces: &AnnounceBatch,
        announce: &SwarmAnnounce,
    ) -> Result<(Announced, CompactAddresses), AccessRefusal> {
        let request = AnnounceRequest {
            info_hash: announce.info_hash,
            peer_id: announces.peer_id(),
            port: announces.port(),
            uploaded: announce.uploaded,
            downloaded: announce.downloaded,
            left: announce.left,
            event: announce.event.map(|event| match event {
                GroupAnnounceEvent::Started => AnnounceEvent::Started,
                GroupAnnounceEvent::Completed => AnnounceEvent::Completed,
                GroupAnnounceEvent::Stopped => AnnounceEvent::Stopped,
            }),
            num_want: None,
            compact: true,
            no_peer_id: true,
            key: None,
            pieceful: true,
        };
        let now = self.epoch.elapsed();
        let mut addresses = CompactAddresses::with_capacity(MANY_PEERS);
        let families = AnswerFamilies::Both;
        let announced = self
            .swarms
            .announce_to(now, &request, context.from, families, |peer| {
                addresses.push(peer.address);
            })
            .map_err(|refusal| refused(AccessErrorKind::Busy, refusal))?;
        Ok((announced, addresses))
    }

    /// Sends hints about this peer to the peers that know few others. Records whether this peer
    /// itself knows few others.
    fn hint_about(
        &self,
        address: SocketAddr,
        watch: Option<&Watch>,
        announce: &SwarmAnnounce,
        other_peers: usize,
    ) {
        let (info_hash, event) = (announce.info_hash, announce.event);
        let is_stopped = event == Some(GroupAnnounceEvent::Stopped);
        if let Some(watch) = watch {
            let lacks_peers = !is_stopped && announce.left > 0 && other_peers < FEW_PEERS;
            self.hints.set_lacking(watch, info_hash, lacks_peers);
        }
        if event.is_some() && !is_stopped {
            self.hints.on_new_peer(info_hash, address, watch);
        }
    }

    /// Drops peers from the swarms of groups if they have been silent for too long, and old entries
    /// about holders. Adapts the interval of announces to the number of machines.
    pub(super) fn expire(&self) {
        let machines = self.hints.connections();
        self.swarms
            .set_interval(announce_interval(machines, self.shortest_interval));
        self.holders.tick();
        let now = self.epoch.elapsed();
        self.private_machines.expire(now);
        let dropped = self.swarms.expire(now);
        if dropped > 0 {
            log::info!("dropped {dropped} silent peers of groups");
        }
    }
}

/// The interval of announces while this number of machines is connected.
fn announce_interval(machines: usize, shortest: Duration) -> Duration {
    let machines = u32::try_from(machines).unwrap_or(u32::MAX);
    let interval = INTERVAL_PER_MACHINE.saturating_mul(machines);
    interval.min(LONGEST_INTERVAL).max(shortest)
}

/// Makes the announces of one request. Each comes with its share's group: a group of the user whose
/// catalogue has the share. Returns the results, and the group of the request, also if `announce`
/// refuses all swarms: a member needs the bars of the group then too.
fn announce_each<T>(
    swarms: impl Iterator<Item = (T, Option<RowId>)>,
    mut announce: impl FnMut(T) -> Result<CompactAddresses, AccessRefusal>,
) -> (Option<RowId>, Vec<Result<CompactAddresses, AccessRefusal>>) {
    let mut group = None;
    let results = swarms.map(|(swarm, share_group)| {
        group = Some(check_share_group(share_group, group)?);
        announce(swarm)
    });
    let results = results.collect();
    (group, results)
}

/// Checks the group of a share: `share_group` is a group of the user whose catalogue has the share.
/// Refuses if there is no such group, or if an earlier share of the request has another group,
/// `first`. Otherwise returns `share_group`.
fn check_share_group(
    share_group: Option<RowId>,
    first: Option<RowId>,
) -> Result<RowId, AccessRefusal> {
    let share_group = share_group.ok_or_else(|| {
        refused(
            AccessErrorKind::NotInCatalogue,
            "no group of yours has this share any more",
        )
    })?;
    match first.is_some_and(|first| first != share_group) {
        true => Err(refused(
            AccessErrorKind::BadRequest,
            "one request can announce shares of one group only",
        )),
        false => Ok(share_group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_whose_swarms_are_all_refused_has_a_group_unless_no_catalogue_has_its_shares() {
        let lab = RowId([1; 16]);
        let full = || refused(AccessErrorKind::Busy, "the swarm is full");
        let other = RowId([2; 16]);
        let swarms = [None, Some(lab), Some(lab), Some(other)].map(|group| ((), group));
        let (group, results) = announce_each(swarms.into_iter(), |()| Err(full()));
        let kinds = results.into_iter().map(|result| result.unwrap_err().kind);
        let expected = [
            AccessErrorKind::NotInCatalogue,
            AccessErrorKind::Busy,
            AccessErrorKind::Busy,
            AccessErrorKind::BadRequest,
        ];
        assert!(kinds.eq(expected));
        assert_eq!(group, Some(lab));
        let (group, _) = announce_each([((), None)].into_iter(), |()| Err(full()));
        assert_eq!(group, None);
    }

    #[test]
    fn the_interval_grows_with_the_number_of_machines() {
        let interval = |machines, shortest| {
            let shortest = Duration::from_secs(shortest);
            announce_interval(machines, shortest).as_secs()
        };
        for (machines, seconds) in [(0, 20), (2_000, 20), (12_000, 120), (usize::MAX, 600)] {
            assert_eq!(interval(machines, 20), seconds, "{machines}");
        }
        assert_eq!(interval(usize::MAX, 3_600), 3_600, "the operator wants it");
    }
}
