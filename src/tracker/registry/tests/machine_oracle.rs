//! Random commands about tokens and machines, and what must hold for their rows: for the random
//! runs in `convergence` and for the simulation of replication.

use super::*;
use crate::wire::machine::{MachineSecret, MachineStart};
use fastrand::Rng;
use std::rc::Rc;

type Operation = dyn Fn(&Registry, (RowId, RowId), Duration) -> Result<Update, Refusal>;

/// The tokens and machines that a registry knows.
fn known(registry: &Registry) -> (Vec<&MachineToken>, Vec<&Machine>) {
    let (mut tokens, mut machines) = (Vec::new(), Vec::new());
    for row in registry.rows() {
        match row {
            Row::Token(row) => tokens.push(row),
            Row::Machine(row) => machines.push(row),
            _ => {}
        }
    }
    (tokens, machines)
}

/// A random command about tokens and machines. `owner` mostly owns `group`.
pub(super) fn random_command(
    rng: &mut Rng,
    registry: &Registry,
    owner: RowId,
    group: &Label,
) -> Rc<Operation> {
    let (tokens, machines) = known(registry);
    // Few tokens and machines that can still do something, so that disconnected trackers often
    // write to the same ones.
    let tokens: Vec<_> = tokens
        .into_iter()
        .filter(|token| registry.granted_roles(token).next().is_some())
        .collect();
    let token = tokens.get(rng.usize(..2)).or(tokens.first()).copied();
    let (valid, ended): (Vec<_>, Vec<_>) = machines
        .into_iter()
        .partition(|machine| registry.check_machine(machine).is_ok());
    let machine = valid.get(rng.usize(..2)).or(valid.first()).copied();
    let suspended = ended.into_iter().find(|it| it.suspension().is_some());
    let name: MachineName = rng.choice(&["gpu", "cpu"]).unwrap().parse().unwrap();
    let role = *rng.choice(&[Role::Reader, Role::Publisher]).unwrap();
    let choice = rng.u8(..22);
    match (choice, token, machine.or(suspended)) {
        (2..=21, Some(token), None) | (2..=3, Some(token), _) => {
            let (secret, key) = (token.secret, KeyHash([rng.u8(..2); 32]));
            Rc::new(move |it, _, now| it.enrol(&secret, key, name.clone(), now))
        }
        (4..=15, _, Some(machine)) => {
            let (id, key) = (machine.id, machine.key);
            // Copies at two trackers often start with the same number.
            let last = machine.starts.as_ref().map_or(0, |starts| starts.counter);
            let start = MachineStart {
                counter: (last + u64::from(rng.u8(..12) > 0)).max(1),
                nonce: [rng.u8(..); 16],
            };
            Rc::new(move |it, _, now| {
                Ok(match it.start_machine(id, &key, &start, now)? {
                    StartResult::Accepted(update) | StartResult::Suspended(update) => update,
                })
            })
        }
        (16, Some(token), Some(machine)) => {
            let label = registry.label_of_machine(machine.id);
            let token = registry.label_of_token(token.id);
            let ends_token = rng.u8(..4) == 0;
            Rc::new(move |it, _, now| match (&label, &token) {
                (_, Some(token)) if ends_token => it.revoke_token(owner, token, now),
                (Some(label), _) => it.revoke_machine(owner, label, now),
                _ => Err(Refusal::UnknownMachine),
            })
        }
        (17..=21, _, Some(machine)) => {
            let machine = suspended.unwrap_or(machine);
            let label = registry.label_of_machine(machine.id);
            let (group, allows) = (group.clone(), rng.u8(..3) > 0);
            Rc::new(move |it, _, now| {
                let label = label.as_ref().ok_or(Refusal::UnknownMachine)?;
                match allows {
                    true => it.allow_machine(owner, label, now),
                    false => it.set_role(owner, &group, &label.clone().into(), role, now),
                }
            })
        }
        _ => {
            let group = group.clone();
            Rc::new(move |it, (id, _), now| {
                let RowId(group_id) = it.group_id(&group)?;
                let id = u128::from_be_bytes(id.0) ^ u128::from_be_bytes(group_id);
                let new = NewToken {
                    id: RowId(id.to_be_bytes()),
                    secret: MachineSecret(id.to_be_bytes()).hash(),
                    name: name.clone(),
                    groups: vec![(group.clone(), role)],
                    machines: 3,
                    enrols_for: None,
                };
                it.create_token(owner, new, now)
            })
        }
    }
}

/// Whether the present row still has each value that the write `version` wrote, or a value that
/// overrules it.
pub(super) fn keeps_token(
    present: &MachineToken,
    written: &MachineToken,
    version: Version,
) -> bool {
    let revoked = keeps(present.revoked.as_ref(), written.revoked.as_ref(), version);
    revoked && keeps(present.refused.as_ref(), written.refused.as_ref(), version)
}

