//! Stamps of files. A stamp shows whether a file has changed since it was hashed, without reading
//! it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// Length, modification time and inode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Length in bytes.
    pub length: u64,
    /// When its content changed last, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// The inode number.
    pub inode: u64,
}

impl FileStamp {
    /// Length of an encoded stamp in bytes.
    pub(super) const ENCODED_LENGTH: usize = 24;

    /// The stamp of a file with this metadata.
    pub(super) fn of(metadata: &Metadata) -> Self {
        let seconds = metadata.mtime().saturating_mul(1_000_000_000);
        Self {
            length: metadata.len(),
            modified_ns: seconds.saturating_add(metadata.mtime_nsec()),
            inode: metadata.ino(),
        }
    }

    /// Length, time and inode, each big-endian.
    pub(super) fn encode(&self) -> [u8; Self::ENCODED_LENGTH] {
        let mut bytes = [0; Self::ENCODED_LENGTH];
        let (length, rest) = bytes.split_at_mut(8);
        let (modified, inode) = rest.split_at_mut(8);
        length.copy_from_slice(&self.length.to_be_bytes());
        modified.copy_from_slice(&self.modified_ns.to_be_bytes());
        inode.copy_from_slice(&self.inode.to_be_bytes());
        bytes
    }

    /// Reads the bytes that [`FileStamp::encode`] returned.
    pub(super) fn decode(bytes: &[u8; Self::ENCODED_LENGTH]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        Self {
            length: u64::from_be_bytes(word(0)),
            modified_ns: i64::from_be_bytes(word(1)),
            inode: u64::from_be_bytes(word(2)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoded_value_equals_the_encoded_one() {
        let stamp = FileStamp {
            length: 1,
            modified_ns: -2,
            inode: u64::MAX,
        };
        assert_eq!(FileStamp::decode(&stamp.encode()), stamp);
    }
}
