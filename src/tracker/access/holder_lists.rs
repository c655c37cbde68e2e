//! Answers requests about who has the shares of a group, and who mirrors it. Only members may ask,
//! and a list has only shares and holders of the group.
//!
//! The tables are in memory. What holders have reported about mirroring is also kept in a file:
//! see [`HolderLists::tick`].
//!
//! Locks: a thread holds at most one of `holders`, `mirrors` and the registry.

use super::holders::{Holder, HolderAnnounce, HolderKey, Holders};
use super::mirrors::{Mirror, MirrorKey, Mirrors};
use super::{PAGE_LENGTH, RequestContext, from_refusal, refused};
use crate::base::hex;
use crate::storage::ReportedMirrorsFile;
use crate::system::{lock, since_1970};
use crate::torrent::InfoHash;
use crate::tracker::registry::{Label, Refusal, Registry, RowId, VersionView};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{
    AccessAnswer, AccessErrorKind, AccessRefusal, GroupAnnounceEvent, HolderEntry, HolderId,
    HolderName, HolderRequest, ListPage, MirrorEntry, NamedVersion, ShortText, SwarmAnnounce,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The shortest time between two writes of the file, except at the stop.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// The tables of holders and mirrors.
#[derive(Debug)]
pub(super) struct HolderLists {
    store: Arc<RegistryStore>,
    holders: Mutex<Holders>,
    mirrors: Mutex<Mirrors>,
    file: ReportedMirrorsFile,
    /// When the file was written last. `None` before the first time.
    saved: Mutex<Option<Instant>>,
    epoch: Instant,
}

/// A holder in a list, with the row of its version.
struct Listed {
    row: RowId,
    key: HolderKey,
    holder: Holder,
    mirrors: bool,
}

impl HolderLists {
    /// Reads the file in the state folder. If it cannot be read, no mirror is known.
    pub(super) fn open(store: Arc<RegistryStore>, folder: &Path) -> Self {
        let file = ReportedMirrorsFile::new(folder, Mirrors::MAX_LENGTH);
        let mirrors = match file.load() {
            Ok(table) => Mirrors::parse(&table.unwrap_or_default()),
            Err(error) => {
                log::warn!("cannot read who mirrors which group; peers report it again: {error}");
                None
            }
        };
        Self {
            store,
            holders: Mutex::default(),
            mirrors: Mutex::new(mirrors.unwrap_or_default()),
            file,
            saved: Mutex::new(None),
            epoch: Instant::now(),
        }
    }

    /// Enters what the holder `id` announces. It may be silent for `lifetime`.
    pub(super) fn on_announce(
        &self,
        (account, id): (RowId, RowId),
        announce: &SwarmAnnounce,
        lifetime: Duration,
    ) {
        let key = HolderKey {
            info_hash: announce.info_hash,
            id,
        };
        let mut holders = lock(&self.holders);
        if announce.event == Some(GroupAnnounceEvent::Stopped) {
            holders.on_stopped(key);
            return;
        }
        let entry = HolderAnnounce {
            account,
            left: announce.left,
            downloaded: announce.downloaded,
            lifetime,
        };
        holders.on_announce(key, entry, self.epoch.elapsed());
    }

    /// The holder `id` has announced shares of a group.
    pub(super) fn on_seen(&self, group: RowId, id: RowId) {
        lock(&self.mirrors).on_announce(MirrorKey { group, id }, now_ms());
    }

    /// Answers a request.
    pub(super) fn answer(
        &self,
        context: &RequestContext<'_>,
        request: &HolderRequest,
    ) -> Result<AccessAnswer, AccessRefusal> {
        match request {
            HolderRequest::Holders { group, name, after } => {
                self.list_holders(context, group, name.as_ref(), after.as_ref())
            }
            HolderRequest::Mirrors { group, after } => {
                self.list_mirrors(context, group, after.as_ref())
            }
            HolderRequest::Mirroring { group, on } => {
                let id = self.read(|it| it.group_as_member(context.login.account, group))?;
                let key = MirrorKey {
                    group: id,
                    id: self.own_id(context),
                };
                lock(&self.mirrors).on_report(key, context.login.account, *on, now_ms());
                Ok(AccessAnswer::Done)
            }
        }
    }

    fn list_holders(
        &self,
        context: &RequestContext<'_>,
        group: &Label,
        name: Option<&ShortText>,
        after: Option<&ShortText>,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let after = after.map(|after| parse_position(after.as_str()));
        let after = after.transpose()?;
        let name = name.map(ShortText::as_str);
        let (id, swarms, named) = self.read(|registry| {
            let id = registry.group_as_member(context.login.account, group)?;
            let swarms = registry.named_swarms(id, group, name)?;
            let named = name.map(|name| registry.named_version(id, group, name));
            Ok((id, swarms, named.transpose()?))
        })?;
        let (listed, next) = self.page(id, &swarms, after);
        let (own, now) = (self.own_id(context), self.epoch.elapsed());
        let entries = self.store.read(|registry| {
            let entries = listed.into_iter();
            let entries = entries.filter_map(|listed| entry(registry, id, listed, (own, now)));
            entries.collect()
        });
        let next = next.and_then(|next| ShortText::new(position(next)));
        Ok(AccessAnswer::Holders {
            page: ListPage { entries, next },
            named: named.and_then(named_version),
        })
    }

    /// The holders of these swarms that follow `after`, and the position of the last one if there
    /// are more.
    fn page(
        &self,
        group: RowId,
        swarms: &BTreeMap<InfoHash, RowId>,
        after: Option<HolderKey>,
    ) -> (Vec<Listed>, Option<HolderKey>) {
        let (page, next) = lock(&self.holders).page(swarms, after, PAGE_LENGTH);
        let mirrors = lock(&self.mirrors);
        let listed = page.into_iter().map(|(row, key, holder)| Listed {
            row,
            key,
            holder,
            mirrors: mirrors.is_mirror(MirrorKey { group, id: key.id }),
        });
        (listed.collect(), next)
    }

    fn list_mirrors(
        &self,
        context: &RequestContext<'_>,
        group: &Label,
        after: Option<&ShortText>,
    ) -> Result<AccessAnswer, AccessRefusal> {
        let id = self.read(|it| it.group_as_member(context.login.account, group))?;
        let after = after.map(|after| after.as_str().parse::<RowId>());
        let after = after.transpose();
        let after = after.map_err(|error| refused(AccessErrorKind::BadRequest, error))?;
        let first = MirrorKey {
            group: id,
            id: after.unwrap_or(RowId([0; 16])),
        };
        let mirrors = lock(&self.mirrors);
        let mut found = mirrors
            .of_group(first)
            .filter(|(key, _)| Some(key.id) != after);
        let listed: Vec<(MirrorKey, Mirror)> = found.by_ref().take(PAGE_LENGTH).collect();
        let has_more = found.next().is_some();
        drop(found);
        drop(mirrors);
        let last = listed.last().map(|(key, _)| key.id.to_string());
        let own = self.own_id(context);
        let entries = self.store.read(|registry| {
            let entries = listed.into_iter();
            let entries = entries.filter_map(|(key, mirror)| {
                let now = now_ms();
                Some(MirrorEntry {
                    holder: holder_name(registry, id, (mirror.account, key.id), own)?,
                    mirrors: mirror.is_on,
                    reported_ms: now.saturating_sub(mirror.reported),
                    silent_ms: now.saturating_sub(mirror.seen),
                })
            });
            entries.collect()
        });
        let next = last.filter(|_| has_more).and_then(ShortText::new);
        Ok(AccessAnswer::Mirrors(ListPage { entries, next }))
    }

    /// Forgets what is too old. Writes the file if it is due. To be called about once a second.
    pub(super) fn tick(&self) {
        lock(&self.holders).expire(self.epoch.elapsed());
        let saved = *lock(&self.saved);
        if saved.is_none_or(|saved| saved.elapsed() >= SAVE_INTERVAL) {
            self.save();
        }
    }

    /// Forgets mirrors that were not seen for long. Writes the file, if the table has changed.
    pub(super) fn save(&self) {
        let mut mirrors = lock(&self.mirrors);
        mirrors.expire(now_ms());
        let changed = mirrors.take_changed();
        drop(mirrors);
        let Some(table) = changed else {
            return;
        };
        *lock(&self.saved) = Some(Instant::now());
        if let Err(error) = self.file.store(&table) {
            lock(&self.mirrors).on_unsaved();
            log::warn!("cannot store who mirrors which group; it is tried again: {error}");
        }
    }

    fn own_id(&self, context: &RequestContext<'_>) -> RowId {
        self.store.read(|it| it.holder_of(context.login))
    }

    fn read<T>(
        &self,
        look: impl FnOnce(&Registry) -> Result<T, Refusal>,
    ) -> Result<T, AccessRefusal> {
        self.store.read(look).map_err(from_refusal)
    }
}

/// The entry of a holder. `None` if it is no member of the group any more. `own` is the holder that
/// asks.
fn entry(
    registry: &Registry,
    group: RowId,
    listed: Listed,
    (own, now): (RowId, Duration),
) -> Option<HolderEntry> {
    let Listed { key, holder, .. } = listed;
    let view = registry.version_view(listed.row)?;
    let is_stale = holder.is_stale(now);
    Some(HolderEntry {
        holder: holder_name(registry, group, (holder.account, key.id), own)?,
        left: holder.left,
        length: view.length,
        silent_ms: millis(now.saturating_sub(holder.seen)),
        rate: if is_stale { 0 } else { holder.rate },
        is_stale,
        mirrors: listed.mirrors,
        version: named_version(view)?,
    })
}

fn holder_name(
    registry: &Registry,
    group: RowId,
    (account, id): (RowId, RowId),
    own: RowId,
) -> Option<HolderName> {
    let view = registry.holder_view(group, (account, id), since_1970())?;
    Some(HolderName {
        id: HolderId(id.0),
        user: view.user,
        host: view.host,
        is_here: id == own,
    })
}

fn named_version(view: VersionView) -> Option<NamedVersion> {
    Some(NamedVersion {
        name: ShortText::new(view.name)?,
        number: view.number,
        info_hash: view.info_hash,
    })
}

/// The text of a position in a list of holders. The order of texts is that of keys.
fn position(key: HolderKey) -> String {
    format!("{}{}", key.info_hash, key.id)
}

fn parse_position(text: &str) -> Result<HolderKey, AccessRefusal> {
    let parse = || {
        let (info_hash, id) = text.split_at_checked(40)?;
        Some(HolderKey {
            info_hash: InfoHash(hex::read(info_hash)?),
            id: id.parse().ok()?,
        })
    };
    let wrong = || refused(AccessErrorKind::BadRequest, "this is no position in a list");
    parse().ok_or_else(wrong)
}

fn now_ms() -> u64 {
    millis(since_1970())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_were_written_and_are_ordered_like_their_texts() {
        let key = |swarm, id| HolderKey {
            info_hash: InfoHash([swarm; 20]),
            id: RowId([id; 16]),
        };
        let keys = [key(0, 0), key(0, 0xff), key(0x0a, 1), key(0xa0, 0)];
        assert!(keys.is_sorted());
        assert!(keys.map(position).is_sorted());
        for key in keys {
            assert_eq!(parse_position(&position(key)).unwrap(), key);
        }
        for text in ["", "ab", &"0".repeat(71), &"g".repeat(72), "ü"] {
            assert!(parse_position(text).is_err(), "{text}");
        }
    }
}
