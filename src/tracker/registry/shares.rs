//! Operations on shares, and queries about them.

use super::{
    Edition, GroupKey, Label, MAX_PAGE, Machine, Refusal, Registry, Role, Row, RowId, Share,
    ShareCursor, Stamp, Update, VersionPlace, VersionText, millis,
};
use crate::torrent::{FileName, InfoHash};
use crate::wire::machine::SubjectLabel;
use crate::wire::note::Note;
use std::cmp::Reverse;
use std::time::Duration;

/// The arguments of [`Registry::publish`].
#[derive(Clone, Debug)]
pub struct NewShare {
    /// A new id: random, or derived from the random id of a write.
    pub id: RowId,
    /// Its name.
    pub name: FileName,
    /// The info-hash of its swarm.
    pub info_hash: InfoHash,
    /// Its length in bytes.
    pub length: u64,
    /// What the publisher says about it.
    pub note: Option<Note>,
    /// Whether it may become the next version of the share that holds its name.
    pub is_update: bool,
}

/// A share, or a version of a share, in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareView {
    /// Its name in the catalogue. In a list of versions with the number.
    pub name: String,
    /// The number of the version; in a list of shares: of the newest version.
    pub number: u32,
    /// The number of versions of the share that are listed.
    pub versions: u32,
    /// What the publisher says about it.
    pub note: Option<Note>,
    /// The info-hash of its swarm.
    pub info_hash: InfoHash,
    /// Its length in bytes.
    pub length: u64,
    /// The name of its publisher; `None` until its rows have arrived from another tracker.
    pub publisher: Option<SubjectLabel>,
    /// When it was published.
    pub at: Stamp,
}

/// An account or a machine that has left a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerMember {
    /// The account or the machine.
    pub account: RowId,
    /// Its name; `None` until its rows have arrived from another tracker.
    pub label: Option<SubjectLabel>,
    /// The latest end or acceptance of a membership of the account in the group. The end of a
    /// request counts too. For a machine: its latest end, suspension or answer.
    pub at: Stamp,
    /// Whether the account is a member again.
    pub is_back: bool,
}

impl Registry {
    /// Adds a share to the catalogue of a group. If a share holds its name, and the new one is an
    /// update, then it becomes the next version of that share.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`],
    /// [`Refusal::NotPublishing`], [`Refusal::ShareExists`], [`Refusal::ShareUnchanged`],
    /// [`Refusal::NotPublisher`], [`Refusal::TooManyVersions`], [`Refusal::IdInUse`];
    /// [`Refusal::NumberedName`] if the name of a new share could mean a version of another share;
    /// [`Refusal::NameOfOther`] if it means another share now.
    pub fn publish(
        &self,
        actor: RowId,
        group: &Label,
        new: NewShare,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let group_id = self.group_with_role(actor, group, Role::Publisher)?;
        let version = self.next_version(now);
        let edition = match self.index.catalogue.holder(group_id, &new.name) {
            None => {
                check_is_no_version(&new.name)?;
                self.check_means_nothing(group_id, &new.name)?;
                Edition::first(new.id, version)
            }
            Some(share) if new.is_update => {
                self.next_edition(actor, group, &share, (new.info_hash, version))?
            }
            Some(_) => {
                return Err(Refusal::ShareExists {
                    group: group.clone(),
                    share: new.name.as_str().to_owned(),
                });
            }
        };
        let share = Share {
            id: new.id,
            group: group_id,
            publisher: actor,
            created: version,
            name: new.name,
            info_hash: new.info_hash,
            length: new.length,
            note: new.note,
            edition,
            withdrawn: None,
        };
        self.write(version, &[new.id], [Row::Share(share)])
    }

    /// Checks that the name of a new share means nothing in a catalogue now. A whole name comes
    /// first, so the new share would take the place of a share that needs a tag in its name.
    fn check_means_nothing(&self, group: RowId, name: &FileName) -> Result<(), Refusal> {
        match self.index.catalogue.find(group, name.as_str()) {
            None => Ok(()),
            Some(_) => Err(Refusal::NameOfOther(name.as_str().to_owned())),
        }
    }

