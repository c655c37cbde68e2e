//! Random commands about shares and their versions, and what must hold for the catalogues: for the
//! random runs in `convergence` and for the simulation of replication.

use super::*;
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What a person wants to withdraw: what the name meant when the person saw it.
#[derive(Clone)]
pub(crate) struct Withdrawal {
    name: String,
    seen: InfoHash,
}

type Operation = dyn Fn(&Registry, (RowId, RowId), Duration) -> Result<Update, Refusal>;

/// A command, and what it withdraws.
pub(crate) type ShareCommand = (Rc<Operation>, Option<Withdrawal>);

/// Few names, so that shares often have several versions. The last one looks like a version of the
/// first: earlier versions of the program accepted such names.
const NAMES: [&str; 3] = ["one", "two", "one@2"];

/// A random command about the shares of `group`. `publisher` is mostly a member who may publish
/// there.
pub(crate) fn random_command(
    rng: &mut Rng,
    registry: &Registry,
    publisher: RowId,
    group: &Label,
) -> ShareCommand {
    let group = group.clone();
    let name = *rng.choice(&NAMES).unwrap();
    let choice = rng.u8(..16);
    let note = ["first try", "better"].get(rng.usize(..4));
    // One of the versions that the tracker lists, or one that perhaps only another tracker lists.
    let listed = registry.share_versions(publisher, &group, None, 99);
    let listed = listed.map_or_else(|_| Vec::new(), |(views, _)| views);
    let version = rng.choice(&listed).map(|view| view.name.clone());
    let version = version.unwrap_or_else(|| format!("{name}@{}", rng.u8(1..4)));
    let seen = |name: &str| {
        let found = registry.share(publisher, &group, name);
        found.map_or(InfoHash([0; 20]), |row| row.info_hash)
    };
    let withdrawal = match choice {
        12 => Some(name.to_owned()),
        14.. => Some(version.clone()),
        _ => None,
    };
    let withdrawal = withdrawal.map(|name| Withdrawal {
        seen: seen(&name),
        name,
    });
    let meant = withdrawal.clone();
    let operation: Rc<Operation> = match choice {
        0..=11 => Rc::new(move |it, (id, _), now| {
            // The label may mean another group at another tracker.
            let RowId(group_id) = it.group_id(&group)?;
            let id = u128::from_be_bytes(id.0) ^ u128::from_be_bytes(group_id);
            let id = RowId(id.to_be_bytes());
            let new = NewShare {
                id,
                name: FileName::new(name).unwrap(),
                info_hash: InfoHash([id.0[0]; 20]),
                length: 7,
                note: note.map(|note| note.parse().unwrap()),
                is_update: choice > 1,
            };
            publish_with_any_name(it, publisher, &group, new, now)
        }),
        _ => Rc::new(move |it, _, now| match &meant {
            Some(meant) => it.withdraw(publisher, &group, &meant.name, meant.seen, now),
            None => it.withdraw_as_operator(&group, &version, now),
        }),
    };
    (operation, withdrawal)
}

/// Publishes a share. If its name has the form of a name of a version, or means another share,
/// makes the row that earlier versions of the program made.
pub(super) fn publish_with_any_name(
    registry: &Registry,
    actor: RowId,
    group: &Label,
    new: NewShare,
    now: Duration,
) -> Result<Update, Refusal> {
    let published = registry.publish(actor, group, new.clone(), now);
    if !matches!(
        published,
        Err(Refusal::NumberedName { .. } | Refusal::NameOfOther(_))
    ) {
        return published;
    }
    let version = registry.next_version(now);
    let share = Share {
        id: new.id,
        group: registry.group_id(group)?,
        publisher: actor,
        created: version,
        name: new.name,
        info_hash: new.info_hash,
        length: new.length,
        note: new.note,
        edition: Edition::first(new.id, version),
        withdrawn: None,
    };
    registry.write(version, &[new.id], [Row::Share(share)])
}

