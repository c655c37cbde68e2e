//! The catalogue of one group: which share holds a name, and which version a name means.
//!
//! Two trackers that cannot reach each other may publish shares of one name in one group, and give
//! two versions of a share one number. The share that was published first then holds the name, and
//! the version that was published first holds the number, also when it is withdrawn. The others
//! have a tag in their names.
//!
//! | name | what it means |
//! |---|---|
//! | `NAME` | the newest version of the share that holds the name |
//! | `NAME~TAG` | the newest version of the share with this tag: 8 hex digits of its id |
//! | `NAME@N`, `NAME~TAG@N` | the version of that share that holds the number, if it is listed |
//! | `NAME@N~TAG`, `NAME~TAG@N~TAG` | the version with that number whose row has the last tag |

use super::{Counts, NameClaims, RowId, Share, ShareCursor, Stamp, VersionText};
use crate::torrent::FileName;
use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::RangeInclusive;

/// The place of a version in the catalogue of its group. Of two versions of one share, the newer
/// one has the greater place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VersionPlace {
    name: FileName,
    first: RowId,
    number: u32,
    created: Stamp,
    id: RowId,
}

/// The versions of the shares of one group.
#[derive(Debug, Default)]
pub(super) struct GroupCatalogue {
    /// The claims of all shares with a listed version.
    names: NameClaims<FileName>,
    /// The listed versions.
    listed: BTreeSet<VersionPlace>,
    /// The other versions: withdrawn, or of a removed publisher.
    unlisted: BTreeSet<VersionPlace>,
    /// For each listed version, its share and since when it says that the share claims its name.
    sinces: Counts<(FileName, RowId, Stamp)>,
    /// For each version, listed or not, its share and its publisher. So nobody has to look at all
    /// withdrawn versions of a share to find out who published one.
    publishers: Counts<(FileName, RowId, RowId)>,
}

impl VersionPlace {
    pub(super) fn of(share: &Share) -> Self {
        Self {
            name: share.name.clone(),
            first: share.edition.value.first,
            number: share.edition.value.number,
            created: share.created.stamp,
            id: share.id,
        }
    }

    /// Where a list of versions goes on after a cursor. `known` is the place of the version that
    /// the cursor names, if this tracker knows it. Otherwise, or if the version has another number
    /// here, all versions with that number are listed again: none may be left out.
    pub(super) fn after(cursor: &ShareCursor, known: Option<Self>) -> Self {
        let (name, first) = (&cursor.name, cursor.first);
        let Some((number, _)) = cursor.version else {
            return Self::greatest(name, first, u32::MAX);
        };
        let numbered = Self::numbered(name, first, number);
        let known = known.filter(|place| numbered.contains(place));
        known.unwrap_or_else(|| Self::least(name, first, number))
    }

    fn least(name: &FileName, first: RowId, number: u32) -> Self {
        Self {
            name: name.clone(),
            first,
            number,
            created: Stamp::EARLIEST,
            id: RowId([0; 16]),
        }
    }

    fn greatest(name: &FileName, first: RowId, number: u32) -> Self {
        Self {
            created: Stamp::LATEST,
            id: RowId([u8::MAX; 16]),
            ..Self::least(name, first, number)
        }
    }

    /// The places of all versions of a share.
    fn all(name: &FileName, first: RowId) -> RangeInclusive<Self> {
        Self::least(name, first, 0)..=Self::greatest(name, first, u32::MAX)
    }

    /// The places of all versions of a share with one number.
    fn numbered(name: &FileName, first: RowId, number: u32) -> RangeInclusive<Self> {
        Self::least(name, first, number)..=Self::greatest(name, first, number)
    }
}

impl GroupCatalogue {
    pub(super) fn add(&mut self, share: &Share, is_listed: bool) {
        let place = VersionPlace::of(share);
        let is_new = match is_listed {
            true => self.listed.insert(place),
            false => self.unlisted.insert(place),
        };
        if is_new {
            self.publishers.add(publisher_entry(share));
        }
        if is_new && is_listed {
            self.sinces.add(since_entry(share));
        }
        self.update_claim(share);
    }

    /// Removes a version, if it was added.
    pub(super) fn remove(&mut self, share: &Share) {
        let place = VersionPlace::of(share);
        let was_listed = self.listed.remove(&place);
        if was_listed {
            self.sinces.remove(&since_entry(share));
        }
        if self.unlisted.remove(&place) || was_listed {
            self.publishers.remove(&publisher_entry(share));
        }
        self.update_claim(share);
    }

    /// The claim of a share is the earliest one of its listed versions.
    fn update_claim(&mut self, share: &Share) {
        let (name, first) = (&share.name, share.edition.value.first);
        let entry = |since| (name.clone(), first, since);
        let all = entry(Stamp::EARLIEST)..=entry(Stamp::LATEST);
        match self.sinces.first_in(all) {
            Some((_, _, since)) => self.names.claim(name, first, *since),
            None => self.names.release(name, first),
        }
    }

    /// Whether the account or machine published a version of the share. Withdrawn ones count.
    pub(super) fn has_published(&self, name: &FileName, first: RowId, publisher: RowId) -> bool {
        self.publishers.contains(&(name.clone(), first, publisher))
    }

    /// The number of shares with a listed version.
    pub(super) fn share_count(&self) -> usize {
        self.names.count()
    }

