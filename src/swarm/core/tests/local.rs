//! Blocks that this machine reads itself, so that no link has to deliver them.

use super::fixture::*;
use crate::swarm::core::{
    Budget, CheckResult, CloseReason, Core, Effect, PendingBlock, Source, SourceStatus, Verdict,
};
use crate::swarm::{BlockRun, LinkId, LocalBlocks, MAX_RUN_BLOCKS};
use crate::torrent::{BlockRange, Sha1};

/// Begins a download of everything. These blocks of these pieces are local.
fn begin_with_local(swarm: &mut Swarm, local: &[(u32, u32)]) -> Effects {
    let blocks = local
        .iter()
        .map(|(piece, block)| swarm.block(*piece, *block));
    let local = blocks.collect();
    begin_with(swarm, local)
}

fn begin_with(swarm: &mut Swarm, local: LocalBlocks) -> Effects {
    let checked = CheckResult {
        owned: swarm.pieces(&[]),
        needed: swarm.all_pieces(),
        local,
        in_place: false,
    };
    let effects = swarm.step(|core, now| core.begin(checked, now)).1;
    let begun = effects
        .iter()
        .position(|it| matches!(it, Effect::Announce(_)));
    effects[begun.unwrap() + 1..].to_vec()
}

/// The runs of which a worker is to read blocks, and the numbers of these blocks in their run.
fn to_read(effects: &Effects) -> Vec<(BlockRun, Vec<usize>)> {
    let runs = effects.iter().filter_map(|effect| match effect {
        Effect::ReadAndHash(run, blocks) => Some((run, blocks)),
        _ => None,
    });
    let missing = runs.map(|(run, blocks)| {
        let places = blocks.iter().enumerate();
        let missing = places.filter(|(_, place)| place.is_none());
        (*run, missing.map(|(at, _)| at).collect())
    });
    missing.collect()
}

/// A worker reads the blocks of each [`Effect::ReadAndHash`]. Then the effect is a usual
/// [`Effect::Hash`].
fn read(effects: Effects) -> Effects {
    let read = effects.into_iter().map(|effect| match effect {
        Effect::ReadAndHash(run, blocks) => {
            let local = PendingBlock {
                buffer: 77,
                length: 16 << 10,
                source: Source::Local,
            };
            let blocks = blocks
                .into_iter()
                .map(|block| block.unwrap_or(local.clone()));
            Effect::Hash(run, blocks.collect())
        }
        other => other,
    });
    read.collect()
}

/// A worker cannot read the blocks of each [`Effect::ReadAndHash`].
fn fail_to_read(swarm: &mut Swarm, effects: Effects) -> Effects {
    let mut all = Vec::new();
    for effect in effects {
        if let Effect::ReadAndHash(run, blocks) = effect {
            let failed = swarm.step(|core, now| core.on_unreadable(run, blocks, now));
            all.extend(failed.1);
        }
    }
    all
}

#[test]
fn only_the_other_blocks_of_a_piece_are_requested_and_a_worker_reads_the_local_ones() {
    let mut swarm = Swarm::with(|config| config.lengths = lengths(1, 4));
    assert_eq!(begin_with_local(&mut swarm, &[(0, 1), (0, 2)]), []);
    let (id, requested) = swarm.source(1, &[0]);
    assert_eq!(requested, [swarm.block(0, 0), swarm.block(0, 3)]);
    assert_eq!(swarm.deliver(id, &requested[..1]), []);
    let effects = swarm.deliver(id, &requested[1..]);
    let run = BlockRun::numbered(&swarm.lengths, swarm.piece(0), 0);
    assert_eq!(to_read(&effects), [(run, vec![1, 2])]);
    assert_eq!(swarm.core.blocks_at_workers(), 4);
    let effects = swarm.write(&read(effects));
    assert_eq!(kinds(&effects), ["SendHaves", "Complete"]);
    assert_eq!(swarm.buffers.reserved(), 0);
    let progress = swarm.core.progress();
    let counts = (
        progress.verified(),
        progress.fetched(),
        progress.downloaded(),
    );
    assert_eq!(counts, (64 << 10, 32 << 10, 32 << 10));
}

#[test]
fn pieces_whose_blocks_are_all_local_are_made_without_a_link() {
    let mut swarm = Swarm::new();
    let local = [0, 1, 2, 3].map(|piece| [(piece, 0), (piece, 1)]).concat();
    let effects = begin_with_local(&mut swarm, &local);
    assert_eq!(kinds(&effects), ["ReadAndHash"; 4]);
    let effects = swarm.write(&read(effects));
    let expected = [
        "SendHaves",
        "SendHaves",
        "SendHaves",
        "SendHaves",
        "Complete",
    ];
    assert_eq!(kinds(&effects), expected);
    assert_eq!(swarm.core.progress().fetched(), 0);
}

