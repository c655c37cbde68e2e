use super::*;
use crate::bencode;
use crate::torrent::{FileName, InfoHash};
use crate::tracker::registry::name::NameError;
use crate::tracker::registry::register::Register;
use crate::tracker::registry::row::EndReason;
use crate::tracker::registry::stamp::{MAX_WALL, Stamp};
use crate::tracker::registry::{
    Edition, KeyHash, LoginBegin, LoginRow, LoginUse, Machine, MachineToken, Share, Starts,
};
use crate::wire::machine::SecretHash;
use crate::wire::role::Role;
use proptest::prelude::*;
use std::net::IpAddr;

fn at(wall: u64, sequence: u64) -> Version {
    Version {
        stamp: Stamp::new(wall, 3, Origin([7; 16])).unwrap(),
        sequence: Sequence::new(sequence).unwrap(),
    }
}

fn written<T>(value: T) -> Register<T> {
    let version = at(9, 9);
    Register { version, value }
}

fn examples() -> Vec<Row> {
    let (group, account) = (RowId([2; 16]), RowId([1; 16]));
    let created = at(1, 2);
    let account_row = Account {
        id: account,
        created,
        name: written("nik".parse().unwrap()),
        password: written(PasswordHash::new("$argon2id$x").unwrap()),
        revoked: None,
        removed: None,
    };
    let request = Membership {
        id: RowId([3; 16]),
        group,
        account,
        created,
        accepted: None,
        ended: None,
        role: None,
    };
    let invite = Invite {
        id: RowId([6; 16]),
        created,
        code: CodeHash([8; 32]),
        expires: 77,
        used: None,
    };
    let share = Share {
        id: RowId([4; 16]),
        group,
        publisher: account,
        created,
        name: FileName::new("f ü").unwrap(),
        info_hash: InfoHash([9; 20]),
        length: 1 << 40,
        note: None,
        edition: Edition::first(RowId([4; 16]), created),
        withdrawn: None,
    };
    let ended = |reason| {
        Some(written(End {
            reason,
            by: account,
        }))
    };
    let audit = AuditEntry {
        id: RowId([11; 16]),
        created,
        expires: 99,
        who: account,
        action: AuditAction::Published,
        subject: Some(RowId([4; 16])),
        group: Some(group),
        detail: None,
        from: Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])),
    };
    let token = MachineToken {
        id: RowId([12; 16]),
        created,
        maker: account,
        secret: SecretHash([13; 32]),
        name: "farm".parse().unwrap(),
        groups: [(group, Role::Reader), (RowId([3; 16]), Role::Publisher)].into(),
        machines: 6,
        enrols_until: None,
        revoked: None,
        refused: None,
    };
    let machine = Machine {
        id: RowId([14; 16]),
        created,
        token: token.id,
        key: KeyHash([15; 32]),
        name: written("gpu1".parse().unwrap()),
        starts: None,
        suspended: None,
        answered: None,
        revoked: None,
        roles: Default::default(),
    };
    let given = GivenRole {
        role: Role::Reader,
        by: account,
    };
    let login = LoginRow {
        id: RowId([16; 16]),
        account,
        login: RowId([17; 16]),
        created,
        begun: LoginBegin {
            credential: at(8, 8).stamp,
            at: 7,
            host: None,
        },
        used: written(LoginUse {
            at: 9,
            from: IpAddr::from([10, 0, 0, 1]),
            until: 1 << 40,
        }),
    };
    vec![
        Row::Login(LoginRow {
            begun: LoginBegin {
                host: "gpu1".parse().ok(),
                ..login.begun.clone()
            },
            ..login.clone()
        }),
        Row::Login(login),
        Row::Token(MachineToken {
            enrols_until: Some(1 << 40),
            revoked: Some(written(account)),
            refused: Some(written(())),
            ..token.clone()
        }),
        Row::Token(token),
        Row::Machine(Machine {
            starts: Some(Starts {
                after: Some(at(9, 9).stamp),
                counter: 7,
                nonces: [([1; 16], at(9, 9)), ([2; 16], created)].into(),
            }),
            suspended: Some(written(())),
            answered: Some(written(account)),
            revoked: Some(written(account)),
            roles: [(group, written(given))].into(),
            ..machine.clone()
        }),
        Row::Machine(Machine {
            starts: Some(Starts {
                after: None,
                counter: 1,
                nonces: [([1; 16], created)].into(),
            }),
            ..machine.clone()
        }),
        Row::Machine(machine),
        Row::Audit(audit.clone()),
        Row::Audit(AuditEntry {
            action: AuditAction::SetRole,
            detail: Some(AuditDetail::Role(Role::Reader)),
            ..audit.clone()
        }),
        Row::Audit(AuditEntry {
            action: AuditAction::RenamedGroup,
            detail: Some(AuditDetail::Name("hall".parse().unwrap())),
            ..audit.clone()
        }),
        Row::Audit(AuditEntry {
            subject: None,
            group: None,
            from: None,
            ..audit
        }),
        Row::Account(Account {
            removed: Some(written(())),
            ..account_row.clone()
        }),
        Row::Account(Account {
            revoked: Some(written(())),
            ..account_row.clone()
        }),
        Row::Account(account_row),
        Row::Group(Group {
            id: group,
            created,
            name: written("lab".parse().unwrap()),
            key: GroupKey::new("k").unwrap(),
        }),
        Row::Share(Share {
            withdrawn: Some(written(account)),
            ..share.clone()
        }),
        Row::Share(Share {
            note: "n".parse().ok(),
            edition: written(Edition {
                first: RowId([3; 16]),
                since: created.stamp,
                number: 2,
            }),
            ..share.clone()
        }),
        Row::Share(share),
        Row::Membership(Membership {
            accepted: Some(written(account)),
            ended: ended(EndReason::Removed),
            ..request.clone()
        }),
        Row::Membership(Membership {
            ended: ended(EndReason::Rejected),
            ..request.clone()
        }),
        Row::Membership(Membership {
            ended: ended(EndReason::Left),
            ..request.clone()
        }),
        Row::Membership(Membership {
            accepted: Some(written(account)),
            role: Some(written(GivenRole {
                role: Role::Reader,
                by: account,
            })),
            ..request.clone()
        }),
        Row::Membership(request),
        Row::Revocation(Revocation {
            id: RowId([5; 16]),
            account,
            created,
            expires: 1 << 40,
        }),
        Row::Invite(Invite {
            used: Some(written(account)),
            ..invite.clone()
        }),
        Row::Invite(invite),
        Row::Receipt(Receipt {
            id: RowId([7; 16]),
            created,
            expires: 1 << 40,
        }),
    ]
}

