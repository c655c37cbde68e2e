//! Tests of the plan of a mirror: tables, and random lists.

use super::failures::Failures;
use super::plan::*;
use crate::storage::{MirrorOwner, MirrorSettings, MirroredShare, Room};
use crate::torrent::InfoHash;
use crate::wire::access::{FileEntry, ShortText};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// Everything that a plan depends on. Shares are called `s1`, `s2`, ...; a version has the
/// info-hash `[share, version, 0, ...]`.
struct World {
    settings: MirrorSettings,
    catalogue: Vec<FileEntry>,
    shares: Vec<MirroredShare>,
    here: BTreeMap<InfoHash, Here>,
    failures: Failures,
    removal: Removal,
    pruned_lately: usize,
    room: Option<Room>,
    now_ms: u64,
}

fn hash(share: u8, version: u8) -> InfoHash {
    let mut hash = [0; 20];
    (hash[0], hash[1]) = (share, version);
    InfoHash(hash)
}

impl World {
    fn new() -> Self {
        Self {
            settings: MirrorSettings {
                only: Vec::new(),
                keep: None,
                prune_after: None,
                min_free: 5,
            },
            catalogue: Vec::new(),
            shares: Vec::new(),
            here: BTreeMap::new(),
            failures: Failures::default(),
            removal: Removal::default(),
            pruned_lately: 0,
            room: None,
            now_ms: 1_000,
        }
    }

    /// The group lists this version of a share, of 10 bytes. Later ones are published later.
    fn lists(mut self, share: u8, version: u8) -> Self {
        self.catalogue.push(FileEntry {
            name: ShortText::new(format!("s{share}")).unwrap(),
            version: version.into(),
            versions: 1,
            note: None,
            info_hash: hash(share, version),
            length: 10,
            publisher: None,
            published_at: self.catalogue.len() as u64,
            complete: 1,
            partial: 0,
        });
        self
    }

    /// The version is here at its place, in this state.
    fn has(mut self, share: u8, version: u8, state: HereState) -> Self {
        let here = Here {
            path: format!("/m/s{share}").into(),
            bytes: 10,
            state,
        };
        self.here.insert(hash(share, version), here);
        self
    }

    /// The mirror has begun to fetch the version.
    fn owns(mut self, share: u8, version: u8, owner: MirrorOwner) -> Self {
        self.shares.push(MirroredShare {
            name: format!("s{share}"),
            version: version.into(),
            info_hash: hash(share, version),
            path: format!("/m/s{share}").into(),
            owner,
        });
        self
    }

    /// The mirror has fetched the version.
    fn fetched(self, share: u8, version: u8) -> Self {
        self.has(share, version, HereState::Complete)
            .owns(share, version, MirrorOwner::Mirror)
    }

