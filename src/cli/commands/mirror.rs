//! The commands about mirrors of groups.

use crate::peer::WantedPlace;
use crate::storage::MirrorSettings;
use crate::wire::name::Label;

/// A command about mirrors.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum MirrorCommand {
    /// Mirror a group from now on, or with other settings.
    Begin {
        group: Label,
        place: WantedPlace,
        settings: MirrorSettings,
    },
    /// End a mirror.
    End(Label),
    /// Confirm the removal of withdrawn shares.
    ConfirmPrune(Label),
}

impl MirrorCommand {
    /// The group that the command names.
    pub(super) fn group(&self) -> String {
        match self {
            Self::Begin { group, .. } | Self::End(group) | Self::ConfirmPrune(group) => {
                group.to_string()
            }
        }
    }
}
