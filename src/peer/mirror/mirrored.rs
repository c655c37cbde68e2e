//! One mirror: what is stored, what is known since the start, and what it shows.

use super::failures::{Failures, pause};
use super::plan::{Here, HereState, MirrorView, Plan, Removal, Wait, plan};
use crate::peer::{MirrorFailure, MirrorStatus};
use crate::storage::{MirrorOwner, MirroredShare, Room, StoredMirror};
use crate::torrent::InfoHash;
use crate::wire::access::{FileEntry, GroupId, Withdrawal};
use crate::wire::machine::SubjectLabel;
use crate::wire::name::Label;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Shares that were pruned within this time count as one removal.
const PRUNED_TOGETHER: Duration = Duration::from_secs(24 * 3600);

/// The longest pause after something has kept the whole mirror from going on.
const LONGEST_TROUBLE: Duration = Duration::from_secs(30);

/// A group that is mirrored.
#[derive(Debug)]
pub(super) struct Mirrored {
    pub(super) stored: StoredMirror,
    /// The newest version of each share. `None` until a tracker has sent it to this start.
    catalogue: Option<Arc<Vec<FileEntry>>>,
    failures: Failures,
    /// What keeps the whole mirror from going on.
    trouble: Trouble,
    removal: Removal,
    questions: Questions,
    /// The shares that `status` has shown as waiting for a confirmation.
    shown: BTreeSet<InfoHash>,
    /// What was planned last.
    last: Plan,
}

/// When a tracker is asked which shares were withdrawn.
#[derive(Debug, Default)]
struct Questions {
    /// The number of questions since the last catalogue.
    count: u32,
    /// When the next one is due.
    next_at: Duration,
}

/// What keeps a whole mirror from going on.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    pub(super) reason: Option<String>,
    /// The number of attempts that have failed since the last success.
    pub(super) count: u32,
    pub(super) again_at: Duration,
}

/// What the thread does in one pass for one mirror.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) plan: Plan,
    pub(super) catalogue: Arc<Vec<FileEntry>>,
    pub(super) group: Label,
    /// The shares to ask a tracker about: whether they were withdrawn.
    pub(super) ask: Vec<InfoHash>,
}

impl Mirrored {
    /// A mirror that begins, or goes on after a restart. `catalogue`: if it is known already.
    pub(super) fn new(stored: StoredMirror, catalogue: Option<Arc<Vec<FileEntry>>>) -> Self {
        Self {
            stored,
            catalogue,
            failures: Failures::default(),
            trouble: Trouble::default(),
            removal: Removal::default(),
            questions: Questions::default(),
            shown: BTreeSet::new(),
            last: Plan::default(),
        }
    }

    pub(super) fn is_of(&self, id: GroupId, user: &SubjectLabel) -> bool {
        self.stored.id == id && self.stored.user == *user
    }

    /// A tracker has sent the catalogue. Returns whether the group has another name now.
    pub(super) fn on_catalogue(&mut self, group: &Label, catalogue: &[FileEntry]) -> bool {
        self.catalogue = Some(Arc::new(catalogue.to_vec()));
        self.trouble = Trouble::default();
        self.questions = Questions::default();
        let is_renamed = self.stored.group != *group;
        self.stored.group = group.clone();
        is_renamed
    }

