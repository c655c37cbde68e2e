//! The way of a piece after its blocks have arrived: SHA-1, file, owned map, `have`. Runs on the pool's workers.

use super::{
    PendingBlock, Phase, PieceHash, SEED_AGAIN, Source, Sources, State, Transfer, add_sources,
    events::NOTHING_TO_FETCH,
};
use crate::peer::BufferPool;
use crate::storage::{BadFile, Download, Record, RecordState, Store, StoreError};
use crate::swarm::{Run, Verdict};
use crate::torrent::{Hasher, PieceIndex, Sha1};
use crate::wire::Event;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How much is read back at a time when a run was written before its turn to be hashed came, in bytes.
const READ_BACK: usize = 64 << 10;

/// How long one that sent a bad piece is left alone; not for ever, since it may be the only owner and mend its disk.
const BARRED: Duration = Duration::from_secs(600);

/// Why a download of which every piece is here cannot be finished.
#[derive(Debug, thiserror::Error)]
enum FinishError {
    #[error("{} has SHA-1 {} where the torrent says {}", .0.path.display(), .0.found, .0.expected)]
    Bad(BadFile),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Blocks of the stock that are with a worker; given back when dropped, whatever became of the job.
struct Held<'a> {
    transfer: &'a Transfer,
    blocks: u32,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let now = self.transfer.context.now();
        let mut state = self.transfer.state();
        state.with_pool = state.with_pool.saturating_sub(self.blocks);
        self.transfer
            .context
            .buffers
            .release(&mut state.reserved, self.blocks);
        // Links that found the stock empty need not wait for the next tick.
        let links: Vec<_> = state.links.values().cloned().collect();
        for link in links {
            if !state.picker.is_fetching(link.id) {
                self.transfer.request(&mut state, &link, now);
            }
        }
    }
}

