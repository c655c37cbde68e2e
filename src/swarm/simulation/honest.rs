//! An honest peer: a [`Core`], and a simple form of the code that module `peer` has around a core.
//! It carries out the effects of the core over the simulated network, with workers that take time.

use super::checker::Checker;
use super::content::{Buffers, Content};
use super::environment::Environment;
use super::events::{Event, HashJob};
use super::local::OldFiles;
use super::network::{ConnectionNumber, Network, Packet, PeerNumber};
use crate::swarm::{
    BlockRun, Budget, CheckResult, Core, Effect, HashedPiece, LinkId, LinkRefusal, OutgoingMessage,
    PendingBlock, Phase, ReceivedMessage, Source, Sources, SwarmConfig, Verdict, add_sources,
};
use crate::torrent::{Lengths, PieceIndex, Sha1};
use std::collections::BTreeMap;
use std::time::Duration;

/// Interval between ticks.
const TICK: Duration = Duration::from_millis(100);
/// The shortest time that a worker takes to write or hash a run.
const WORK: Duration = Duration::from_millis(3);
/// How long files take to get their final names.
const FINISHING: Duration = Duration::from_millis(150);

/// An honest peer.
#[derive(Debug)]
pub(super) struct HonestPeer {
    number: PeerNumber,
    lengths: Lengths,
    core: Core<Content>,
    buffers: Buffers,
    /// Open links. The value is whether only handshakes have arrived.
    links: BTreeMap<LinkId, bool>,
    old_files: OldFiles,
    /// The content that was written for each run.
    disk: BTreeMap<(PieceIndex, u32), Content>,
    checker: Checker,
    /// Whether everything is checked after each event, or only now and then.
    checks_each_event: bool,
    /// When the peer became complete.
    complete_at: Option<Duration>,
}

impl HonestPeer {
    pub(super) fn new(
        number: PeerNumber,
        config: SwarmConfig,
        checker: Checker,
        (buffers, old_files): (u32, OldFiles),
        seed: u64,
    ) -> Self {
        let lengths = config.lengths;
        let buffers = Buffers::new(buffers);
        let budget = Box::new(buffers.clone());
        Self {
            number,
            lengths,
            core: Core::new(config, budget, seed ^ number as u64, Duration::ZERO),
            buffers,
            links: BTreeMap::new(),
            old_files,
            disk: BTreeMap::new(),
            checker,
            checks_each_event: true,
            complete_at: None,
        }
    }

    /// From now on, everything is checked only now and then. Otherwise large simulations would take
    /// long.
    pub(super) fn check_rarely(&mut self) {
        self.checks_each_event = false;
    }

    pub(super) fn core(&self) -> &Core<Content> {
        &self.core
    }

    pub(super) fn old_files(&self) -> &OldFiles {
        &self.old_files
    }

    pub(super) fn checker(&self) -> &Checker {
        &self.checker
    }

    /// When the peer became complete.
    pub(super) fn complete_at(&self) -> Option<Duration> {
        self.complete_at
    }

    /// The peer learns the address of another peer.
    pub(super) fn learn(&mut self, peer: PeerNumber) {
        self.core.contacts_mut().add(Network::address(peer));
    }

    /// Starts the peer, with the result of the check of its files.
    pub(super) fn begin(&mut self, checked: CheckResult, env: &mut Environment) {
        self.core.begin(checked, env.events.now());
        self.carry_out_effects(env);
        // The ticks of different peers are at different times.
        let first = TICK.mul_f64(env.rng.f64());
        env.events.after(first, Event::Tick(self.number));
    }

    pub(super) fn on_tick(&mut self, env: &mut Environment) {
        let now = env.events.now();
        let (number, network) = (self.number, &env.network);
        let activity = |id: LinkId| {
            network
                .direction(id.0 as ConnectionNumber, number)
                .activity(now)
        };
        // As in a running peer: without links and active pieces, `Core::on_tick` runs only when it
        // is time to call an address.
        if self.core.next_tick().is_some_and(|due| due <= now) {
            self.core.on_tick(now, activity);
            self.carry_out_effects(env);
        }
        if !self.checks_each_event && env.rng.u8(..) < 8 {
            self.checker.check(&self.core);
        }
        env.events.after(TICK, Event::Tick(self.number));
    }