fn example_change() -> Change {
    let span = Span {
        after: Sequence::ZERO,
        upto: Sequence::new(4).unwrap(),
    };
    Change {
        covers: BTreeMap::from([(Origin([7; 16]), span), (Origin([9; 16]), span)]),
        rows: examples().into_iter().map(|row| (row.id(), row)).collect(),
    }
}

#[test]
fn every_kind_of_row_is_written_and_read_back() {
    for row in examples() {
        assert_eq!(Row::decode(&row.encode()), Ok(row));
    }
}

#[test]
fn the_encoding_of_a_row_does_not_change() {
    let row = Row::Group(Group {
        id: RowId(*b"abcdefghijklmnop"),
        created: at(1, 2),
        name: Register {
            version: at(1, 2),
            value: "lab".parse().unwrap(),
        },
        key: GroupKey::new("k").unwrap(),
    });
    let version = [
        &b"36:"[..],
        &[7; 16],
        &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3],
        &[0, 0, 0, 0, 0, 0, 0, 2],
    ]
    .concat();
    let expected = [
        &b"d7:created"[..],
        &version,
        b"2:id16:abcdefghijklmnop3:key1:k4:kind5:group4:namel",
        &version,
        b"3:labee",
    ]
    .concat();
    assert_eq!(row.encode(), expected);
}

#[test]
fn changes_and_version_vectors_are_written_and_read_back() {
    let change = example_change();
    assert_eq!(Change::decode(&change.encode()), Ok(change));
    let mut vector = VersionVector::new();
    assert_eq!(VersionVector::decode(b"le").as_ref(), Ok(&vector));
    vector.note(Origin([9; 16]), Sequence::new(5).unwrap());
    vector.note(Origin([1; 16]), Sequence::new(6).unwrap());
    assert_eq!(VersionVector::decode(&vector.encode()), Ok(vector));
}

/// The bytes of a group row with this version and name, followed by `more` keys.
fn group_bytes(version: &[u8], name: &str, more: &str) -> Vec<u8> {
    let field = [format!("{}:", version.len()).as_bytes(), version].concat();
    let name = format!("{}:{name}e", name.len());
    [
        &b"d7:created"[..],
        &field,
        b"2:id16:abcdefghijklmnop3:key1:k4:kind5:group4:namel",
        &field,
        name.as_bytes(),
        more.as_bytes(),
        b"e",
    ]
    .concat()
}