    /// Removes a share with all its versions, or one version, from the catalogue of a group. `seen`
    /// is the info-hash of the version that the person who withdraws has seen under this name; of a
    /// share, that of its newest version. The name may mean something else here. If
    /// [`Registry::step_of_withdrawal`] returns a version, removes only some of the versions.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`],
    /// [`Refusal::NotPublishing`]; [`Refusal::OtherShare`] if the name means nothing here, the
    /// named version has another info-hash, or no listed version of the named share has this one;
    /// [`Refusal::NotPublisher`] if `actor` neither published a version of the share nor owns the
    /// group.
    pub fn withdraw(
        &self,
        actor: RowId,
        group: &Label,
        share: &str,
        seen: InfoHash,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let id = self.group_with_role(actor, group, Role::Publisher)?;
        // The peer has seen this content under this name, perhaps at another tracker. So it must
        // not take a name that means nothing here for a share that is no longer listed.
        let found = self.index.catalogue.find(id, share);
        let found = found.filter(|found| self.has_content(found, seen));
        let found = found.and_then(|found| Some((self.share_of(&found)?, found)));
        let (key, found) = found.ok_or_else(|| Refusal::OtherShare {
            group: group.clone(),
            share: share.to_owned(),
        })?;
        self.check_may_change(actor, group, &key)?;
        self.withdrawal(&found, actor, Some(seen), now)
    }

    /// The version that this name in the catalogue means: of a share the newest one. Only members
    /// may ask.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`],
    /// [`Refusal::UnknownShare`].
    pub fn share(&self, actor: RowId, group: &Label, share: &str) -> Result<&Share, Refusal> {
        let id = self.group_as_member(actor, group)?;
        let found = self.found_in(id, group, share)?;
        let found = self.newest_of(&found).and_then(|id| self.share_row(id));
        found.ok_or_else(|| Refusal::unknown_share(group, share))
    }

    /// The name by which a version can be requested, with its number. `None` if it is not listed,
    /// or if each such name is the whole name of a share.
    pub fn version_name(&self, share: &Share) -> Option<String> {
        self.index.catalogue.version_name(share)
    }

    /// The name of the share of a version in the catalogue, without a number.
    pub fn share_name(&self, share: &Share) -> String {
        self.index.catalogue.share_name(&share.key())
    }

    /// A page of the catalogue of a group, sorted by name: the newest version of each share. Only
    /// members may ask.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`].
    pub fn shares(
        &self,
        actor: RowId,
        group: &Label,
        after: Option<&ShareCursor>,
        limit: usize,
    ) -> Result<(Vec<ShareView>, Option<ShareCursor>), Refusal> {
        let group = self.group_as_member(actor, group)?;
        let limit = limit.clamp(1, MAX_PAGE);
        let (ids, next) = self.index.catalogue.page(group, after, limit);
        Ok((
            self.share_views(ids, |share| Some(self.share_name(share))),
            next,
        ))
    }

    /// A page of all listed versions in the catalogue of a group, sorted by name, share and number.
    /// Only members may ask.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`].
    pub fn share_versions(
        &self,
        actor: RowId,
        group: &Label,
        after: Option<&ShareCursor>,
        limit: usize,
    ) -> Result<(Vec<ShareView>, Option<ShareCursor>), Refusal> {
        let group = self.group_as_member(actor, group)?;
        let limit = limit.clamp(1, MAX_PAGE);
        let catalogue = &self.index.catalogue;
        let after = after.map(|after| {
            let known = after.version.and_then(|(_, id)| self.share_row(id));
            let known = known.filter(|row| row.group == group);
            VersionPlace::after(after, known.map(VersionPlace::of))
        });
        let (ids, next) = catalogue.version_page(group, after, limit);
        let name = |share: &Share| catalogue.version_name(share);
        Ok((self.share_views(ids, name), next))
    }

    /// A group that lists the swarm and has `account` as a member. Without such a group the account
    /// may not take part in the swarm.
    pub fn group_for_swarm(&self, account: RowId, info_hash: InfoHash) -> Option<RowId> {
        let is_member = |group| self.role_of(group, account).is_some();
        self.groups_of_swarm(&info_hash)
            .find(|group| is_member(*group))
    }

    /// [`Registry::group_for_swarm`] for each of several swarms. Fast if consecutive swarms belong
    /// to the same group.
    pub fn groups_for_swarms(
        &self,
        account: RowId,
        info_hashes: impl Iterator<Item = InfoHash>,
    ) -> Vec<Option<RowId>> {
        let mut last_checked: Option<(RowId, bool)> = None;
        let mut is_member = |group| match last_checked {
            Some((checked, is_member)) if checked == group => is_member,
            _ => {
                let is_member = self.role_of(group, account).is_some();
                last_checked = Some((group, is_member));
                is_member
            }
        };
        let groups = info_hashes.map(|info_hash| {
            let mut groups = self.groups_of_swarm(&info_hash);
            groups.find(|group| is_member(*group))
        });
        groups.collect()
    }