#[test]
fn a_link_does_not_request_blocks_of_a_piece_that_is_all_local() {
    let mut swarm = Swarm::new();
    swarm.buffers.set_total(0);
    assert_eq!(begin_with_local(&mut swarm, &[(0, 0), (0, 1)]), []);
    swarm.buffers.set_total(100);
    let (_, requested) = swarm.source(1, &[0, 1]);
    assert_eq!(requested, [swarm.block(1, 0), swarm.block(1, 1)]);
    // The next tick finds buffers for the local piece, and would come without a link too.
    assert_eq!(kinds(&swarm.tick()), ["ReadAndHash"]);
}

#[test]
fn without_links_the_next_tick_begins_local_pieces() {
    let mut swarm = Swarm::new();
    swarm.buffers.set_total(0);
    begin_with_local(&mut swarm, &[(0, 0), (0, 1)]);
    let status = swarm.core.source_status(swarm.now);
    assert_eq!(status, SourceStatus::HasSource, "this machine");
    swarm.buffers.set_total(100);
    assert_eq!(kinds(&swarm.tick()), ["ReadAndHash"]);
}

#[test]
fn local_runs_leave_buffers_for_links() {
    let pieces = 20;
    let mut swarm = Swarm::with(|config| config.lengths = lengths(pieces, MAX_RUN_BLOCKS));
    let all = swarm.lengths.all_pieces().flat_map(|piece| {
        let lengths = swarm.lengths;
        (0..MAX_RUN_BLOCKS).filter_map(move |number| lengths.block(piece, number))
    });
    let local = all.collect();
    let effects = begin_with(&mut swarm, local);
    assert_eq!(to_read(&effects).len(), 8);
    assert_eq!(swarm.buffers.reserved(), 256);
    // A worker that is done leads to the next run.
    let done = swarm.write(&read(effects[..1].to_vec()));
    assert_eq!(to_read(&done).len(), 1);
    assert_eq!(swarm.buffers.reserved(), 256);
}

#[test]
fn the_runs_of_a_long_piece_that_are_all_local_are_begun_with_the_others() {
    let lengths = lengths(1, 3 * MAX_RUN_BLOCKS);
    let mut swarm = Swarm::with(|config| config.lengths = lengths);
    let needed = MAX_RUN_BLOCKS + 5;
    let piece = swarm.piece(0);
    let all = (0..3 * MAX_RUN_BLOCKS).filter_map(|number| lengths.block(piece, number));
    let local = all.filter(|block| block.number() != needed).collect();
    // The block in the middle needs a link, so the piece is not begun without one.
    assert_eq!(begin_with(&mut swarm, local), []);
    let id = swarm.link_up(1);
    swarm.announce_pieces(id, &[0]);
    let effects = swarm.receive(id, crate::swarm::core::ReceivedMessage::Unchoke);
    assert_eq!(requests(&effects, id), [swarm.block(0, needed)]);
    let read_now = to_read(&effects);
    let runs: Vec<u32> = read_now.iter().map(|(run, _)| run.number).collect();
    assert_eq!(runs, [0, 2]);
    // The link ends. The rest is fetched over another one, and nothing is read twice.
    swarm.link_down(id);
    let (second, requested) = swarm.source(2, &[0]);
    assert_eq!(requested, [swarm.block(0, needed)]);
    let effects = swarm.deliver(second, &requested);
    assert_eq!(to_read(&effects).len(), 1);
}

#[test]
fn a_local_run_after_a_fetched_one_needs_no_link() {
    let lengths = lengths(1, 2 * MAX_RUN_BLOCKS);
    let mut swarm = Swarm::with(|config| config.lengths = lengths);
    swarm.buffers.set_total(MAX_RUN_BLOCKS);
    let piece = swarm.piece(0);
    let second_run = MAX_RUN_BLOCKS..2 * MAX_RUN_BLOCKS;
    let local = second_run.filter_map(|number| lengths.block(piece, number));
    begin_with(&mut swarm, local.collect());
    let (id, mut requested) = swarm.source(1, &[0]);
    let mut hashed = Vec::new();
    while let Some(block) = requested.pop() {
        let effects = swarm.deliver(id, &[block]);
        requested.extend(requests(&effects, id));
        hashed.extend(
            effects
                .into_iter()
                .filter(|it| matches!(it, Effect::Hash(..))),
        );
    }
    assert_eq!(kinds(&hashed), ["Hash"]);
    swarm.link_down(id);
    let (_, effects) = swarm.step(|core, now| core.on_worker_done(MAX_RUN_BLOCKS, now));
    let runs: Vec<u32> = to_read(&effects)
        .iter()
        .map(|(run, _)| run.number)
        .collect();
    assert_eq!(runs, [1]);
}

