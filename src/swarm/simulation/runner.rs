//! A simulation: its peers, and the loop that passes each event to its peer.

use super::checker::Checker;
use super::environment::Environment;
use super::events::{Event, Events};
use super::honest::HonestPeer;
use super::local::OldFiles;
use super::network::{Network, PeerNumber};
use super::plan::{PeerPlan, Plan, Role, draw};
use super::rogue::Rogue;
use crate::swarm::{CheckResult, Phase, SwarmConfig, UploadSlots};
use crate::torrent::{InfoHash, Lengths, PieceSet};
use fastrand::Rng;
use std::time::Duration;

/// How long a simulation goes on after all downloads have ended. After that, no requests or buffers
/// may be left over.
const AFTERMATH: Duration = Duration::from_secs(2);
/// A link ends when it has stalled this many times in a row.
const MAX_STALLS: u32 = 3;
/// A link ends when its peer has read nothing for this long.
const MAX_UNREAD: Duration = Duration::from_secs(20);
/// The largest number of requests in flight on one link.
const LARGEST_WINDOW: u32 = 512;

/// A peer of the simulation.
#[derive(Debug)]
enum Peer {
    Honest(Box<HonestPeer>),
    Rogue(Rogue),
}

/// A simulation that was built from a [`Plan`].
#[derive(Debug)]
pub(super) struct Simulation {
    peers: Vec<Peer>,
    env: Environment,
    /// The virtual time within which every honest peer must be complete.
    bound: Duration,
}

impl Simulation {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut env = Environment {
            events: Events::default(),
            network: Network::new(plan.peers.iter().map(PeerPlan::access).collect()),
            rng: Rng::with_seed(plan.seed),
        };
        let mut peers = Vec::new();
        for (number, peer) in plan.peers.iter().enumerate() {
            let others = plan.known.draw_for(number, plan.peers.len(), &mut env.rng);
            let has = peer.draw_pieces(&plan.lengths, &mut env.rng);
            peers.push(match peer.role {
                Role::Rogue(misbehaviour) => {
                    let mut rogue = Rogue::new(number, misbehaviour, plan.lengths, has);
                    let called = env.rng.usize(..=others.len().min(4));
                    rogue.begin(&others[..called], &mut env);
                    Peer::Rogue(rogue)
                }
                _ => Peer::Honest(Box::new(new_honest_peer(
                    plan, number, has, &others, &mut env,
                ))),
            });
        }
        Self {
            peers,
            env,
            bound: plan.bound,
        }
    }

    /// Runs until every honest peer is complete, and then for [`AFTERMATH`]. Checks that no request
    /// or buffer is left over. Returns the virtual time at which the last peer became complete.
    pub(super) fn run(&mut self) -> Duration {
        let mut end = None;
        while end.is_none_or(|end| self.env.events.now() < end + AFTERMATH) {
            let event = self.env.events.advance().expect("ticks never end");
            let may_end = matches!(event, Event::Finished(_));
            self.handle(event);
            let now = self.env.events.now();
            if may_end && self.honest().all(|(_, peer)| is_complete(peer)) {
                end = Some(now);
            }
            if now > self.bound {
                let late = self.honest().find(|(_, peer)| !is_complete(peer));
                assert!(late.is_none(), "the simulation does not end: {late:#?}");
            }
        }
        for peer in &mut self.peers {
            if let Peer::Honest(peer) = peer {
                peer.check_end();
            }
        }
        end.unwrap_or_default()
    }

    /// The honest peers and their numbers.
    pub(super) fn honest(&self) -> impl Iterator<Item = (PeerNumber, &HonestPeer)> {
        let peers = self.peers.iter().enumerate();
        peers.filter_map(|(number, peer)| match peer {
            Peer::Honest(peer) => Some((number, &**peer)),
            Peer::Rogue(_) => None,
        })
    }

    /// The honest peer with this number. Panics if the peer is a rogue.
    pub(super) fn peer(&self, number: PeerNumber) -> &HonestPeer {
        match &self.peers[number] {
            Peer::Honest(peer) => peer,
            Peer::Rogue(_) => panic!("{number} is not honest"),
        }
    }

    /// How many bytes of blocks a peer has sent.
    pub(super) fn sent(&self, number: PeerNumber) -> u64 {
        self.env.network.sent(number)
    }

    fn handle(&mut self, event: Event) {
        let env = &mut self.env;
        match event {
            Event::Called(connection) => {
                let [_, callee] = env.network.ends(connection);
                match &mut self.peers[callee] {
                    Peer::Honest(peer) => peer.on_called(connection, env),
                    Peer::Rogue(peer) => peer.on_called(connection, env),
                }
            }
            Event::Answered(connection, admits) => {
                let [caller, _] = env.network.ends(connection);
                match &mut self.peers[caller] {
                    Peer::Honest(peer) => peer.on_answered(connection, admits, env),
                    Peer::Rogue(peer) => peer.on_answered(connection, admits, env),
                }
            }
            Event::Arrived(connection, number, packets) => match &mut self.peers[number] {
                Peer::Honest(peer) => peer.on_packets(connection, packets, env),
                Peer::Rogue(peer) => peer.on_packets(connection, packets, env),
            },
            Event::Written(connection, number, blocks) => {
                if let Peer::Rogue(peer) = &mut self.peers[number] {
                    peer.on_sent(blocks, env);
                }
                env.network.on_written(connection, number, &mut env.events);
            }
            Event::Closed(connection, number) => match &mut self.peers[number] {
                Peer::Honest(peer) => peer.on_closed(connection, env),
                Peer::Rogue(peer) => peer.on_closed(connection),
            },
            Event::Tick(number)
            | Event::Read(number, ..)
            | Event::Worker(number, _)
            | Event::Finished(number)
            | Event::Woken(number) => match (&mut self.peers[number], event) {
                (Peer::Honest(peer), Event::Tick(_)) => peer.on_tick(env),
                (Peer::Honest(peer), Event::Read(_, run, blocks)) => {
                    peer.on_read(run, blocks, env);
                }
                (Peer::Honest(peer), Event::Worker(_, job)) => peer.on_worker(job, env),
                (Peer::Honest(peer), Event::Finished(_)) => peer.on_finished(env),
                (Peer::Rogue(peer), Event::Woken(_)) => peer.on_woken(env),
                _ => {}
            },
        }
    }
}

