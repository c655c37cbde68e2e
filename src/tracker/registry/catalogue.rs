//! The catalogues: what each group shares, and under which names.
//!
//! A share stands from its publication until its publisher or the group's owner withdraws it, and is in reach while its
//! group has members. Of several shares of one name in a group, which only trackers that were apart can give, the earliest
//! holds the name; each other one is called `NAME~TAG`, TAG being the first 8 hex digits of its id.

use super::id::{IdError, RowId};
use super::name::Label;
use super::queries::{MAX_PAGE, Standing};
use super::register::Register;
use super::replication::Update;
use super::row::{Row, Share};
use super::secret::GroupKey;
use super::stamp::{Stamp, millis};
use super::{Refusal, Registry};
use crate::torrent::{FileName, InfoHash};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};
use std::str::FromStr;
use std::time::Duration;

/// A share to be published.
#[derive(Clone, Debug)]
pub struct NewShare {
    /// A random id.
    pub id: RowId,
    /// Its name.
    pub name: FileName,
    /// Its swarm.
    pub info_hash: InfoHash,
    /// Its length in bytes.
    pub length: u64,
}

/// A share in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareView {
    /// How it is named.
    pub name: String,
    /// Its swarm.
    pub info_hash: InfoHash,
    /// Its length in bytes.
    pub length: u64,
    /// How its publisher is named; none while that account has not arrived from another tracker.
    pub publisher: Option<Label>,
    /// When it was published.
    pub at: Stamp,
}

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
    groups: HashMap<RowId, BTreeMap<(FileName, RowId), Stamp>>,
    swarms: HashMap<InfoHash, BTreeSet<RowId>>,
}

impl Catalogue {
    pub(super) fn enter(&mut self, share: &Share) {
        let shares = self.groups.entry(share.group).or_default();
        shares.insert((share.name.clone(), share.id), share.created.stamp);
        let swarm = self.swarms.entry(share.info_hash).or_default();
        swarm.insert(share.id);
    }

