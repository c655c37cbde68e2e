//! The commands about mirrors of groups.

use crate::peer::{NewMirror, Peer, PeerError, WantedPlace};
use crate::storage::{MirrorSettings, existing_ancestor};
use crate::wire::name::Label;
use std::path::{Path, PathBuf};

/// A mirror that has begun, or has other settings now.
#[derive(Clone, Debug)]
pub struct BegunMirror {
    /// The group.
    pub group: String,
    /// The folder that gets its shares.
    pub folder: PathBuf,
    /// The number of shares in the catalogue of the group.
    pub shares: usize,
}

impl Peer {
    /// Mirrors a group from now on: into the named folder, or into a folder with the name of the
    /// group in the current folder. If the group is mirrored already, its settings change.
    ///
    /// # Errors
    /// When the user is not logged in or not a member, no tracker answers, the folder cannot be
    /// made, or it is inside or around the folder of another mirror.
    pub fn mirror(
        &self,
        group: &Label,
        place: &WantedPlace,
        settings: MirrorSettings,
    ) -> Result<BegunMirror, PeerError> {
        let membership = self.membership(group)?;
        let (catalogue, state) = self.account().catalogue(&membership.group)?;
        let known = self.mirrors.folder(state.first.id, &membership.user);
        let folder = match (&place.named, known) {
            (None, Some(folder)) => folder,
            (Some(named), _) => real_path(named)?,
            (None, None) => real_path(&place.path().join(group.to_string()))?,
        };
        let shares = catalogue.len();
        let begun = BegunMirror {
            group: group.to_string(),
            folder: folder.clone(),
            shares,
        };
        let is_new = !folder.exists();
        std::fs::create_dir_all(&folder).map_err(PeerError::file(&folder))?;
        let new = NewMirror {
            id: state.first.id,
            membership,
            folder: folder.clone(),
            settings,
            catalogue,
        };
        if let Err(error) = self.mirrors.begin(new) {
            if is_new {
                // It is empty. If it cannot be removed, it does no harm.
                let _ = std::fs::remove_dir(&folder);
            }
            return Err(error);
        }
        self.start_mirror_threads().map_err(PeerError::Thread)?;
        Ok(begun)
    }

    /// Confirms the removal of the withdrawn shares that `status` has shown as waiting for it.
    /// Returns their names. Other shares are not removed.
    ///
    /// # Errors
    /// When the group is not mirrored, or `status` has shown no removal that waits.
    pub fn confirm_prune(&self, group: &Label) -> Result<Vec<String>, PeerError> {
        let user = self.account().user();
        self.mirrors.confirm(user.as_ref(), group)
    }

    /// Ends the mirror of a group. Its shares stay, and are served like other ones. Returns the
    /// folder.
    ///
    /// # Errors
    /// When the group is not mirrored, or the state folder cannot be written.
    pub fn unmirror(&self, group: &Label) -> Result<PathBuf, PeerError> {
        let user = self.account().user();
        let folder = self.mirrors.end(user.as_ref(), group)?;
        // Without a login or a tracker, the trackers forget the mirror after some time.
        if user.is_some()
            && let Err(error) = self.account().report_mirroring(group, false)
        {
            log::info!("{group}: cannot report that it is not mirrored any more: {error}");
        }
        Ok(folder)
    }
}

/// The path of a folder, without links and `..` in the part that exists. So two paths of one folder
/// are equal.
fn real_path(folder: &Path) -> Result<PathBuf, PeerError> {
    let absolute = std::path::absolute(folder).map_err(PeerError::file(folder))?;
    let existing = existing_ancestor(&absolute);
    let real = existing
        .canonicalize()
        .map_err(PeerError::file(&existing))?;
    let rest = absolute.strip_prefix(&existing).unwrap_or(Path::new(""));
    // Joining nothing would add a slash.
    Ok(match rest.as_os_str().is_empty() {
        true => real,
        false => real.join(rest),
    })
}
