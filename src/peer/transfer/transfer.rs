//! A transfer: one core behind a lock, with its plan and files.

use super::effects::{DeferredEffects, SwarmState};
use super::files::{OpenFiles, TransferFiles};
use super::metadata_quota::MetadataQuota;
use super::plan::{Membership, TransferPlan};
use super::sources::TransferSources;
use crate::certificate::Fingerprint;
use crate::peer::{BlockBuffer, Context, Link, MAX_WINDOW, Reservation, Trackers};
use crate::storage::{Download, FileHashes, FileStamp, Store};
use crate::swarm::{Candidates, Contacts, Core, LinkId, Phase, PieceOrder, SwarmConfig};
use crate::system::lock;
use crate::torrent::{Info, InfoHash};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// How long this peer waits for the call of a peer that has just joined a swarm.
const NEWCOMER_CALL_WAIT: Duration = Duration::from_secs(2);

/// A share or download.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) context: Arc<Context>,
    pub(super) trackers: Arc<dyn Trackers<Self>>,
    pub(crate) plan: TransferPlan,
    info: Arc<Info>,
    authority: Option<Fingerprint>,
    pub(super) files: TransferFiles,
    /// Hashes whole files. `None` if the torrent has no SHA-1 of any file.
    pub(super) file_hashes: Option<FileHashes>,
    uploaded: AtomicU64,
    pub(super) metadata_quota: Mutex<MetadataQuota>,
    pub(super) sources: TransferSources,
    swarm: Mutex<SwarmState>,
    weak_self: Weak<Self>,
}

impl Transfer {
    /// A transfer whose files are being checked.
    pub(crate) fn new(
        context: &Arc<Context>,
        trackers: Arc<dyn Trackers<Self>>,
        plan: TransferPlan,
    ) -> Arc<Self> {
        let (info, link_limits) = (Arc::new(plan.info().clone()), &context.link_limits);
        let file_hashes = FileHashes::new(&info);
        let config = SwarmConfig {
            info_hash: info.info_hash(),
            lengths: *info.lengths(),
            own_id: context.identity.peer_id,
            is_private: info.private(),
            exchanges_peers: plan.exchanges_peers(),
            order: match (plan.choice.sequential, file_hashes.is_some()) {
                (true, _) => PieceOrder::InOrder,
                (false, true) => PieceOrder::InOrderAmongSeeds,
                (false, false) => PieceOrder::RarestFirst,
            },
            max_peers: link_limits.max_peers,
            upload_slots: link_limits.upload_slots,
            largest_window: MAX_WINDOW,
            max_stalls: link_limits.deadlines.stalls,
            max_unread: link_limits.deadlines.unread,
        };
        let budget = Box::new(Reservation::of(&context.link_limits.buffers));
        let core = Core::new(config, budget, fastrand::u64(..), context.now());
        Arc::new_cyclic(|weak_self| Self {
            context: Arc::clone(context),
            trackers,
            authority: plan.authority(),
            file_hashes,
            files: TransferFiles::new(
                plan.metainfo.times(),
                plan.group.as_ref().map(|share| share.supersedes.clone()),
                context.tasks.new_interrupt(),
            ),
            sources: TransferSources::new(&plan.metainfo, &plan.peers),
            plan,
            info,
            uploaded: AtomicU64::new(0),
            metadata_quota: Mutex::default(),
            swarm: Mutex::new(SwarmState::new(core)),
            weak_self: Weak::clone(weak_self),
        })
    }

    pub(crate) fn info(&self) -> &Arc<Info> {
        &self.info
    }

    pub(crate) fn info_hash(&self) -> InfoHash {
        self.info.info_hash()
    }

    pub(crate) fn name(&self) -> &str {
        self.plan.name()
    }

    /// The fingerprint of the authority whose certificates its links use. `None` if the torrent has
    /// no valid `ssl-cert`.
    pub(crate) fn authority(&self) -> Option<Fingerprint> {
        self.authority
    }

    /// The group of the share with its present name, and the member whose transfer this is. `None`
    /// outside groups.
    pub(crate) fn membership(&self) -> Option<Membership> {
        let Membership { user, group } = &self.plan.group.as_ref()?.membership;
        Some(Membership {
            user: user.clone(),
            group: self.context.group_names.present(self.authority, group),
        })
    }

    /// A shared reference to itself for background threads; `None` while it is being dropped.
    pub(super) fn to_arc(&self) -> Option<Arc<Self>> {
        self.weak_self.upgrade()
    }

    /// The current phase.
    pub(crate) fn phase(&self) -> Phase {
        self.inspect(|core| core.phase().clone())
    }

    /// Whether missing pieces are fetched.
    pub(crate) fn fetches(&self) -> bool {
        self.inspect(|core| core.phase().fetches())
    }

