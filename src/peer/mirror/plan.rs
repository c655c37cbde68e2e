//! What a mirror does next. Pure: it decides from the catalogue, from what is on this machine, and
//! from the time.
//!
//! Three rules keep files safe. All of them are checked by the tests of this file:
//! - Only what the mirror itself has fetched, and nobody else has asked for, is removed.
//! - Without `--keep`, a share is removed only after an explicit withdrawal that is old enough. A
//!   name that is missing from a catalogue is no withdrawal.
//! - More than a fifth of the shares at once are removed only if a person has confirmed these.

use super::failures::Failures;
use crate::storage::{MirrorOwner, MirrorSettings, MirroredShare, Room};
use crate::torrent::{FileName, FilePath, InfoHash};
use crate::wire::access::FileEntry;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most downloads of one mirror that are under way when it begins another one.
pub(super) const MAX_AT_ONCE: usize = 16;
/// The same for a new version of a share, so that it does not wait for downloads of other shares.
pub(super) const MAX_UPDATES_AT_ONCE: usize = 32;
/// At most a fifth of the shares may be removed at once without a confirmation.
const CONFIRMED_PART: usize = 5;

/// A share or download of this peer.
#[derive(Clone, Debug)]
pub(super) struct Here {
    /// Its path when it is complete.
    pub(super) path: PathBuf,
    /// The length of its wanted files in bytes.
    pub(super) bytes: u64,
    pub(super) state: HereState,
}

/// The state of a share or download of this peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HereState {
    Complete,
    UnderWay,
    /// For this reason.
    Failed(String),
}

/// Everything that decides what a mirror does.
#[derive(Debug)]
pub(super) struct MirrorView<'a> {
    pub(super) settings: &'a MirrorSettings,
    pub(super) folder: &'a Path,
    /// The newest version of each share of the group.
    pub(super) catalogue: &'a [FileEntry],
    /// What the mirror has begun to fetch.
    pub(super) shares: &'a [MirroredShare],
    /// All shares and downloads of this peer.
    pub(super) here: &'a BTreeMap<InfoHash, Here>,
    /// The downloads that have failed.
    pub(super) failures: &'a Failures,
    pub(super) removal: &'a Removal,
    /// The number of shares that were removed lately without a confirmation.
    pub(super) pruned_lately: usize,
    /// The room of the file system of the folder, if it is known.
    pub(super) room: Option<Room>,
    /// The time of day in milliseconds since 1970.
    pub(super) now_ms: u64,
    /// The time of the peer, to which the times of failures belong.
    pub(super) now: Duration,
}

/// What is known of removals.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// When the shares were withdrawn that a tracker has reported as withdrawn.
    pub(super) withdrawn_ms: BTreeMap<InfoHash, u64>,
    /// The shares whose removal a person has confirmed.
    pub(super) confirmed: BTreeSet<InfoHash>,
    /// The removals that have failed.
    pub(super) failures: Failures,
}

/// A step of a mirror. The numbers are positions in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Fetches a share that has no version here.
    Start(usize),
    /// Fetches the newest version of a share to the place of the version that is here.
    Update(usize),
    /// Ends a share and removes its files: it does not fit into `--keep`.
    Evict(InfoHash),
    /// Ends a share and removes its files: it was withdrawn.
    Prune(InfoHash),
    /// Forgets a share that is neither here nor listed.
    Forget(InfoHash),
}

/// What a mirror waits for, or cannot do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wait {
    /// Shares wait until the file system has more room.
    Room { shares: usize },
    /// Shares do not fit into `--keep`.
    Keep { shares: usize },
    /// The removal of these shares waits for a confirmation.
    Confirm(BTreeSet<InfoHash>),
    /// A person has asked for another version of the share at the same place.
    Person { name: String },
    /// No file can have the name of the share.
    Name { name: String },
}

/// What a mirror does next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) waits: Vec<Wait>,
    /// The shares of the mirror that are not listed, if it prunes: perhaps they were withdrawn.
    pub(super) missing: BTreeSet<InfoHash>,
    /// The number of shares that are mirrored, and of those that are complete.
    pub(super) wanted: usize,
    pub(super) complete: usize,
}

impl Plan {
    /// What `status` shows of it.
    pub(super) fn summary(&self) -> Self {
        Self {
            waits: self.waits.clone(),
            wanted: self.wanted,
            complete: self.complete,
            ..Self::default()
        }
    }
}

/// Decides what a mirror does next.
pub(super) fn plan(view: &MirrorView<'_>) -> Plan {
    let mut plan = Plan::default();
    let listed: HashMap<&str, InfoHash> = view
        .catalogue
        .iter()
        .map(|entry| (entry.name.as_str(), entry.info_hash))
        .collect();
    let mut wanted = wanted(view, &mut plan.waits);
    let owners = Owners::of(view.shares);
    let excluded = view.beyond_keep(&mut wanted, &listed, &owners);
    if !excluded.is_empty() {
        let shares = excluded.len();
        plan.waits.push(Wait::Keep { shares });
        plan.actions.extend(view.evictions(&excluded));
    }
    plan.wanted = wanted.len();
    view.plan_downloads(&wanted, &owners, &mut plan);
    view.plan_removals(&listed, &mut plan);
    plan
}