/// A random command about the shares of a random group, by a random member of it.
pub(crate) fn command_in_a_group(rng: &mut Rng, registry: &Registry) -> Option<ShareCommand> {
    let groups = registry.groups(None, None, 99).items;
    let group = rng.choice(&groups)?.label.clone();
    let id = registry.group_id(&group).ok()?;
    let accounts = registry.accounts(None, 99).items;
    let is_member = |account: &RowId| registry.role_of(id, *account).is_some();
    let members: Vec<RowId> = accounts.into_iter().map(|(id, _)| id).collect();
    let members: Vec<RowId> = members.into_iter().filter(is_member).collect();
    let member = *rng.choice(&members)?;
    Some(random_command(rng, registry, member, &group))
}

/// Whether the present edition is the written one or overrules it. An update stays in a share that
/// existed, in the same one or in one with an earlier claim; its number gets no smaller there.
fn keeps_edition(present: &Register<Edition>, written: &Share) -> bool {
    let (now, then) = (present.value, written.edition.value);
    if written.is_first_version() {
        let is_later = present.version.stamp >= written.edition.version.stamp;
        return now.first != written.id || is_later;
    }
    let claim = |edition: Edition| (edition.since, edition.first);
    now.first != written.id
        && match claim(now) == claim(then) {
            true => now.number >= then.number,
            false => claim(now) < claim(then),
        }
}

/// Whether the present row still has the attributes that the write `version` wrote, and its edition
/// and its withdrawal, or others that overrule them.
pub(super) fn keeps_share(present: &Share, written: &Share, version: Version) -> bool {
    let is_later = |present: &Register<RowId>| present.version.stamp >= version.stamp;
    let is_kept = |present: &Option<Register<RowId>>| present.as_ref().is_some_and(is_later);
    let keeps_withdrawal = written
        .withdrawn
        .as_ref()
        .is_none_or(|field| field.version != version || is_kept(&present.withdrawn));
    let keeps_edition =
        written.edition.version != version || keeps_edition(&present.edition, written);
    let attributes = |it: &Share| {
        let note = it.note.as_ref().map(ToString::to_string);
        let name = it.name.as_str().to_owned();
        (it.group, it.publisher, it.info_hash, it.length, name, note)
    };
    keeps_withdrawal && keeps_edition && attributes(present) == attributes(written)
}

type Key<'r> = (RowId, &'r str, RowId);

fn key(row: &Share) -> Key<'_> {
    (row.group, row.name.as_str(), row.edition.value.first)
}

fn shares(registry: &Registry) -> impl Iterator<Item = &Share> {
    registry.rows().filter_map(|row| match row {
        Row::Share(row) => Some(row),
        _ => None,
    })
}

/// Whether the catalogue lists a version: it is not withdrawn, and its publisher not removed.
fn is_listed(registry: &Registry, row: &Share) -> bool {
    let publisher = registry.row(registry.account_of(row.publisher));
    let is_removed = matches!(publisher, Some(Row::Account(it)) if it.removed.is_some());
    row.withdrawn.is_none() && !is_removed
}

/// Checks the editions of the versions that a change publishes. `registry` is the one that the
/// change was made from.
pub(crate) fn check_new_versions(registry: &Registry, change: &Change) -> Result<(), String> {
    for row in change.rows() {
        let Row::Share(row) = row else { continue };
        if registry.row(row.id).is_some() {
            continue;
        }
        let of_share = shares(registry).filter(|it| key(it) == key(row));
        let highest = of_share
            .map(|it| it.edition.value.number)
            .max()
            .unwrap_or(0);
        if row.edition.value.number != highest + 1 {
            return Err(format!(
                "the number after {highest} is {}",
                row.edition.value.number
            ));
        }
        let mut others = shares(registry).filter(|it| is_listed(registry, it));
        let of_share = shares(registry).filter(|it| key(it) == key(row));
        let listed = of_share.filter(|it| is_listed(registry, it));
        let since = listed.map(|it| it.edition.value.since);
        let since = since.min().unwrap_or(row.created.stamp);
        if row.edition.value.since != since {
            return Err(format!("{row:?} does not keep the claim of {since:?}"));
        }
        let is_held = others.any(|it| (it.group, &it.name) == (row.group, &row.name));
        if row.is_first_version() == is_held {
            return Err(format!("{row:?} is a first version, or its name is held"));
        }
    }
    Ok(())
}