    /// Downloads of these versions begin.
    pub(super) fn on_begun<'a>(&mut self, shares: impl Iterator<Item = &'a MirroredShare>) {
        for share in shares {
            self.stored.set_share(share.info_hash, Some(share.clone()));
            self.failures.on_begun(share.info_hash);
        }
    }

    /// Something could not be done with a version.
    pub(super) fn on_failed(&mut self, share: &MirroredShare, reason: &str, now: Duration) {
        let failures = &mut self.failures;
        failures.on_begun(share.info_hash);
        failures.on_failed(share.info_hash, &share.name, reason, now);
    }

    /// A share could not be removed.
    pub(super) fn on_not_removed(&mut self, share: &MirroredShare, reason: &str, now: Duration) {
        let failures = &mut self.removal.failures;
        failures.on_begun(share.info_hash);
        failures.on_failed(share.info_hash, &share.name, reason, now);
    }

    /// A tracker has answered which of some shares were withdrawn.
    pub(super) fn on_answer(&mut self, withdrawn: &[Withdrawal], now_ms: u64, now: Duration) {
        let withdrawn = withdrawn.iter();
        let withdrawn = withdrawn.map(|it| (it.info_hash, now_ms.saturating_sub(it.age_ms)));
        self.removal.withdrawn_ms.extend(withdrawn);
        let count = self.questions.count.saturating_add(1);
        let next_at = now.saturating_add(pause(count));
        self.questions = Questions { count, next_at };
    }

    /// Asked again just before the removal, a tracker does not report these shares as withdrawn.
    pub(super) fn on_not_withdrawn(&mut self, shares: &[InfoHash]) {
        self.removal
            .withdrawn_ms
            .retain(|hash, _| !shares.contains(hash));
    }

    /// A withdrawn share is about to be removed, at this time of day.
    pub(super) fn on_pruning(&mut self, info_hash: InfoHash, now_ms: u64) {
        if !self.removal.confirmed.contains(&info_hash) {
            self.stored.note_prune(now_ms);
        }
    }

    /// A person confirms the removal of the shares that `status` has shown. Returns their names.
    pub(super) fn confirm(&mut self) -> Vec<String> {
        let shown = std::mem::take(&mut self.shown);
        let names = self.stored.names(&shown);
        self.removal.confirmed.extend(shown);
        names
    }

    /// Notes what keeps the whole mirror from going on, or that nothing does.
    pub(super) fn set_trouble(&mut self, reason: Option<String>, now: Duration) {
        let count = self.trouble.count.saturating_add(1);
        self.trouble = match reason {
            Some(reason) => Trouble {
                reason: Some(reason),
                count,
                again_at: now.saturating_add(pause(count).min(LONGEST_TROUBLE)),
            },
            None => Trouble::default(),
        };
    }

    /// Decides what is done next. `None` while the catalogue is not known, or after trouble. `now`:
    /// the time of day in milliseconds since 1970, and the time of the peer.
    pub(super) fn plan(
        &mut self,
        here: &BTreeMap<InfoHash, Here>,
        room: Option<Room>,
        (now_ms, now): (u64, Duration),
    ) -> Option<Pass> {
        let catalogue = Arc::clone(self.catalogue.as_ref()?);
        self.note_failures(here, now);
        let together_ms = u64::try_from(PRUNED_TOGETHER.as_millis()).unwrap_or(u64::MAX);
        let since_ms = now_ms.saturating_sub(together_ms);
        self.stored.forget_prunes_before(since_ms);
        let plan = plan(&MirrorView {
            settings: &self.stored.settings,
            folder: &self.stored.folder,
            catalogue: &catalogue,
            shares: &self.stored.shares,
            here,
            failures: &self.failures,
            removal: &self.removal,
            pruned_lately: self.stored.pruned_ms.len(),
            room,
            now_ms,
            now,
        });
        let removal = &mut self.removal;
        let is_missing = |hash: &InfoHash| plan.missing.contains(hash);
        removal.withdrawn_ms.retain(|hash, _| is_missing(hash));
        removal.confirmed.retain(is_missing);
        removal.failures.retain(|hash| here.contains_key(hash));
        let unknown = plan.missing.iter().copied();
        let unknown = unknown.filter(|hash| !removal.withdrawn_ms.contains_key(hash));
        let ask = match now < self.questions.next_at {
            true => Vec::new(),
            false => unknown.collect(),
        };
        self.last = plan.summary();
        (self.trouble.again_at <= now).then_some(Pass {
            plan,
            catalogue,
            group: self.stored.group.clone(),
            ask,
        })
    }

    /// Counts the downloads of the mirror that have failed, and forgets failures that are over.
    fn note_failures(&mut self, here: &BTreeMap<InfoHash, Here>, now: Duration) {
        for share in &self.stored.shares {
            let state = here.get(&share.info_hash).map(|here| &here.state);
            if let Some(HereState::Failed(reason)) = state
                && share.owner == MirrorOwner::Mirror
            {
                self.failures
                    .on_failed(share.info_hash, &share.name, reason, now);
            }
        }
        let is_complete = |hash: &InfoHash| {
            here.get(hash)
                .is_some_and(|here| here.state == HereState::Complete)
        };
        let catalogue = self.catalogue.iter().flat_map(|catalogue| catalogue.iter());
        let listed: BTreeSet<InfoHash> = catalogue.map(|entry| entry.info_hash).collect();
        self.failures.retain(|hash| {
            let is_known = listed.contains(hash) || here.contains_key(hash);
            is_known && !is_complete(hash)
        });
    }

    /// The mirror as `status` shows it. What waits for a confirmation counts as shown.
    pub(super) fn status(&mut self, user: Option<&SubjectLabel>, now: Duration) -> MirrorStatus {
        let stored = &self.stored;
        let is_logged_in = user == Some(&stored.user);
        let trouble = match (&self.trouble.reason, &self.catalogue) {
            _ if !is_logged_in => Some(format!("{} is not logged in", stored.user)),
            (Some(reason), _) => Some(reason.clone()),
            (None, None) => Some("no tracker has sent the catalogue of the group yet".to_owned()),
            (None, Some(_)) => None,
        };
        let to_confirm = self.last.waits.iter().find_map(|wait| match wait {
            Wait::Confirm(shares) => Some(shares.clone()),
            _ => None,
        });
        self.shown = to_confirm.unwrap_or_default();
        let failures = self.failures.all().chain(self.removal.failures.all());
        let failures = failures.map(|failure| MirrorFailure {
            name: failure.name.clone(),
            reason: failure.reason.clone(),
            attempts: failure.count,
            again_in: failure.again_at.saturating_sub(now),
        });
        let shares = stored.shares.iter();
        let left = shares.filter(|share| share.owner == MirrorOwner::Changed);
        MirrorStatus {
            group: stored.group.to_string(),
            user: stored.user.to_string(),
            folder: stored.folder.clone(),
            shares: self.catalogue.as_ref().map(|_| self.last.wanted),
            complete: self.last.complete,
            trouble,
            waits: self
                .last
                .waits
                .iter()
                .map(|wait| self.wait_text(wait))
                .collect(),
            to_confirm: stored.names(&self.shown),
            failures: failures.collect(),
            left: left.map(|share| share.path.clone()).collect(),
        }
    }

    fn wait_text(&self, wait: &Wait) -> String {
        let settings = &self.stored.settings;
        let group = &self.stored.group;
        let counted = |count: usize| match count {
            1 => "1 share".to_owned(),
            count => format!("{count} shares"),
        };
        match wait {
            Wait::Room { shares } => format!(
                "less than {}% of the file system would be free (--min-free): not fetched yet: {}",
                settings.min_free,
                counted(*shares)
            ),
            Wait::Keep { shares } => {
                format!("not kept, because of --keep: {}", counted(*shares))
            }
            Wait::Confirm(shares) => format!(
                "more than a fifth of the shares were withdrawn at once; to remove {}, type: \
                 confirm_prune {group}",
                counted(shares.len())
            ),
            Wait::Person { name } => format!(
                "another version of {name} is at its place and belongs to a person: end that one \
                 with stop_share or cancel and move its files away, then type mirror {group} again"
            ),
            Wait::Name { name } => format!("no file can have the name {name:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MirrorSettings;
    use crate::wire::access::ShortText;

    const NOW: Duration = Duration::from_secs(1_000);

    fn hash(share: u8) -> InfoHash {
        InfoHash([share; 20])
    }

    /// A mirror that prunes at once, and has these shares, which are not listed.
    fn mirror(shares: &[u8]) -> (Mirrored, BTreeMap<InfoHash, Here>) {
        let path = |share: &u8| format!("/m/s{share}").into();
        let fetched = shares.iter().map(|share| MirroredShare {
            name: format!("s{share}"),
            version: 1,
            info_hash: hash(*share),
            path: path(share),
            owner: MirrorOwner::Mirror,
        });
        let stored = StoredMirror {
            id: GroupId([1; 16]),
            user: "nik".parse().unwrap(),
            group: "lab".parse().unwrap(),
            folder: "/m".into(),
            settings: MirrorSettings {
                only: Vec::new(),
                keep: None,
                prune_after: Some(Duration::ZERO),
                min_free: 5,
            },
            shares: fetched.collect(),
            pruned_ms: Vec::new(),
        };
        let here = shares.iter().map(|share| {
            let here = Here {
                path: path(share),
                bytes: 1,
                state: HereState::Complete,
            };
            (hash(*share), here)
        });
        (Mirrored::new(stored, Some(Arc::default())), here.collect())
    }

    fn withdrawn(shares: &[u8]) -> Vec<Withdrawal> {
        let withdrawn = shares.iter().map(|share| Withdrawal {
            info_hash: hash(*share),
            age_ms: 1,
        });
        withdrawn.collect()
    }

    #[test]
    fn what_was_removed_a_day_ago_does_not_count() {
        let day_ms = 24 * 3600 * 1_000;
        let (mut mirror, here) = mirror(&[1, 2, 3, 4]);
        mirror.on_answer(&withdrawn(&[1]), 10, NOW);
        mirror.on_pruning(hash(9), 10);
        let count = |mirror: &mut Mirrored, now_ms| {
            let pass = mirror.plan(&here, None, (now_ms, NOW)).unwrap();
            pass.plan.actions.len()
        };
        assert_eq!(count(&mut mirror, 10 + day_ms), 0);
        assert_eq!(count(&mut mirror, 11 + day_ms), 1);
        // What a person has confirmed does not count either.
        mirror.removal.confirmed.insert(hash(8));
        mirror.on_pruning(hash(8), 11 + day_ms);
        assert_eq!(count(&mut mirror, 11 + day_ms), 1);
    }

    #[test]
    fn a_tracker_is_asked_again_after_a_pause_and_at_once_after_a_new_catalogue() {
        let (mut mirror, here) = mirror(&[1, 2]);
        let asked = |mirror: &mut Mirrored, now| {
            let pass = mirror.plan(&here, None, (1, Duration::from_secs(now)));
            pass.unwrap().ask
        };
        assert_eq!(asked(&mut mirror, 0), [hash(1), hash(2)]);
        mirror.on_answer(&withdrawn(&[2]), 1, Duration::ZERO);
        assert_eq!(asked(&mut mirror, 4), []);
        assert_eq!(asked(&mut mirror, 5), [hash(1)]);
        mirror.on_answer(&[], 1, Duration::from_secs(5));
        assert_eq!(asked(&mut mirror, 14), []);
        let label = "lab".parse().unwrap();
        assert!(!mirror.on_catalogue(&label, &[]));
        assert_eq!(asked(&mut mirror, 14), [hash(1)]);
        // A share that is listed again was not withdrawn.
        let listed = FileEntry {
            name: ShortText::new("s2").unwrap(),
            version: 1,
            versions: 1,
            note: None,
            info_hash: hash(2),
            length: 1,
            publisher: None,
            published_at: 0,
            complete: 0,
            partial: 0,
        };
        mirror.on_catalogue(&label, &[listed]);
        asked(&mut mirror, 14);
        mirror.on_catalogue(&label, &[]);
        assert_eq!(asked(&mut mirror, 14), [hash(1), hash(2)]);
    }

    #[test]
    fn after_trouble_the_whole_mirror_goes_on_within_half_a_minute() {
        let (mut mirror, here) = mirror(&[1]);
        let mut now = NOW;
        for pause in [5, 10, 20, 30, 30] {
            let pause = Duration::from_secs(pause);
            mirror.set_trouble(Some("no tracker answers".to_owned()), now);
            let almost = now + pause - Duration::from_millis(1);
            assert!(mirror.plan(&here, None, (1, almost)).is_none());
            now += pause;
            assert!(mirror.plan(&here, None, (1, now)).is_some());
        }
        mirror.set_trouble(None, now);
        assert!(mirror.plan(&here, None, (1, now)).is_some());
    }

    #[test]
    fn only_what_was_shown_is_confirmed() {
        let (mut mirror, here) = mirror(&[1, 2, 3, 4]);
        mirror.on_answer(&withdrawn(&[1, 2]), 1, NOW);
        assert!(mirror.confirm().is_empty());
        mirror.plan(&here, None, (1, NOW)).unwrap();
        let user = mirror.stored.user.clone();
        let status = mirror.status(Some(&user), NOW);
        assert_eq!(status.to_confirm, ["s1", "s2"]);
        mirror.on_answer(&withdrawn(&[3, 4]), 1, NOW);
        assert_eq!(mirror.confirm(), ["s1", "s2"]);
        let pass = mirror.plan(&here, None, (1, NOW)).unwrap();
        assert_eq!(pass.plan.actions.len(), 2);
        assert!(mirror.confirm().is_empty());
    }
}
