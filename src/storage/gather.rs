//! Writes blocks from several buffers to adjacent bytes of a file (`pwritev`).

use nix::sys::uio::pwritev;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;

/// The largest number of slices that Linux accepts in one call (`IOV_MAX`).
const MAX_SLICES: usize = 1024;

/// Blocks, without the bytes that were written or skipped already.
#[derive(Debug)]
pub(super) struct Gather<'a> {
    blocks: &'a [&'a [u8]],
    /// Bytes of the first block that were written or skipped already.
    within: usize,
}

impl<'a> Gather<'a> {
    /// All of `blocks`.
    pub(super) fn new(blocks: &'a [&'a [u8]]) -> Self {
        Self { blocks, within: 0 }
    }

    /// Drops the next `length` bytes.
    pub(super) fn skip(&mut self, mut length: u64) {
        while let [first, rest @ ..] = self.blocks {
            let left = first.len().saturating_sub(self.within);
            match usize::try_from(length) {
                Ok(length) if length < left => {
                    self.within += length;
                    return;
                }
                _ => {
                    length -= left as u64;
                    self.blocks = rest;
                    self.within = 0;
                }
            }
        }
    }

    /// Whether the next `length` bytes are those of `file` from `offset` on.
    ///
    /// # Errors
    /// The file cannot be read or is too short.
    pub(super) fn are_in(&self, file: &File, mut offset: u64, length: u64) -> io::Result<bool> {
        let (mut within, mut left) = (self.within, usize::try_from(length).unwrap_or(usize::MAX));
        let mut buffer = Vec::new();
        for block in self.blocks {
            let block = block.get(within..).unwrap_or_default();
            let block = block.get(..left.min(block.len())).unwrap_or_default();
            within = 0;
            buffer.resize(block.len(), 0);
            file.read_exact_at(&mut buffer, offset)?;
            if buffer != block {
                return Ok(false);
            }
            offset += block.len() as u64;
            left -= block.len();
        }
        Ok(true)
    }

    /// Counts the next bytes, at most `length`, that are in blocks of one kind. Returns their
    /// number and the kind: `true` for blocks that contain only zeros, `false` for other blocks.
    pub(super) fn next_of_one_kind(&self, length: u64) -> (u64, bool) {
        let mut within = self.within;
        let (mut count, mut is_zeros) = (0, None);
        for block in self.blocks {
            let block = block.get(within..).unwrap_or_default();
            within = 0;
            if count >= length {
                break;
            }
            if block.is_empty() {
                continue;
            }
            let zeros = block.iter().all(|byte| *byte == 0);
            if is_zeros.is_some_and(|former| former != zeros) {
                break;
            }
            is_zeros = Some(zeros);
            count += block.len() as u64;
        }
        // At least one byte, so that the caller makes progress.
        (count.min(length).max(1), is_zeros.unwrap_or_default())
    }

    /// Writes the next `length` bytes to `file` from `offset` on. Continues after a short write.
    ///
    /// # Errors
    /// The system's error. `WriteZero` if the system writes no byte and reports no error.
    pub(super) fn write(
        &mut self,
        file: &File,
        mut offset: u64,
        mut length: u64,
    ) -> io::Result<()> {
        let mut slices = Vec::with_capacity(self.blocks.len().min(MAX_SLICES));
        while length > 0 {
            slices.clear();
            self.fill(&mut slices, length);
            let position = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
            let written = match pwritev(file, &slices, position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written as u64,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            self.skip(written);
            offset += written;
            length = length.saturating_sub(written);
        }
        Ok(())
    }

    fn fill(&self, slices: &mut Vec<IoSlice<'a>>, mut length: u64) {
        let mut within = self.within;
        for block in self.blocks.iter().take(MAX_SLICES) {
            let left = block.get(within..).unwrap_or_default();
            within = 0;
            let taken = usize::try_from(length).map_or(left.len(), |most| most.min(left.len()));
            slices.push(IoSlice::new(left.get(..taken).unwrap_or_default()));
            length -= taken as u64;
            if length == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn blocks_are_written_in_order_across_files_and_calls() {
        let bytes: Vec<u8> = (0..5_000u32).map(|number| number as u8).collect();
        // More slices than one call accepts, one of them empty.
        let mut blocks: Vec<&[u8]> = bytes.chunks(3).collect();
        blocks.insert(700, &[]);
        let mut gather = Gather::new(&blocks);
        let [first, second] = [0, 1].map(|_| tempfile::tempfile().unwrap());
        gather.write(&first, 10, 1_000).unwrap();
        gather.skip(7);
        gather.write(&second, 0, 3_993).unwrap();
        let mut read = vec![0; 1_000];
        first.read_exact_at(&mut read, 10).unwrap();
        assert_eq!(read, bytes[..1_000]);
        let mut read = vec![0; 3_993];
        second.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(read, bytes[1_007..]);
        assert_eq!(second.metadata().unwrap().len(), 3_993);
    }

    #[test]
    fn blocks_of_zeros_are_separated_from_other_blocks() {
        let blocks: [&[u8]; 5] = [&[], &[0, 0], &[0], &[], &[0, 1]];
        let mut gather = Gather::new(&blocks);
        assert_eq!(gather.next_of_one_kind(5), (3, true));
        assert_eq!(gather.next_of_one_kind(1), (1, true));
        gather.skip(1);
        assert_eq!(gather.next_of_one_kind(4), (2, true));
        gather.skip(2);
        assert_eq!(gather.next_of_one_kind(9), (2, false));
        assert_eq!(gather.next_of_one_kind(1), (1, false));
    }

    #[test]
    fn a_full_device_is_an_error() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = Gather::new(&[b"abc"]).write(&full, 0, 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