/// Checks that a change that withdraws something withdraws what was meant: one version, or all
/// listed versions of one share. `registry` is the one that the change was made from.
pub(crate) fn check_withdrawal(
    registry: &Registry,
    change: &Change,
    meant: &Withdrawal,
) -> Result<(), String> {
    let is_listed = |row: &&Share| is_listed(registry, row);
    let changed = change.rows().filter_map(|row| match row {
        Row::Share(row) => Some(row.id),
        _ => None,
    });
    let known = changed.filter_map(|id| registry.share_row(id));
    let withdrawn: Vec<&Share> = known.filter(is_listed).collect();
    let Some(first) = withdrawn.first() else {
        return Ok(());
    };
    let of_share = shares(registry).filter(|it| key(it) == key(first));
    let is_whole = of_share.filter(is_listed).count() == withdrawn.len()
        && withdrawn.iter().all(|it| key(it) == key(first));
    let is_seen = withdrawn.iter().any(|it| it.info_hash == meant.seen);
    let may_be_share = NAMES.contains(&&meant.name[..]) || !meant.name.contains('@');
    match is_seen && (withdrawn.len() == 1 || is_whole && may_be_share) {
        true => Ok(()),
        false => Err(format!("{} withdraws {withdrawn:?}", meant.name)),
    }
}

/// The versions that are listed, in the order of the catalogue: by group, name, share, number and
/// creation.
fn listed_versions(registry: &Registry) -> BTreeMap<Key<'_>, Vec<&Share>> {
    let mut listed: BTreeMap<Key<'_>, Vec<&Share>> = BTreeMap::new();
    for row in shares(registry).filter(|row| is_listed(registry, row)) {
        listed.entry(key(row)).or_default().push(row);
    }
    for versions in listed.values_mut() {
        versions.sort_by_key(|row| (row.edition.value.number, row.created.stamp, row.id));
    }
    listed
}

/// The numbers of the known versions of a share, listed or not, each with the version that was
/// published first.
fn earliest_of_each_number<'r>(registry: &'r Registry, share: Key<'_>) -> BTreeMap<u32, &'r Share> {
    let mut earliest: BTreeMap<u32, &Share> = BTreeMap::new();
    for row in shares(registry).filter(|row| key(row) == share) {
        let present = earliest.entry(row.edition.value.number).or_insert(row);
        if (row.created.stamp, row.id) < (present.created.stamp, present.id) {
            *present = row;
        }
    }
    earliest
}

/// Checks against the rows which share holds each name, which version is the newest, and what each
/// name of a version means.
pub(crate) fn check_catalogues(registry: &Registry) -> Result<(), String> {
    let listed = listed_versions(registry);
    let mut holders: BTreeMap<(RowId, &str), (Stamp, RowId)> = BTreeMap::new();
    for (&(group, name, first), versions) in &listed {
        let since = versions.iter().map(|row| row.edition.value.since).min();
        let claim = (since.unwrap(), first);
        let holder = holders.entry((group, name)).or_insert(claim);
        *holder = (*holder).min(claim);
    }
    let catalogue = &registry.index.catalogue;
    let found = |group, name: &str| {
        let found = catalogue.find(group, name)?;
        registry.newest_of(&found)
    };
    for (&(group, name, first), versions) in &listed {
        let newest = versions.last().unwrap();
        let is_holder = holders[&(group, name)].1 == first;
        let shown = registry.share_name(newest);
        if (found(group, name) == Some(newest.id)) != is_holder || (shown == name) != is_holder {
            return Err(format!(
                "{name} is not held by the earliest claim, or not the newest"
            ));
        }
        let mut names = BTreeSet::new();
        for row in versions {
            let full = registry
                .version_name(row)
                .ok_or("a listed version has no name")?;
            if found(group, &full) != Some(row.id) || !names.insert(full.clone()) {
                return Err(format!("{full} does not mean its version"));
            }
        }
        for (number, earliest) in earliest_of_each_number(registry, (group, name, first)) {
            let plain = format!("{shown}@{number}");
            if let Some(Found::Share(_)) = catalogue.find(group, &plain) {
                continue;
            }
            let expected = is_listed(registry, earliest).then_some(earliest.id);
            if found(group, &plain) != expected {
                return Err(format!("{plain} does not mean the earliest version"));
            }
        }
    }
    check_publishers(registry)?;
    check_pages(registry, &listed)
}

