use super::super::id::{Origin, Sequence};
use super::*;
use crate::torrent::{FileName, InfoHash};
use crate::tracker::registry::{Edition, KeyHash, Starts};
use crate::wire::machine::SecretHash;
use crate::wire::role::Role;

fn at(wall: u64) -> Version {
    let stamp = Stamp::new(wall, 0, Origin([1; 16])).unwrap();
    let sequence = Sequence::new(wall).unwrap();
    Version { stamp, sequence }
}

fn request() -> Membership {
    Membership {
        id: RowId([1; 16]),
        group: RowId([2; 16]),
        account: RowId([3; 16]),
        created: at(1),
        accepted: None,
        ended: None,
        role: None,
    }
}

#[test]
fn merging_is_commutative_associative_and_idempotent() {
    let (one, two) = (RowId([4; 16]), RowId([5; 16]));
    let accepted = [None, Some((2, one)), Some((3, two)), Some((3, one))];
    let ended = [None, Some((2, one)), Some((4, two))];
    let roles = [None, Some((2, Role::Reader)), Some((3, Role::Owner))];
    let mut states = Vec::new();
    for (accepted, role) in accepted
        .into_iter()
        .flat_map(|it| roles.map(|role| (it, role)))
    {
        for ended in ended {
            states.push(Row::Membership(Membership {
                accepted: accepted.map(|(wall, value)| Register {
                    version: at(wall),
                    value,
                }),
                ended: ended.map(|(wall, by)| Register {
                    version: at(wall),
                    value: End {
                        reason: EndReason::Left,
                        by,
                    },
                }),
                role: role.map(|(wall, role)| Register {
                    version: at(wall),
                    value: GivenRole { role, by: one },
                }),
                ..request()
            }));
        }
    }
    let merge = |a: &Row, b: &Row| a.clone().merge(b.clone()).unwrap();
    for a in &states {
        assert_eq!(merge(a, a), *a);
        for b in &states {
            assert_eq!(merge(a, b), merge(b, a));
            for c in &states {
                assert_eq!(merge(&merge(a, b), c), merge(a, &merge(b, c)));
            }
        }
    }
}

fn token() -> MachineToken {
    MachineToken {
        id: RowId([1; 16]),
        created: at(1),
        maker: RowId([3; 16]),
        secret: SecretHash([4; 32]),
        name: "farm".parse().unwrap(),
        groups: [(RowId([2; 16]), Role::Reader)].into(),
        machines: 6,
        enrols_until: None,
        revoked: None,
        refused: None,
    }
}

fn machine() -> Machine {
    Machine {
        id: RowId([1; 16]),
        created: at(1),
        token: RowId([2; 16]),
        key: KeyHash([4; 32]),
        name: Register {
            version: at(1),
            value: "gpu1".parse().unwrap(),
        },
        starts: None,
        suspended: None,
        answered: None,
        revoked: None,
        roles: Default::default(),
    }
}

/// States of one machine: starts under several answers, with several counters and nonces, and roles
/// in two groups.
fn states_of_machines() -> Vec<Row> {
    let by = RowId([9; 16]);
    let field = |wall| Register {
        version: at(wall),
        value: by,
    };
    let mut states = Vec::new();
    for (after, answered) in [(None, None), (None, Some(7)), (Some(7), Some(7))] {
        for (counter, nonce, wall) in [(1, 1, 2), (1, 2, 3), (1, 3, 4), (1, 1, 5), (2, 1, 6)] {
            let starts = Starts {
                after: after.map(|wall| at(wall).stamp),
                counter,
                nonces: [([nonce; 16], at(wall))].into(),
            };
            let role = if wall % 2 == 0 {
                Role::Reader
            } else {
                Role::Publisher
            };
            let given = Register {
                version: at(wall),
                value: GivenRole { role, by },
            };
            states.push(Row::Machine(Machine {
                starts: Some(starts),
                answered: answered.map(field),
                revoked: (wall == 3).then(|| field(wall)),
                roles: [(RowId([nonce % 2; 16]), given)].into(),
                ..machine()
            }));
        }
    }
    states
}

#[test]
fn states_of_a_machine_merge_in_any_order_and_two_nonces_of_one_counter_are_kept() {
    let states = states_of_machines();
    let merge = |a: &Row, b: &Row| a.clone().merge(b.clone()).unwrap();
    for a in &states {
        assert_eq!(merge(a, a), *a);
        for b in &states {
            assert_eq!(merge(a, b), merge(b, a));
            for c in &states {
                assert_eq!(merge(&merge(a, b), c), merge(a, &merge(b, c)));
            }
        }
    }
    let [first, second, third, ..] = &states[..] else {
        panic!()
    };
    let Row::Machine(all) = merge(&merge(third, first), second) else {
        panic!()
    };
    let nonces: Vec<_> = all
        .starts
        .as_ref()
        .unwrap()
        .nonces
        .keys()
        .copied()
        .collect();
    assert_eq!(nonces, [[1; 16], [2; 16]]);
    assert!(all.must_be_suspended() && all.credential().is_none());
}

#[test]
fn tokens_and_machines_with_other_attributes_are_other_rows() {
    let contradicts = |a: Row, b: Row| a.merge(b).is_err();
    for changed in [
        MachineToken {
            maker: RowId([7; 16]),
            ..token()
        },
        MachineToken {
            secret: SecretHash([7; 32]),
            ..token()
        },
        MachineToken {
            name: "other".parse().unwrap(),
            ..token()
        },
        MachineToken {
            groups: Default::default(),
            ..token()
        },
        MachineToken {
            machines: 7,
            ..token()
        },
    ] {
        assert!(contradicts(Row::Token(token()), Row::Token(changed)));
    }
    for changed in [
        Machine {
            token: RowId([7; 16]),
            ..machine()
        },
        Machine {
            key: KeyHash([7; 32]),
            ..machine()
        },
    ] {
        assert!(contradicts(Row::Machine(machine()), Row::Machine(changed)));
    }
}

