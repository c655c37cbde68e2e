//! What happens to a piece after its blocks have arrived: hash, write to the file, enter into the
//! owned map, send `have` messages. The workers of the pool do this.

use super::local_source::read_missing;
use super::transfer::Transfer;
use crate::peer::{BlockBuffer, UploadSource};
use crate::storage::{CachedBlocks, Download, Store, StoreError};
use crate::swarm::{BlockHash, BlockRun, HashedPiece, PendingBlock, Sources, Verdict, add_sources};
use crate::torrent::{Hasher, Sha1};

/// The number of bytes read at a time when a run is read back. A run is read back if it was written
/// before the runs in front of it were hashed.
const READ_BACK_BYTES: usize = 64 << 10;

/// Blocks that a worker holds. When this value is dropped, their reservation is returned, whatever
/// the result of the job.
struct BlocksWithWorker<'a> {
    transfer: &'a Transfer,
    blocks: u32,
}

impl Drop for BlocksWithWorker<'_> {
    fn drop(&mut self) {
        let blocks = self.blocks;
        if blocks > 0 {
            self.transfer
                .decide(|core, now| core.on_worker_done(blocks, now));
        }
    }
}

/// Queues a job for a worker: to hash and write a run whose blocks have all arrived.
pub(super) fn submit(transfer: &Transfer, run: BlockRun, blocks: Vec<PendingBlock<BlockBuffer>>) {
    if let Some(for_task) = transfer.to_arc() {
        let tasks = &transfer.context.tasks;
        tasks.submit(move || {
            let held = BlocksWithWorker {
                transfer: &for_task,
                blocks: run.blocks,
            };
            finish_run(held, run, blocks);
        });
    }
}

/// Queues a job for a worker: to read the missing blocks of a run, which are local, and then to
/// hash and write the run.
pub(super) fn submit_reading(
    transfer: &Transfer,
    run: BlockRun,
    blocks: Vec<Option<PendingBlock<BlockBuffer>>>,
) {
    if let Some(for_task) = transfer.to_arc() {
        let tasks = &transfer.context.tasks;
        tasks.submit(move || read_and_finish_run(&for_task, run, blocks));
    }
}

/// Reads the missing blocks of a run, which are local, and finishes the run. If a block cannot be
/// read, gives all blocks back to the core, which requests the missing ones from peers.
fn read_and_finish_run(
    transfer: &Transfer,
    run: BlockRun,
    mut blocks: Vec<Option<PendingBlock<BlockBuffer>>>,
) {
    let mut held = BlocksWithWorker {
        transfer,
        blocks: run.blocks,
    };
    let Some(source) = transfer.files.local().filter(|_| transfer.fetches()) else {
        return;
    };
    let (lengths, pool) = (
        transfer.info().lengths(),
        &transfer.context.link_limits.buffers,
    );
    let read = read_missing(&*source, lengths, (run, &mut blocks), || pool.buffer());
    let Err(error) = read else {
        return finish_run(held, run, blocks.into_iter().flatten().collect());
    };
    let (name, piece) = (transfer.name(), run.piece.number());
    log::warn!("{name}: cannot read a part of piece {piece} that is here ({error}); fetching it");
    // The core keeps the reservation.
    held.blocks = 0;
    transfer.decide(|core, now| core.on_unreadable(run, blocks, now));
}

