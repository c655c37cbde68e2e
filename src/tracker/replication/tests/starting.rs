//! Who may serve after a start, with which data.

use super::*;

#[test]
fn a_resumed_tracker_waits_to_be_in_step_with_a_twin_or_two_seconds() {
    let mut a = Side::new(1, Start::Resumed);
    assert_eq!(
        a.user("olga"),
        Err(WriteError::NotServing(Serving::Waiting))
    );
    a.later(START_WAIT);
    assert!(a.serves());
    let (mut a, mut b) = (Side::new(1, Start::Resumed), Side::new(2, Start::Alone));
    b.user("olga").unwrap();
    a.up(1);
    b.up(1);
    for (line, message) in std::mem::take(&mut b.sent) {
        a.receive(line, message);
    }
    assert!(!a.serves(), "it would answer out of what has changed");
    talk(&mut a, &mut b);
    assert!(a.serves() && a.replica.registry().rows().count() == 1);
}

#[test]
fn a_tracker_that_is_listed_later_is_a_twin_and_one_that_is_no_more_is_not() {
    let (mut a, mut b) = (Side::new(1, Start::Alone), Side::new(2, Start::Empty));
    let effects = a.replica.list([number(1)], a.now);
    a.perform(effects);
    assert!(a.replica.is_single());
    a.user("olga").unwrap();
    connect(&mut a, &mut b, 1);
    assert!(!b.serves() && a.closed == [LineId(1)]);
    let effects = a.replica.list([1, 2].map(number), a.now);
    a.perform(effects);
    b.down(1);
    connect(&mut a, &mut b, 2);
    assert!(b.serves() && b.replica.registry().rows().count() == 1);
    a.user("nik").unwrap();
    let effects = a.replica.list([number(1)], a.now);
    a.perform(effects);
    assert_eq!(a.told.last(), Some(&(2, Copies::OnlyHere)));
    assert!(a.replica.is_single() && a.closed.ends_with(&[LineId(2)]));
}

#[test]
fn a_restored_tracker_serves_only_when_it_has_caught_up_with_one_that_serves() {
    let (mut a, mut b) = (Side::new(1, Start::Restored), Side::new(2, Start::Restored));
    connect(&mut a, &mut b, 1);
    a.later(START_WAIT * 2);
    assert_eq!(a.replica.serving(), Serving::Restoring);
    assert_eq!(b.replica.serving(), Serving::Restoring);
    let (mut a, mut b) = (Side::new(1, Start::Restored), Side::new(2, Start::Alone));
    b.user("olga").unwrap();
    a.up(1);
    b.up(1);
    for (line, message) in std::mem::take(&mut b.sent) {
        a.receive(line, message);
    }
    assert!(!a.serves(), "it has not caught up");
    talk(&mut a, &mut b);
    assert!(a.serves() && a.replica.registry().rows().count() == 1);
}

#[test]
fn an_older_copy_of_the_data_does_not_serve() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    talk(&mut a, &mut b);
    b.down(1);
    let mut older = Side::new(1, Start::Alone);
    older.user("nik").unwrap();
    older.user("ada").unwrap();
    assert_eq!(older.told.len(), 2);
    let mut oldest = Side::new(1, Start::Resumed);
    connect(&mut oldest, &mut b, 2);
    let halt = Halt::Rewound { known: 0, heard: 1 };
    assert_eq!(oldest.replica.serving(), Serving::Halted(halt));
    assert!(oldest.reports.contains(&Report::Halted(halt)));
    assert!(oldest.closed.contains(&LineId(2)));
    assert!(matches!(oldest.user("x"), Err(WriteError::NotServing(_))));
    oldest.up(3);
    assert_eq!(oldest.closed.last(), Some(&LineId(3)));
}

#[test]
fn an_older_copy_that_serves_alone_writes_under_a_new_origin() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    a.user("ada").unwrap();
    talk(&mut a, &mut b);
    b.down(1);
    // Empty as it was before all that, and nobody there to tell.
    let mut older = Side::new(1, Start::Resumed);
    older.later(START_WAIT);
    let origin = Origin([101; 16]);
    assert_eq!(older.disk[0].origin, Some(origin), "durable before a write");
    assert_eq!(older.user("nik"), Ok(1));
    assert_eq!(older.disk[1].origin, None);
    connect(&mut older, &mut b, 2);
    assert!(older.serves() && b.serves());
    for side in [&older, &b] {
        assert_eq!(side.replica.registry().rows().count(), 3);
    }
    // In step with all who are listed, it keeps its own.
    let (a, _) = pair_of_resumed();
    assert_eq!(a.replica.registry().origin(), Origin([1; 16]));
    assert!(a.disk.iter().all(|commit| commit.origin.is_none()));
}

