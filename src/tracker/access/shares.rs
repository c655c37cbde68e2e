//! The shares of groups: publishing, the catalogue, the certificates of members, and the swarms.
//!
//! In scope: everything that only members of a group receive. Out of scope: the rules of the
//! catalogue (`registry`), and the links between members, which do not pass through a tracker.

use super::{
    Bars, Hints, IdempotencyKey, IdempotentWrites, InfoCache, InfoPartError, InfoUploads,
    PAGE_LENGTH, RequestContext, UploadError, Watch, from_refusal, from_write_error, no_randomness,
    own_groups, refused, subject_label, views, views::parse_cursor,
};
use crate::base::AddressPrefix;
use crate::certificate::{
    AccountId, CertificateError, GroupAuthority, GroupCertificate, MemberPublicKey,
};
use crate::system::since_1970;
use crate::torrent::Info;
use crate::tracker::announcing::AnswerFamilies;
use crate::tracker::quotas::SwarmLimits;
use crate::tracker::registry::{
    AccountQuotas, Label, NewShare, Refusal, Registry, RowId, ShareCursor, ShareView,
};
use crate::tracker::store::RegistryStore;
use crate::tracker::swarms::{Announced, Swarms};
use crate::wire::access::{
    AccessAnswer, AccessErrorKind, AccessRefusal, AnnounceBatch, AnnounceBatchAnswer, FileEntry,
    GroupAnnounceEvent, KeyRequest, ListPage, Placement, ShortText, SwarmAnnounce,
    TRACKERS_OF_GROUP, preferred_trackers,
};
use crate::wire::control::InfoPart;
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
    writes: IdempotentWrites,
    uploads: InfoUploads,
    info_cache: InfoCache,
    bars: Bars,
    /// The swarms of groups, separate from the open swarms that are announced over HTTP and UDP.
    swarms: Swarms,
    hints: Arc<Hints>,
    /// The interval of announces of a small team.
    shortest_interval: Duration,
    /// How long the certificate of a member is valid.
    certificate_lifetime: Duration,
    quotas: AccountQuotas,
    epoch: Instant,
}

