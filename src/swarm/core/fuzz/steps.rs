//! One step: the input chooses what happens to the core next.

use super::environment::{Environment, Input};
use crate::swarm::core::{
    Awaited, CheckResult, HashedPiece, MemberId, PendingBlock, ReceivedMessage, RemotePeer, Source,
    Sources, add_sources,
};
use crate::swarm::{BlockRun, LinkId, LocalBlocks, Verdict};
use crate::torrent::{Hasher, Sha1};
use crate::wire::PeerId;
use crate::wire::extension::ExtensionHandshake;
use std::time::Duration;

/// Does one step. `None` at the end of the input.
pub(super) fn step(it: &mut Environment, input: &mut Input<'_>) -> Option<()> {
    match input.byte()? % 16 {
        0 => link_up(it, input),
        1 => {
            let id = link(it, input)?;
            link_down(it, id);
            Some(())
        }
        2..=5 => message(it, input),
        6..=8 => block(it, input),
        9 | 10 => work(it, input),
        11 => tick(it, input),
        12 => web_seed(it, input),
        13 => lifecycle(it, input),
        14 => contacts(it, input),
        _ => activity(it, input),
    }
}

/// A link, or an id that no link has.
fn link(it: &Environment, input: &mut Input<'_>) -> Option<LinkId> {
    let all: Vec<LinkId> = it.links.keys().copied().collect();
    Some(input.one_of(&all)?.unwrap_or(LinkId(u64::MAX)))
}

/// A peer calls, or a call of ours succeeds or fails.
fn link_up(it: &mut Environment, input: &mut Input<'_>) -> Option<()> {
    let (number, flags) = (input.byte()? % 7, input.byte()?);
    let called = match flags & 1 {
        0 => None,
        _ => input.one_of(&it.calls.clone())?,
    };
    let fails = called.is_some() && flags & 2 != 0;
    let remote = RemotePeer {
        address: called.unwrap_or(([192, 0, 2, number / 2], 5_000 + u16::from(flags >> 6)).into()),
        outgoing: called.is_some(),
        peer_id: PeerId([number; 20]),
        fast: flags & 4 != 0,
        extensions: flags & 8 != 0,
        member: (flags & 16 != 0).then_some(MemberId([number / 3; 16])),
    };
    let id = it.new_link();
    let is_up = !fails && it.act(|core, now| core.on_link_up(id, remote, now)).is_ok();
    if is_up {
        it.links.insert(id, (remote, Default::default()));
        it.silent.insert(id);
    } else if remote.outgoing {
        call_ended(it, &remote);
    }
    Some(())
}

fn link_down(it: &mut Environment, id: LinkId) {
    let Some((remote, activity)) = it.links.remove(&id) else {
        return;
    };
    it.act(|core, now| core.on_link_down(id, activity, now));
    if remote.outgoing {
        call_ended(it, &remote);
    }
}

fn call_ended(it: &mut Environment, remote: &RemotePeer) {
    it.calls.retain(|address| *address != remote.address);
    it.act(|core, now| core.on_call_ended(remote.address, now));
}

fn message(it: &mut Environment, input: &mut Input<'_>) -> Option<()> {
    let (id, kind) = (link(it, input)?, input.byte()?);
    let fast = it.links.get(&id).is_some_and(|(remote, _)| remote.fast);
    let message = match kind % 16 {
        0 => ReceivedMessage::Choke,
        1 | 2 => ReceivedMessage::Unchoke,
        3 => ReceivedMessage::Interested,
        4 => ReceivedMessage::NotInterested,
        5 => ReceivedMessage::Have(it.piece(input)?),
        6 => ReceivedMessage::Pieces {
            pieces: it.pieces(input.byte()?),
            is_first: it.silent.contains(&id),
        },
        7 if fast => ReceivedMessage::HaveAll,
        8 => ReceivedMessage::Request(it.block(input)?),
        9 if fast => ReceivedMessage::Reject(it.block(input)?),
        10 if fast => ReceivedMessage::Suggest(it.piece(input)?),
        11 if fast => ReceivedMessage::AllowedFast(it.piece(input)?),
        12 => {
            let flags = input.byte()?;
            ReceivedMessage::Handshake(ExtensionHandshake {
                request_queue: (flags & 1 != 0).then_some(u32::from(flags >> 4)),
                port: (flags & 2 != 0).then_some(5_000 + u16::from(flags >> 6)),
                upload_only: (flags & 4 != 0).then_some(flags & 8 != 0),
                pex: (flags & 16 != 0).then_some(flags >> 6),
                ..ExtensionHandshake::default()
            })
        }
        13 => {
            let length = input.below(80)?.min(input.0.len());
            let payload;
            (payload, input.0) = input.0.split_at(length);
            ReceivedMessage::PeerExchange(payload)
        }
        _ => ReceivedMessage::Have(it.piece(input)?),
    };
    if !matches!(
        message,
        ReceivedMessage::Handshake(_) | ReceivedMessage::PeerExchange(_)
    ) {
        it.silent.remove(&id);
    }
    if it
        .act(|core, now| core.on_message(id, message, now))
        .is_err()
    {
        link_down(it, id);
    }
    Some(())
}