/// Like [`keeps_token`].
pub(super) fn keeps_machine(present: &Machine, written: &Machine, version: Version) -> bool {
    let keeps_name = written.name.version != version || present.name.version <= version;
    let keeps_roles = written.roles.iter().all(|(group, role)| {
        let present = present.roles.get(group);
        keeps(present, Some(role), version)
    });
    let keeps_start = written.starts.as_ref().is_none_or(|written| {
        let is_of_write = written.nonces.values().any(|it| *it == version);
        let present = present.starts.as_ref();
        // The two smallest nonces of one counter show that there are several.
        !is_of_write
            || present.is_some_and(|present| {
                let order = |starts: &Starts| (starts.after, starts.counter);
                order(present) > order(written)
                    || order(present) == order(written)
                        && (present.nonces.len() > 1
                            || present.nonces == written.nonces
                            || present.nonces.keys().eq(written.nonces.keys()))
            })
    });
    keeps_name
        && keeps_roles
        && keeps_start
        && keeps(
            present.suspended.as_ref(),
            written.suspended.as_ref(),
            version,
        )
        && keeps(
            present.answered.as_ref(),
            written.answered.as_ref(),
            version,
        )
        && keeps(present.revoked.as_ref(), written.revoked.as_ref(), version)
}

fn keeps<T>(
    present: Option<&Register<T>>,
    written: Option<&Register<T>>,
    version: Version,
) -> bool {
    written.is_none_or(|written| {
        let is_kept = |present: &Register<T>| present.version.stamp >= version.stamp;
        written.version != version || present.is_some_and(is_kept)
    })
}

/// When the maker of a token became a member of a group, if he is one now: from the rows.
fn member_since(registry: &Registry, group: RowId, maker: RowId) -> Option<Stamp> {
    registry.account(maker)?;
    let rows = || {
        registry.rows().filter_map(move |row| match row {
            Row::Membership(row) if (row.group, row.account) == (group, maker) => Some(row),
            _ => None,
        })
    };
    let last_end = rows().filter_map(|row| Some(row.ended.as_ref()?.version.stamp));
    let last_end = last_end.max();
    let live = rows().filter(|row| row.ended.is_none() && Some(row.created.stamp) > last_end);
    let accepted = live.filter_map(|row| Some(row.accepted.as_ref()?.version.stamp));
    accepted.min()
}

/// Checks the role of every machine in every group against the rows: a machine that was revoked or
/// is suspended, or whose token has ended, has none, and no machine may do more than its maker. Two
/// starts with one counter suspend the machine.
pub(crate) fn check_machines(registry: &Registry) -> Result<(), String> {
    let (tokens, machines) = known(registry);
    for machine in machines {
        let answered = machine.answered.as_ref().map(|it| it.version.stamp);
        let suspended = machine.suspended.as_ref().map(|it| it.version.stamp);
        let clashes = machine
            .starts
            .as_ref()
            .is_some_and(|starts| starts.after >= answered && starts.nonces.len() > 1);
        if clashes && suspended <= answered {
            return Err(format!("copies of {} run: {machine:?}", machine.id));
        }
        let Some(token) = tokens.iter().find(|it| it.id == machine.token) else {
            return Err(format!("{} has no token", machine.id));
        };
        for (group, of_token) in &token.groups {
            let may_act = machine.revoked.is_none()
                && token.revoked.is_none()
                && suspended <= answered
                && member_since(registry, *group, token.maker)
                    .is_some_and(|since| since < token.created.stamp);
            let given = machine.roles.get(group).map(|it| it.value.role);
            let of_maker = registry.role_of(*group, token.maker);
            let expected = of_maker.map(|it| it.min(given.unwrap_or(*of_token)));
            let expected = expected.filter(|_| may_act);
            let found = registry.role_of(*group, machine.id);
            if found != expected {
                let id = machine.id;
                return Err(format!("{id} is {found:?} in {group}, not {expected:?}"));
            }
        }
    }
    Ok(())
}

/// The machines that have ended, or were suspended or allowed again, by group: from the rows. What
/// bars say must follow from this.
pub(super) fn former_machines(registry: &Registry) -> Vec<(RowId, FormerMember)> {
    let (tokens, machines) = known(registry);
    let mut former = Vec::new();
    for machine in machines {
        let Some(token) = tokens.iter().find(|it| it.id == machine.token) else {
            continue;
        };
        for group in token.groups.keys() {
            // What followed the end of the membership of the maker.
            let of_maker = registry.former_members_since(*group, Duration::ZERO, usize::MAX);
            let of_maker = of_maker.into_iter().find(|it| it.account == token.maker);
            let of_maker = of_maker.map(|it| it.at);
            let stamps = [
                token.revoked.as_ref().map(|it| it.version.stamp),
                machine.revoked.as_ref().map(|it| it.version.stamp),
                machine.answered.as_ref().map(|it| it.version.stamp),
                machine.suspended.as_ref().map(|it| it.version.stamp),
                of_maker.filter(|at| *at > token.created.stamp),
            ];
            former.extend(stamps.into_iter().flatten().max().map(|at| {
                let member = FormerMember {
                    account: machine.id,
                    label: registry.label_of_machine(machine.id).map(Into::into),
                    at,
                    is_back: registry.role_of(*group, machine.id).is_some(),
                };
                (*group, member)
            }));
        }
    }
    former
}

/// The number of machines that were suspended because of two starts that different trackers
/// accepted, and of those that have started.
pub(super) fn suspended_and_started(registry: &Registry) -> [usize; 2] {
    let (_, machines) = known(registry);
    let clashes = machines.iter().filter(|machine| {
        let starts = machine.starts.as_ref();
        starts.is_some_and(|starts| starts.nonces.len() > 1)
    });
    let started = machines.iter().filter(|machine| machine.starts.is_some());
    [clashes.count(), started.count()]
}
