//! The versions of shares: who may publish the next one, and what a withdrawal withdraws.

#[cfg(test)]
use super::mutation::{REUSES_NUMBERS, WITHDRAWS_ANYTHING};
use super::{
    AuditAction, Edition, Found, Label, Refusal, Register, Registry, Role, Row, RowId, Share,
    ShareKey, Update, Version,
};
use crate::torrent::InfoHash;
use std::time::Duration;

/// The most versions of one share that a tracker lists when it accepts another one.
pub const MAX_VERSIONS_OF_SHARE: usize = 500;

/// The most versions that one write withdraws, so that it fits into one message to the other
/// trackers. A share can have more than [`MAX_VERSIONS_OF_SHARE`] versions if trackers that cannot
/// reach each other publish some. Then its withdrawal needs several writes.
pub const MAX_WITHDRAWN_TOGETHER: usize = 600;

impl Registry {
    /// The edition of the next version of a share, with this info-hash, which the write `version`
    /// publishes.
    ///
    /// # Errors
    /// [`Refusal::NotPublisher`], [`Refusal::ShareUnchanged`], [`Refusal::TooManyVersions`].
    pub(super) fn next_edition(
        &self,
        actor: RowId,
        group: &Label,
        share: &ShareKey,
        (info_hash, version): (InfoHash, Version),
    ) -> Result<Register<Edition>, Refusal> {
        self.check_may_change(actor, group, share)?;
        let catalogue = &self.index.catalogue;
        let listed = catalogue.versions(share);
        let listed: Vec<&Share> = listed.filter_map(|id| self.share_row(id)).collect();
        if let Some(newest) = listed.last()
            && newest.info_hash == info_hash
        {
            return Err(Refusal::ShareUnchanged {
                group: group.clone(),
                share: catalogue.share_name(share),
                number: newest.edition.value.number,
            });
        }
        if listed.len() >= MAX_VERSIONS_OF_SHARE {
            return Err(Refusal::TooManyVersions {
                group: group.clone(),
                share: catalogue.share_name(share),
                most: MAX_VERSIONS_OF_SHARE,
            });
        }
        let since = listed.iter().map(|listed| listed.edition.value.since).min();
        let since = since.ok_or_else(|| Refusal::unknown_share(group, share.name.as_str()))?;
        let edition = Edition {
            first: share.first,
            since,
            number: self.highest_number(share).saturating_add(1),
        };
        Ok(Register::new(version, edition))
    }

    /// The greatest number of a known version, so that no number is given again.
    fn highest_number(&self, share: &ShareKey) -> u32 {
        #[cfg(test)]
        if REUSES_NUMBERS.get() {
            let newest = self.index.catalogue.versions(share).next_back();
            let newest = newest.and_then(|id| self.share_row(id));
            return newest.map_or(0, |newest| newest.edition.value.number);
        }
        self.index.catalogue.highest_number(share)
    }

    /// Checks that `actor`, who may publish in the group, owns the group or has published a version
    /// of the share. Withdrawn versions count.
    ///
    /// # Errors
    /// [`Refusal::NotPublisher`].
    pub(super) fn check_may_change(
        &self,
        actor: RowId,
        group: &Label,
        share: &ShareKey,
    ) -> Result<(), Refusal> {
        let has_published = self.index.catalogue.has_published(share, actor);
        match has_published || self.role_of(share.group, actor) == Some(Role::Owner) {
            true => Ok(()),
            false => Err(Refusal::NotPublisher {
                group: group.clone(),
                share: self.index.catalogue.share_name(share),
            }),
        }
    }

    /// What a name in the catalogue of the group `id`, which is called `group`, means.
    ///
    /// # Errors
    /// [`Refusal::UnknownShare`].
    pub(super) fn found_in(&self, id: RowId, group: &Label, name: &str) -> Result<Found, Refusal> {
        let found = self.index.catalogue.find(id, name);
        found.ok_or_else(|| Refusal::unknown_share(group, name))
    }

    /// The share that was found, or whose version was found.
    pub(super) fn share_of(&self, found: &Found) -> Option<ShareKey> {
        match found {
            Found::Version(id) => self.share_row(*id).map(Share::key),
            Found::Share(share) => Some(share.clone()),
        }
    }

    /// The row of what was found: of a share, the row of its newest version.
    pub(super) fn newest_of(&self, found: &Found) -> Option<RowId> {
        match found {
            Found::Version(id) => Some(*id),
            Found::Share(share) => self.index.catalogue.versions(share).next_back(),
        }
    }

    /// Whether the version that was found has this info-hash, or a listed version of the share.
    pub(super) fn has_content(&self, found: &Found, info_hash: InfoHash) -> bool {
        #[cfg(test)]
        if WITHDRAWS_ANYTHING.get() {
            return true;
        }
        let has_it = |id| {
            self.share_row(id)
                .is_some_and(|row| row.info_hash == info_hash)
        };
        match found {
            Found::Version(id) => has_it(*id),
            Found::Share(share) => self.index.catalogue.versions(share).any(has_it),
        }
    }

    /// If the withdrawal of what this name means in the catalogue of a group needs several writes,
    /// the oldest version that does not fit into the next write. `None` if one write is enough.
    pub fn step_of_withdrawal(&self, group: &Label, name: &str) -> Option<RowId> {
        let found = self.index.catalogue.find(self.group_id(group).ok()?, name);
        let Found::Share(share) = found? else {
            return None;
        };
        let mut versions = self.index.catalogue.versions(&share);
        versions.nth(MAX_WITHDRAWN_TOGETHER)
    }

    /// The write with which `by` withdraws a version, or all known versions of a share. If these
    /// are too many for one write, withdraws the oldest ones. A version with the info-hash `seen`
    /// is then left to the last write, which asks for it again.
    pub(super) fn withdrawal(
        &self,
        found: &Found,
        by: RowId,
        seen: Option<InfoHash>,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let (ids, action, subject): (Vec<RowId>, _, _) = match found {
            Found::Version(id) => (vec![*id], AuditAction::WithdrewVersion, *id),
            Found::Share(share) => {
                let ids = self.index.catalogue.versions(share).collect();
                (ids, AuditAction::Withdrew, share.first)
            }
        };
        let version = self.next_version(now);
        let mut rows: Vec<&Share> = ids.iter().filter_map(|id| self.share_row(*id)).collect();
        if rows.len() > MAX_WITHDRAWN_TOGETHER {
            let is_seen = |row: &&Share| Some(row.info_hash) == seen;
            if let Some(at) = rows.iter().rposition(is_seen) {
                let last = rows.remove(at);
                rows.push(last);
            }
            rows.truncate(MAX_WITHDRAWN_TOGETHER);
        }
        let group = rows.first().map(|row| row.group);
        let withdrawn = rows.into_iter().map(|row| row.withdrawn_by(by, version));
        let update = self.write(version, &[], withdrawn.map(Row::Share))?;
        Ok(update.of_action((action, Some(subject), group)))
    }
}