/// For each kind of row that a repeated command can create: states of one row. A peer repeated its
/// command, so three trackers created the row, at different times. In some states the row was also
/// changed. The change of one tracker can be older than the creation at another one.
fn states_of_recreated_rows() -> Vec<Vec<Row>> {
    let id = RowId([1; 16]);
    let text = |wall: u64| format!("n{wall}");
    fn register<T>(wall: u64, value: T) -> Register<T> {
        let version = at(wall);
        Register { version, value }
    }
    let mut kinds = vec![Vec::new(); 8];
    for created_at in [2, 3, 5] {
        let created = at(created_at);
        for changed_at in [None, Some(4), Some(6)] {
            let withdrawn = changed_at.map(|wall| register(wall, RowId([9; 16])));
            let named_at = changed_at.unwrap_or(created_at);
            kinds[0].push(Row::Account(Account {
                id,
                created,
                name: register(named_at, text(named_at).parse().unwrap()),
                password: register(created_at, PasswordHash::new(text(created_at)).unwrap()),
                revoked: changed_at.map(|wall| register(wall, ())),
                removed: changed_at.map(|wall| register(wall, ())),
            }));
            kinds[1].push(Row::Group(Group {
                id,
                created,
                name: register(named_at, text(named_at).parse().unwrap()),
                key: GroupKey::new(text(created_at)).unwrap(),
            }));
            kinds[2].push(Row::Membership(Membership {
                created,
                // Some of the states are requests that ended without being accepted.
                accepted: Some(register(created_at, RowId([3; 16])))
                    .filter(|_| changed_at != Some(4)),
                ended: changed_at.map(|wall| {
                    let (reason, by) = (EndReason::Left, RowId([3; 16]));
                    register(wall, End { reason, by })
                }),
                ..request()
            }));
            kinds[3].push(Row::Share(Share {
                id,
                group: RowId([2; 16]),
                publisher: RowId([3; 16]),
                created,
                name: FileName::new("f").unwrap(),
                info_hash: InfoHash([4; 20]),
                length: 5,
                note: None,
                // The later creation may know fewer versions, or no share of this name.
                edition: match created_at {
                    3 => Edition::first(id, created),
                    _ => register(
                        created_at,
                        Edition {
                            first: RowId([5; 16]),
                            since: at(1).stamp,
                            number: 10 - u32::try_from(created_at).unwrap(),
                        },
                    ),
                },
                withdrawn,
            }));
            kinds[4].push(Row::Revocation(Revocation {
                id,
                account: RowId([3; 16]),
                created,
                expires: 100 - created_at,
            }));
            kinds[5].push(Row::Receipt(Receipt {
                id,
                created,
                expires: 100 - created_at,
            }));
            kinds[6].push(Row::Token(MachineToken {
                created,
                enrols_until: Some(created_at),
                revoked: changed_at.map(|wall| register(wall, RowId([3; 16]))),
                refused: changed_at.map(|wall| register(wall, ())),
                ..token()
            }));
            kinds[7].push(Row::Machine(Machine {
                created,
                name: register(created_at, text(created_at).parse().unwrap()),
                suspended: changed_at.map(|wall| register(wall, ())),
                ..machine()
            }));
        }
    }
    kinds
}

#[test]
fn of_two_creations_of_one_row_the_later_one_is_kept() {
    let merge = |a: &Row, b: &Row| a.clone().merge(b.clone()).unwrap();
    for states in states_of_recreated_rows() {
        for a in &states {
            assert_eq!(merge(a, a), *a);
            for b in &states {
                let both = merge(a, b);
                assert_eq!(both, merge(b, a));
                let is_a_later = match (a, b) {
                    // Of two log-outs the one that is kept longer wins.
                    (Row::Revocation(a), Row::Revocation(b)) => a.expires > b.expires,
                    _ => a.created() > b.created(),
                };
                let later = if is_a_later { a } else { b };
                assert_eq!(both.created(), later.created());
                if let (Row::Group(both), Row::Group(later)) = (&both, later) {
                    assert_eq!(both.key, later.key);
                }
                if a.created() != b.created() && both.expires().is_some() {
                    assert_eq!(both.expires(), later.expires());
                }
                for c in &states {
                    assert_eq!(merge(&both, c), merge(a, &merge(b, c)));
                }
            }
        }
    }
}

#[test]
fn rows_with_different_attributes_do_not_merge() {
    let row = Row::Membership(request());
    let others = [
        Row::Membership(Membership {
            group: RowId([9; 16]),
            ..request()
        }),
        Row::Membership(Membership {
            account: RowId([9; 16]),
            ..request()
        }),
        Row::Receipt(Receipt {
            id: row.id(),
            created: at(1),
            expires: 5,
        }),
        Row::Revocation(Revocation {
            id: row.id(),
            account: RowId([3; 16]),
            created: at(1),
            expires: 5,
        }),
    ];
    for other in others {
        assert_eq!(row.clone().merge(other), Err(Contradiction(row.id())));
    }
    // No peer repeats the command that creates an invite. Two invites with one id are a
    // contradiction.
    let invite = |wall| {
        Row::Invite(Invite {
            id: row.id(),
            created: at(wall),
            code: CodeHash([1; 32]),
            expires: 5,
            used: None,
        })
    };
    let merged = invite(1).merge(invite(2));
    assert_eq!(merged, Err(Contradiction(row.id())));
}
