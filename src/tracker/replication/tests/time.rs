//! What clocks and days bring.

use super::*;

#[test]
fn a_clock_that_is_hours_ahead_is_reported_once_and_again_when_it_is_right() {
    let (mut a, mut b) = pair();
    b.now.wall += SECOND * 7_200;
    b.tick();
    a.down(1);
    connect(&mut a, &mut b, 2);
    for _ in 0..3 {
        a.later(PING);
        talk(&mut a, &mut b);
    }
    let ahead = |side: &Side| {
        let all = side.reports.iter();
        let found = all.filter_map(|report| match report {
            Report::ClockOffset { ahead, .. } => Some(*ahead),
            _ => None,
        });
        found.collect::<Vec<_>>()
    };
    assert_eq!(ahead(&a), [7_200_000]);
    b.user("olga").unwrap();
    talk(&mut a, &mut b);
    assert!(
        a.reports
            .iter()
            .any(|it| matches!(it, Report::Drift { .. }))
    );
    b.now = a.now;
    b.tick();
    a.down(2);
    connect(&mut a, &mut b, 3);
    a.later(PING);
    talk(&mut a, &mut b);
    assert_eq!(ahead(&a).len(), 2);
}

#[test]
fn expired_rows_go_a_day_later_when_all_have_them_and_not_while_a_clock_is_wrong() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    let actor = a.replica.registry().rows().next().unwrap().id();
    let session = a.id();
    let end = a.now.wall + SECOND;
    a.write(Vec::new(), |registry, now| {
        registry.log_out(actor, session, end, now)
    })
    .unwrap();
    talk(&mut a, &mut b);
    let has = |side: &Side| side.replica.registry().row(session).is_some();
    let day = |side: &mut Side| side.now.wall += KEEP + SECOND;
    day(&mut a);
    a.later(PING);
    talk(&mut a, &mut b);
    a.later(FORGET);
    assert!(has(&a), "the two clocks are a day apart");
    day(&mut b);
    b.later(FORGET + PING);
    connect(&mut a, &mut b, 2);
    a.later(FORGET);
    assert!(!has(&a));
    assert!(a.disk.last().unwrap().forgotten == [session]);
    b.later(FORGET);
    assert!(!has(&b), "each by itself");
}

#[test]
fn blobs_go_once_no_row_has_named_them_for_two_looks() {
    let other = InfoHash([8; 20]);
    let mut a = Side::new(1, Start::Alone);
    a.user("olga").unwrap();
    a.group_with_blob(vec![(BLOB, vec![7])]).unwrap();
    a.replica.blobs.stored.insert(other);
    let dropped = |side: &Side| {
        let commits = side.disk.iter();
        commits
            .flat_map(|it| it.dropped.clone())
            .collect::<Vec<_>>()
    };
    a.later(FORGET);
    assert_eq!(dropped(&a), [], "a row may be on its way");
    a.later(FORGET);
    a.later(FORGET);
    assert_eq!(dropped(&a), [other], "once, and no other");
    assert!(a.replica.blobs.stored.contains(&BLOB));
}
