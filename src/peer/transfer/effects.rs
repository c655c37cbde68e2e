//! Carries out the effects of a core. Messages are queued at once, under the transfer's lock, so
//! that each link gets them in order. Slow effects are carried out after the lock is released.

use crate::peer::{BlockBuffer, Context, Link};
use crate::swarm::{BlockRun, CloseReason, Core, Effect, LinkId, OutgoingMessage, PendingBlock};
use crate::torrent::InfoHash;
use crate::wire::AnnounceEvent;
use crate::wire::peer::PeerMessage;
use std::collections::HashMap;
use std::iter;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The core of a transfer and its links, behind the transfer's lock.
#[derive(Debug)]
pub(super) struct SwarmState {
    pub(super) core: Core<BlockBuffer>,
    /// The open links. A link is removed after its threads have ended.
    pub(super) links: HashMap<LinkId, Arc<Link>>,
    /// The time at which the thread `tick` does the timed work next. `None`: there is no timed
    /// work. Zero: the transfer is included in the next tick.
    next_tick: Option<Duration>,
}

/// Carries out the effects that must not run under the transfer's lock.
pub(super) trait EffectHandler {
    /// Hashes and writes a run. `blocks` are all its blocks.
    fn hash(&self, run: BlockRun, blocks: Vec<PendingBlock<BlockBuffer>>);

    /// Reads the missing blocks of a run, which are local, and hashes and writes the run.
    fn read_and_hash(&self, run: BlockRun, blocks: Vec<Option<PendingBlock<BlockBuffer>>>);

    /// Reports to the other side of a link that this peer only uploads from now on (BEP 21).
    fn send_upload_only(&self, link: &Link);

    /// Announces the share.
    fn announce(&self, event: AnnounceEvent);

    /// Verifies the files and renames them to their final names.
    fn finish(&self);

    /// Handles a transfer that has failed.
    fn on_failed(&self, reason: &str);

    /// Logs a link that delivers nothing.
    fn on_stalled(&self, link: &Link);
}

/// The effects to carry out after the transfer's lock is released.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct DeferredEffects {
    calls: Vec<SocketAddr>,
    to_close: Vec<(Arc<Link>, CloseReason)>,
    stalled: Vec<Arc<Link>>,
    work: Vec<DeferredWork>,
}

#[derive(Debug)]
enum DeferredWork {
    Hash(BlockRun, Vec<PendingBlock<BlockBuffer>>),
    ReadAndHash(BlockRun, Vec<Option<PendingBlock<BlockBuffer>>>),
    SendUploadOnly(Arc<Link>),
    Announce(AnnounceEvent),
    Finish,
    Failed(String),
}

impl SwarmState {
    /// A core without links.
    pub(super) fn new(core: Core<BlockBuffer>) -> Self {
        Self {
            core,
            links: HashMap::new(),
            next_tick: None,
        }
    }

    /// Handles a clock tick. Returns the time of the next tick. `None` if there is no timed work.
    pub(super) fn tick(&mut self, now: Duration) -> Option<Duration> {
        let Self { core, links, .. } = self;
        core.on_tick(now, |id| match links.get(&id) {
            Some(link) => link.activity(now),
            None => Default::default(),
        });
        self.next_tick = core.next_tick();
        self.next_tick
    }

    /// Includes the transfer in the next tick, if there is timed work that the thread `tick` does
    /// not know of.
    pub(super) fn include_in_tick(&mut self, context: &Context, info_hash: InfoHash) {
        if self.next_tick == Some(Duration::ZERO) {
            return;
        }
        let next = self.core.next_tick();
        if next.is_some() && next != self.next_tick {
            self.next_tick = Some(Duration::ZERO);
            context.ticks.include(info_hash);
        }
    }