/// The path of a share of this name in a folder. `None` if no file can have the name.
pub(super) fn place(folder: &Path, name: &str) -> Option<PathBuf> {
    Some(folder.join(FileName::new(name).ok()?))
}

/// The positions of the shares that the patterns choose, those that were published last first.
fn wanted(view: &MirrorView<'_>, waits: &mut Vec<Wait>) -> Vec<usize> {
    let mut wanted = Vec::new();
    for (at, entry) in view.catalogue.iter().enumerate() {
        let name = entry.name.as_str();
        let only = &view.settings.only;
        match FileName::new(name).and_then(|name| FilePath::new(vec![name])) {
            Ok(path) if only.is_empty() || only.iter().any(|glob| glob.matches(&path)) => {
                wanted.push((Reverse(entry.published_at), at));
            }
            Ok(_) => {}
            Err(_) => waits.push(Wait::Name {
                name: name.to_owned(),
            }),
        }
    }
    wanted.sort_unstable();
    wanted.into_iter().map(|(_, at)| at).collect()
}

/// Who decides about each version that the mirror has begun to fetch.
struct Owners(HashMap<InfoHash, MirrorOwner>);

impl Owners {
    fn of(shares: &[MirroredShare]) -> Self {
        let owners = shares.iter().map(|share| (share.info_hash, share.owner));
        Self(owners.collect())
    }

    fn owner(&self, info_hash: InfoHash) -> Option<MirrorOwner> {
        self.0.get(&info_hash).copied()
    }
}