    /// Whether it was withdrawn, is lost or has failed. Then another transfer may replace it.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(
            self.phase(),
            Phase::Withdrawn { .. } | Phase::Lost { .. } | Phase::Failed { .. }
        )
    }

    /// Reads the state of the core.
    pub(crate) fn inspect<R>(&self, read: impl FnOnce(&Core<BlockBuffer>) -> R) -> R {
        read(&lock(&self.swarm).core)
    }

    /// Calls `act` with the core and the current time, and carries out the effects.
    pub(crate) fn decide<R>(&self, act: impl FnOnce(&mut Core<BlockBuffer>, Duration) -> R) -> R {
        let (result, deferred) = self.with_swarm(|SwarmState { core, .. }, now| act(core, now));
        deferred.carry_out(self);
        result
    }

    /// Handles a clock tick. Returns the addresses to call now, and the time of the next tick. The
    /// time is `None` if there is no timed work.
    pub(crate) fn tick(&self) -> (Vec<SocketAddr>, Option<Duration>) {
        let (next, mut deferred) = self.with_swarm(SwarmState::tick);
        let calls = deferred.take_calls();
        deferred.carry_out(self);
        (calls, next)
    }

    /// Calls `act` with the core and the links, and carries out the effects that are allowed under
    /// the lock. The caller carries out the deferred effects, after the lock is released.
    pub(super) fn with_swarm<R>(
        &self,
        act: impl FnOnce(&mut SwarmState, Duration) -> R,
    ) -> (R, DeferredEffects) {
        let mut swarm = lock(&self.swarm);
        // The time is read under the lock, so that the core never sees it go back.
        let result = act(&mut swarm, self.context.now());
        let deferred = swarm.carry_out(&self.context, self.info_hash());
        swarm.include_in_tick(&self.context, self.info_hash());
        (result, deferred)
    }

    /// All open links.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        lock(&self.swarm).links.values().cloned().collect()
    }

    /// An open link.
    pub(super) fn link(&self, id: LinkId) -> Option<Arc<Link>> {
        lock(&self.swarm).links.get(&id).cloned()
    }

    /// Reads or changes the addresses that the core may call.
    pub(crate) fn contacts<R>(&self, act: impl FnOnce(&mut Contacts) -> R) -> R {
        let mut swarm = lock(&self.swarm);
        let result = act(swarm.core.contacts_mut());
        swarm.include_in_tick(&self.context, self.info_hash());
        result
    }

    /// Adds addresses from a tracker or a person. This peer calls them at once.
    pub(crate) fn add_candidates(&self, addresses: impl IntoIterator<Item = SocketAddr>) {
        let mut addresses = addresses.into_iter().peekable();
        if addresses.peek().is_some() {
            self.contacts(|contacts| contacts.add_all(addresses));
            self.context.ticks.trigger();
        }
    }

    /// Adds addresses of peers that have just joined the swarm. Those peers call this peer
    /// themselves, so it waits a moment before it calls them. If both sides called, one of the two
    /// links would end, and the blocks on the way over it would be lost.
    pub(crate) fn add_newcomers(&self, addresses: impl Iterator<Item = SocketAddr>) {
        self.decide(|core, now| {
            let from = now + NEWCOMER_CALL_WAIT;
            core.contacts_mut().add_newcomers(addresses, from);
        });
    }

    /// Closes all links.
    pub(crate) fn close_links(&self, reason: &str) {
        self.decide(|core, _| core.close_links(reason));
    }

    /// Ends the transfer with an error. Its data on disk is kept for another attempt.
    pub(crate) fn fail(&self, reason: &str) {
        // The files are closed first: after the phase has changed, another transfer may open them.
        self.files.close();
        self.files.interrupt.store(true, Ordering::SeqCst);
        self.decide(|core, now| core.fail(reason, now));
    }

    /// Like [`Transfer::fail`], but does nothing if the download is complete, or is just taking its
    /// final name. Then returns `false`.
    pub(crate) fn fail_if_unfinished(&self, reason: &str) -> bool {
        let has_failed = self.decide(|core, now| {
            let is_complete = core.phase().was_complete() || *core.phase() == Phase::Finishing;
            if !is_complete {
                core.fail(reason, now);
            }
            !is_complete
        });
        if has_failed {
            self.files.close();
            self.files.interrupt.store(true, Ordering::SeqCst);
        }
        has_failed
    }

    /// The files to write to, while the download is not complete.
    pub(crate) fn download(&self) -> Option<Arc<Download>> {
        self.files.download()
    }

    /// The files to read from, once they are open.
    pub(crate) fn store(&self) -> Option<Arc<Store>> {
        self.files.store()
    }

    /// The stamps with which its files were verified, if they are complete.
    pub(crate) fn sealed(&self) -> Option<Vec<FileStamp>> {
        self.files.sealed()
    }

    /// Takes opened files. Returns `false` if the download was cancelled: then the caller discards
    /// them.
    #[must_use]
    pub(crate) fn set_files(&self, files: OpenFiles) -> bool {
        self.files.set_open(files)
    }

    /// Closes its files, so that another transfer can open them.
    pub(crate) fn close_files(&self) {
        self.files.close();
    }

    /// Bytes of blocks sent since the start of this process.
    pub(crate) fn uploaded_bytes(&self) -> u64 {
        self.uploaded.load(Ordering::Relaxed)
    }

    /// Counts bytes of sent blocks.
    pub(super) fn add_uploaded(&self, bytes: u64) {
        self.uploaded.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes over the counters and known peers of the transfer that this one replaces.
    pub(crate) fn take_over(&self, former: &Self, candidates: Candidates) {
        self.add_uploaded(former.uploaded_bytes());
        let (sources, downloaded) = former.inspect(|core| {
            let progress = core.progress();
            let sources = progress.sources();
            let sources = sources.map(|(source, bytes)| (source.to_owned(), bytes));
            (sources.collect(), progress.downloaded())
        });
        self.decide(|core, _| core.take_over(candidates, sources, downloaded));
    }

    /// Restores the recorded byte counts per source.
    pub(crate) fn restore_byte_counts(&self, sources: &[(String, u64)]) {
        let sources = sources.iter().cloned().collect();
        self.decide(|core, _| core.take_over(Candidates::default(), sources, 0));
    }
}
