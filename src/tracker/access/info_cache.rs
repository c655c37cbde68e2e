//! Info dictionaries that peers download in parts.
//!
//! Only one dictionary is kept in memory: the one that was read last. Peers request its parts one
//! after the other. Only one dictionary is read from the disk at a time. A thread that copies a
//! part of a dictionary keeps that dictionary in memory until the copy is made, even if the cache
//! drops it. Apart from that, the memory does not grow with the number of peers.

use crate::system::lock;
use crate::torrent::InfoHash;
use crate::wire::control::{InfoPart, PartError};
use std::sync::{Arc, Mutex};

/// The dictionary that was read last.
#[derive(Debug, Default)]
pub(super) struct InfoCache(Mutex<Option<(InfoHash, Arc<[u8]>)>>);

/// Why a part cannot be returned.
#[derive(Debug, thiserror::Error)]
pub(super) enum InfoPartError<E> {
    /// The dictionary cannot be read.
    #[error("{0}")]
    Unreadable(E),
    /// The dictionary is not stored.
    #[error("it is not stored")]
    Missing,
    /// The dictionary has no such part.
    #[error(transparent)]
    Part(#[from] PartError),
}

impl InfoCache {
    /// The part of a dictionary that starts at `offset`. `read` reads the dictionary if it is not
    /// the cached one.
    ///
    /// # Errors
    /// See [`InfoPartError`].
    pub(super) fn part<E>(
        &self,
        info_hash: InfoHash,
        offset: u32,
        read: impl FnOnce() -> Result<Option<Vec<u8>>, E>,
    ) -> Result<InfoPart, InfoPartError<E>> {
        let dictionary = {
            let mut last = lock(&self.0);
            match last.as_ref().filter(|(hash, _)| *hash == info_hash) {
                Some((_, dictionary)) => Arc::clone(dictionary),
                None => {
                    // The cache drops the old dictionary before the new one is read. So it does
                    // not keep both in memory.
                    *last = None;
                    let read = read().map_err(InfoPartError::Unreadable)?;
                    let dictionary: Arc<[u8]> = read.ok_or(InfoPartError::Missing)?.into();
                    *last = Some((info_hash, Arc::clone(&dictionary)));
                    dictionary
                }
            }
        };
        Ok(InfoPart::of(&dictionary, offset)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: InfoHash = InfoHash([1; 20]);
    const B: InfoHash = InfoHash([2; 20]);

    #[test]
    fn a_dictionary_is_read_once_for_all_its_parts() {
        let info_cache = InfoCache::default();
        let found = |bytes: &[u8]| Ok::<_, String>(Some(bytes.to_vec()));
        let unread = || -> Result<Option<Vec<u8>>, String> { unreachable!("it is cached") };
        let part = info_cache.part(A, 0, || found(b"abc")).unwrap();
        assert_eq!(part, InfoPart::new(0, 3, b"abc".to_vec()).unwrap());
        let part = info_cache.part(A, 2, unread).unwrap();
        assert_eq!(part, InfoPart::new(2, 3, b"c".to_vec()).unwrap());
        let past = info_cache.part(A, 3, unread);
        assert!(matches!(past, Err(InfoPartError::Part(_))));
        let other = info_cache.part(B, 0, || found(b"xy")).unwrap();
        assert_eq!(other, InfoPart::new(0, 2, b"xy".to_vec()).unwrap());
    }

    #[test]
    fn a_read_error_is_returned_and_not_cached() {
        let info_cache = InfoCache::default();
        let missing = info_cache.part(A, 0, || Ok::<_, String>(None));
        assert!(matches!(missing, Err(InfoPartError::Missing)));
        let unreadable = info_cache.part(A, 0, || Err("a broken disk"));
        assert_eq!(unreadable.unwrap_err().to_string(), "a broken disk");
        let part = info_cache.part(A, 0, || Ok::<_, String>(Some(vec![1])));
        assert!(part.is_ok());
    }
}
