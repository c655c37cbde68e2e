//! Which versions of a group members have withdrawn.

use super::row::OPERATOR;
use super::{Label, Refusal, Registry, RowId};
use crate::torrent::InfoHash;

impl Registry {
    /// The group that the label names, and when members have withdrawn the versions with these
    /// info-hashes from it: the wall time of the withdrawal, in milliseconds since 1970. A version
    /// counts only if it is not listed, and if a member, not an operator, has withdrawn it: an
    /// operator also withdraws shares when it ends a group or removes an account. Only members may
    /// ask.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`].
    pub fn withdrawals(
        &self,
        actor: RowId,
        group: &Label,
        versions: &[InfoHash],
    ) -> Result<(RowId, Vec<(InfoHash, u64)>), Refusal> {
        let id = self.group_as_member(actor, group)?;
        let withdrawn = versions.iter().filter_map(|version| {
            let withdrawn_ms = self.withdrawn_ms(id, *version)?;
            Some((*version, withdrawn_ms))
        });
        Ok((id, withdrawn.collect()))
    }

    /// When members have withdrawn a version. The same content may have been published several
    /// times: the last withdrawal counts, and only if nothing of it is left.
    fn withdrawn_ms(&self, group: RowId, version: InfoHash) -> Option<u64> {
        let rows = self.index.catalogue.all_of_swarm(version);
        let rows = rows.filter_map(|id| self.share_row(id));
        let mut last = None;
        for row in rows.filter(|row| row.group == group) {
            last = last.max(Some(row.withdrawn.as_ref()?));
        }
        let last = last.filter(|withdrawn| withdrawn.value != OPERATOR)?;
        Some(last.version.stamp.wall())
    }
}
