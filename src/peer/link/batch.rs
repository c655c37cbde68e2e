//! Plaintext that the writing thread of a TLS link has gathered and not yet encrypted.

use std::io;

/// The number of bytes that are gathered before they are sent.
const FLUSH_BYTES: usize = 64 << 10;
/// The largest plaintext of one TLS record (RFC 8446, section 5.1).
const TLS_RECORD: usize = 16 << 10;

/// Messages and blocks that are sent together. A block with its header is slightly larger than one
/// TLS record. Sent alone, it would need a second record of a few bytes, and one more system call.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Does not shrink while the link is busy, so that it is zeroed once and not for every block.
    bytes: Vec<u8>,
    /// The number of bytes at the start of `bytes` that wait to be sent.
    filled: usize,
}

impl Batch {
    /// Whether the batch is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Appends `length` bytes with any contents and returns them. The caller overwrites them.
    pub(super) fn grow(&mut self, length: usize) -> &mut [u8] {
        let start = self.filled;
        self.filled += length;
        if self.bytes.len() < self.filled {
            self.bytes.resize(self.filled, 0);
        }
        self.bytes.get_mut(start..self.filled).unwrap_or_default()
    }

    /// Appends `bytes`.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.grow(bytes.len()).copy_from_slice(bytes);
    }

    /// Passes all bytes to `write` and empties the batch.
    pub(super) fn flush(&mut self, write: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let result = match self.bytes.get(..self.filled) {
            None | Some([]) => Ok(()),
            Some(bytes) => write(bytes),
        };
        // Frees the memory of links that send little.
        if self.filled < TLS_RECORD {
            self.bytes = Vec::new();
        }
        self.filled = 0;
        result
    }

    /// If the batch is full, passes the part that fills whole TLS records to `write`. The rest
    /// stays in the batch and goes out with the next bytes.
    pub(super) fn flush_if_full(
        &mut self,
        write: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.filled < FLUSH_BYTES {
            return Ok(());
        }
        let whole = self.filled - self.filled % TLS_RECORD;
        let result = write(self.bytes.get(..whole).unwrap_or_default());
        self.bytes.copy_within(whole..self.filled, 0);
        self.filled -= whole;
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_sent_in_order_and_in_whole_tls_records() {
        let mut batch = Batch::default();
        let (mut expected, mut got, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..40u8 {
            let block = vec![number; TLS_RECORD];
            batch.append(&[number; 13]);
            batch.grow(TLS_RECORD).copy_from_slice(&block);
            expected.extend_from_slice(&[number; 13]);
            expected.extend_from_slice(&block);
            let write = |bytes: &[u8]| {
                calls.push(bytes.len());
                got.extend_from_slice(bytes);
                Ok(())
            };
            batch.flush_if_full(write).unwrap();
            assert!(batch.filled < FLUSH_BYTES);
        }
        assert!(calls.iter().all(|call| *call == FLUSH_BYTES), "{calls:?}");
        assert!(!batch.is_empty() && batch.bytes.len() <= FLUSH_BYTES + TLS_RECORD + 13);
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
