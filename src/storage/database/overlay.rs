//! A file that is never changed: everything that is written to it stays in memory.

use crate::system::lock;
use redb::{BackendError, StorageBackend};
use std::collections::HashMap;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard};

/// The size of a page in bytes. Changes are kept in memory as whole pages.
const PAGE: usize = 4096;

/// A backend that keeps its changed pages in memory. It reads the other pages from the backend
/// `below`, which it never changes.
#[derive(Debug)]
pub(super) struct Overlay<B> {
    below: B,
    /// Also locked during reads from below, so that only one thread at a time reads there.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    length: u64,
    /// Bytes from this offset on are not read from below. They are zeros until they are written.
    below_end: u64,
    pages: HashMap<u64, Box<[u8; PAGE]>>,
}

impl<B: StorageBackend> Overlay<B> {
    pub(super) fn new(below: B) -> io::Result<Self> {
        let length = below.len()?;
        Ok(Self {
            below,
            state: Mutex::new(State {
                length,
                below_end: length,
                pages: HashMap::new(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Reads a page from below. Bytes after `below_end` are zeros.
    fn read_page(&self, below_end: u64, page: u64) -> io::Result<Box<[u8; PAGE]>> {
        let mut bytes = Box::new([0; PAGE]);
        let start = page.saturating_mul(PAGE as u64);
        let count = usize::try_from(below_end.saturating_sub(start)).unwrap_or(PAGE);
        if let Some(part) = bytes
            .get_mut(..count.min(PAGE))
            .filter(|part| !part.is_empty())
        {
            self.below.read(start, part)?;
        }
        Ok(bytes)
    }
}

/// Splits a range of the file by pages: page number, first byte in the page, number of bytes.
fn page_parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, mut left) = (offset, length);
    std::iter::from_fn(move || {
        let within = usize::try_from(at % PAGE as u64).ok()?;
        let count = left.min(PAGE - within);
        let part = (at / PAGE as u64, within, count);
        at = at.checked_add(count as u64)?;
        left -= count;
        (count > 0).then_some(part)
    })
}

impl<B: StorageBackend> StorageBackend for Overlay<B> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > state.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        for (page, within, count) in page_parts(offset, rest.len()) {
            let (part, later) = rest.split_at_mut(count);
            rest = later;
            let below;
            let bytes = match state.pages.get(&page) {
                Some(bytes) => bytes,
                None => {
                    below = self.read_page(state.below_end, page)?;
                    &below
                }
            };
            let bytes = bytes.iter().skip(within);
            part.iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = *from);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.state();
        let page = length / PAGE as u64;
        if length < state.length {
            state.below_end = state.below_end.min(length);
            state.pages.retain(|number, _| *number <= page);
            if let Some(bytes) = state.pages.get_mut(&page) {
                let within = usize::try_from(length % PAGE as u64).unwrap_or_default();
                bytes.iter_mut().skip(within).for_each(|byte| *byte = 0);
            }
        }
        state.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let mut rest = data;
        for (page, within, count) in page_parts(offset, data.len()) {
            let (part, later) = rest.split_at(count);
            rest = later;
            if !state.pages.contains_key(&page) {
                let bytes = self.read_page(state.below_end, page)?;
                state.pages.insert(page, bytes);
            }
            if let Some(bytes) = state.pages.get_mut(&page) {
                let bytes = bytes.iter_mut().skip(within);
                bytes.zip(part).for_each(|(to, from)| *to = *from);
            }
        }
        let end = offset.saturating_add(data.len() as u64);
        state.length = state.length.max(end);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.below.close()
    }

    // A file that was opened without write access cannot have an exclusive lock. So a request for
    // an exclusive lock takes a shared one.

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.below.try_lock_shared_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.below.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.below.lock_shared_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.below.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.below.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.below.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::InMemoryBackend;

    #[test]
    fn an_overlay_reads_like_a_file_and_the_backend_below_is_not_changed() {
        let below = InMemoryBackend::new();
        let before: Vec<u8> = (0..10_000u32).map(|at| (at % 251) as u8).collect();
        below.set_len(10_000).unwrap();
        below.write(0, &before).unwrap();
        let overlay = Overlay::new(below).unwrap();
        let mut model = before.clone();
        for seed in 0..500u64 {
            let mut random = fastrand::Rng::with_seed(seed);
            let offset = random.usize(..model.len() + 1);
            if random.u8(..4) == 0 {
                let length = random.usize(..20_000);
                overlay.set_len(length as u64).unwrap();
                model.resize(length, 0);
            } else if random.bool() {
                let count = random.usize(..9000).min(model.len() - offset);
                let data: Vec<u8> = (0..count).map(|_| random.u8(..)).collect();
                overlay.write(offset as u64, &data).unwrap();
                model[offset..offset + count].copy_from_slice(&data);
            }
            let mut read = vec![0; model.len()];
            overlay.read(0, &mut read).unwrap();
            assert!(read == model, "{seed}");
            let count = random.usize(..model.len() + 1);
            let mut part = vec![0; count];
            overlay
                .read((model.len() - count) as u64, &mut part)
                .unwrap();
            assert!(part == model[model.len() - count..], "{seed}");
            let past = overlay.read(model.len() as u64, &mut [0]);
            assert_eq!(past.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
        let mut after = vec![0; 10_000];
        overlay.below.read(0, &mut after).unwrap();
        assert!(after == before);
    }
}
