//! What a download from a group adds to a planned download.

use super::missing_version::MissingVersion;
use crate::peer::{FileChoice, GroupShare, PeerError, Services, Transfer};
use std::sync::Arc;

/// The group of a planned download.
pub(crate) struct GroupPart {
    /// The version, its member, and the versions whose place it takes.
    pub(crate) share: GroupShare,
    /// The version, if it was named by its number and no other peer seems to have anything of it.
    pub(crate) missing: Option<MissingVersion>,
    /// Whether a complete version that it supersedes is under the final name.
    pub(super) is_update: bool,
}

impl GroupPart {
    /// A download that takes the place of no complete version.
    pub(crate) fn new(share: GroupShare, missing: Option<MissingVersion>) -> Self {
        Self {
            share,
            missing,
            is_update: false,
        }
    }

    /// The part for a download that replaces `former`, a download of fewer files of the same
    /// version. `is_complete`: whether `former` was complete.
    pub(super) fn extending(self, former: &Transfer, is_complete: bool) -> Self {
        let supersedes = former.supersedes();
        let former_share = former.plan.group.as_ref();
        Self {
            is_update: former.plan.replaces && !is_complete && !supersedes.is_empty(),
            share: GroupShare {
                supersedes,
                forced: former_share.is_some_and(|share| share.forced),
                is_update: former_share.is_some_and(|share| share.is_update),
                ..self.share
            },
            ..self
        }
    }

    /// The share for the plan of the transfer. `force`: the option of the download.
    pub(super) fn into_share(self, force: bool) -> GroupShare {
        GroupShare {
            // Adding files to an update does not allow it to replace files of persons.
            forced: match self.is_update {
                true => self.share.forced,
                false => force,
            },
            ..self.share
        }
    }

    /// Waits until another peer has the version that was asked for.
    ///
    /// # Errors
    /// See [`MissingVersion::require_holder`].
    pub(super) fn require_holder(&self, services: &Services) -> Result<(), PeerError> {
        match &self.missing {
            Some(missing) => missing.require_holder(services),
            None => Ok(()),
        }
    }
}

/// The union of a choice and those of the `others`, which are at the same place: so no file that
/// one of them has is lost.
pub(crate) fn choice_with(choice: &FileChoice, others: &[Arc<Transfer>]) -> FileChoice {
    let downloads = others.iter().filter(|other| other.plan.is_download());
    let all = downloads.fold(choice.clone(), |all, other| all.union(&other.plan.choice));
    FileChoice {
        // `force` must be given each time.
        force: choice.force,
        ..all
    }
}
