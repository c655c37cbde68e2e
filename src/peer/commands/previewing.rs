//! What a download from a group would fetch, without starting it.

use crate::peer::{
    DownloadOptions, Membership, Peer, PeerError, Transfer, VersionsHere, choice_with,
};
use crate::swarm::Phase;
use crate::torrent::{FileCounts, InfoHash, Metainfo, Overlap, Selection, ToFetch};
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
    /// tracker answers, no file matches the choice, or the destination cannot be used.
    pub fn preview_download(
        &self,
        group: &Label,
        name: &str,
        options: &DownloadOptions,
    ) -> Result<DownloadPreview, PeerError> {
        let membership: Membership = self.membership(group)?;
        let found = self.account().share(&membership.group, name)?;
        let metainfo = Metainfo::new(found.info.clone(), Vec::new());
        let versions = VersionsHere::of(&self.transfers, &membership, &found.version.share);
        let place = versions.place(&self.transfers, &metainfo, &options.destination)?;
        let info_hash = found.info.info_hash();
        Selection::of(&found.info, &options.choice.only)?;
        let is_complete = |transfer: &Arc<Transfer>| transfer.phase() == Phase::Complete;
        let own = self.transfers.transfer(info_hash);
        let others = versions.others_at(info_hash, &place);
        let same_place = own.iter().filter(|own| own.plan.path() == place.path());
        let here: Vec<Arc<Transfer>> = same_place.chain(&others).cloned().collect();
        let choice = choice_with(&options.choice, &here);
        let selection = Selection::of(&found.info, &choice.only)?;
        let own = own.filter(is_complete);
        let old = others.into_iter().find(is_complete);
        let here = own.as_ref().or(old.as_ref());
        let overlap = match here {
            Some(old) => Overlap::new(old.info(), &found.info),
            None => Overlap::with_nothing(&found.info),
        };
        let here = here.map(|old| (&**old.info(), &*old.plan.selection));
        let to_fetch = ToFetch::new(&overlap, here, (&found.info, &selection));
        Ok(DownloadPreview {
            name: found.info.name().to_string(),
            info_hash,
            path: place.path(),
            version: found.version.number,
            replaces: old.and_then(|old| Some(old.version()?.number)),
            length: found.info.lengths().total(),
            to_fetch: to_fetch.bytes,
            files: to_fetch.files,
        })
    }
}