impl MirrorView<'_> {
    /// The shares that only the mirror has asked for and that are here.
    fn mirrored(&self) -> impl Iterator<Item = (&MirroredShare, &Here)> {
        let shares = self.shares.iter();
        let shares = shares.filter(|share| share.owner == MirrorOwner::Mirror);
        shares.filter_map(|share| Some((share, self.here.get(&share.info_hash)?)))
    }

    /// Takes the shares out of `wanted` that do not fit into `--keep`, and returns them. The
    /// oldest ones do not fit first. What the mirror has of other shares counts too.
    fn beyond_keep(
        &self,
        wanted: &mut Vec<usize>,
        listed: &HashMap<&str, InfoHash>,
        owners: &Owners,
    ) -> Vec<usize> {
        let Some(keep) = self.settings.keep else {
            return Vec::new();
        };
        let names: BTreeSet<&str> = wanted.iter().filter_map(|at| self.name(*at)).collect();
        let others = self.mirrored().filter(|(share, _)| {
            let name = share.name.as_str();
            !names.contains(name) || !listed.contains_key(name)
        });
        let mut used = others.fold(0u64, |sum, (_, here)| sum.saturating_add(here.bytes));
        let (mut is_full, mut excluded) = (false, Vec::new());
        wanted.retain(|&at| {
            let Some(entry) = self.catalogue.get(at) else {
                return false;
            };
            if self.is_persons(entry.info_hash, owners) {
                return true;
            }
            let with_it = used.saturating_add(entry.length);
            // One share that can never fit takes no room from others.
            let can_fit = entry.length <= keep;
            let fits = can_fit && !is_full && with_it <= keep;
            match fits {
                true => used = with_it,
                false => {
                    is_full |= can_fit;
                    excluded.push(at);
                }
            }
            fits
        });
        excluded
    }

    fn name(&self, at: usize) -> Option<&str> {
        self.catalogue.get(at).map(|entry| entry.name.as_str())
    }

    /// Whether the version is here, and not only because of the mirror.
    fn is_persons(&self, info_hash: InfoHash, owners: &Owners) -> bool {
        let is_mirrors = owners.owner(info_hash) == Some(MirrorOwner::Mirror);
        self.here.contains_key(&info_hash) && !is_mirrors
    }

    /// The removals of all versions of shares that do not fit.
    fn evictions(&self, excluded: &[usize]) -> Vec<Action> {
        let names: BTreeSet<&str> = excluded.iter().filter_map(|at| self.name(*at)).collect();
        let excluded = self
            .mirrored()
            .filter(|(share, _)| names.contains(share.name.as_str()))
            .filter(|(share, _)| self.may_remove(share.info_hash));
        let excluded = excluded.map(|(share, _)| Action::Evict(share.info_hash));
        excluded.collect()
    }

    /// Plans the downloads that begin now: new versions first.
    fn plan_downloads(&self, wanted: &[usize], owners: &Owners, plan: &mut Plan) {
        let (mut updates, mut starts) = (Vec::new(), Vec::new());
        let occupied: BTreeMap<&Path, InfoHash> = self
            .here
            .iter()
            .map(|(hash, here)| (here.path.as_path(), *hash))
            .collect();
        for &at in wanted {
            match self.next_for(at, &occupied, owners) {
                Next::Nothing => {}
                Next::Complete => plan.complete += 1,
                Next::Start => starts.push(at),
                Next::Update => updates.push(at),
                Next::Person(name) => plan.waits.push(Wait::Person { name }),
            }
        }
        let under_way = self.mirrored();
        let under_way = under_way
            .filter(|(_, here)| here.state == HereState::UnderWay)
            .count();
        let mut room = self.room_above_floor();
        let mut waiting = 0;
        let updates = updates.into_iter().map(Action::Update);
        let starts = starts.into_iter().map(Action::Start);
        let mut begun = under_way;
        for action in updates.chain(starts) {
            let (limit, needed) = match action {
                // How much of a new version is here already is not known yet.
                Action::Update(_) => (MAX_UPDATES_AT_ONCE, 0),
                Action::Start(at) => (
                    MAX_AT_ONCE,
                    self.catalogue.get(at).map_or(0, |it| it.length),
                ),
                _ => continue,
            };
            match room {
                Some(left) if left <= needed => waiting += 1,
                _ if begun >= limit => {}
                _ => {
                    room = room.map(|left| left - needed);
                    begun += 1;
                    plan.actions.push(action);
                }
            }
        }
        if waiting > 0 {
            plan.waits.push(Wait::Room { shares: waiting });
        }
    }

    /// What is to be done for one share.
    fn next_for(&self, at: usize, occupied: &BTreeMap<&Path, InfoHash>, owners: &Owners) -> Next {
        let Some(entry) = self.catalogue.get(at) else {
            return Next::Nothing;
        };
        let hash = entry.info_hash;
        let owner = owners.owner(hash);
        let is_due = self.failures.is_due(hash, self.now);
        match self.here.get(&hash).map(|here| &here.state) {
            Some(HereState::Complete) => return Next::Complete,
            Some(HereState::UnderWay) => return Next::Nothing,
            Some(HereState::Failed(_)) if owner != Some(MirrorOwner::Mirror) => {
                return Next::Nothing;
            }
            _ if owner == Some(MirrorOwner::Ended) || !is_due => return Next::Nothing,
            Some(HereState::Failed(_)) | None => {}
        }
        let Some(path) = place(self.folder, entry.name.as_str()) else {
            return Next::Nothing;
        };
        match occupied.get(path.as_path()) {
            Some(other) if *other == hash => Next::Start,
            Some(other) if self.is_persons(*other, owners) => {
                Next::Person(entry.name.as_str().to_owned())
            }
            Some(_) => Next::Update,
            None => Next::Start,
        }
    }

    /// The free bytes above the part that stays free. `None`: not known.
    fn room_above_floor(&self) -> Option<u64> {
        let room = self.room?;
        let floor = u128::from(room.total) * u128::from(self.settings.min_free) / 100;
        let floor = u64::try_from(floor).unwrap_or(u64::MAX);
        Some(room.free.saturating_sub(floor))
    }

    /// Whether a removal that has failed may be tried again.
    fn may_remove(&self, info_hash: InfoHash) -> bool {
        self.removal.failures.is_due(info_hash, self.now)
    }

    /// Plans the removal of withdrawn shares, and forgets what is neither here nor listed.
    fn plan_removals(&self, listed: &HashMap<&str, InfoHash>, plan: &mut Plan) {
        let hashes: BTreeSet<InfoHash> = listed.values().copied().collect();
        let gone = self.shares.iter().filter(|share| {
            let is_here = self.here.contains_key(&share.info_hash);
            let is_kept = share.owner == MirrorOwner::Changed;
            !is_here && !is_kept && !hashes.contains(&share.info_hash)
        });
        plan.actions
            .extend(gone.map(|share| Action::Forget(share.info_hash)));
        let Some(prune_after) = self.settings.prune_after else {
            return;
        };
        // A share of the same name may be at the place of the withdrawn one soon.
        let is_listed = |share: &MirroredShare| {
            listed.contains_key(share.name.as_str()) || hashes.contains(&share.info_hash)
        };
        let missing = self.mirrored().map(|(share, _)| share);
        let missing = missing.filter(|share| !is_listed(share));
        plan.missing = missing.map(|share| share.info_hash).collect();
        let prune_after = u64::try_from(prune_after.as_millis()).unwrap_or(u64::MAX);
        let is_due = |hash: &InfoHash| {
            let withdrawn = self.removal.withdrawn_ms.get(hash);
            withdrawn.is_some_and(|at| at.saturating_add(prune_after) <= self.now_ms)
        };
        let due = plan.missing.iter().copied().filter(is_due);
        let due = due.filter(|hash| self.may_remove(*hash));
        let (confirmed, due): (BTreeSet<_>, BTreeSet<_>) =
            due.partition(|hash| self.removal.confirmed.contains(hash));
        plan.actions
            .extend(confirmed.into_iter().map(Action::Prune));
        let removed = due.len() + self.pruned_lately;
        let all = self.mirrored().count() + self.pruned_lately;
        match removed > 1 && removed * CONFIRMED_PART > all && !due.is_empty() {
            true => plan.waits.push(Wait::Confirm(due)),
            false => plan.actions.extend(due.into_iter().map(Action::Prune)),
        }
    }
}

/// What is to be done for one share.
enum Next {
    Nothing,
    Complete,
    Start,
    Update,
    /// A person has asked for the version that is at the place of the share with this name.
    Person(String),
}
