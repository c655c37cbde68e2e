//! The catalogues: the shares of each group and their names.
//!
//! A share is in the catalogue from its publication until its publisher or an owner of its group
//! withdraws it. It is listed only if the group has members. Two trackers that cannot reach each
//! other may publish shares of the same name in one group. The share that was published first then
//! holds the name. Every other share of the name is listed as `NAME~TAG`, where TAG is the first 8
//! hex digits of its id.

use super::{IdError, NameClaims, RowId, Share};
use crate::torrent::{FileName, InfoHash};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;

/// A position in a list of shares: right after a share, which may have been withdrawn since.
/// Written as `ID/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareCursor(FileName, RowId);

/// The text is not a cursor of a list of shares.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareCursorError {
    /// There is no `/`, or no valid file name after it.
    #[error("a position in a list of shares must have the form ID/NAME")]
    Shape,
    /// The part before the `/` is not an id.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl fmt::Display for ShareCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.1, self.0.as_str())
    }
}

impl FromStr for ShareCursor {
    type Err = ShareCursorError;

    fn from_str(text: &str) -> Result<Self, ShareCursorError> {
        let (id, name) = text.split_once('/').ok_or(ShareCursorError::Shape)?;
        let name = FileName::new(name).map_err(|_| ShareCursorError::Shape)?;
        Ok(Self(name, id.parse()?))
    }
}

/// The shares that are not withdrawn, by group and name, and by info-hash.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    groups: HashMap<RowId, NameClaims<FileName>>,
    swarms: HashMap<InfoHash, BTreeSet<RowId>>,
    /// The shares that are not withdrawn, each with its publisher before it: also those that are
    /// not listed, because the publisher was removed.
    publishers: BTreeSet<(RowId, RowId)>,
}

impl Catalogue {
    pub(super) fn add(&mut self, share: &Share) {
        let shares = self.groups.entry(share.group).or_default();
        shares.claim(&share.name, share.id, share.created.stamp);
        let swarm = self.swarms.entry(share.info_hash).or_default();
        swarm.insert(share.id);
    }

    pub(super) fn remove(&mut self, share: &Share) {
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

    /// Records whose share it is, or forgets it if the share is withdrawn.
    pub(super) fn note_publisher(&mut self, share: &Share) {
        let entry = (share.publisher, share.id);
        match share.withdrawn {
            None => self.publishers.insert(entry),
            Some(_) => self.publishers.remove(&entry),
        };
    }

    /// The shares of a publisher that are not withdrawn.
    pub(super) fn of_publisher(&self, publisher: RowId) -> impl Iterator<Item = RowId> {
        let (first, last) = (RowId([0; 16]), RowId([u8::MAX; 16]));
        let shares = self
            .publishers
            .range((publisher, first)..=(publisher, last));
        shares.map(|(_, share)| *share)
    }

    /// The name of a share in the catalogue.
    pub(super) fn display_name(&self, share: &Share) -> String {
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

    /// The number of shares of a group.
    pub(super) fn share_count(&self, group: RowId) -> usize {
        self.groups.get(&group).map_or(0, NameClaims::count)
    }

    /// Up to `limit` shares of a group after a cursor, sorted by name, and the cursor of the next
    /// page.
    pub(super) fn page(
        &self,
        group: RowId,
        after: Option<&ShareCursor>,
        limit: usize,
    ) -> (Vec<RowId>, Option<ShareCursor>) {
        let Some(shares) = self.groups.get(&group) else {
            return (Vec::new(), None);
        };
        let after = after.map(|ShareCursor(name, id)| (name.clone(), *id));
        let mut listed = shares.entries_after(after);
        let keys: Vec<_> = listed.by_ref().take(limit).collect();
        let next = listed.next().and(keys.last());
        let next = next.map(|(name, id)| ShareCursor((*name).clone(), *id));
        (keys.into_iter().map(|(_, id)| id).collect(), next)
    }

    /// The shares of a swarm that are not withdrawn, also those of groups without members.
    pub(super) fn of_swarm(&self, info_hash: &InfoHash) -> impl Iterator<Item = RowId> {
        self.swarms.get(info_hash).into_iter().flatten().copied()
    }

    /// The share that a name from the catalogue refers to, with or without a tag.
    pub(super) fn find(&self, group: RowId, shown: &str) -> Option<RowId> {
        // A name may itself end like a tag, so the text is first taken as a whole name.
        let whole = FileName::new(shown).ok();
        if let Some(holder) = whole.and_then(|name| self.holder(group, &name)) {
            return Some(holder);
        }
        let (name, wanted) = shown.rsplit_once('~')?;
        let name = FileName::new(name).ok()?;
        self.groups
            .get(&group)?
            .only_match(&name, |id| tag(id) == wanted)
    }
}

fn tag(id: RowId) -> String {
    id.to_string().chars().take(8).collect()
}