    pub(super) fn on_called(&mut self, connection: ConnectionNumber, env: &mut Environment) {
        let remote = env.network.remote(connection, self.number, false);
        let id = Network::link_id(connection);
        let admitted = self.core.on_link_up(id, remote, env.events.now());
        let network = &mut env.network;
        network.answer(connection, admitted.is_ok(), &mut env.events);
        if admitted.is_ok() {
            self.greet(connection, env);
        }
        self.carry_out_effects(env);
    }

    pub(super) fn on_answered(
        &mut self,
        connection: ConnectionNumber,
        admits: bool,
        env: &mut Environment,
    ) {
        let now = env.events.now();
        let remote = env.network.remote(connection, self.number, true);
        let id = Network::link_id(connection);
        let admitted = match admits {
            true => self.core.on_link_up(id, remote, now),
            false => Err(LinkRefusal::Full),
        };
        match admitted {
            Ok(()) => self.greet(connection, env),
            Err(refusal) => {
                if refusal != LinkRefusal::Linked {
                    let contacts = self.core.contacts_mut();
                    contacts.on_failed(remote.address, now);
                }
                env.network.close(connection, self.number, &mut env.events);
                self.core.on_call_ended(remote.address, now);
            }
        }
        self.carry_out_effects(env);
    }

    pub(super) fn on_closed(&mut self, connection: ConnectionNumber, env: &mut Environment) {
        let id = Network::link_id(connection);
        if self.links.remove(&id).is_none() {
            return;
        }
        let now = env.events.now();
        let activity = env.network.direction(connection, self.number).activity(now);
        self.checker.on_link_down(id);
        self.core.on_link_down(id, activity, now);
        let [caller, callee] = env.network.ends(connection);
        if caller == self.number {
            self.core.on_call_ended(Network::address(callee), now);
        }
        self.carry_out_effects(env);
    }

    pub(super) fn on_packets(
        &mut self,
        connection: ConnectionNumber,
        packets: Vec<Packet>,
        env: &mut Environment,
    ) {
        let id = Network::link_id(connection);
        for packet in packets {
            let Some(only_handshakes) = self.links.get_mut(&id) else {
                return;
            };
            let is_first = *only_handshakes;
            *only_handshakes &= matches!(packet, Packet::Handshake(_));
            self.checker.on_packet(id, &packet);
            self.on_packet(connection, packet, is_first, env);
            self.carry_out_effects(env);
        }
    }

    fn on_packet(
        &mut self,
        connection: ConnectionNumber,
        packet: Packet,
        is_first: bool,
        env: &mut Environment,
    ) {
        use OutgoingMessage::{Cancel, Interested, NotInterested, Reject, Request};
        let (id, now) = (Network::link_id(connection), env.events.now());
        let message = match packet {
            Packet::Choke => ReceivedMessage::Choke,
            Packet::Unchoke => ReceivedMessage::Unchoke,
            Packet::FromCore(Interested) => ReceivedMessage::Interested,
            Packet::FromCore(NotInterested) => ReceivedMessage::NotInterested,
            Packet::FromCore(Request(range)) => ReceivedMessage::Request(range),
            Packet::FromCore(Reject(range)) => ReceivedMessage::Reject(range),
            Packet::FromCore(Cancel(range)) => {
                let uses_bep_6 = env.network.uses_bep_6(connection);
                env.write(connection, self.number, |direction| {
                    direction.cancel_block(range, uses_bep_6)
                });
                return;
            }
            Packet::Have(piece) => ReceivedMessage::Have(piece),
            Packet::AllowedFast(piece) => ReceivedMessage::AllowedFast(piece),
            Packet::Pieces(pieces) => ReceivedMessage::Pieces { pieces, is_first },
            Packet::Handshake(handshake) => ReceivedMessage::Handshake(handshake),
            Packet::PeerExchange(payload) => {
                let result = self
                    .core
                    .on_message(id, ReceivedMessage::PeerExchange(&payload), now);
                return result.expect("no peer breaks the protocol");
            }
            Packet::Block(range, content) => {
                let result = self.core.on_block(id, None, range, content, now);
                let unneeded = result.expect("no peer sends a block without a request");
                if unneeded.is_none() {
                    self.checker.on_kept(id, range);
                }
                return;
            }
        };
        let result = self.core.on_message(id, message, now);
        result.expect("no peer breaks the protocol");
    }

