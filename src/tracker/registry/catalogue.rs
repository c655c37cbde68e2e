//! The catalogues: what each group shares, and under which names.
//!
//! A share stands from its publication until its publisher or the group's owner withdraws it, and is in reach while its
//! group has members. Of several shares of one name in a group, which only trackers that were apart can give, the earliest
//! holds the name; each other one is called `NAME~TAG`, TAG being the first 8 hex digits of its id.

use super::{IdError, Names, RowId, Share};
use crate::torrent::{FileName, InfoHash};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;

/// A place in a list of shares: right after a share, whether it still stands or not. Written `ID/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharePlace(FileName, RowId);

/// Text that is no place in a list of shares.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SharePlaceError {
    /// No `/` in it, or no name behind that.
    #[error("a place in a list of shares is written ID/NAME")]
    Shape,
    /// What stands before the `/` is no id.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl fmt::Display for SharePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.1, self.0.as_str())
    }
}

impl FromStr for SharePlace {
    type Err = SharePlaceError;

    fn from_str(text: &str) -> Result<Self, SharePlaceError> {
        let (id, name) = text.split_once('/').ok_or(SharePlaceError::Shape)?;
        let name = FileName::new(name).map_err(|_| SharePlaceError::Shape)?;
        Ok(Self(name, id.parse()?))
    }
}

/// The shares that stand, by group and name, and by swarm.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    groups: HashMap<RowId, Names<FileName>>,
    swarms: HashMap<InfoHash, BTreeSet<RowId>>,
}

impl Catalogue {
    pub(super) fn enter(&mut self, share: &Share) {
        let shares = self.groups.entry(share.group).or_default();
        shares.claim(&share.name, share.id, share.created.stamp);
        let swarm = self.swarms.entry(share.info_hash).or_default();
        swarm.insert(share.id);
    }

    pub(super) fn leave(&mut self, share: &Share) {
        if let Some(shares) = self.groups.get_mut(&share.group) {
            shares.release(&share.name, share.id);
        }
        if let Some(swarm) = self.swarms.get_mut(&share.info_hash) {
            swarm.remove(&share.id);
            if swarm.is_empty() {
                self.swarms.remove(&share.info_hash);
            }
        }
    }

    /// How the catalogue names a share.
    pub(super) fn shown(&self, share: &Share) -> String {
        let name = share.name.as_str().to_owned();
        match self.holder(share.group, &share.name) {
            Some(holder) if holder != share.id => format!("{name}~{}", tag(share.id)),
            _ => name,
        }
    }

    /// The share that holds a name in a group.
    pub(super) fn holder(&self, group: RowId, name: &FileName) -> Option<RowId> {
        self.groups.get(&group)?.holder(name)
    }

    /// Up to `limit` shares of a group after a place, sorted by name, and the place to go on from.
    pub(super) fn page(
        &self,
        group: RowId,
        after: Option<&SharePlace>,
        limit: usize,
    ) -> (Vec<RowId>, Option<SharePlace>) {
        let Some(shares) = self.groups.get(&group) else {
            return (Vec::new(), None);
        };
        let after = after.map(|SharePlace(name, id)| (name.clone(), *id));
        let mut listed = shares.from(after);
        let keys: Vec<_> = listed.by_ref().take(limit).collect();
        let next = listed.next().and(keys.last());
        let next = next.map(|(name, id)| SharePlace((*name).clone(), *id));
        (keys.into_iter().map(|(_, id)| id).collect(), next)
    }

    /// The shares that stand for a swarm.
    pub(super) fn of_swarm(&self, info_hash: &InfoHash) -> impl Iterator<Item = RowId> {
        self.swarms.get(info_hash).into_iter().flatten().copied()
    }

    /// Whom a name as the catalogue shows it means.
    pub(super) fn find(&self, group: RowId, shown: &str) -> Option<RowId> {
        let holder = FileName::new(shown).ok();
        if let Some(holder) = holder.and_then(|name| self.holder(group, &name)) {
            return Some(holder);
        }
        let (name, wanted) = shown.rsplit_once('~')?;
        let name = FileName::new(name).ok()?;
        self.groups.get(&group)?.only(&name, |id| tag(id) == wanted)
    }
}

fn tag(id: RowId) -> String {
    id.to_string().chars().take(8).collect()
}