impl Transfer {
    /// All blocks of a run are here: hashes and writes them, and publishes the piece if it was the last run.
    pub(crate) fn finish_run(self: &Arc<Self>, run: Run, blocks: Vec<PendingBlock>) {
        let held = Held {
            transfer: self,
            blocks: run.blocks,
        };
        let finished = match self.download() {
            Some(download) if self.state().phase == Phase::Active => {
                self.hash_and_write(&download, run, &blocks)
            }
            _ => Ok(None),
        };
        drop(blocks);
        drop(held);
        match finished {
            Ok(Some((hash, sources))) if hash == self.info().piece_hash(run.piece) => {
                self.publish(run.piece, sources);
            }
            Ok(Some((_, sources))) => self.reject_piece(run.piece, &sources),
            Ok(None) => {}
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// Gives the hash of the whole piece and its sources once its last run was hashed.
    fn hash_and_write(
        &self,
        download: &Download,
        run: Run,
        blocks: &[PendingBlock],
    ) -> Result<Option<(Sha1, Sources)>, StoreError> {
        let lengths = self.info().lengths();
        let slices: Vec<&[u8]> = blocks.iter().map(|block| &*block.buffer).collect();
        let offset = run.offset(lengths);
        if run.is_whole_piece(lengths) {
            let mut hasher = Hasher::new();
            slices.iter().for_each(|block| hasher.update(block));
            let hash = hasher.finish();
            // What does not verify is not written at all.
            if hash == self.info().piece_hash(run.piece) {
                download.write(offset, &slices)?;
            }
            let mut sources = Sources::new();
            add_sources(&mut sources, blocks);
            return Ok(Some((hash, sources)));
        }
        download.write(offset, &slices)?;
        self.hash_in_order(download.store(), run, &slices, blocks)
    }

    fn hash_in_order(
        &self,
        store: &Store,
        run: Run,
        slices: &[&[u8]],
        blocks: &[PendingBlock],
    ) -> Result<Option<(Sha1, Sources)>, StoreError> {
        let Some((mut hasher, mut next)) = self.take_turn(run, blocks) else {
            return Ok(None);
        };
        slices.iter().for_each(|block| hasher.update(block));
        loop {
            next += 1;
            if next == Run::count(self.info().lengths(), run.piece) {
                let done = self.state().hashes.remove(&run.piece);
                return Ok(done.map(|done| (hasher.finish(), done.sources)));
            }
            {
                let mut state = self.state();
                let Some(hash) = state.hashes.get_mut(&run.piece) else {
                    return Ok(None);
                };
                if !hash.waiting.remove(&next) {
                    hash.next = next;
                    hash.hasher = Some(hasher);
                    return Ok(None);
                }
            }
            self.read_back(store, run.piece, next, &mut hasher)?;
        }
    }

    /// The piece's hasher, if it is this run's turn and no other worker hashes; else the run waits on disk.
    fn take_turn(&self, run: Run, blocks: &[PendingBlock]) -> Option<(Hasher, u32)> {
        let mut state = self.state();
        let fresh = || PieceHash {
            hasher: Some(Hasher::new()),
            next: 0,
            waiting: BTreeSet::new(),
            sources: Sources::new(),
        };
        let hash = state.hashes.entry(run.piece).or_insert_with(fresh);
        add_sources(&mut hash.sources, blocks);
        let turn = hash.next == run.number;
        let hasher = if turn { hash.hasher.take() } else { None };
        if hasher.is_none() {
            hash.waiting.insert(run.number);
        }
        hasher.map(|hasher| (hasher, run.number))
    }

    fn read_back(
        &self,
        store: &Store,
        piece: PieceIndex,
        run: u32,
        hasher: &mut Hasher,
    ) -> Result<(), StoreError> {
        let lengths = self.info().lengths();
        let run = Run::numbered(lengths, piece, run);
        let mut offset = run.offset(lengths);
        let mut left = run.bytes(lengths);
        let mut buffer = vec![0; READ_BACK];
        while left > 0 {
            let part = buffer
                .get_mut(..left.min(READ_BACK as u64) as usize)
                .unwrap_or_default();
            store.read(offset, part)?;
            hasher.update(part);
            offset += part.len() as u64;
            left -= part.len() as u64;
        }
        Ok(())
    }

    /// A piece is verified and written: from now on it is served.
    fn publish(self: &Arc<Self>, piece: PieceIndex, sources: Sources) {
        self.context.owned.publish(self.info_hash(), piece);
        let (owned, complete) = {
            let mut state = self.state();
            state.picker.on_verified(piece);
            state.verified_bytes += u64::from(self.info().lengths().length(piece));
            // What came from it alone and is right speaks for it.
            if let [Source::Web(id, _)] = sources.keys().collect::<Vec<_>>().as_slice()
                && let Some(server) = state.servers.get_mut(id)
            {
                server.doubted = false;
            }
            for (source, bytes) in sources {
                *state.sources.entry(source.to_string()).or_default() += bytes;
            }
            state
                .links
                .values()
                .for_each(|link| link.outbox.notify_haves());
            let owned = self
                .file_hashes
                .is_some()
                .then(|| state.picker.owned().clone());
            (owned, state.picker.is_complete())
        };
        let hashed = match (&owned, self.store(), &self.file_hashes) {
            (Some(owned), Some(store), Some(hashes)) => {
                hashes.advance(&store, |piece| owned.contains(piece))
            }
            _ => Ok(()),
        };
        if let Err(error) = hashed {
            return self.fail(&error.to_string());
        }
        if complete {
            self.spawn_completion();
        }
    }

    fn reject_piece(&self, piece: PieceIndex, sources: &Sources) {
        let until = self.context.now() + BARRED;
        let mut state = self.state();
        state.hashes.remove(&piece);
        match state.picker.on_failed(piece) {
            Verdict::Proven(id) => {
                log::warn!(
                    "{}: piece {} does not verify; all of it came from one peer",
                    self.name(),
                    piece.number()
                );
                // The link may have ended since; its address is known all the same.
                for source in sources.keys() {
                    match source {
                        Source::Peer(address) => {
                            state.contacts.candidates.bar(*address, until);
                            state.barred = true;
                        }
                        Source::Web(id, _) => {
                            state.servers.entry(*id).or_default().lied = true;
                        }
                    }
                }
                if let Some(link) = state.links.get(&id).cloned() {
                    link.close(format!("piece {} from it does not verify", piece.number()));
                }
            }
            Verdict::Unclear => {
                log::warn!(
                    "{}: piece {} does not verify; it is fetched again from one peer alone",
                    self.name(),
                    piece.number()
                );
                for source in sources.keys() {
                    if let Source::Web(id, _) = source {
                        state.servers.entry(*id).or_default().doubted = true;
                    }
                }
            }
        }
    }

    /// Every piece is owned: the rest is done on a thread of its own, since hashing and syncing large files would keep a
    /// worker from all other downloads.
    pub(crate) fn spawn_completion(self: &Arc<Self>) {
        {
            let mut state = self.state();
            if state.phase != Phase::Active {
                return;
            }
            state.phase = Phase::Finishing;
        }
        let transfer = Arc::clone(self);
        let spawned = self
            .context
            .tasks
            .spawn("finish", move || transfer.complete());
        if let Err(error) = spawned {
            self.fail(&format!("cannot start a thread: {error}"));
        }
    }

    /// Checks whole files where the torrent can, and gives them their final name.
    fn complete(self: &Arc<Self>) {
        let Some(download) = self.end_writing() else {
            return;
        };
        let store = Arc::clone(download.store());
        let finished = self.check_files(&store).and_then(|()| {
            // All pieces are here: no worker begins to write any more.
            self.wait_for_pool();
            let in_use = || StoreError::InUse(store.path().to_owned());
            Arc::into_inner(download).ok_or_else(in_use)?.finish()?;
            store.seal(&store.stamps()?);
            Ok(())
        });
        let sealed = store.sealed();
        match finished {
            Ok(()) => {}
            // The next start finds every piece and comes here again.
            Err(FinishError::Store(StoreError::Stopped)) => return,
            Err(error) => return self.fail(&error.to_string()),
        }
        if self.state().phase != Phase::Finishing {
            return;
        }
        // Whoever sees that it is complete may end the peer at once, and trackers shall have heard of it by then.
        if self.listed {
            let event = match self.selection.is_all() {
                true => Event::Completed,
                false => Event::Paused,
            };
            self.announce(Some(event));
        }
        // And a record that it is whole is there before anybody can know.
        self.state().sealed = sealed;
        self.record();
        let now = self.context.now();
        {
            let mut state = self.state();
            state.phase = Phase::Complete;
            state.ended = Some(now);
            state.trouble = None;
            let links = state.links.values();
            let idle = links.filter(|link| state.fetches_nothing(link));
            for link in idle.cloned().collect::<Vec<_>>() {
                if let Some(address) = link.listens_at() {
                    state.contacts.candidates.release(address, now + SEED_AGAIN);
                }
                link.close(NOTHING_TO_FETCH);
            }
            state.tell_upload_only(self);
        }
        log::info!("{}: complete", self.name());
        self.context.changes.notify();
    }

    fn check_files(&self, store: &Store) -> Result<(), FinishError> {
        let Some(hashes) = &self.file_hashes else {
            return Ok(());
        };
        let bad = hashes.finish(store, &self.context.interrupt)?;
        bad.into_iter()
            .next()
            .map_or(Ok(()), |bad| Err(FinishError::Bad(bad)))
    }

    /// Ends a download or share with a reason; what is on disk stays for another try.
    pub(crate) fn fail(&self, reason: &str) {
        // Its files are free for another try before anybody can know of the failure.
        self.close_files();
        {
            let mut state = self.state();
            if matches!(state.phase, Phase::Failed(_)) {
                return;
            }
            state.phase = Phase::Failed(reason.to_owned());
            state.ended = Some(self.context.now());
            state.drop_pending(&self.context.buffers);
            state.links.values().for_each(|link| link.close(reason));
        }
        log::error!("{}: stopped: {reason}", self.name());
        self.context.owned.remove(self.info_hash());
        self.leave();
        self.record();
        self.context.changes.notify();
    }

    /// Writes to the state folder what is to be known after a restart.
    pub(crate) fn record(&self) {
        if !self.listed {
            return;
        }
        if let Err(error) = self.context.records.update(&self.to_record()) {
            log::error!("{}: cannot be recorded: {error}", self.name());
        }
    }

    /// What the state folder keeps of it.
    pub(crate) fn to_record(&self) -> Record {
        let state = self.state();
        // Never as they are now: nobody has verified that.
        let whole = || {
            let stamps = state.sealed.clone();
            stamps.map_or(RecordState::Partial, |stamps| RecordState::Complete {
                stamps,
            })
        };
        let recorded = match &state.phase {
            Phase::Failed(reason) => RecordState::Failed {
                reason: reason.clone(),
            },
            // Sealed at its end only, when the files stand under their final names.
            Phase::Complete | Phase::Lost(_) | Phase::Finishing => whole(),
            Phase::Checking if !self.is_download() => whole(),
            Phase::Checking | Phase::Active => RecordState::Partial,
        };
        let mut sources: Vec<(String, u64)> = state.sources.clone().into_iter().collect();
        sources.sort();
        Record {
            replaces: self.replaces && !matches!(recorded, RecordState::Complete { .. }),
            extends: self.extends && !matches!(recorded, RecordState::Complete { .. }),
            group: self
                .group
                .as_ref()
                .map(|group| (group.user.clone(), group.label.clone())),
            info_hash: self.info_hash(),
            kind: self.kind.clone(),
            state: recorded,
            trackers: self.metainfo.trackers().to_vec(),
            sources,
            added_ms: self.added_ms,
            only: self.choice.patterns(),
            sequential: self.choice.sequential,
            peers: self.peers.clone(),
        }
    }
}

impl State {
    /// Drops blocks of runs that will not be completed, and what was reserved for them.
    pub(crate) fn drop_pending(&mut self, buffers: &BufferPool) {
        self.pending.clear();
        self.hashes.clear();
        let idle = self.reserved.saturating_sub(self.with_pool);
        buffers.release(&mut self.reserved, idle);
    }
}