/// A piece with a local block, whose other block came from a link, does not verify.
fn bad_piece_with_a_local_block() -> (Swarm, LinkId, Vec<Verdict>, Effects) {
    let mut swarm = Swarm::new();
    begin_with_local(&mut swarm, &[(2, 0)]);
    let (id, requested) = swarm.source(1, &[2]);
    let effects = swarm.deliver(id, &requested);
    let (verdicts, effects) = swarm.spoil(&read(effects));
    (swarm, id, verdicts, effects)
}

#[test]
fn nobody_is_blamed_for_a_bad_piece_with_local_blocks_and_all_of_it_is_fetched() {
    let (mut swarm, id, verdicts, effects) = bad_piece_with_a_local_block();
    assert_eq!((verdicts, closed(&effects)), (vec![Verdict::Local], vec![]));
    assert!(!swarm.core.contacts().has_barred(swarm.now));
    assert!(!swarm.core.wants_block_hashes());
    assert!(!swarm.core.picker().is_in_doubt(id));
    assert!(!swarm.core.picker().is_alone(swarm.piece(2)));
    let effects = swarm.tick();
    let requested = requests(&effects, id);
    assert_eq!(requested, [swarm.block(2, 0), swarm.block(2, 1)]);
    // Another link may deliver blocks of it.
    let (other, none) = swarm.source(2, &[2]);
    assert_eq!(none, []);
    swarm.wait(1);
    assert_eq!(requests(&swarm.tick(), other), requested);
    // Now the usual rules apply.
    let effects = swarm.deliver(id, &requested);
    let (verdicts, effects) = swarm.spoil(&effects);
    assert_eq!(verdicts, [Verdict::Proven(id)]);
    let reason = CloseReason::BadPiece(swarm.piece(2));
    assert_eq!(closed(&effects), [(id, reason)]);
}

#[test]
fn the_whole_piece_shows_who_sent_a_bad_block_beside_local_ones() {
    let (mut swarm, liar, _, _) = bad_piece_with_a_local_block();
    let piece = swarm.piece(2);
    let source = Source::Peer(incoming(1).address, None);
    let [good, bad, wrong] = [b"good", b"evil", b"past"].map(|bytes| Sha1::of(bytes));
    let hashes = vec![(wrong, Source::Local), (bad, source.clone())];
    swarm.step(|core, _| core.on_bad_blocks(piece, hashes));
    swarm.link_down(liar);
    let (honest, requested) = swarm.source(2, &[2]);
    let effects = swarm.deliver(honest, &requested);
    swarm.write(&effects);
    let good = [good, good];
    let (liars, _) = swarm.step(|core, now| core.on_good_blocks(piece, &good, now));
    assert_eq!(liars, [source], "the local block came from an old file");
}

#[test]
fn local_blocks_that_cannot_be_read_are_requested_and_the_others_are_kept() {
    let mut swarm = Swarm::with(|config| config.lengths = lengths(1, 4));
    begin_with_local(&mut swarm, &[(0, 1), (0, 2)]);
    let (id, requested) = swarm.source(1, &[0]);
    let mut effects = swarm.deliver(id, &requested);
    let Effect::ReadAndHash(_, blocks) = &mut effects[0] else {
        panic!("{effects:?}");
    };
    // The first of the two blocks was read before the second could not be.
    blocks[1] = Some(PendingBlock {
        buffer: 77,
        length: 16 << 10,
        source: Source::Local,
    });
    let effects = fail_to_read(&mut swarm, effects);
    let requested = requests(&effects, id);
    assert_eq!(requested, [swarm.block(0, 1), swarm.block(0, 2)]);
    assert_eq!(
        (swarm.core.blocks_at_workers(), swarm.buffers.reserved()),
        (0, 4)
    );
    let effects = swarm.deliver(id, &requested);
    let Effect::Hash(_, blocks) = &effects[0] else {
        panic!("{effects:?}");
    };
    let numbers: Vec<u32> = blocks.iter().map(|block| block.buffer).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
    assert_eq!(
        swarm.spoil(&effects).0,
        [Verdict::Local],
        "some may still be local"
    );
}