#[test]
fn every_bad_row_is_refused_for_the_right_reason() {
    let version = |wall: u64, sequence: u64| {
        let parts = [
            &[7; 16][..],
            &wall.to_be_bytes(),
            &[0; 4],
            &sequence.to_be_bytes(),
        ];
        parts.concat()
    };
    let good = version(1, 1);
    assert!(Row::decode(&group_bytes(&good, "lab", "")).is_ok());
    let wrong = DecodeError::WrongValue;
    let table = [
        (
            group_bytes(&good, "a b", ""),
            NameError::Character(' ').into(),
        ),
        (group_bytes(&good, "", ""), NameError::Length(0).into()),
        (
            group_bytes(&good, "lab", "1:xi1e"),
            DecodeError::ExtraKey("group"),
        ),
        (
            group_bytes(&version(MAX_WALL + 1, 1), "lab", ""),
            wrong("created"),
        ),
        (group_bytes(&version(1, 0), "lab", ""), wrong("created")),
        (
            group_bytes(&version(1, 1 << 63), "lab", ""),
            wrong("created"),
        ),
        (group_bytes(&good[1..], "lab", ""), wrong("created")),
        (b"de".to_vec(), DecodeError::Missing("id")),
        (
            b"le".to_vec(),
            DecodeError::Shape("a registry row or change"),
        ),
        (b"d2:id3:abce".to_vec(), wrong("id")),
        (b"".to_vec(), bencode::Error::Truncated(0).into()),
    ];
    for (bytes, error) in table {
        assert_eq!(Row::decode(&bytes), Err(error));
    }
    let text = String::from_utf8_lossy(&group_bytes(&good, "lab", "")).into_owned();
    assert!(text.contains("5:group"));
    let mut unknown = group_bytes(&good, "lab", "");
    let place = unknown
        .windows(5)
        .position(|five| five == b"group")
        .unwrap();
    unknown[place..place + 5].copy_from_slice(b"grove");
    let error = Row::decode(&unknown);
    assert_eq!(error, Err(DecodeError::UnknownKind("grove".into())));
}

#[test]
fn lists_out_of_order_or_with_duplicates_or_wrong_values_are_refused() {
    let row = examples().remove(0).encode();
    let change = |covers: &str, rows: &[&[u8]]| {
        let rows = rows.concat();
        [b"d6:coversl", covers.as_bytes(), b"e4:rowsl", &rows, b"ee"].concat()
    };
    let (a, b) = ("l16:aaaaaaaaaaaaaaaai0ei1ee", "l16:bbbbbbbbbbbbbbbbi0ei1ee");
    assert!(Change::decode(&change(&format!("{a}{b}"), &[&row])).is_ok());
    let table = [
        (
            change(&format!("{b}{a}"), &[]),
            DecodeError::Unsorted("covers"),
        ),
        (
            change(&format!("{a}{a}"), &[]),
            DecodeError::Unsorted("covers"),
        ),
        (change("", &[&row, &row]), DecodeError::Unsorted("rows")),
        (
            change("l16:aaaaaaaaaaaaaaaai1ei1ee", &[]),
            DecodeError::WrongValue("covers"),
        ),
        (
            change("l16:aaaaaaaaaaaaaaaai-1ei1ee", &[]),
            DecodeError::WrongValue("covers"),
        ),
        (
            change("l1:ai0ei1ee", &[]),
            DecodeError::WrongValue("covers"),
        ),
    ];
    for (bytes, error) in table {
        assert_eq!(Change::decode(&bytes), Err(error));
    }
    let twice = b"ll16:aaaaaaaaaaaaaaaai1eel16:aaaaaaaaaaaaaaaai2eee";
    let unsorted = DecodeError::Unsorted("version vector");
    assert_eq!(VersionVector::decode(twice), Err(unsorted));
    let zero = b"ll16:aaaaaaaaaaaaaaaai0eee";
    let wrong = DecodeError::WrongValue("version vector");
    assert_eq!(VersionVector::decode(zero), Err(wrong));
}

#[test]
fn a_change_truncated_anywhere_is_an_error() {
    let bytes = example_change().encode();
    for length in 0..bytes.len() {
        assert!(Change::decode(&bytes[..length]).is_err(), "{length}");
    }
}

proptest! {
    #[test]
    fn a_change_with_one_replaced_byte_is_refused_or_encodes_back_to_its_bytes(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>()
    ) {
        let mut bytes = example_change().encode();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(change) = Change::decode(&bytes) {
            prop_assert_eq!(change.encode(), bytes);
        }
    }
}
