//! What a record says about the `.torrent` file of its share.

use crate::torrent::Sha1;

/// The SHA-1 of a `.torrent` file. While the file is replaced by another one, the old and the new
/// file are right: a crash may come before or after its rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TorrentSum {
    current: Sha1,
    next: Option<Sha1>,
}

impl From<Sha1> for TorrentSum {
    fn from(current: Sha1) -> Self {
        Self {
            current,
            next: None,
        }
    }
}

impl TorrentSum {
    /// The sum while a file is replaced.
    pub(super) fn replaced(current: Sha1, next: Sha1) -> Self {
        Self {
            current,
            next: Some(next),
        }
    }

    /// Whether a file with this SHA-1 is right.
    pub(super) fn accepts(&self, found: Sha1) -> bool {
        found == self.current || Some(found) == self.next
    }

    /// One or two SHA-1, each of 20 bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let next = self.next.iter().flat_map(|next| next.0);
        self.current.0.into_iter().chain(next).collect()
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (current, next) = bytes.split_first_chunk::<20>()?;
        let next = match next {
            [] => None,
            next => Some(Sha1(next.try_into().ok()?)),
        };
        Some(Self {
            current: Sha1(*current),
            next,
        })
    }
}