#[test]
fn a_piece_that_is_all_local_and_cannot_be_read_waits_for_a_link() {
    let mut swarm = Swarm::new();
    let effects = begin_with_local(&mut swarm, &[(3, 0), (3, 1)]);
    assert_eq!(fail_to_read(&mut swarm, effects), []);
    assert_eq!(
        swarm.core.source_status(swarm.now),
        SourceStatus::NoPeerKnown
    );
    let (id, requested) = swarm.source(1, &[3]);
    assert_eq!(requested, [swarm.block(3, 0), swarm.block(3, 1)]);
    let effects = swarm.deliver(id, &requested);
    assert_eq!(kinds(&swarm.write(&effects)), ["SendHaves"]);
}

#[test]
fn of_a_long_piece_the_runs_that_were_read_stay() {
    let lengths = lengths(1, 3 * MAX_RUN_BLOCKS);
    let mut swarm = Swarm::with(|config| config.lengths = lengths);
    let piece = swarm.piece(0);
    let all = (0..3 * MAX_RUN_BLOCKS).filter_map(|number| lengths.block(piece, number));
    let effects = begin_with(&mut swarm, all.collect());
    let runs = to_read(&effects);
    assert_eq!(runs.len(), 3);
    // The worker that has the last run fails. The first two runs are with other workers.
    let failed = fail_to_read(&mut swarm, effects[2..].to_vec());
    assert_eq!(failed, []);
    let (_, requested) = swarm.source(1, &[0]);
    let last = (2 * MAX_RUN_BLOCKS..).map(|number| swarm.block(0, number));
    let first_window: Vec<BlockRange> = last.take(16).collect();
    assert_eq!(requested, first_window);
    // The worker that has the first run fails later. Its blocks are requested too, when the window
    // of a link has room.
    let failed = fail_to_read(&mut swarm, effects[..1].to_vec());
    assert_eq!(failed, []);
    assert_eq!(swarm.core.blocks_at_workers(), MAX_RUN_BLOCKS);
    let (_, requested) = swarm.source(2, &[0]);
    assert_eq!(requested[0], swarm.block(0, 0));
}

#[test]
fn a_piece_that_is_given_up_keeps_its_local_blocks() {
    let mut swarm = Swarm::new();
    begin_with_local(&mut swarm, &[(1, 0)]);
    let (id, requested) = swarm.source(1, &[1]);
    assert_eq!(requested, [swarm.block(1, 1)]);
    swarm.wait(6);
    swarm.tick();
    swarm.wait(10);
    let effects = swarm.tick();
    assert_eq!(swarm.buffers.reserved(), 0, "{effects:?}");
    swarm.link_down(id);
    let (_, requested) = swarm.source(2, &[1]);
    assert_eq!(requested, [swarm.block(1, 1)]);
}

#[test]
fn a_download_that_has_stopped_takes_the_buffers_of_a_failed_read_back() {
    let mut swarm = Swarm::new();
    let effects = begin_with_local(&mut swarm, &[(3, 0), (3, 1)]);
    assert_eq!(swarm.buffers.reserved(), 2);
    swarm.step(|core: &mut Core<u32>, now| core.set_aside("more", now));
    fail_to_read(&mut swarm, effects);
    assert_eq!(
        (swarm.core.blocks_at_workers(), swarm.buffers.reserved()),
        (0, 0)
    );
}

#[test]
fn a_web_seed_gets_no_request_for_local_blocks() {
    let mut swarm = Swarm::new();
    begin_with_local(&mut swarm, &[(0, 0), (1, 0), (2, 0), (2, 1), (3, 1)]);
    let (id, all) = (LinkId(99), swarm.all_pieces());
    swarm.step(|core, _| core.on_web_seed_up(id, all, 64));
    let mut requested = Vec::new();
    swarm.step(|core, now| core.next_for_web_seed(id, now, &mut requested));
    requested.sort();
    let expected = [(0, 1), (1, 1), (3, 0)];
    assert_eq!(
        requested,
        expected.map(|(piece, block)| swarm.block(piece, block))
    );
    let source = web_source(id);
    let arrived = swarm.step(|core, now| core.on_block(id, Some(&source), requested[0], 1, now));
    assert_eq!(swarm.spoil(&read(arrived.1)).0, [Verdict::Local]);
    assert_eq!(swarm.core.trust(id), crate::swarm::core::WebSeedTrust::Full);
}