    /// A worker has read the missing blocks of a run from the older version, if they can be read.
    pub(super) fn on_read(
        &mut self,
        run: BlockRun,
        mut blocks: Vec<Option<PendingBlock<Content>>>,
        env: &mut Environment,
    ) {
        let was_read = self.old_files.read(run, &mut blocks, &self.lengths);
        if was_read {
            let job = HashJob::new(run, blocks.into_iter().flatten().collect());
            return env.events.after(WORK, Event::Worker(self.number, job));
        }
        self.checker.on_unreadable(run.piece);
        self.core.on_unreadable(run, blocks, env.events.now());
        self.carry_out_effects(env);
    }

    /// A worker has finished a step: it has written the run of its job, or hashed a run.
    pub(super) fn on_worker(&mut self, mut job: HashJob, env: &mut Environment) {
        let run = job.run;
        let mut hashed_piece = None;
        let next = match job.hashing.take() {
            _ if !self.core.phase().fetches() => None,
            None => {
                let is_good = job.blocks.iter().all(|block| block.buffer == Content::Good);
                let content = if is_good { Content::Good } else { Content::Bad };
                self.disk.insert((run.piece, run.number), content);
                if run.is_whole_piece(&self.lengths) {
                    let mut sources = Sources::new();
                    add_sources(&mut sources, &job.blocks);
                    let senders = job.blocks.iter().map(|block| block.source.clone());
                    let blocks = job
                        .blocks
                        .iter()
                        .map(|block| block.buffer.hash())
                        .zip(senders)
                        .collect();
                    hashed_piece = Some(HashedPiece { sources, blocks });
                    None
                } else {
                    let hashes: Vec<Sha1> = match self.core.wants_block_hashes() {
                        true => job.blocks.iter().map(|block| block.buffer.hash()).collect(),
                        false => Vec::new(),
                    };
                    let hasher = self.core.on_run_written(run, &job.blocks, &hashes);
                    hasher.map(|hasher| (hasher, run.number + 1))
                }
            }
            Some((_, hashed)) if hashed == BlockRun::count(&self.lengths, run.piece) => {
                hashed_piece = self.core.on_piece_hashed(run.piece);
                None
            }
            Some((hasher, hashed)) => {
                let next_run = BlockRun::numbered(&self.lengths, run.piece, hashed);
                let hasher = self.core.on_earlier_runs_hashed(next_run, hasher);
                hasher.map(|hasher| (hasher, hashed + 1))
            }
        };
        if next.is_some() {
            job.hashing = next;
            return env.events.after(WORK, Event::Worker(self.number, job));
        }
        self.core.on_worker_done(run.blocks, env.events.now());
        self.carry_out_effects(env);
        if let Some(hashed) = hashed_piece {
            self.on_hashed(run.piece, hashed, env);
        }
    }

    fn on_hashed(&mut self, piece: PieceIndex, hashed: HashedPiece, env: &mut Environment) {
        let now = env.events.now();
        let HashedPiece { sources, blocks } = hashed;
        let mut runs = 0..BlockRun::count(&self.lengths, piece);
        if runs.all(|run| self.disk.get(&(piece, run)) == Some(&Content::Good)) {
            self.checker.on_verified(piece);
            let can_show_liars = self.core.on_piece_written(piece, &sources, now);
            if can_show_liars {
                let good: Vec<Sha1> = blocks.into_iter().map(|(hash, _)| hash).collect();
                for liar in self.core.on_good_blocks(piece, &good, now) {
                    let Source::Peer(address, _) = liar else {
                        panic!("{liar} is blamed");
                    };
                    let lies = env.network.lies(Network::peer_at(address));
                    assert!(lies, "{address} is blamed for a block, but does not lie");
                }
            }
            return self.carry_out_effects(env);
        }
        let verdict = self.core.on_piece_failed(piece, &sources, now);
        if !matches!(verdict, Verdict::Proven(_)) {
            self.core.on_bad_blocks(piece, blocks);
        }
        self.carry_out_effects(env);
        let (mut lies, mut barred) = (Vec::new(), Vec::new());
        for source in sources.keys() {
            let Source::Peer(address, _) = source else {
                assert_eq!(*source, Source::Local, "there are no web seeds");
                continue;
            };
            lies.push(env.network.lies(Network::peer_at(*address)));
            barred.push(self.core.contacts().is_barred(*address, now));
        }
        self.checker.on_failed(piece, verdict, &lies, &barred);
    }