/// A block arrives over a link: one that was requested, or any.
fn block(it: &mut Environment, input: &mut Input<'_>) -> Option<()> {
    let (id, any) = (link(it, input)?, input.byte()? == 255);
    let range = match any {
        true => it.block(input)?,
        false => match input.one_of(&it.core.picker().in_flight(id))? {
            Some(range) => range,
            None => return Some(()),
        },
    };
    let taken = it.act(|core, now| core.on_block(id, None, range, range.number(), now));
    if taken.is_err() {
        link_down(it, id);
    }
    Some(())
}

/// A worker ends: the run is good, bad, or cannot be written.
fn work(it: &mut Environment, input: &mut Input<'_>) -> Option<()> {
    let (at, outcome) = (input.below(it.work.len())?, input.byte()?);
    if at < it.work.len() {
        let (run, mut blocks) = it.work.swap_remove(at);
        let is_unreadable = outcome & 64 != 0 && blocks.iter().any(Option::is_none);
        read_local(it, run, &mut blocks, is_unreadable);
        if is_unreadable {
            it.act(|core, now| core.on_unreadable(run, blocks, now));
            return Some(());
        }
        let blocks = blocks.into_iter().flatten().collect();
        // A worker that began before the download ended may report later.
        if it.core.phase().fetches() || outcome & 128 != 0 {
            finish_run(it, (run, blocks), outcome);
        }
        it.act(|core, now| core.on_worker_done(run.blocks, now));
    }
    Some(())
}

/// Reads the local blocks of a run: all, or only the first one.
fn read_local(
    it: &Environment,
    run: BlockRun,
    blocks: &mut [Option<PendingBlock<u32>>],
    only_first: bool,
) {
    let places = (run.first_block()..).zip(blocks);
    let missing = places.filter(|(_, place)| place.is_none());
    for (number, place) in missing.take(if only_first { 1 } else { usize::MAX }) {
        *place = it.lengths.block(run.piece, number).map(|range| {
            assert!(it.local.contains(range), "{range:?} is not local");
            PendingBlock {
                buffer: number,
                length: range.length(),
                source: Source::Local,
            }
        });
    }
}

fn finish_run(
    it: &mut Environment,
    (run, blocks): (BlockRun, Vec<PendingBlock<u32>>),
    outcome: u8,
) {
    // Which blocks are bad.
    let hash = |at: usize| Sha1::of(&[u8::from(outcome >> 2 >> (at % 4) & 1 != 0)]);
    let hashed = match run.is_whole_piece(&it.lengths) {
        true => {
            let mut sources = Sources::new();
            add_sources(&mut sources, &blocks);
            let blocks = blocks.into_iter().enumerate();
            let blocks = blocks.map(|(at, block)| (hash(at), block.source)).collect();
            Some(HashedPiece { sources, blocks })
        }
        false => {
            let hashes: Vec<Sha1> = match it.core.wants_block_hashes() {
                true => (0..blocks.len()).map(hash).collect(),
                false => Vec::new(),
            };
            hash_runs(it, (run, &blocks), &hashes)
        }
    };
    let (Some(HashedPiece { sources, blocks }), piece) = (hashed, run.piece) else {
        return;
    };
    if outcome & 3 != 0 {
        if it.act(|core, now| core.on_piece_written(piece, &sources, now)) {
            let good: Vec<Sha1> = blocks.iter().map(|_| Sha1::of(&[0])).collect();
            it.act(|core, now| core.on_good_blocks(piece, &good, now));
        }
        return;
    }
    let verdict = it.act(|core, now| core.on_piece_failed(piece, &sources, now));
    let has_local = sources.contains_key(&Source::Local);
    assert!(!has_local || verdict == Verdict::Local, "{verdict:?}");
    if !matches!(verdict, Verdict::Proven(_)) {
        it.act(|core, _| core.on_bad_blocks(piece, blocks));
    }
}

/// A run of a piece with several runs is written. Returns the piece if all its runs are hashed now.
fn hash_runs(
    it: &mut Environment,
    (run, blocks): (BlockRun, &[PendingBlock<u32>]),
    hashes: &[Sha1],
) -> Option<HashedPiece> {
    let mut hasher: Hasher = it.act(|core, _| core.on_run_written(run, blocks, hashes))?;
    let mut number = run.number;
    loop {
        number += 1;
        if number == BlockRun::count(&it.lengths, run.piece) {
            return it.act(|core, _| core.on_piece_hashed(run.piece));
        }
        let next = BlockRun::numbered(&it.lengths, run.piece, number);
        hasher = it.act(|core, _| core.on_earlier_runs_hashed(next, hasher))?;
    }
}

