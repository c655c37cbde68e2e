//! Finds the record of a share together with its info dictionary.

use super::{Record, Records};
use crate::torrent::{Info, InfoHash};
use std::sync::Arc;

impl Records {
    /// The record of a share that was saved or loaded, and its info dictionary. `None` if there is
    /// none, or if the record or its `.torrent` file cannot be read.
    pub fn find_with_info(&self, hash: InfoHash) -> Option<(Record, Arc<Info>)> {
        let record = self.find(hash)?;
        let metainfo = self.load_torrent(hash, self.saved_torrent(hash)?).ok()?;
        Some((record, Arc::new(metainfo.info().clone())))
    }
}
