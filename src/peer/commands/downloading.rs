//! The command that downloads what a `.torrent` names.

use crate::peer::{DownloadOptions, Peer, PeerError, Planned, Started, place_of, read_torrent};
use std::path::Path;

impl Peer {
    /// Starts fetching what a `.torrent` names: into the destination if that is a folder, under that name if not. What
    /// stands there already is taken as it is, if it is the share: it is hashed first, and `progress` told of bytes done and all bytes.
    ///
    /// # Errors
    /// When the torrent or the destination cannot be used, or it is here already.
    pub fn download(
        &self,
        torrent: &Path,
        options: DownloadOptions,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Started, PeerError> {
        let metainfo = read_torrent(torrent)?;
        if metainfo.info().ssl_cert().is_some() {
            return Err(PeerError::OfGroup(torrent.to_owned()));
        }
        let place = place_of(&self.transfers, &metainfo, options.destination.as_deref())?;
        let started = Started::new(metainfo.info(), place.path());
        let planned = Planned {
            metainfo,
            place,
            choice: options.choice,
            peers: Vec::new(),
            replaces: None,
        };
        planned.start(&self.transfers, progress)?;
        Ok(started)
    }
}