    /// Carries out the effects that are allowed under the lock, and returns the others.
    pub(super) fn carry_out(&mut self, context: &Context, info_hash: InfoHash) -> DeferredEffects {
        let Self { core, links, .. } = self;
        let mut deferred = DeferredEffects::default();
        let mut effects = core.take_effects().peekable();
        while let Some(effect) = effects.next() {
            match effect {
                Effect::Send(id, first) => {
                    // Consecutive messages for one link take its outbox lock once.
                    let rest = iter::from_fn(|| {
                        match effects
                            .next_if(|next| matches!(next, Effect::Send(to, _) if *to == id))
                        {
                            Some(Effect::Send(_, message)) => Some(message),
                            _ => None,
                        }
                    });
                    send(links, id, iter::once(first).chain(rest));
                }
                Effect::SendExtended { link, id, payload } => {
                    if let Some(link) = links.get(&link) {
                        let payload = payload.as_slice();
                        link.send([PeerMessage::Extended { id, payload }]);
                    }
                }
                Effect::SendHaves(piece) => {
                    context.owned.publish(info_hash, piece);
                    links.values().for_each(|link| link.notify_haves());
                }
                Effect::Choke(id) => {
                    if let Some(link) = links.get(&id) {
                        link.choke();
                    }
                }
                Effect::Unchoke(id) => {
                    if let Some(link) = links.get(&id) {
                        link.unchoke();
                    }
                }
                Effect::Serve(id, block) => {
                    if let Some(link) = links.get(&id) {
                        link.serve(block);
                    }
                }
                Effect::Offer(owned) => context.owned.insert(info_hash, owned),
                Effect::Withhold => context.owned.remove(info_hash),
                Effect::Connect(address) => deferred.calls.push(address),
                Effect::Close(id, reason) => {
                    deferred
                        .to_close
                        .extend(links.get(&id).cloned().map(|link| (link, reason)));
                }
                Effect::Stalled(id) => deferred.stalled.extend(links.get(&id).cloned()),
                Effect::SendUploadOnly(id) => {
                    let link = links.get(&id).cloned();
                    deferred.work.extend(link.map(DeferredWork::SendUploadOnly));
                }
                Effect::Hash(run, blocks) => deferred.work.push(DeferredWork::Hash(run, blocks)),
                Effect::ReadAndHash(run, blocks) => {
                    deferred.work.push(DeferredWork::ReadAndHash(run, blocks));
                }
                Effect::Announce(event) => deferred.work.push(DeferredWork::Announce(event)),
                Effect::Complete => deferred.work.push(DeferredWork::Finish),
                Effect::Failed(reason) => deferred.work.push(DeferredWork::Failed(reason)),
            }
        }
        deferred
    }
}

/// Queues messages for a link, if it is still open.
fn send(
    links: &HashMap<LinkId, Arc<Link>>,
    id: LinkId,
    messages: impl Iterator<Item = OutgoingMessage>,
) {
    match links.get(&id) {
        Some(link) => link.send(messages.map(PeerMessage::from)),
        // The iterator removes these messages from the effects only when it runs.
        None => messages.for_each(drop),
    }
}

impl DeferredEffects {
    /// Removes and returns the addresses to call.
    pub(super) fn take_calls(&mut self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.calls)
    }

    /// Carries out the effects.
    pub(super) fn carry_out(self, handler: &dyn EffectHandler) {
        self.stalled
            .iter()
            .for_each(|link| handler.on_stalled(link));
        for (link, reason) in self.to_close {
            link.close(reason.to_string());
        }
        for work in self.work {
            match work {
                DeferredWork::Hash(run, blocks) => handler.hash(run, blocks),
                DeferredWork::ReadAndHash(run, blocks) => handler.read_and_hash(run, blocks),
                DeferredWork::SendUploadOnly(link) => handler.send_upload_only(&link),
                DeferredWork::Announce(event) => handler.announce(event),
                DeferredWork::Finish => handler.finish(),
                DeferredWork::Failed(reason) => handler.on_failed(&reason),
            }
        }
    }
}