fn tick(it: &mut Environment, input: &mut Input<'_>) -> Option<()> {
    let byte = input.byte()?;
    let units = [0, 10, 100, 1_000, 5_000, 30_000, 600_000, 2_000_000];
    let unit = units.get(usize::from(byte & 7)).copied().unwrap_or(0);
    it.now += Duration::from_millis(unit * u64::from(byte >> 4));
    let links = it.links.clone();
    it.act(|core, now| {
        core.next_tick();
        core.on_tick(now, |id| {
            links.get(&id).map_or_else(Default::default, |it| it.1)
        });
        core.source_status(now)
    });
    Some(())
}

/// A web seed is used, delivers a block, asks for more, fails, or is no longer used.
fn web_seed(it: &mut Environment, input: &mut Input<'_>) -> Option<()> {
    let kind = input.byte()?;
    let all: Vec<LinkId> = it.web_seeds.keys().copied().collect();
    let Some(id) = input.one_of(&all)?.filter(|_| kind % 8 != 0) else {
        let (id, pieces) = (it.new_link(), it.pieces(input.byte()?));
        if it.act(|core, _| core.on_web_seed_up(id, pieces, 64)) {
            it.web_seeds.insert(id, Vec::new());
        }
        return Some(());
    };
    let source = Source::Web(id, "http://example.org/".into());
    let blocks = it.web_seeds.entry(id).or_default();
    let block = blocks.pop();
    match (kind % 8, block) {
        (1..=4, Some(range)) => {
            let buffer = range.number();
            let wanted = it.core.awaits(id, range);
            let taken = it.act(|core, now| core.on_block(id, Some(&source), range, buffer, now));
            assert!(
                !wanted || taken == Ok(None),
                "{range:?} was awaited: {taken:?}"
            );
        }
        (1..=4, None) => {
            let mut more = Vec::new();
            let goes_on = it.act(|core, now| core.next_for_web_seed(id, now, &mut more));
            assert!(goes_on || more.is_empty());
            it.web_seeds.insert(id, more);
        }
        (5, _) => it.act(|core, now| core.mark_not_stalled(id, now)),
        (6, _) => it.act(|core, _| core.on_web_seed_failed(id, "x".to_owned())),
        _ => {
            it.web_seeds.remove(&id);
            it.act(|core, _| core.on_web_seed_down(id));
        }
    }
    Some(())
}

fn lifecycle(it: &mut Environment, input: &mut Input<'_>) -> Option<()> {
    let kind = input.byte()?;
    // A download begins, or begins again, only when no worker has blocks of it.
    let is_idle = it.work.is_empty();
    match kind % 16 {
        0..=2 if is_idle => {
            let (owned, needed) = (it.pieces(input.byte()?), it.pieces(input.byte()?));
            let in_place = kind & 0x70 == 0;
            let local = match kind & 0x80 {
                0 => LocalBlocks::default(),
                _ => it.blocks(input.byte()?, input.byte()?),
            };
            it.web_seeds.clear();
            let checked = CheckResult {
                owned,
                needed,
                local: local.clone(),
                in_place,
            };
            if it.act(|core, now| core.begin(checked, now)) {
                it.local = local;
            }
        }
        3 => drop(it.act(|core, now| core.wait_for(Awaited::Files, "x", now))),
        4 if is_idle => drop(it.act(|core, now| core.end_wait(now))),
        5 => it.act(|core, now| core.on_finished(now)),
        6 => drop(it.act(|core, now| core.on_unservable("x", now))),
        7 => drop(it.act(|core, now| core.lose("x", now))),
        8 => drop(it.act(|core, now| core.regain(now))),
        9 => drop(it.act(|core, now| core.withdraw("x", now))),
        10 => drop(it.act(|core, now| core.restore(now))),
        11 => drop(it.act(|core, now| core.set_aside("x", now))),
        12 if kind > 0xf0 => it.act(|core, now| core.fail("x", now)),
        13 => it.act(|core, now| core.retire(now)),
        14 => it.act(|core, now| core.put_back(now)),
        _ => it.act(|core, now| core.give_up_peers("x", now)),
    }
    Some(())
}

/// A tracker names an address, or answers.
fn contacts(it: &mut Environment, input: &mut Input<'_>) -> Option<()> {
    let byte = input.byte()?;
    let address = ([192, 0, 2, byte % 4], 5_000 + u16::from(byte >> 6)).into();
    it.act(|core, _| match byte & 16 {
        0 => core.contacts_mut().add(address),
        _ => core.contacts_mut().on_answer(),
    });
    Some(())
}

/// What the connection of a link reports from now on.
fn activity(it: &mut Environment, input: &mut Input<'_>) -> Option<()> {
    let (id, byte) = (link(it, input)?, input.byte()?);
    let now = it.now;
    if let Some((_, activity)) = it.links.get_mut(&id) {
        activity.sent += u64::from(byte & 15) << 14;
        activity.last_sent = now;
        activity.paused = byte & 16 != 0;
        activity.unread_for = Duration::from_secs(u64::from(byte >> 5) * 6);
    }
    Some(())
}