    /// The version was withdrawn at this time.
    fn withdrawn(mut self, share: u8, version: u8, at_ms: u64) -> Self {
        self.removal
            .withdrawn_ms
            .insert(hash(share, version), at_ms);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn prunes_after(self, after_ms: u64) -> Self {
        self.with(|it| it.settings.prune_after = Some(Duration::from_millis(after_ms)))
    }

    fn keeps(self, bytes: u64) -> Self {
        self.with(|it| it.settings.keep = Some(bytes))
    }

    fn plan(&self) -> Plan {
        plan(&MirrorView {
            settings: &self.settings,
            folder: Path::new("/m"),
            catalogue: &self.catalogue,
            shares: &self.shares,
            here: &self.here,
            failures: &self.failures,
            removal: &self.removal,
            pruned_lately: self.pruned_lately,
            room: self.room,
            now_ms: self.now_ms,
            now: Duration::ZERO,
        })
    }

    fn actions(&self) -> Vec<Action> {
        self.plan().actions
    }
}

fn failed() -> HereState {
    HereState::Failed("no".to_owned())
}

#[test]
fn a_share_is_fetched_once_and_followed() {
    let listed = || World::new().lists(1, 2);
    for (what, world, expected) in [
        ("new", listed(), vec![Action::Start(0)]),
        ("complete", listed().fetched(1, 2), vec![]),
        (
            "under way",
            listed()
                .has(1, 2, HereState::UnderWay)
                .owns(1, 2, MirrorOwner::Mirror),
            vec![],
        ),
        (
            "an older version",
            listed().fetched(1, 1),
            vec![Action::Update(0)],
        ),
        (
            "an older version under way",
            listed()
                .has(1, 1, HereState::UnderWay)
                .owns(1, 1, MirrorOwner::Mirror),
            vec![Action::Update(0)],
        ),
        // The newest one was withdrawn, so the one before is the newest again.
        (
            "a newer version",
            listed().fetched(1, 3),
            vec![Action::Update(0)],
        ),
        (
            "failed",
            listed().has(1, 2, failed()).owns(1, 2, MirrorOwner::Mirror),
            vec![Action::Start(0)],
        ),
        ("a person's failure", listed().has(1, 2, failed()), vec![]),
        (
            "a person's version at the place",
            listed().has(1, 1, HereState::Complete),
            vec![],
        ),
        (
            "given to a person",
            listed()
                .has(1, 1, HereState::Complete)
                .owns(1, 1, MirrorOwner::Person),
            vec![],
        ),
        (
            "ended by a person",
            listed().owns(1, 2, MirrorOwner::Ended),
            vec![],
        ),
        (
            "neither here nor listed",
            World::new().owns(1, 2, MirrorOwner::Mirror),
            vec![Action::Forget(hash(1, 2))],
        ),
        (
            "changed files stay noted",
            World::new().owns(1, 2, MirrorOwner::Changed),
            vec![],
        ),
        (
            "superseded",
            listed().fetched(1, 2).owns(1, 1, MirrorOwner::Mirror),
            vec![Action::Forget(hash(1, 1))],
        ),
    ] {
        assert_eq!(world.actions(), expected, "{what}");
    }
    let blocked = World::new().lists(1, 2).has(1, 1, HereState::Complete);
    let name = "s1".to_owned();
    assert_eq!(blocked.plan().waits, [Wait::Person { name }]);
}

#[test]
fn a_bounded_number_is_fetched_at_once_new_versions_first() {
    let mut world = World::new();
    for share in 0..60 {
        world = world.lists(share, 2);
    }
    let starts = world.actions();
    assert_eq!(starts.len(), MAX_AT_ONCE);
    // What was published last comes first.
    assert_eq!(starts[0], Action::Start(59));
    for share in 0..40 {
        world = world.fetched(share, 1);
    }
    let actions = world.actions();
    assert_eq!(actions.len(), MAX_UPDATES_AT_ONCE);
    assert!(actions.iter().all(|it| matches!(it, Action::Update(_))));
}

#[test]
fn a_failure_waits_for_its_time() {
    let world = World::new().lists(1, 1).lists(2, 1).with(|it| {
        it.failures
            .on_failed(hash(1, 1), "s1", "no", Duration::ZERO);
    });
    assert_eq!(world.actions(), [Action::Start(1)]);
}

#[test]
fn no_download_begins_below_the_least_free_space() {
    let world = |free| {
        World::new()
            .lists(1, 1)
            .lists(2, 2)
            .fetched(2, 1)
            .with(|it| {
                it.room = Some(Room { free, total: 1_000 });
            })
    };
    let both = [Action::Update(1), Action::Start(0)];
    for (free, actions, waiting) in [
        (1_000, &both[..], 0),
        (61, &both[..], 0),
        // 5 % are 50 bytes, and the share has 10.
        (60, &both[..1], 1),
        (51, &both[..1], 1),
        (50, &[], 2),
        (0, &[], 2),
    ] {
        let plan = world(free).plan();
        assert_eq!(plan.actions, actions, "{free}");
        let waits: Vec<Wait> = (waiting > 0)
            .then_some(Wait::Room { shares: waiting })
            .into_iter()
            .collect();
        assert_eq!(plan.waits, waits, "{free}");
    }
}

#[test]
fn the_oldest_shares_do_not_fit_first() {
    let listed = || World::new().lists(1, 1).lists(2, 1).lists(3, 1);
    let all = || listed().fetched(1, 1).fetched(2, 1).fetched(3, 1);
    let evict = |share| Action::Evict(hash(share, 1));
    for (what, world, expected) in [
        ("all fit", all().keeps(30), vec![]),
        ("two fit", all().keeps(29), vec![evict(1)]),
        (
            "two of three are fetched",
            listed().keeps(29),
            vec![Action::Start(2), Action::Start(1)],
        ),
        (
            "none fits",
            all().keeps(9),
            vec![evict(1), evict(2), evict(3)],
        ),
        (
            "a share of a person does not count",
            all()
                .with(|it| it.shares.retain(|share| share.name != "s3"))
                .keeps(20),
            vec![],
        ),
        (
            "a share that can never fit takes no room",
            all().with(|it| it.catalogue[2].length = 100).keeps(20),
            vec![evict(3)],
        ),
        (
            "a share that is not listed counts, and stays",
            all().fetched(4, 1).keeps(30),
            vec![evict(1)],
        ),
        (
            "an older version of a share that does not fit goes too",
            listed().lists(4, 2).fetched(1, 1).fetched(4, 1).keeps(5),
            vec![evict(1), evict(4)],
        ),
    ] {
        assert_eq!(world.plan().actions, expected, "{what}");
    }
}

#[test]
fn only_an_explicit_withdrawal_that_is_old_enough_removes() {
    let many = || {
        (10..20).fold(World::new(), |world, share| {
            world.lists(share, 1).fetched(share, 1)
        })
    };
    let gone = || many().fetched(1, 1);
    let prune = [Action::Prune(hash(1, 1))];
    for (what, world, expected) in [
        (
            "withdrawn",
            gone().withdrawn(1, 1, 900).prunes_after(100),
            &prune[..],
        ),
        (
            "too new",
            gone().withdrawn(1, 1, 901).prunes_after(100),
            &[],
        ),
        ("no --prune", gone().withdrawn(1, 1, 0), &[]),
        ("only missing from the list", gone().prunes_after(0), &[]),
        (
            "listed again",
            gone().lists(1, 1).withdrawn(1, 1, 0).prunes_after(0),
            &[],
        ),
        (
            "of a person",
            many()
                .has(1, 1, HereState::Complete)
                .withdrawn(1, 1, 0)
                .prunes_after(0),
            &[],
        ),
        (
            "given to a person",
            many()
                .has(1, 1, HereState::Complete)
                .owns(1, 1, MirrorOwner::Person)
                .withdrawn(1, 1, 0)
                .prunes_after(0),
            &[],
        ),
        (
            "unfinished",
            many()
                .has(1, 1, HereState::UnderWay)
                .owns(1, 1, MirrorOwner::Mirror)
                .withdrawn(1, 1, 0)
                .prunes_after(0),
            &prune[..],
        ),
    ] {
        assert_eq!(world.actions(), expected, "{what}");
    }
    let failed = gone().withdrawn(1, 1, 0).prunes_after(0).with(|it| {
        let failures = &mut it.removal.failures;
        failures.on_failed(hash(1, 1), "s1", "disk", Duration::ZERO);
    });
    assert_eq!(failed.actions(), []);
    assert_eq!(gone().prunes_after(0).plan().missing, [hash(1, 1)].into());
    assert_eq!(gone().plan().missing, [].into());
}

#[test]
fn more_than_a_fifth_at_once_waits_for_a_confirmation() {
    // `all` shares are here, and `gone` of them were withdrawn.
    let world = |all: u8, gone: u8| {
        let world = (0..all).fold(World::new(), |world, share| world.fetched(share, 1));
        let world = (gone..all).fold(world, |world, share| world.lists(share, 1));
        (0..gone)
            .fold(world, |world, share| world.withdrawn(share, 1, 0))
            .prunes_after(0)
    };
    for (all, gone, lately, is_pruned) in [
        (1, 1, 0, true),
        (3, 1, 0, true),
        (10, 2, 0, true),
        (10, 3, 0, false),
        (2, 2, 0, false),
        // What was removed lately counts too.
        (10, 1, 1, true),
        (10, 1, 2, false),
        (10, 2, 1, false),
    ] {
        let world = world(all, gone).with(|it| it.pruned_lately = lately);
        let plan = world.plan();
        let due: BTreeSet<InfoHash> = (0..gone).map(|share| hash(share, 1)).collect();
        let case = format!("{gone} of {all}, {lately} lately");
        match is_pruned {
            true => assert_eq!(plan.actions.len(), usize::from(gone), "{case}"),
            false => {
                assert_eq!(plan.actions, [], "{case}");
                assert_eq!(plan.waits, [Wait::Confirm(due.clone())], "{case}");
                let plan = world.with(|it| it.removal.confirmed = due).plan();
                assert_eq!(plan.actions.len(), usize::from(gone), "{case}");
            }
        }
    }
    // Only what was shown is confirmed.
    let partly = world(10, 4).with(|it| it.removal.confirmed = [hash(0, 1)].into());
    let plan = partly.plan();
    assert_eq!(plan.actions, [Action::Prune(hash(0, 1))]);
    let others = (1..4).map(|share| hash(share, 1)).collect();
    assert_eq!(plan.waits, [Wait::Confirm(others)]);
}

/// Whatever lists, transfers and withdrawals there are: only a withdrawn share of the mirror goes,
/// and never more than a fifth without a confirmation.
#[test]
fn whatever_arrives_no_file_goes_without_a_withdrawal() {
    for seed in 0..20_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new().prunes_after(random.u64(0..1_000));
        for share in 0..random.u8(0..12) {
            if random.bool() {
                world = world.lists(share, random.u8(1..4));
            }
            for version in 1..4 {
                let state = match random.u8(0..5) {
                    0 => continue,
                    1 => HereState::UnderWay,
                    2 => failed(),
                    _ => HereState::Complete,
                };
                if random.u8(0..10) > 0 {
                    world = world.has(share, version, state);
                }
                let owner = match random.u8(0..10) {
                    0 => continue,
                    1 => MirrorOwner::Person,
                    2 => MirrorOwner::Ended,
                    3 => MirrorOwner::Changed,
                    _ => MirrorOwner::Mirror,
                };
                world = world.owns(share, version, owner);
                if random.bool() {
                    world = world.withdrawn(share, version, random.u64(0..1_000));
                }
                if random.u8(0..10) == 0 {
                    world.removal.confirmed.insert(hash(share, version));
                }
            }
        }
        world.pruned_lately = random.usize(0..3);
        let after = world.settings.prune_after.unwrap().as_millis() as u64;
        let mut unconfirmed = 0;
        for action in world.actions() {
            let Action::Prune(pruned) = action else {
                assert!(!matches!(action, Action::Evict(_)), "seed {seed}");
                continue;
            };
            let share = world.shares.iter().find(|it| it.info_hash == pruned);
            assert_eq!(share.unwrap().owner, MirrorOwner::Mirror, "seed {seed}");
            let is_old = world.removal.withdrawn_ms[&pruned] + after <= world.now_ms;
            assert!(is_old, "seed {seed}");
            let is_listed = world.catalogue.iter().any(|it| it.info_hash == pruned);
            assert!(!is_listed, "seed {seed}");
            unconfirmed += usize::from(!world.removal.confirmed.contains(&pruned));
        }
        let mirrored = world
            .shares
            .iter()
            .filter(|it| it.owner == MirrorOwner::Mirror && world.here.contains_key(&it.info_hash));
        let (all, gone) = (mirrored.count(), unconfirmed);
        let at_once = gone + world.pruned_lately;
        let is_few = gone == 0 || at_once <= 1 || at_once * 5 <= all + world.pruned_lately;
        assert!(is_few, "seed {seed}: {gone} of {all}");
    }
}
