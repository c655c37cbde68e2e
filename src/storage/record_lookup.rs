//! Finds the record of a share together with its info dictionary.

use super::{Record, Records};
use crate::torrent::{Info, InfoHash};
use std::sync::Arc;

/// The record of a share that was saved or loaded, and its info dictionary. `None` if there is no
/// record, or if it or its `.torrent` file cannot be read.
pub fn find_with_info(records: &Records, hash: InfoHash) -> Option<(Record, Arc<Info>)> {
    let record = records.find(hash)?;
    let loaded = records.load_torrent(hash, records.saved_torrent(hash)?.into());
    let (metainfo, _) = loaded.ok()?;
    Some((record, Arc::new(metainfo.info().clone())))
}