    /// The groups that list the swarm.
    pub fn groups_of_swarm(&self, info_hash: &InfoHash) -> impl Iterator<Item = RowId> {
        let shares = self.index.catalogue.of_swarm(info_hash);
        shares.filter_map(|id| Some(self.share_row(id)?.group))
    }

    /// Whether `account` published a share of the swarm. Withdrawn shares do not count.
    pub fn is_publisher(&self, account: RowId, info_hash: InfoHash) -> bool {
        let shares = self.index.catalogue.of_swarm(&info_hash);
        let mut shares = shares.filter_map(|id| self.share_row(id));
        shares.any(|share| share.publisher == account)
    }

    /// Whether any group that has members lists the swarm.
    pub fn is_shared(&self, info_hash: InfoHash) -> bool {
        let mut shares = self.index.catalogue.of_swarm(&info_hash);
        shares.any(|id| {
            let group = self.share_row(id).map(|share| share.group);
            group.is_some_and(|group| self.owner(group).is_some())
        })
    }

    /// The accounts and machines that have left a group, also those that are members again, if
    /// their latest end or acceptance was at the time `since` (counted from 1970) or later. At most
    /// `limit`: first the accounts, then the machines, the latest first. So machines never push out
    /// an account.
    pub fn former_members_since(
        &self,
        group: RowId,
        since: Duration,
        limit: usize,
    ) -> Vec<FormerMember> {
        let members = self.index.members.get(&group).into_iter();
        let departures = members.flat_map(|members| members.departures_since(millis(since)));
        let former = departures.map(|(account, departure)| FormerMember {
            account,
            label: self.label_of_any(account).map(SubjectLabel::from),
            at: departure.at,
            is_back: departure.is_member,
        });
        let mut former: Vec<FormerMember> = former.take(limit).collect();
        let mut machines: Vec<(Stamp, &Machine)> = self
            .machines_in(group)
            .filter_map(|machine| Some((self.machine_departure(group, machine)?, machine)))
            .filter(|(at, _)| at.wall() >= millis(since))
            .collect();
        machines.sort_by_key(|(at, machine)| Reverse((at.wall(), machine.id)));
        machines.truncate(limit.saturating_sub(former.len()));
        former.extend(machines.into_iter().map(|(at, machine)| FormerMember {
            account: machine.id,
            label: self.label_of_machine(machine.id).map(SubjectLabel::from),
            at,
            is_back: self.role_of_machine(group, machine).is_some(),
        }));
        former
    }

    /// The key of a group's authority. Only members may ask.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`].
    pub fn group_key(&self, actor: RowId, group: &Label) -> Result<&GroupKey, Refusal> {
        let id = self.group_as_member(actor, group)?;
        match self.row(id) {
            Some(Row::Group(row)) => Ok(&row.key),
            _ => Err(Refusal::UnknownGroup(group.clone())),
        }
    }

    pub(super) fn share_row(&self, id: RowId) -> Option<&Share> {
        match self.row(id) {
            Some(Row::Share(row)) => Some(row),
            _ => None,
        }
    }

    /// The views of rows that have a name. Rows of one share are adjacent.
    fn share_views(
        &self,
        ids: Vec<RowId>,
        name: impl Fn(&Share) -> Option<String>,
    ) -> Vec<ShareView> {
        let mut counted = None;
        let shares = ids.into_iter().filter_map(|id| self.share_row(id));
        let views = shares.filter_map(|share| {
            let key = share.key();
            let count = match &counted {
                Some((last, count)) if *last == key => *count,
                _ => self.index.catalogue.versions(&key).count(),
            };
            counted = Some((key, count));
            Some(ShareView {
                name: name(share)?,
                number: share.edition.value.number,
                versions: u32::try_from(count).unwrap_or(u32::MAX),
                note: share.note.clone(),
                info_hash: share.info_hash,
                length: share.length,
                publisher: self.subject_label(share.publisher),
                at: share.created.stamp,
            })
        });
        views.collect()
    }
}

/// Checks that the name of a new share cannot mean a version of another share. A whole name comes
/// first, so the new share would take the place of that version.
fn check_is_no_version(name: &FileName) -> Result<(), Refusal> {
    match VersionText::parse(name.as_str()) {
        None => Ok(()),
        Some(version) => Err(Refusal::NumberedName {
            name: name.as_str().to_owned(),
            share: version.share.to_owned(),
            number: version.number,
        }),
    }
}
