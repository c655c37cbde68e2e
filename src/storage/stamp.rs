//! Stamps of files. A stamp shows whether a file has changed since it was hashed, without reading
//! it.
//!
//! On some file systems (sshfs, mergerfs, other network mounts) the inode number of an unchanged
//! file can change. So a new inode number alone does not count as a change, but it is a reason to
//! read the file once. If the content is the same, the inode number is ignored from then on.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// Length, modification time and inode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Length in bytes.
    pub length: u64,
    /// When its content changed last, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// The inode number. 0 if it is ignored, because it has changed while the content stayed the
    /// same.
    pub inode: u64,
}

/// How a file compares to the stamp with which it was verified. A greater value is a worse match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StampMatch {
    /// It is unchanged.
    Same,
    /// Only its inode number differs: it is another file, or the file system has changed the inode
    /// number.
    OtherInode,
    /// It has changed.
    Changed,
}

impl FileStamp {
    /// The stamp of a file whose content is known to be bad: no file has it.
    pub const OF_NO_FILE: Self = Self {
        length: u64::MAX,
        modified_ns: i64::MIN,
        inode: u64::MAX,
    };

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

    /// How a file with the stamp `now` compares to this stamp.
    pub fn compare(&self, now: &Self) -> StampMatch {
        if (self.length, self.modified_ns) != (now.length, now.modified_ns) {
            StampMatch::Changed
        } else if self.inode == 0 || self.inode == now.inode {
            StampMatch::Same
        } else {
            StampMatch::OtherInode
        }
    }

    /// The worst match of all files. `before` and `now` have the files in the same order.
    pub fn compare_all(before: &[Self], now: &[Self]) -> StampMatch {
        if before.len() != now.len() {
            return StampMatch::Changed;
        }
        let matches = before
            .iter()
            .zip(now)
            .map(|(before, now)| before.compare(now));
        matches.max().unwrap_or(StampMatch::Same)
    }

    /// The stamp to keep for a file that has the stamp `self` now, and the same content as when it
    /// had the stamp `before`. If only the inode number has changed, it is ignored from then on.
    pub fn confirmed_since(self, before: Option<&Self>) -> Self {
        match before.map(|before| before.compare(&self)) {
            // If the inode number was ignored before, it still is.
            Some(StampMatch::Same) => Self {
                inode: before.map_or(self.inode, |before| before.inode),
                ..self
            },
            Some(StampMatch::OtherInode) => Self { inode: 0, ..self },
            Some(StampMatch::Changed) | None => self,
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
    fn a_new_inode_number_alone_is_not_a_change() {
        use StampMatch::*;
        let stamp = |length, modified_ns, inode| FileStamp {
            length,
            modified_ns,
            inode,
        };
        let stored = stamp(1, 2, 3);
        assert_eq!(stored.compare(&stored), Same);
        let copied = stamp(1, 2, 4);
        assert_eq!(stored.compare(&copied), OtherInode);
        assert_eq!(stored.compare(&stamp(2, 2, 3)), Changed);
        assert_eq!(stored.compare(&stamp(1, 3, 4)), Changed);
        let all = |before: &[FileStamp], now: &[FileStamp]| FileStamp::compare_all(before, now);
        assert_eq!(all(&[stored, stored], &[stored, copied]), OtherInode);
        assert_eq!(all(&[stored, stored], &[stamp(9, 2, 3), copied]), Changed);
        assert_eq!(all(&[stored], &[stored, stored]), Changed);
        // After the content was read once, the inode number is ignored.
        let confirmed = copied.confirmed_since(Some(&stored));
        assert_eq!(confirmed, stamp(1, 2, 0));
        assert_eq!(confirmed.compare(&stamp(1, 2, 77)), Same);
        assert_eq!(stamp(1, 2, 77).confirmed_since(Some(&confirmed)), confirmed);
        assert_eq!(stored.confirmed_since(Some(&stored)), stored);
        assert_eq!(copied.confirmed_since(None), copied);
    }

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