/// Checks that exactly the publishers of known versions of a share, listed or not, have published
/// one.
fn check_publishers(registry: &Registry) -> Result<(), String> {
    let mut publishers: BTreeMap<Key<'_>, (ShareKey, BTreeSet<RowId>)> = BTreeMap::new();
    for row in shares(registry) {
        let entry = publishers.entry(key(row));
        let (_, published) = entry.or_insert_with(|| (row.key(), BTreeSet::new()));
        published.insert(row.publisher);
    }
    let all: BTreeSet<RowId> = shares(registry).map(|row| row.publisher).collect();
    for (share, published) in publishers.values() {
        let has_published = |id: &&RowId| registry.index.catalogue.has_published(share, **id);
        if !all.iter().filter(has_published).eq(published) {
            return Err(format!("wrong publishers of {share:?}"));
        }
    }
    Ok(())
}

/// Checks that the pages of the catalogues have exactly the listed shares and versions, in their
/// order, and that each swarm has exactly its listed versions.
fn check_pages(registry: &Registry, listed: &BTreeMap<Key<'_>, Vec<&Share>>) -> Result<(), String> {
    let catalogue = &registry.index.catalogue;
    let groups: BTreeSet<RowId> = shares(registry).map(|row| row.group).collect();
    for group in groups {
        let of_group = listed.iter().filter(|((of, _, _), _)| *of == group);
        let versions = of_group.map(|(_, versions)| versions);
        let newest = versions.clone().filter_map(|versions| versions.last());
        let newest: Vec<RowId> = newest.map(|row| row.id).collect();
        let all: Vec<RowId> = versions.flatten().map(|row| row.id).collect();
        for limit in [1, 2, 7] {
            let shown = all_pages(|after| catalogue.page(group, after, limit));
            let shown_versions = all_pages(|after| {
                let known = after.and_then(|after| registry.share_row(after.version?.1));
                let place = |after| VersionPlace::after(after, known.map(VersionPlace::of));
                catalogue.version_page(group, after.map(place), limit)
            });
            if (&shown, &shown_versions) != (&newest, &all) {
                return Err("a page of a catalogue differs from the rows".to_owned());
            }
        }
    }
    let mut swarms: BTreeMap<InfoHash, BTreeSet<RowId>> = BTreeMap::new();
    for row in shares(registry) {
        let swarm = swarms.entry(row.info_hash).or_default();
        swarm.extend(is_listed(registry, row).then_some(row.id));
    }
    for (info_hash, expected) in swarms {
        let found: BTreeSet<RowId> = catalogue.of_swarm(&info_hash).collect();
        if found != expected {
            return Err(format!("the swarm {info_hash} has {found:?}"));
        }
    }
    Ok(())
}

/// All entries of a list, read page by page. Each cursor is written and read back.
fn all_pages(
    page: impl Fn(Option<&ShareCursor>) -> (Vec<RowId>, Option<ShareCursor>),
) -> Vec<RowId> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (entries, next) = page(after.as_ref());
        all.extend(entries);
        match next {
            Some(next) => after = Some(next.to_string().parse().unwrap()),
            None => return all,
        }
    }
}

/// The number of shares with several listed versions, of versions with the number of another one,
/// and of versions with a note.
pub(super) fn versions_and_doubles(registry: &Registry) -> [usize; 3] {
    let listed = listed_versions(registry);
    let several = listed
        .values()
        .filter(|versions| versions.len() > 1)
        .count();
    let pairs = listed.values().flat_map(|versions| versions.windows(2));
    let is_double = |pair: &&[&Share]| pair[0].edition.value.number == pair[1].edition.value.number;
    let notes = listed.values().flatten().filter(|row| row.note.is_some());
    [several, pairs.filter(is_double).count(), notes.count()]
}

/// The change as a tracker sees it that ignores which version of a share a row is.
pub(crate) fn without_editions(mut change: Change) -> Change {
    for row in change.rows.values_mut() {
        if let Row::Share(row) = row {
            row.edition = Edition::first(row.id, row.created);
        }
    }
    change
}
