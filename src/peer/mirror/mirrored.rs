//! One mirror: what is stored, what is known since the start, and what it shows.

use super::failures::{Failures, pause};
use super::plan::{Here, HereState, MirrorView, Plan, Wait, plan};
use crate::peer::{MirrorFailure, MirrorStatus};
use crate::storage::{MirrorOwner, MirroredShare, Room, StoredMirror};
use crate::torrent::InfoHash;
use crate::wire::access::{FileEntry, GroupId};
use crate::wire::machine::SubjectLabel;
use crate::wire::name::Label;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Shares that were pruned within this time count as one removal.
const PRUNED_TOGETHER_MS: u64 = 24 * 3600 * 1000;

/// A group that is mirrored.
#[derive(Debug)]
pub(super) struct Mirrored {
    pub(super) stored: StoredMirror,
    /// The newest version of each share. `None` until a tracker has sent it to this start.
    catalogue: Option<Arc<Vec<FileEntry>>>,
    failures: Failures,
    /// What keeps the whole mirror from going on.
    trouble: Trouble,
    pub(super) removal: Removal,
    /// What was planned last.
    last: Plan,
}

/// What is known of withdrawn shares since the start.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// When the shares were withdrawn that a tracker has reported as withdrawn.
    pub(super) withdrawn_ms: BTreeMap<InfoHash, u64>,
    /// The number of questions to a tracker since the last catalogue, and when the next one is due.
    pub(super) asked: u32,
    pub(super) ask_at: Duration,
    /// The shares whose removal a person has confirmed.
    pub(super) confirmed: BTreeSet<InfoHash>,
    /// The shares that `status` has shown as waiting for a confirmation.
    pub(super) shown: BTreeSet<InfoHash>,
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
        (self.removal.asked, self.removal.ask_at) = (0, Duration::ZERO);
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

    /// Notes what keeps the whole mirror from going on, or that nothing does.
    pub(super) fn set_trouble(&mut self, reason: Option<String>, now: Duration) {
        let count = self.trouble.count.saturating_add(1);
        self.trouble = match reason {
            Some(reason) => Trouble {
                reason: Some(reason),
                count,
                again_at: now.saturating_add(pause(count)),
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
        let is_recent = |at: &u64| at.saturating_add(PRUNED_TOGETHER_MS) > now_ms;
        self.stored.pruned_ms.retain(is_recent);
        let mut plan = plan(&MirrorView {
            settings: &self.stored.settings,
            folder: &self.stored.folder,
            catalogue: &catalogue,
            shares: &self.stored.shares,
            here,
            failures: &self.failures,
            withdrawn_ms: &self.removal.withdrawn_ms,
            confirmed: &self.removal.confirmed,
            pruned_lately: self.stored.pruned_ms.len(),
            room,
            now_ms,
            now,
        });
        let removal = &mut self.removal;
        let missing: BTreeSet<InfoHash> = plan.ask.iter().copied().collect();
        removal
            .withdrawn_ms
            .retain(|hash, _| missing.contains(hash));
        removal.confirmed.retain(|hash| missing.contains(hash));
        if now < removal.ask_at {
            plan.ask_nothing();
        }
        self.last = plan.summary();
        (self.trouble.again_at <= now).then_some(Pass {
            plan,
            catalogue,
            group: self.stored.group.clone(),
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
        self.removal.shown = to_confirm.unwrap_or_default();
        let name = |hash: &InfoHash| self.stored.share(*hash).map(|share| share.name.clone());
        let failures = self.failures.all().map(|failure| MirrorFailure {
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
            to_confirm: self.removal.shown.iter().filter_map(name).collect(),
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
                "more than a fifth of the shares were withdrawn; to remove {}, type: \
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
