//! What the writing thread of a link under TLS has read and not yet encrypted.

use std::io;

/// How many bytes are gathered at most before they are sent.
const FULL: usize = 64 << 10;
/// How much plaintext one record of TLS takes (RFC 8446, section 5.1).
const RECORD: usize = 16 << 10;

/// Messages and blocks that go out together. A block and its header are a little more than one
/// record takes: each alone would cost a second record of a few bytes, and a system call.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Grows to what was needed so far, so that it is cleared once and not for every block.
    bytes: Vec<u8>,
    filled: usize,
}

impl Batch {
    /// Whether nothing waits to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Room for the next `length` bytes, which the caller fills.
    pub(super) fn room(&mut self, length: usize) -> &mut [u8] {
        let start = self.filled;
        self.filled += length;
        if self.bytes.len() < self.filled {
            self.bytes.resize(self.filled, 0);
        }
        self.bytes.get_mut(start..self.filled).unwrap_or_default()
    }

    /// Adds `bytes`.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    /// Sends all by `write`.
    pub(super) fn flush(&mut self, write: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let written = match self.bytes.get(..self.filled) {
            None | Some([]) => Ok(()),
            Some(bytes) => write(bytes),
        };
        // A link with little to say keeps no room for much.
        if self.filled < RECORD {
            self.bytes = Vec::new();
        }
        self.filled = 0;
        written
    }

    /// Sends by `write` what fills records, once that is much; the rest goes with what follows.
    pub(super) fn flush_full(
        &mut self,
        write: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.filled < FULL {
            return Ok(());
        }
        let whole = self.filled - self.filled % RECORD;
        let written = write(self.bytes.get(..whole).unwrap_or_default());
        self.bytes.copy_within(whole..self.filled, 0);
        self.filled -= whole;
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_arrives_in_order_and_in_whole_records_while_more_follows() {
        let mut batch = Batch::default();
        let (mut expected, mut got, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..40u8 {
            let block = vec![number; RECORD];
            batch.append(&[number; 13]);
            batch.room(RECORD).copy_from_slice(&block);
            expected.extend_from_slice(&[number; 13]);
            expected.extend_from_slice(&block);
            let write = |bytes: &[u8]| {
                calls.push(bytes.len());
                got.extend_from_slice(bytes);
                Ok(())
            };
            batch.flush_full(write).unwrap();
            assert!(batch.filled < FULL);
        }
        assert!(calls.iter().all(|call| *call == FULL), "{calls:?}");
        assert!(!batch.is_empty() && batch.bytes.len() <= FULL + RECORD + 13);
        let write = |bytes: &[u8]| {
            got.extend_from_slice(bytes);
            Ok(())
        };
        batch.flush(write).unwrap();
        assert!(batch.is_empty() && got == expected);
        batch.flush(|_| panic!("nothing is left")).unwrap();
        assert_eq!(batch.bytes.capacity(), 0);
    }
}