fn is_complete(peer: &HonestPeer) -> bool {
    *peer.core().phase() == Phase::Complete
}

fn new_honest_peer(
    plan: &Plan,
    number: PeerNumber,
    owned: PieceSet,
    others: &[PeerNumber],
    env: &mut Environment,
) -> HonestPeer {
    let peer = &plan.peers[number];
    let needed = match peer.role {
        Role::Downloader => draw(peer.needed_percent, &plan.lengths, &mut env.rng),
        _ => owned.clone(),
    };
    let missing = without(&needed, &owned, &plan.lengths);
    let config = SwarmConfig {
        info_hash: InfoHash([7; 20]),
        lengths: plan.lengths,
        own_id: Network::peer_id(number),
        is_private: false,
        exchanges_peers: true,
        order: peer.order,
        max_peers: peer.max_peers,
        upload_slots: UploadSlots::Fixed(peer.slots),
        largest_window: LARGEST_WINDOW,
        max_stalls: MAX_STALLS,
        max_unread: MAX_UNREAD,
    };
    let old_files = OldFiles::draw(peer.local, &plan.lengths, &mut env.rng);
    let local = old_files.blocks.clone();
    let checker = Checker::new(plan.lengths, missing, local.clone(), peer.slots);
    let seed = plan.seed;
    let mut honest = HonestPeer::new(number, config, checker, (peer.buffers, old_files), seed);
    if !plan.checks_each_event {
        honest.check_rarely();
    }
    others.iter().for_each(|other| honest.learn(*other));
    let checked = CheckResult {
        owned,
        needed,
        local,
        in_place: peer.role == Role::Seed,
    };
    honest.begin(checked, env);
    honest
}

/// `pieces` without `others`.
fn without(pieces: &PieceSet, others: &PieceSet, lengths: &Lengths) -> PieceSet {
    let mut left = pieces.clone();
    for piece in lengths.all_pieces().filter(|piece| others.contains(*piece)) {
        left.remove(piece);
    }
    left
}
