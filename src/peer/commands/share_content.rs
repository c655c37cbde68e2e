//! The files of a share of a group, without downloading it.

use crate::peer::{Peer, PeerError};
use crate::torrent::{FilePattern, InfoHash, Selection};
use crate::wire::name::Label;

/// What a version of a share contains.
#[derive(Clone, Debug)]
pub struct ShareContent {
    /// The name of the share.
    pub name: String,
    /// Its swarm.
    pub info_hash: InfoHash,
    /// The number of the version.
    pub version: u32,
    /// The files that were asked for, in the order of the share, without padding.
    pub files: Vec<SharedFile>,
}

/// A file of a share.
#[derive(Clone, Debug)]
pub struct SharedFile {
    /// The path inside the folder of the share; for a share that is a single file, its name.
    pub path: String,
    /// The length in bytes.
    pub length: u64,
}

impl Peer {
    /// The files of a share: all, or those that match a pattern of `only`.
    ///
    /// # Errors
    /// When the user is not logged in or not a member, the catalogue does not list the share, no
    /// tracker answers, or no file matches.
    pub fn share_content(
        &self,
        group: &Label,
        name: &str,
        only: &[FilePattern],
    ) -> Result<ShareContent, PeerError> {
        let found = self.account().share(group, name)?;
        let chosen = Selection::of(&found.info, only)?;
        let files = found.info.files().iter().enumerate();
        let files = files.filter(|(at, file)| !file.attributes.padding && chosen.has_file(*at));
        let files = files.map(|(_, file)| SharedFile {
            path: file.path.to_string(),
            length: file.length,
        });
        Ok(ShareContent {
            name: found.info.name().to_string(),
            info_hash: found.info.info_hash(),
            version: found.version.number,
            files: files.collect(),
        })
    }
}
