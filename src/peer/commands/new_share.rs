//! A new share: hashed, and with open files.

use crate::peer::PeerError;
use crate::storage::{CreatedShare, FileLayout, ShareDraft, Store};
use crate::torrent::{InfoHash, Metainfo};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a person learns of a share that was made from a file or a folder.
#[derive(Clone, Debug)]
pub struct NewShare {
    /// Its name.
    pub name: String,
    /// Its swarm.
    pub info_hash: InfoHash,
    /// Its length in bytes.
    pub length: u64,
    /// Its number of pieces.
    pub pieces: u32,
    /// The empty folders that were left out.
    pub empty_folders: Vec<String>,
}

/// A share that can be served.
pub(super) struct HashedShare {
    pub(super) share: NewShare,
    pub(super) metainfo: Metainfo,
    pub(super) store: Arc<Store>,
}

impl HashedShare {
    /// Hashes the files at `path`. They are opened before anybody learns of the share, and count as
    /// verified as long as they stay unchanged.
    pub(super) fn hash(
        draft: ShareDraft,
        path: &Path,
        progress: &(dyn Fn(u64, u64) + Sync),
        stop: &AtomicBool,
    ) -> Result<Self, PeerError> {
        let follows_links = draft.follows_links();
        let CreatedShare {
            metainfo,
            stamps,
            empty_folders,
        } = draft.hash(progress, stop)?;
        let info = metainfo.info();
        let layout = FileLayout::all(Arc::new(info.clone())).following_links(follows_links);
        let store = Store::open(layout, path)?;
        // Opens every file and checks its length.
        store.stamps()?;
        store.seal(&stamps);
        Ok(Self {
            share: NewShare {
                name: info.name().to_string(),
                info_hash: info.info_hash(),
                length: info.lengths().total(),
                pieces: info.lengths().pieces(),
                empty_folders,
            },
            metainfo,
            store: Arc::new(store),
        })
    }
}