    pub(super) fn on_finished(&mut self, env: &mut Environment) {
        let now = env.events.now();
        assert_eq!(*self.core.phase(), Phase::Finishing);
        self.core.on_finished(now);
        self.complete_at = Some(now);
        self.carry_out_effects(env);
    }

    /// Panics if something is left over after completion.
    pub(super) fn check_end(&mut self) {
        self.checker.check(&self.core);
        self.checker.check_end(&self.core);
        assert_eq!(self.buffers.reserved(), 0, "buffers are lost");
    }

    /// Sends the first messages of a link, as `peer/link/reader.rs` does.
    fn greet(&mut self, connection: ConnectionNumber, env: &mut Environment) {
        let id = Network::link_id(connection);
        let link = self.core.link(id).expect("it was just admitted");
        self.links.insert(id, true);
        let uses_bep_6 = env.network.uses_bep_6(connection);
        self.checker.on_link_up(id, uses_bep_6, link.allowed_fast());
        let owned = self.core.owned();
        let allowed = link.allowed_fast().iter().copied();
        let allowed: Vec<_> = allowed.filter(|piece| owned.contains(*piece)).collect();
        let mut packets = vec![
            Packet::Pieces(owned.clone()),
            Packet::handshake(self.core.phase().only_uploads()),
        ];
        packets.extend(allowed.into_iter().map(Packet::AllowedFast));
        env.write(connection, self.number, |direction| {
            packets
                .into_iter()
                .for_each(|packet| direction.push_message(packet));
        });
    }

    /// Carries out the effects of the core.
    fn carry_out_effects(&mut self, env: &mut Environment) {
        let effects: Vec<Effect<Content>> = self.core.take_effects().collect();
        let has_buffers = !self.buffers.take_denied();
        for effect in effects {
            self.carry_out(effect, has_buffers, env);
        }
        self.checker.on_phase(&self.core);
        if self.checks_each_event {
            self.checker.check(&self.core);
        }
    }

    fn carry_out(&mut self, effect: Effect<Content>, has_buffers: bool, env: &mut Environment) {
        let connection = |id: LinkId| id.0 as ConnectionNumber;
        let number = self.number;
        match effect {
            Effect::Send(id, message) => {
                let checker = &mut self.checker;
                checker.on_send(id, message, &self.core, has_buffers);
                env.send(connection(id), number, Packet::FromCore(message));
            }
            Effect::SendExtended { link, payload, .. } => {
                env.send(connection(link), number, Packet::PeerExchange(payload));
            }
            Effect::SendUploadOnly(id) => env.send(
                connection(id),
                number,
                Packet::handshake(self.core.phase().only_uploads()),
            ),
            Effect::SendHaves(piece) => {
                self.checker.on_haves(piece);
                for id in self.links.keys() {
                    env.send(connection(*id), number, Packet::Have(piece));
                }
            }
            Effect::Choke(id) => {
                self.checker.on_choke(id);
                let uses_bep_6 = env.network.uses_bep_6(connection(id));
                let allowed = self.core.link(id).map(|link| link.allowed_fast());
                let allowed = allowed.unwrap_or_default();
                env.write(connection(id), number, |direction| {
                    direction.choke(uses_bep_6, allowed)
                });
            }
            Effect::Unchoke(id) => {
                self.checker.on_unchoke(id);
                env.send(connection(id), number, Packet::Unchoke);
            }
            Effect::Serve(id, range) => {
                self.checker.on_serve(id, range, &self.core);
                env.write(connection(id), number, |direction| {
                    direction.push_block(range)
                });
            }
            Effect::Close(id, reason) => {
                self.checker.on_close(id, reason);
                env.network.close(connection(id), number, &mut env.events);
            }
            Effect::Connect(address) => env.call(number, Network::peer_at(address)),
            Effect::Hash(run, blocks) => {
                let job = HashJob::new(run, blocks);
                let work = WORK.mul_f64(1.0 + env.rng.f64());
                env.events.after(work, Event::Worker(number, job));
            }
            Effect::ReadAndHash(run, blocks) => {
                let work = WORK.mul_f64(1.0 + env.rng.f64());
                env.events.after(work, Event::Read(number, run, blocks));
            }
            Effect::Complete => env.events.after(FINISHING, Event::Finished(number)),
            Effect::Failed(reason) => panic!("the download fails: {reason}"),
            Effect::Stalled(_) | Effect::Announce(_) | Effect::Offer(_) | Effect::Withhold => {}
        }
    }
}