    pub(super) fn holder(&self, name: &FileName) -> Option<RowId> {
        self.names.holder(name)
    }

    pub(super) fn versions(
        &self,
        name: &FileName,
        first: RowId,
    ) -> impl DoubleEndedIterator<Item = RowId> + use<'_> {
        let listed = self.listed.range(VersionPlace::all(name, first));
        listed.map(|place| place.id)
    }

    pub(super) fn highest_number(&self, name: &FileName, first: RowId) -> u32 {
        let listed = self.listed.range(VersionPlace::all(name, first));
        let listed = listed.map(|place| place.number).next_back();
        let unlisted = self.unlisted.range(VersionPlace::all(name, first));
        let unlisted = unlisted.map(|place| place.number).next_back();
        listed.max(unlisted).unwrap_or(0)
    }

    pub(super) fn page(
        &self,
        after: Option<&ShareCursor>,
        limit: usize,
    ) -> (Vec<RowId>, Option<ShareCursor>) {
        let after = after.map(|after| (after.name.clone(), after.first));
        let mut shares = self.names.entries_after(after);
        let keys: Vec<_> = shares.by_ref().take(limit).collect();
        let next = shares.next().and(keys.last());
        let next = next.map(|&(name, first)| ShareCursor {
            name: name.clone(),
            first,
            version: None,
        });
        let newest = |(name, first)| self.versions(name, first).next_back();
        (keys.into_iter().filter_map(newest).collect(), next)
    }

    pub(super) fn version_page(
        &self,
        after: Option<VersionPlace>,
        limit: usize,
    ) -> (Vec<RowId>, Option<ShareCursor>) {
        let start = after.map_or(Unbounded, Excluded);
        let mut listed = self.listed.range((start, Unbounded));
        let places: Vec<&VersionPlace> = listed.by_ref().take(limit).collect();
        let next = listed.next().and(places.last());
        let next = next.map(|place| ShareCursor {
            name: place.name.clone(),
            first: place.first,
            version: Some((place.number, place.id)),
        });
        (places.into_iter().map(|place| place.id).collect(), next)
    }

    /// The share that a name means, without the number of a version. A name may itself end like a
    /// tag or a number, so the text is first taken as a whole name.
    pub(super) fn find_share(&self, text: &str) -> Option<(FileName, RowId)> {
        let whole = FileName::new(text).ok();
        let whole = whole.and_then(|name| Some((self.holder(&name)?, name)));
        if let Some((first, name)) = whole {
            return Some((name, first));
        }
        let (name, wanted) = text.rsplit_once('~')?;
        let name = FileName::new(name).ok()?;
        let first = self.names.only_match(&name, |id| tag(id) == wanted)?;
        Some((name, first))
    }

    /// The row of the version that a name with a number means.
    pub(super) fn find_version(&self, text: &str) -> Option<RowId> {
        let VersionText {
            share,
            number,
            tag: wanted,
        } = VersionText::parse(text)?;
        let (name, first) = self.find_share(share)?;
        let numbered = VersionPlace::numbered(&name, first, number);
        let mut listed = self.listed.range(numbered.clone());
        let Some(wanted) = wanted else {
            // An unlisted version keeps its number, so that `NAME@N` never means another one.
            let unlisted = self.unlisted.range(numbered).next();
            let holds_number = |place: &&VersionPlace| unlisted.is_none_or(|it| *place < it);
            return listed.next().filter(holds_number).map(|place| place.id);
        };
        let matching = listed.map(|place| place.id);
        let mut matching = matching.filter(|id| tag(*id) == wanted);
        match (matching.next(), matching.next()) {
            (Some(id), None) => Some(id),
            _ => None,
        }
    }

    pub(super) fn share_name(&self, name: &FileName, first: RowId) -> String {
        match self.holder(name) {
            Some(holder) if holder != first => tagged(name, first),
            _ => name.as_str().to_owned(),
        }
    }

    /// The shortest name that means this version; `None` if it is not listed. A share that an
    /// earlier version of the program published may have a whole name like `NAME@N`; so each name
    /// is tried. `None` too if all names of the version are whole names of shares.
    pub(super) fn version_name(&self, share: &Share) -> Option<String> {
        self.listed.get(&VersionPlace::of(share))?;
        let (name, first, number) = (
            &share.name,
            share.edition.value.first,
            share.edition.value.number,
        );
        let plain = format!("{}@{number}", self.share_name(name, first));
        let with_share_tag = format!("{}@{number}", tagged(name, first));
        let tag = tag(share.id);
        let with_both_tags = format!("{with_share_tag}~{tag}");
        let with_tag = format!("{plain}~{tag}");
        let means_it = |text: &String| {
            self.find_share(text).is_none() && self.find_version(text) == Some(share.id)
        };
        let names = [plain, with_tag, with_share_tag, with_both_tags];
        names.into_iter().find(means_it)
    }
}

fn since_entry(share: &Share) -> (FileName, RowId, Stamp) {
    let edition = &share.edition.value;
    (share.name.clone(), edition.first, edition.since)
}

fn publisher_entry(share: &Share) -> (FileName, RowId, RowId) {
    (
        share.name.clone(),
        share.edition.value.first,
        share.publisher,
    )
}

fn tagged(name: &FileName, id: RowId) -> String {
    format!("{}~{}", name.as_str(), tag(id))
}

fn tag(id: RowId) -> String {
    id.to_string().chars().take(8).collect()
}
