//! Lines that are silent, strange, old or broken.

use super::*;

#[test]
fn a_silent_line_is_closed_and_what_comes_over_it_later_ignored() {
    let (mut a, mut b) = pair();
    b.user("olga").unwrap();
    let late = std::mem::take(&mut b.sent);
    a.later(SILENCE);
    assert_eq!(a.closed, [LineId(1)]);
    for (line, message) in late {
        a.receive(line, message);
    }
    assert_eq!(a.replica.registry().rows().count(), 0);
}

#[test]
fn strangers_and_other_versions_are_turned_away_and_reported_once() {
    let mut a = Side::new(1, Start::Alone);
    let hello = |protocol, of: u32| Message::Hello {
        protocol,
        number: number(of),
        origin: [77; 16],
        versions: crate::wire::replica::Encoded::new(b"le".to_vec()).unwrap(),
        serving: true,
    };
    for (line, (protocol, of)) in [(1, 3), (1, 3), (1, 1), (2, 2), (2, 2)].iter().enumerate() {
        let line = line as u64;
        a.up(line);
        a.receive(LineId(line), hello(*protocol, *of));
        assert_eq!(a.closed.last(), Some(&LineId(line)));
    }
    let troubles = a.reports.iter();
    let troubles = troubles.filter(|report| matches!(report, Report::Trouble { .. }));
    assert_eq!(troubles.count(), 3, "{:?}", a.reports);
}

#[test]
fn a_newer_line_takes_the_place_of_the_older_one() {
    let (mut a, mut b) = pair();
    connect(&mut a, &mut b, 2);
    assert_eq!(
        (a.closed.as_slice(), b.closed.as_slice()),
        (&[LineId(1)][..], &[LineId(1)][..])
    );
    a.user("olga").unwrap();
    talk(&mut a, &mut b);
    assert_eq!(a.told, [(1, Copies::Two)]);
}

#[test]
fn what_cannot_be_read_ends_the_line() {
    let (mut a, _) = pair();
    let rubbish = || crate::wire::replica::Encoded::new(b"i1e".to_vec()).unwrap();
    a.receive(
        LineId(1),
        Message::Push {
            id: 1,
            change: rubbish(),
        },
    );
    assert_eq!(a.closed, [LineId(1)]);
    assert!(matches!(
        a.reports.last(),
        Some(Report::Split { .. } | Report::Trouble { .. })
    ));
    assert!(Change::decode(b"de").is_err());
}
