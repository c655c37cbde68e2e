//! What a download from a group would fetch, without starting it.

use crate::peer::{Membership, Peer, PeerError, Transfer, VersionsHere, WantedPlace};
use crate::swarm::Phase;
use crate::torrent::{FileCounts, InfoHash, Metainfo, Overlap};
use crate::wire::name::Label;
use std::path::PathBuf;
use std::sync::Arc;

/// What a download from a group would fetch.
#[derive(Clone, Debug)]
pub struct DownloadPreview {
    /// The name of the share.
    pub name: String,
    /// Its swarm.
    pub info_hash: InfoHash,
    /// The path of the finished file or folder.
    pub path: PathBuf,
    /// The number of the version.
    pub version: u32,
    /// The number of the version in whose place it would go. `None` if there is none, or its number
    /// is not known.
    pub replaces: Option<u32>,
    /// The length of the share in bytes.
    pub length: u64,
    /// The number of bytes that would be fetched from other peers.
    pub to_fetch: u64,
    /// How many files are unchanged, changed, new and gone.
    pub files: FileCounts,
}

impl Peer {
    /// What [`Peer::download_file`] would fetch. Counts on the files of a complete version at the
    /// destination, without reading them.
    ///
    /// # Errors
    /// When the user is not logged in or not a member, the catalogue does not list the share, no
    /// tracker answers, or the destination cannot be used.
    pub fn preview_download(
        &self,
        group: &Label,
        name: &str,
        destination: &WantedPlace,
    ) -> Result<DownloadPreview, PeerError> {
        let membership: Membership = self.membership(group)?;
        let found = self.account().share(&membership.group, name)?;
        let metainfo = Metainfo::new(found.info.clone(), Vec::new());
        let versions = VersionsHere::of(&self.transfers, &membership, &found.version.share);
        let place = versions.place(&self.transfers, &metainfo, destination)?;
        let info_hash = found.info.info_hash();
        let is_complete = |transfer: &Arc<Transfer>| transfer.phase() == Phase::Complete;
        let here = self.transfers.transfer(info_hash).filter(is_complete);
        let mut others = versions.others_at(info_hash, &place).into_iter();
        let old = others.find(is_complete);
        let overlap = match here.as_ref().or(old.as_ref()) {
            Some(old) => Overlap::new(old.info(), &found.info),
            None => Overlap::with_nothing(&found.info),
        };
        Ok(DownloadPreview {
            name: found.info.name().to_string(),
            info_hash,
            path: place.path(),
            version: found.version.number,
            replaces: old.and_then(|old| Some(old.version()?.number)),
            length: found.info.lengths().total(),
            to_fetch: overlap.bytes_to_fetch(),
            files: overlap.counts(),
        })
    }
}