fn pair_of_resumed() -> (Side, Side) {
    let (mut a, mut b) = (Side::new(1, Start::Resumed), Side::new(2, Start::Resumed));
    connect(&mut a, &mut b, 1);
    assert!(a.serves() && b.serves());
    (a, b)
}

#[test]
fn a_tracker_that_stood_still_starts_again_and_says_nothing_out_of_what_has_changed() {
    for by_wall_alone in [false, true] {
        let (mut a, mut b) = pair();
        b.user("olga").unwrap();
        // Told before, and read after.
        let late = std::mem::take(&mut b.sent);
        let passed = STANDSTILL + SECOND;
        a.now.wall += passed;
        if !by_wall_alone {
            a.now.elapsed += passed;
        }
        assert!(a.replica.stood_still(a.now).is_some());
        // Whatever comes first.
        let refused = Err(WriteError::NotServing(Serving::Waiting));
        assert_eq!(a.user("nik"), refused);
        for (line, message) in late {
            a.receive(line, message);
        }
        assert!(!a.serves() && a.closed == [LineId(1)]);
        assert!(a.reports.contains(&Report::StoodStill { passed }));
        a.tick();
        assert_eq!(a.replica.registry().rows().count(), 0);
        b.down(1);
        connect(&mut a, &mut b, 2);
        assert!(a.serves() && a.replica.registry().rows().count() == 1);
        assert_eq!(a.replica.registry().origin(), Origin([1; 16]));
        // With nobody there it waits as after a start.
        a.pass(STANDSTILL);
        assert!(!a.serves());
        a.later(START_WAIT);
        assert!(a.serves());
    }
    let mut single = Side::new(1, Start::Alone);
    let effects = single.replica.list([number(1)], single.now);
    single.perform(effects);
    single.now.wall += STANDSTILL * 100;
    assert_eq!(single.user("nik"), Ok(1), "nobody went on without it");
}

#[test]
fn what_waits_when_a_tracker_halts_is_abandoned() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    let versions = {
        let mut versions = VersionVector::new();
        versions.note(a.replica.registry().origin(), Sequence::new(9).unwrap());
        crate::wire::replica::Encoded::new(versions.encode()).unwrap()
    };
    let (clock, serving) = (0, true);
    a.receive(
        LineId(1),
        Message::Ping {
            clock,
            versions,
            serving,
        },
    );
    assert_eq!((a.abandoned, a.told.len()), (1, 0));
    b.sent.clear();
}

#[test]
fn a_copy_of_ones_own_folder_halts_both() {
    let (mut a, mut b) = (Side::new(1, Start::Alone), Side::new(2, Start::Alone));
    b.replica.registry = Registry::new(a.replica.registry().origin());
    a.up(1);
    b.up(1);
    let (from_a, from_b) = (a.sent.remove(0), b.sent.remove(0));
    a.receive(from_b.0, from_b.1);
    b.receive(from_a.0, from_a.1);
    let of = |twin| {
        Serving::Halted(Halt::Copied {
            other: number(twin),
        })
    };
    assert_eq!((a.replica.serving(), b.replica.serving()), (of(2), of(1)));
}

#[test]
fn of_two_others_with_one_folder_the_second_is_turned_away() {
    let (mut a, mut b) = pair();
    let effects = a.replica.list([1, 2, 3].map(number), a.now);
    a.perform(effects);
    let hello = Message::Hello {
        protocol: PROTOCOL,
        number: number(3),
        origin: b.replica.registry().origin().0,
        versions: Encoded::new(VersionVector::new().encode()).unwrap(),
        serving: true,
    };
    a.up(2);
    a.receive(LineId(2), hello);
    assert_eq!(a.closed, [LineId(2)]);
    assert!(
        matches!(a.reports.last(), Some(Report::Trouble { other, .. }) if *other == Some(number(3)))
    );
    a.sent.clear();
    // A copy that came to be while nobody looked gives another write the number of one that is known.
    b.user("olga").unwrap();
    let (line, push) = b.sent.remove(0);
    a.receive(line, push.clone());
    assert_eq!(a.kinds(), ["pushed"]);
    a.receive(line, push);
    assert_eq!(a.kinds(), ["pushed", "pushed"], "the same, told again");
    let origin = b.replica.registry().origin();
    let registry = Registry::new(origin);
    let new = NewAccount {
        id: RowId([77; 16]),
        name: "nik".parse().unwrap(),
        password: password("first"),
    };
    let update = registry.create_account(new, b.now.wall).unwrap();
    let change = update.change().unwrap().encode();
    let change = Encoded::new(change).unwrap();
    a.receive(line, Message::Push { id: 1, change });
    assert_eq!(a.kinds(), ["pushed", "pushed"]);
    assert_eq!(a.closed.last(), Some(&line));
}