    pub(super) fn leave(&mut self, share: &Share) {
        if let Some(shares) = self.groups.get_mut(&share.group) {
            shares.remove(&(share.name.clone(), share.id));
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

    fn holder(&self, group: RowId, name: &FileName) -> Option<RowId> {
        let named = self.named(group, name);
        named.min_by_key(|(id, at)| (*at, *id)).map(|(id, _)| id)
    }

    fn named(&self, group: RowId, name: &FileName) -> impl Iterator<Item = (RowId, Stamp)> {
        let all = (name.clone(), RowId([0; 16]))..=(name.clone(), RowId([u8::MAX; 16]));
        let shares = self.groups.get(&group).into_iter();
        shares
            .flat_map(move |shares| shares.range(all.clone()))
            .map(|((_, id), at)| (*id, *at))
    }

    /// Whom a name as the catalogue shows it means.
    fn find(&self, group: RowId, shown: &str) -> Option<RowId> {
        let holder = FileName::new(shown).ok();
        if let Some(holder) = holder.and_then(|name| self.holder(group, &name)) {
            return Some(holder);
        }
        let (name, wanted) = shown.rsplit_once('~')?;
        let name = FileName::new(name).ok()?;
        let mut tagged = self
            .named(group, &name)
            .filter(|(id, _)| tag(*id) == wanted);
        match (tagged.next(), tagged.next()) {
            (Some((id, _)), None) => Some(id),
            _ => None,
        }
    }
}

fn tag(id: RowId) -> String {
    id.to_string().chars().take(8).collect()
}

impl Registry {
    /// Puts a share into a group's catalogue.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`], [`Refusal::ShareExists`],
    /// [`Refusal::IdInUse`].
    pub fn publish(
        &self,
        actor: RowId,
        group: &Label,
        new: NewShare,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let group_id = self.member_of(actor, group)?;
        if self.index.catalogue.holder(group_id, &new.name).is_some() {
            return Err(Refusal::ShareExists {
                group: group.clone(),
                share: new.name.as_str().to_owned(),
            });
        }
        let version = self.next_version(now);
        let share = Share {
            id: new.id,
            group: group_id,
            publisher: actor,
            created: version,
            name: new.name,
            info_hash: new.info_hash,
            length: new.length,
            withdrawn: None,
        };
        self.write(version, &[new.id], [Row::Share(share)])
    }

    /// Takes a share off a group's catalogue.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`], [`Refusal::UnknownShare`],
    /// [`Refusal::NotPublisher`] to anybody but its publisher and the group's owner.
    pub fn withdraw(
        &self,
        actor: RowId,
        group: &Label,
        share: &str,
        now: Duration,
    ) -> Result<Update, Refusal> {
        let found = self.share(actor, group, share)?;
        if found.publisher != actor && self.index.owner(found.group) != Some(actor) {
            return Err(Refusal::NotPublisher {
                group: group.clone(),
                share: share.to_owned(),
            });
        }
        let version = self.next_version(now);
        let share = Share {
            withdrawn: Some(Register {
                version,
                value: actor,
            }),
            ..found.clone()
        };
        self.write(version, &[], [Row::Share(share)])
    }

    /// The share of that name, as the catalogue shows it; for members only.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`], [`Refusal::UnknownShare`].
    pub fn share(&self, actor: RowId, group: &Label, share: &str) -> Result<&Share, Refusal> {
        let id = self.member_of(actor, group)?;
        let found = self.index.catalogue.find(id, share);
        let found = found.and_then(|id| self.share_row(id));
        found.ok_or_else(|| Refusal::UnknownShare {
            group: group.clone(),
            share: share.chars().take(255).collect(),
        })
    }

    /// A page of a group's catalogue, sorted by name; for members only.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`].
    pub fn shares(
        &self,
        actor: RowId,
        group: &Label,
        after: Option<&SharePlace>,
        limit: usize,
    ) -> Result<(Vec<ShareView>, Option<SharePlace>), Refusal> {
        let group = self.member_of(actor, group)?;
        let Some(shares) = self.index.catalogue.groups.get(&group) else {
            return Ok((Vec::new(), None));
        };
        let limit = limit.clamp(1, MAX_PAGE);
        let start = after.map_or(Unbounded, |SharePlace(name, id)| {
            Excluded((name.clone(), *id))
        });
        let mut listed = shares.range((start, Unbounded));
        let mut views = Vec::new();
        let mut last = None;
        for ((name, id), _) in listed.by_ref().take(limit) {
            last = Some(SharePlace(name.clone(), *id));
            views.extend(self.share_row(*id).map(|share| self.share_view(share)));
        }
        let next = listed.next().and(last);
        Ok((views, next))
    }

    /// Whether an account may take part in a swarm: it is a member of a group in whose catalogue that stands. Gives the
    /// group.
    pub fn may_enter(&self, account: RowId, info_hash: InfoHash) -> Option<RowId> {
        let shares = self.index.catalogue.swarms.get(&info_hash)?;
        let mut groups = shares
            .iter()
            .filter_map(|id| Some(self.share_row(*id)?.group));
        groups.find(|group| {
            matches!(
                self.standing(*group, account),
                Standing::Member | Standing::Owner
            )
        })
    }

    /// Whether a swarm is a group's, of any group that has members.
    pub fn is_shared(&self, info_hash: InfoHash) -> bool {
        let shares = self.index.catalogue.swarms.get(&info_hash);
        let mut ids = shares.into_iter().flatten();
        ids.any(|id| {
            let group = self.share_row(*id).map(|share| share.group);
            group.is_some_and(|group| self.index.owner(group).is_some())
        })
    }

    /// Who was a member of a group and is none any more since `since` (since 1970) or later; `limit` of them at most.
    pub fn gone_since(&self, group: RowId, since: Duration, limit: usize) -> Vec<Label> {
        let since = millis(since);
        let rows = self.index.memberships_of_group(&self.rows, group);
        let gone = rows.filter(|row| {
            let ended = row.ended.as_ref();
            row.accepted.is_some() && ended.is_some_and(|end| end.version.stamp.wall() >= since)
        });
        let gone: BTreeSet<RowId> = gone.map(|row| row.account).collect();
        let gone = gone.into_iter().filter(|account| {
            !matches!(
                self.standing(group, *account),
                Standing::Member | Standing::Owner
            )
        });
        let labels = gone.filter_map(|account| self.account_label(account));
        labels.take(limit).collect()
    }

    /// The key of a group's authority; for its members only.
    ///
    /// # Errors
    /// [`Refusal::AccountGone`], [`Refusal::UnknownGroup`], [`Refusal::NotMember`].
    pub fn group_key(&self, actor: RowId, group: &Label) -> Result<&GroupKey, Refusal> {
        let id = self.member_of(actor, group)?;
        match self.rows.get(&id) {
            Some(Row::Group(row)) => Ok(&row.key),
            _ => Err(Refusal::UnknownGroup(group.clone())),
        }
    }

    fn share_row(&self, id: RowId) -> Option<&Share> {
        match self.rows.get(&id) {
            Some(Row::Share(row)) => Some(row),
            _ => None,
        }
    }

    fn share_view(&self, share: &Share) -> ShareView {
        ShareView {
            name: self.index.catalogue.shown(share),
            info_hash: share.info_hash,
            length: share.length,
            publisher: self.account_label(share.publisher),
            at: share.created.stamp,
        }
    }
}
