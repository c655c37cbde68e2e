//! Catching up with another tracker.

use super::*;

#[test]
fn catching_up_goes_in_batches_and_is_merged_in_one_step() {
    let (mut a, mut b) = (Side::new(1, Start::Alone), Side::new(2, Start::Empty));
    a.replica.batch = 1;
    for name in ["nik", "olga", "ada"] {
        a.user(name).unwrap();
    }
    a.up(1);
    b.up(1);
    let mut batches = 0;
    while !b.serves() {
        assert_eq!(b.replica.registry().rows().count(), 0, "all or nothing");
        batches += a.kinds().iter().filter(|it| **it == "changes").count();
        for (line, message) in std::mem::take(&mut a.sent) {
            b.receive(line, message);
        }
        for (line, message) in std::mem::take(&mut b.sent) {
            a.receive(line, message);
        }
    }
    assert_eq!((batches, b.replica.registry().rows().count()), (3, 3));
    assert_eq!(b.disk.len(), 1, "one commit");
}

#[test]
fn a_push_made_in_knowledge_of_what_is_not_known_here_is_caught_up_with() {
    let (mut a, mut b) = pair();
    a.user("olga").unwrap();
    let lost = std::mem::take(&mut a.sent);
    assert_eq!(lost.len(), 1);
    a.user("nik").unwrap();
    let (line, message) = a.sent.remove(0);
    b.receive(line, message);
    assert_eq!(b.replica.registry().rows().count(), 0);
    assert_eq!(b.kinds(), ["pull"]);
    talk(&mut a, &mut b);
    assert_eq!(b.replica.registry().rows().count(), 2);
    assert_eq!(a.told, [(1, Copies::Two), (2, Copies::Two)]);
}

#[test]
fn parts_of_a_batch_keep_a_slow_line_and_what_was_staged_outlasts_a_lost_question() {
    let (mut a, mut b) = (Side::new(1, Start::Alone), Side::new(2, Start::Empty));
    a.replica.batch = 1;
    for name in ["nik", "olga", "ada"] {
        a.user(name).unwrap();
    }
    a.up(1);
    b.up(1);
    let pull = |side: &Side| side.kinds().contains(&"pull");
    let step = |from: &mut Side, to: &mut Side| {
        for (line, message) in std::mem::take(&mut from.sent) {
            to.receive(line, message);
        }
    };
    step(&mut a, &mut b);
    assert!(pull(&b));
    step(&mut b, &mut a);
    // The first batch takes a minute, and nothing else comes.
    for _ in 0..60 {
        b.later(SECOND);
        let effects = b.replica.arriving(LineId(1), b.now);
        b.perform(effects);
    }
    b.sent.clear();
    a.later(SECOND);
    step(&mut a, &mut b);
    assert!(pull(&b) && b.closed.is_empty(), "{:?}", b.closed);
    // The next question is lost.
    b.sent.clear();
    b.later(PATIENCE + PAUSE);
    assert!(pull(&b) && b.closed.is_empty());
    assert_eq!(b.replica.registry().rows().count(), 0);
    let mut batches = 0;
    while b.replica.registry().rows().count() < 3 {
        batches += a.kinds().iter().filter(|it| **it == "changes").count();
        step(&mut a, &mut b);
        step(&mut b, &mut a);
    }
    assert_eq!(batches, 2, "the first was kept");
}

#[test]
fn a_question_that_is_not_answered_is_given_up_and_asked_again() {
    let (mut a, mut b) = pair();
    a.down(1);
    b.down(1);
    a.user("olga").unwrap();
    a.up(2);
    b.up(2);
    for (line, message) in std::mem::take(&mut a.sent) {
        b.receive(line, message);
    }
    let pulls = |side: &Side| side.kinds().iter().filter(|it| **it == "pull").count();
    assert_eq!(pulls(&b), 1);
    b.sent.clear();
    for _ in 0..8 {
        b.later(SECOND / 2);
        a.later(SECOND / 2);
        for (line, message) in std::mem::take(&mut a.sent) {
            b.receive(line, message);
        }
    }
    assert_eq!(pulls(&b), 1, "{:?}", b.kinds());
}