/// Hashes and writes a run. When all runs of the piece are hashed, accepts or rejects the piece.
fn finish_run(held: BlocksWithWorker<'_>, run: BlockRun, blocks: Vec<PendingBlock<BlockBuffer>>) {
    let transfer = held.transfer;
    let hashed = match transfer.download() {
        Some(download) if transfer.fetches() => hash_and_write(transfer, &download, run, &blocks),
        _ => Ok(None),
    };
    let result = match hashed {
        Ok(Some((hash, hashed))) if hash == transfer.info().piece_hash(run.piece) => {
            accept(transfer, run, &blocks, hashed);
            // The hashes of whole files advance now, while the blocks are in memory.
            hash_files(transfer, run, &blocks)
        }
        Ok(Some((_, hashed))) => {
            reject(transfer, run, &blocks, hashed);
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        transfer.wait_or_fail(&error);
    }
    drop(blocks);
    // This comes last: a download that waits may go on as soon as no worker has blocks of it.
    drop(held);
}

/// Writes a run. If this completes the hash of its piece, returns the hash and what is known of the
/// piece.
fn hash_and_write(
    transfer: &Transfer,
    download: &Download,
    run: BlockRun,
    blocks: &[PendingBlock<BlockBuffer>],
) -> Result<Option<(Sha1, HashedPiece)>, StoreError> {
    let lengths = transfer.info().lengths();
    let slices: Vec<&[u8]> = blocks.iter().map(|block| &*block.buffer).collect();
    let offset = run.offset(lengths);
    if run.is_whole_piece(lengths) {
        let mut hasher = Hasher::new();
        slices.iter().for_each(|block| hasher.update(block));
        let hash = hasher.finish();
        // A piece that does not verify is not written.
        if hash == transfer.info().piece_hash(run.piece) {
            download.write(offset, &slices)?;
        }
        let mut sources = Sources::new();
        add_sources(&mut sources, blocks);
        // The blocks are still in memory, and are hashed only if their hashes are needed.
        let blocks = Vec::new();
        return Ok(Some((hash, HashedPiece { sources, blocks })));
    }
    let hashes: Vec<Sha1> = match transfer.decide(|core, _| core.wants_block_hashes()) {
        true => slices.iter().map(|block| Sha1::of(block)).collect(),
        false => Vec::new(),
    };
    download.write(offset, &slices)?;
    let hasher = transfer.decide(|core, _| core.on_run_written(run, blocks, &hashes));
    // Without the hasher, this run waits on disk until the runs before it have been hashed.
    let Some(mut hasher) = hasher else {
        return Ok(None);
    };
    slices.iter().for_each(|block| hasher.update(block));
    hash_following_runs(transfer, download.store(), run, hasher)
}

/// Hashes the runs after `run` that are already on disk.
fn hash_following_runs(
    transfer: &Transfer,
    store: &Store,
    run: BlockRun,
    mut hasher: Hasher,
) -> Result<Option<(Sha1, HashedPiece)>, StoreError> {
    let (lengths, piece) = (transfer.info().lengths(), run.piece);
    let mut number = run.number;
    loop {
        number += 1;
        if number == BlockRun::count(lengths, piece) {
            let hashed = transfer.decide(|core, _| core.on_piece_hashed(piece));
            return Ok(hashed.map(|hashed| (hasher.finish(), hashed)));
        }
        let next = BlockRun::numbered(lengths, piece, number);
        let returned = transfer.decide(|core, _| core.on_earlier_runs_hashed(next, hasher));
        let Some(returned) = returned else {
            return Ok(None);
        };
        hasher = returned;
        read_back(
            store,
            next.offset(lengths),
            next.bytes(lengths),
            &mut hasher,
        )?;
    }
}

/// Hashes `remaining` bytes of the store, from `offset` on.
fn read_back(
    store: &Store,
    mut offset: u64,
    mut remaining: u64,
    hasher: &mut Hasher,
) -> Result<(), StoreError> {
    let mut buffer = vec![0; READ_BACK_BYTES];
    while remaining > 0 {
        let part = buffer.get_mut(..remaining.min(READ_BACK_BYTES as u64) as usize);
        let part = part.unwrap_or_default();
        store.read(offset, part)?;
        hasher.update(part);
        offset += part.len() as u64;
        remaining -= part.len() as u64;
    }
    Ok(())
}

/// Accepts a piece that was verified and written. From now on it is served. `run` is the run of the
/// piece that was hashed last, and `blocks` are its blocks. If the blocks of an earlier attempt to
/// fetch the piece were bad, a comparison of the hashes shows who sent bad blocks.
fn accept(
    transfer: &Transfer,
    run: BlockRun,
    blocks: &[PendingBlock<BlockBuffer>],
    hashed: HashedPiece,
) {
    let sources = &hashed.sources;
    let shows_liars = transfer.decide(|core, now| core.on_piece_written(run.piece, sources, now));
    if !shows_liars {
        return;
    }
    let good = block_hashes(transfer, run, blocks, hashed);
    let good: Vec<Sha1> = good.into_iter().map(|(hash, _)| hash).collect();
    let liars = transfer.decide(|core, now| core.on_good_blocks(run.piece, &good, now));
    let (name, number) = (transfer.name(), run.piece.number());
    for liar in liars {
        log::warn!("{name}: piece {number} is verified now: {liar} had sent bad blocks of it");
    }
}

/// Continues to compute the SHA-1 of whole files, if the torrent has a SHA-1 of any file. `blocks`
/// are the blocks of `run`, which was just written.
fn hash_files(
    transfer: &Transfer,
    run: BlockRun,
    blocks: &[PendingBlock<BlockBuffer>],
) -> Result<(), StoreError> {
    let (Some(store), Some(hashes)) = (transfer.store(), &transfer.file_hashes) else {
        return Ok(());
    };
    let blocks: Vec<&[u8]> = blocks.iter().map(|block| &*block.buffer).collect();
    let fresh = CachedBlocks {
        offset: run.offset(transfer.info().lengths()),
        blocks: &blocks,
    };
    hashes.advance(&store, fresh, |piece| transfer.serves(piece))
}

/// Handles a piece that does not verify: it is fetched again. If all of it came from one peer, that
/// peer is barred. Otherwise the hashes of its blocks are kept, if they are known. `run` is the run
/// of the piece that was hashed last, and `blocks` are its blocks.
fn reject(
    transfer: &Transfer,
    run: BlockRun,
    blocks: &[PendingBlock<BlockBuffer>],
    hashed: HashedPiece,
) {
    let piece = run.piece;
    let sources = &hashed.sources;
    let verdict = transfer.decide(|core, now| core.on_piece_failed(piece, sources, now));
    let what = match verdict {
        Verdict::Proven(_) => "all of it came from one peer",
        Verdict::Unclear => "it is fetched again from one peer alone",
        Verdict::Local => "a part of it was read from files here; all of it is fetched",
    };
    let (name, number) = (transfer.name(), piece.number());
    log::warn!("{name}: piece {number} does not verify; {what}");
    if !matches!(verdict, Verdict::Proven(_)) {
        let hashes = block_hashes(transfer, run, blocks, hashed);
        transfer.decide(|core, _| core.on_bad_blocks(piece, hashes));
    }
}

/// The hash and the source of each block of a piece. Empty if they are not known. `run` is the run
/// of the piece that was hashed last, and `blocks` are its blocks.
fn block_hashes(
    transfer: &Transfer,
    run: BlockRun,
    blocks: &[PendingBlock<BlockBuffer>],
    hashed: HashedPiece,
) -> Vec<BlockHash> {
    if !run.is_whole_piece(transfer.info().lengths()) {
        return hashed.blocks;
    }
    let hash = |block: &PendingBlock<BlockBuffer>| (Sha1::of(&block.buffer), block.source.clone());
    blocks.iter().map(hash).collect()
}