impl GroupShares {
    pub(super) fn new(
        store: Arc<RegistryStore>,
        hints: Arc<Hints>,
        announce_interval: Duration,
        certificate_lifetime: Duration,
        quotas: AccountQuotas,
    ) -> Self {
        Self {
            writes: IdempotentWrites::new(Arc::clone(&store)),
            uploads: InfoUploads::default(),
            info_cache: InfoCache::default(),
            bars: Bars::new(Arc::clone(&store)),
            swarms: Swarms::new(announce_interval, SwarmLimits::for_groups()),
            hints,
            shortest_interval: announce_interval,
            certificate_lifetime,
            quotas,
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
        let authority = self.authority(account, group)?;
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

    pub(super) fn publish(
        &self,
        context: &RequestContext<'_>,
        key: &IdempotencyKey,
        group: &Label,
        part: &InfoPart,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let account = context.login.account;
        // Only those who may publish may make the tracker store anything.
        let may_publish = |registry: &Registry| registry.check_may_publish(account, group);
        self.store.read(may_publish).map_err(from_refusal)?;
        let authority = self.authority(account, group)?;
        self.store.check_space().map_err(from_write_error)?;
        let now = self.epoch.elapsed();
        let added = self.uploads.add(account, group, part, now);
        let whole = added.map_err(|error| {
            let kind = match &error {
                UploadError::Busy => AccessErrorKind::Busy,
                UploadError::Short(_) | UploadError::Part(_) => AccessErrorKind::BadRequest,
            };
            refused(kind, error)
        })?;
        let Some(raw) = whole else {
            return Ok(AccessAnswer::Done);
        };
        let unshareable = |what: &str| {
            let message = format!("this cannot be shared with {group}: {what}");
            refused(AccessErrorKind::BadRequest, message)
        };
        let info = Info::parse(&raw).map_err(|error| unshareable(&error.to_string()))?;
        let info_certificate = info.ssl_cert();
        let info_certificate =
            info_certificate.and_then(|pem| GroupCertificate::from_pem(pem.as_bytes()).ok());
        let group_certificate = authority.certificate();
        let group_certificate = group_certificate
            .map_err(|error| no_certificate(&format!("of {group} itself"), &error))?;
        if !info.private()
            || info_certificate.map(|it| it.fingerprint()) != Some(group_certificate.fingerprint())
        {
            return Err(unshareable(
                "it is not private, or it was made for another group",
            ));
        }
        let what = format!("shares {} with {group}", info.name());
        self.writes
            .write_with_info(context, key, &what, Some(&info), |registry, now| {
                let info_hash = info.info_hash();
                let new = NewShare {
                    id: key.share(registry.group_id(group)?, &info_hash.0),
                    name: info.name().clone(),
                    info_hash,
                    length: info.lengths().total(),
                };
                let update = registry.publish(account, group, new, now)?;
                let length = u64::try_from(info.raw().len()).unwrap_or(u64::MAX);
                registry.check_share_quota(account, info_hash, length, &self.quotas)?;
                Ok(update)
            })
    }

    pub(super) fn list_files(
        &self,
        account: RowId,
        group: &Label,
        after: Option<ShortText>,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let after: Option<ShareCursor> = parse_cursor(after)?;
        let connections = self.hints.connections();
        let listed = self.store.read(|registry| {
            let (shares, next) = registry.shares(account, group, after.as_ref(), PAGE_LENGTH)?;
            let id = registry.group_id(group)?;
            let is_first = after.is_none();
            let state = is_first.then(|| own_groups::state(registry, id, connections));
            Ok((shares, next, state))
        });
        let (shares, next, state) = listed.map_err(from_refusal)?;
        let entries = shares
            .into_iter()
            .filter_map(|share| self.file_entry(share));
        let page = ListPage {
            entries: entries.collect(),
            next: next.and_then(|next| ShortText::new(next.to_string())),
        };
        Ok(AccessAnswer::Files { page, state })
    }

    fn file_entry(&self, share: ShareView) -> Option<FileEntry> {
        let counts = self.swarms.counts(&share.info_hash);
        Some(FileEntry {
            name: ShortText::new(share.name)?,
            info_hash: share.info_hash,
            length: share.length,
            publisher: share.publisher,
            published_at: share.at.wall(),
            complete: counts.complete,
            partial: counts.incomplete,
        })
    }

    pub(super) fn metainfo(
        &self,
        account: RowId,
        group: &Label,
        name: &ShortText,
        offset: u32,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let info_hash = self.store.read(|registry| {
            let share = registry.share(account, group, name.as_str());
            share.map(|share| share.info_hash).map_err(from_refusal)
        })?;
        let unreadable = |what: &dyn std::fmt::Display| {
            log::error!("the info dictionary {info_hash} of {group} cannot be read: {what}");
            refused(
                AccessErrorKind::NotSaved,
                "the tracker cannot read its data of this share; tell its operator",
            )
        };
        let read = || self.store.info(info_hash);
        match self.info_cache.part(info_hash, offset, read) {
            Ok(part) => Ok(AccessAnswer::Metainfo(part)),
            Err(InfoPartError::Part(error)) => Err(refused(AccessErrorKind::BadRequest, error)),
            Err(error) => Err(unreadable(&error)),
        }
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
        let groups: Vec<Option<RowId>> = self.store.read(|registry| {
            let swarms = announces.swarms().iter();
            registry.groups_for_swarms(account, swarms.map(|it| it.info_hash))
        });
        let mut interval = 0;
        let swarms = announces.swarms().iter().zip(groups);
        let (group, swarms) = announce_each(swarms, |announce| {
            let (announced, addresses) = self.announce_one(context, announces, announce)?;
            self.hint_about(address, watch, announce, addresses.len());
            interval = u32::try_from(announced.interval.as_secs()).unwrap_or(u32::MAX);
            Ok(addresses)
        });
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

    /// Drops peers from the swarms of groups if they have been silent for too long. Adapts the
    /// interval of announces to the number of machines.
    pub(super) fn expire(&self) {
        let machines = self.hints.connections();
        self.swarms
            .set_interval(announce_interval(machines, self.shortest_interval));
        let dropped = self.swarms.expire(self.epoch.elapsed());
        if dropped > 0 {
            log::info!("dropped {dropped} silent peers of groups");
        }
    }

    fn authority(&self, account: RowId, group: &Label) -> Result<GroupAuthority, AccessRefusal> {
        let key = self.store.read(|registry| {
            let key = registry.group_key(account, group);
            key.cloned().map_err(from_refusal)
        })?;
        GroupAuthority::from_pem(key.expose().as_bytes())
            .map_err(|error| no_certificate(&format!("of {group} itself"), &error))
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

/// The refusal of a certificate. A retry helps only if the system had no random numbers. If the key
/// of the group cannot be used, the refusal must not look like a missing membership.
fn no_certificate(whose: &str, error: &CertificateError) -> AccessRefusal {
    log::error!("cannot issue a certificate {whose}: {error}");
    match error {
        CertificateError::NoRandomness => no_randomness(),
        _ => refused(
            AccessErrorKind::NotSaved,
            "the tracker cannot use its key of this group; tell its operator",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_randomness_is_worth_a_retry() {
        for (error, kind) in [
            (CertificateError::NoRandomness, AccessErrorKind::Busy),
            (CertificateError::NotPem, AccessErrorKind::NotSaved),
            (CertificateError::Name, AccessErrorKind::NotSaved),
        ] {
            assert_eq!(no_certificate("of lab", &error).kind, kind, "{error}");
        }
    }

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
