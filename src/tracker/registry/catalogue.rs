//! The catalogues: the shares of each group, their versions and their names.
//!
//! A version of a share is listed from its publication until a publisher of the share or an owner
//! of its group withdraws it. A share is listed while a version of it is. All this is only seen if
//! the group has members. The module `group_catalogue` explains the names.

use super::{GroupCatalogue, RowId, Share, ShareCursor, ShareKey, VersionPlace};
use crate::torrent::{FileName, InfoHash};
use std::collections::{BTreeSet, HashMap};

/// What a name in a catalogue refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A share. Who wants one version of it gets the newest.
    Share(ShareKey),
    /// The row of a certain version.
    Version(RowId),
}

/// All versions by group, share and number, and the listed ones by info-hash.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    groups: HashMap<RowId, GroupCatalogue>,
    swarms: HashMap<InfoHash, BTreeSet<RowId>>,
    /// All versions by info-hash, also those that are not listed.
    all_by_swarm: BTreeSet<(InfoHash, RowId)>,
    /// The versions that are not withdrawn, each with its publisher before it: also those that are
    /// not listed, because the publisher was removed.
    publishers: BTreeSet<(RowId, RowId)>,
}

impl Catalogue {
    /// Updates the catalogue for a row that was inserted or changed, or that is now listed or no
    /// longer listed. `before` is its previous state.
    pub(super) fn update(&mut self, before: Option<&Share>, share: &Share, is_listed: bool) {
        if let Some(before) = before {
            self.remove(before);
        }
        let group = self.groups.entry(share.group).or_default();
        group.add(share, is_listed);
        self.all_by_swarm.insert((share.info_hash, share.id));
        if is_listed {
            let swarm = self.swarms.entry(share.info_hash).or_default();
            swarm.insert(share.id);
        }
    }

    fn remove(&mut self, share: &Share) {
        if let Some(group) = self.groups.get_mut(&share.group) {
            group.remove(share);
        }
        if let Some(swarm) = self.swarms.get_mut(&share.info_hash) {
            swarm.remove(&share.id);
            if swarm.is_empty() {
                self.swarms.remove(&share.info_hash);
            }
        }
    }

    /// Records whose version it is, or forgets it if the version is withdrawn.
    pub(super) fn note_publisher(&mut self, share: &Share) {
        let entry = (share.publisher, share.id);
        match share.withdrawn {
            None => self.publishers.insert(entry),
            Some(_) => self.publishers.remove(&entry),
        };
    }

    /// The versions of a publisher that are not withdrawn.
    pub(super) fn of_publisher(&self, publisher: RowId) -> impl Iterator<Item = RowId> {
        let (first, last) = (RowId([0; 16]), RowId([u8::MAX; 16]));
        let shares = self
            .publishers
            .range((publisher, first)..=(publisher, last));
        shares.map(|(_, share)| *share)
    }

    /// The share that holds a name in a group.
    pub(super) fn holder(&self, group: RowId, name: &FileName) -> Option<ShareKey> {
        let first = self.groups.get(&group)?.holder(name)?;
        let name = name.clone();
        Some(ShareKey { group, name, first })
    }

    /// The number of listed shares of a group.
    pub(super) fn share_count(&self, group: RowId) -> usize {
        let group = self.groups.get(&group);
        group.map_or(0, GroupCatalogue::share_count)
    }

    /// The name of a share in the catalogue, without the number of a version.
    pub(super) fn share_name(&self, share: &ShareKey) -> String {
        let group = self.groups.get(&share.group);
        group.map_or_else(
            || share.name.as_str().to_owned(),
            |group| group.share_name(&share.name, share.first),
        )
    }

    /// The name by which a version can be requested, with its number. `None` if it is not listed,
    /// or if each such name is the whole name of a share.
    pub(super) fn version_name(&self, share: &Share) -> Option<String> {
        self.groups.get(&share.group)?.version_name(share)
    }

    /// The listed versions of a share, the newest last.
    pub(super) fn versions(&self, share: &ShareKey) -> impl DoubleEndedIterator<Item = RowId> {
        let group = self.groups.get(&share.group).into_iter();
        group.flat_map(|group| group.versions(&share.name, share.first))
    }

    /// Whether the account or machine published a version of the share. Withdrawn ones count.
    pub(super) fn has_published(&self, share: &ShareKey, publisher: RowId) -> bool {
        let group = self.groups.get(&share.group);
        group.is_some_and(|group| group.has_published(&share.name, share.first, publisher))
    }

    /// The greatest number of a known version of a share, also of one that is not listed.
    pub(super) fn highest_number(&self, share: &ShareKey) -> u32 {
        let group = self.groups.get(&share.group);
        group.map_or(0, |group| group.highest_number(&share.name, share.first))
    }

    /// The newest versions of up to `limit` shares of a group after a cursor, sorted by name, and
    /// the cursor of the next page.
    pub(super) fn page(
        &self,
        group: RowId,
        after: Option<&ShareCursor>,
        limit: usize,
    ) -> (Vec<RowId>, Option<ShareCursor>) {
        let group = self.groups.get(&group);
        group.map_or((Vec::new(), None), |group| group.page(after, limit))
    }

    /// Up to `limit` versions of the shares of a group after a place, sorted by name, share and
    /// number, and the cursor of the next page.
    pub(super) fn version_page(
        &self,
        group: RowId,
        after: Option<VersionPlace>,
        limit: usize,
    ) -> (Vec<RowId>, Option<ShareCursor>) {
        let group = self.groups.get(&group);
        group.map_or((Vec::new(), None), |group| group.version_page(after, limit))
    }

    /// The versions of a swarm that are listed, also those of groups without members.
    pub(super) fn of_swarm(&self, info_hash: &InfoHash) -> impl Iterator<Item = RowId> {
        self.swarms.get(info_hash).into_iter().flatten().copied()
    }

    /// All versions of a swarm, also those that are not listed.
    pub(super) fn all_of_swarm(&self, info_hash: InfoHash) -> impl Iterator<Item = RowId> {
        let (first, last) = (RowId([0; 16]), RowId([u8::MAX; 16]));
        let versions = self
            .all_by_swarm
            .range((info_hash, first)..=(info_hash, last));
        versions.map(|(_, id)| *id)
    }

    /// What a name in the catalogue of a group refers to.
    pub(super) fn find(&self, group: RowId, text: &str) -> Option<Found> {
        let catalogue = self.groups.get(&group)?;
        if let Some((name, first)) = catalogue.find_share(text) {
            return Some(Found::Share(ShareKey { group, name, first }));
        }
        catalogue.find_version(text).map(Found::Version)
    }
}
