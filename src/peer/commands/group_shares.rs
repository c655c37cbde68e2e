//! The commands `list_files` and `download_file`.

use crate::peer::{DownloadOptions, Peer, PeerError, Started, WantedGroupShare, belongs_to};
use crate::wire::access::FileEntry;
use crate::wire::name::Label;

/// A share, or a version of a share, in a group's catalogue.
#[derive(Clone, Debug)]
pub struct ListedFile {
    /// The entry of the catalogue.
    pub entry: FileEntry,
    /// Whether this peer shares or downloads it.
    pub here: bool,
}

impl Peer {
    /// The catalogue of a group, sorted by name: an entry for each share, or with `versions` for
    /// each version.
    ///
    /// # Errors
    /// See [`AccountError`](crate::peer::AccountError).
    pub fn list_files(&self, group: &Label, versions: bool) -> Result<Vec<ListedFile>, PeerError> {
        let files = self.account().files(group, versions)?;
        let user = self.account().user();
        let listed = files.into_iter().map(|entry| ListedFile {
            here: self
                .transfers
                .transfer(entry.info_hash)
                .is_some_and(|transfer| {
                    !transfer.has_ended() && belongs_to(&transfer, user.as_ref())
                }),
            entry,
        });
        Ok(listed.collect())
    }

    /// Starts the download of a group's share: into the destination if that is a folder, otherwise
    /// to that path. Without a named destination, the share goes where this peer has another
    /// version of it. A version that is there is replaced once the new one is complete. An existing
    /// file with the same content is kept. If the choice is forced, other content is replaced too,
    /// and files of the other version that were changed here; until the download is complete, and
    /// if it fails, they stay unchanged. If this peer has other files of the share at the same
    /// place, also of another version, the union of both choices is wanted. `progress` is called
    /// with the number of bytes of existing files hashed so far and the number of all bytes.
    ///
    /// # Errors
    /// When the user is not logged in or not a member, the catalogue does not list the share, no
    /// tracker answers, no file matches the choice, no peer has the named version, the destination
    /// cannot be used, or the share is here already.
    pub fn download_file(
        &self,
        group: &Label,
        name: &str,
        options: &DownloadOptions,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Started, PeerError> {
        let membership = self.membership(group)?;
        let wanted = WantedGroupShare {
            membership,
            name,
            only: None,
            options,
        };
        let started = self.services.download_group_share(wanted, progress)?;
        self.mirrors.on_asked_for(started.info_hash);
        Ok(started)
    }
}
