//! Writes that are requested again: a receipt shows that they were made.

use super::*;

const RECEIPT: RowId = RowId([0xee; 16]);
const RECEIPT_LIFETIME: Duration = Duration::from_secs(3_600);

impl TestTracker {
    /// Executes an operation with a receipt. Refuses if the tracker has this receipt already.
    fn write_once(
        &mut self,
        receipt: RowId,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<(), Refusal> {
        let now = self.next_time();
        let registry = &self.registry;
        registry.check_not_yet_written(receipt)?;
        let update = operation(registry, now)?;
        let update = registry.with_receipt(update, receipt, now + RECEIPT_LIFETIME, now);
        self.apply(update)
    }
}

fn new_group(name: &str, key: &str) -> NewGroup {
    NewGroup {
        id: RowId([7; 16]),
        membership: RowId([8; 16]),
        name: name.parse().unwrap(),
        key: GroupKey::new(key).unwrap(),
    }
}

#[test]
fn a_write_is_sent_with_its_receipt_and_is_not_made_again() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let make = |it: &Registry, now| it.create_group(olga, new_group("club", "k"), now);
    a.write_once(RECEIPT, make).unwrap();
    assert_eq!(kind_of(a.write_once(RECEIPT, make)), "id-in-use");
    b.pull(&a);
    assert_eq!(b.registry.receipt(RECEIPT), a.registry.receipt(RECEIPT));
    assert!(b.registry.group_id(&label("club")).is_ok());
    assert_eq!(kind_of(b.write_once(RECEIPT, make)), "id-in-use");
    // A write with a new receipt, but with the row id of the first write, is refused, too.
    let again = |it: &Registry, now| it.create_group(olga, new_group("other", "k"), now);
    assert_eq!(kind_of(a.write_once(RowId([0xef; 16]), again)), "id-in-use");
    // A row of another kind is not a receipt.
    let now = a.next_time();
    assert!(a.registry.receipt(olga).is_none());
    assert_eq!(
        kind_of(a.registry.renew_receipt(olga, now, now)),
        "id-in-use"
    );
}

#[test]
fn a_tracker_that_has_a_renewed_receipt_has_the_write() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let make = |it: &Registry, now| it.create_group(olga, new_group("club", "k"), now);
    a.write_once(RECEIPT, make).unwrap();
    let before = a.registry.receipt(RECEIPT).unwrap().clone();
    let now = a.next_time();
    a.apply(
        a.registry
            .renew_receipt(RECEIPT, now + RECEIPT_LIFETIME, now),
    )
    .unwrap();
    let after = a.registry.receipt(RECEIPT).unwrap();
    assert!(after.created > before.created && after.expires > before.expires);
    // The renewed receipt is a new write of the same origin. The write that it confirms must still
    // arrive with it.
    sync(&mut a, &mut b);
    assert!(b.registry.group_id(&label("club")).is_ok());
}

#[test]
fn a_group_created_at_both_trackers_is_one_row_with_the_later_key() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let make = |key: &'static str| {
        move |it: &Registry, now| it.create_group(olga, new_group("club", key), now)
    };
    a.write_once(RECEIPT, make("first")).unwrap();
    b.now = a.now;
    b.write_once(RECEIPT, make("second")).unwrap();
    let nik = b.add_member(olga, "club", "nik");
    sync(&mut a, &mut b);
    for tracker in [&a, &b] {
        let club = tracker.registry.group_id(&label("club")).unwrap();
        let key = tracker.registry.group_key(nik, &label("club")).unwrap();
        assert_eq!(key.expose(), "second", "the later key");
        assert_eq!(tracker.role(club, olga), GroupRole::Owner);
        assert_eq!(tracker.registry.dump().groups.len(), 2);
        // No decision is reported to the creator of a group.
        let decisions = tracker
            .registry
            .decisions(olga, &VersionVector::new(), None, 9)
            .items;
        assert_eq!(decisions, []);
    }
}

#[test]
fn rows_of_other_kinds_created_at_both_trackers_are_one_row_each() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let id = |number| RowId([number; 16]);
    let (invite, code, now) = (a.next_id(), CodeHash([3; 32]), a.next_time());
    a.apply(a.registry.create_invite(invite, code, now * 100, now))
        .unwrap();
    sync(&mut a, &mut b);
    b.now = a.now + 500;
    for tracker in [&mut a, &mut b] {
        let nik = NewAccount {
            id: id(20),
            ..tracker.new_account("nik")
        };
        tracker
            .write_once(id(30), |it, now| it.redeem_invite(code, nik, now))
            .unwrap();
        tracker
            .write_once(id(31), |it, now| {
                it.request_membership(id(20), &label("lab"), id(21), now)
            })
            .unwrap();
        tracker
            .write_once(id(32), |it, now| {
                it.accept(olga, &label("lab"), &label("nik"), now)
            })
            .unwrap();
        let share = NewShare {
            id: id(22),
            name: FileName::new("f").unwrap(),
            info_hash: InfoHash([5; 20]),
            length: 7,
            note: None,
            is_update: false,
        };
        tracker
            .write_once(id(33), |it, now| {
                it.publish(id(20), &label("lab"), share, now)
            })
            .unwrap();
        tracker
            .write_once(id(34), |it, now| {
                it.log_out(id(20), id(23), now + RECEIPT_LIFETIME, now)
            })
            .unwrap();
    }
    sync(&mut a, &mut b);
    let dump = a.registry.dump();
    let counts = [
        dump.accounts.len(),
        dump.memberships.len(),
        dump.shares.len(),
        dump.revocations.len(),
        dump.receipts.len(),
    ];
    assert_eq!(counts, [2, 2, 1, 1, 5]);
    assert_eq!(a.role(lab, id(20)), GroupRole::Member);
    assert_eq!(a.shares(olga, "lab").unwrap(), ["f"]);
    let now = a.next_time();
    assert_eq!(
        kind_of(a.registry.check_invite(&code, now)),
        "invite-used",
        "by the account that both trackers created"
    );
}

#[test]
fn expired_receipts_that_all_trackers_have_are_dropped() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let make = |it: &Registry, now| it.create_group(olga, new_group("club", "k"), now);
    a.write_once(RECEIPT, make).unwrap();
    let later = a.next_time() + RECEIPT_LIFETIME;
    let known = |tracker: &TestTracker| [tracker.registry.version_vector().clone()];
    assert_eq!(a.registry.droppable(later, &known(&b)), []);
    let only = format!("receipt {RECEIPT}: in the first only");
    let differences = |a: &TestTracker, b: &TestTracker, now| {
        let found = a.registry.differences(&b.registry, now);
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(differences(&a, &b, Duration::ZERO).contains(&only));
    sync(&mut a, &mut b);
    assert_eq!(a.registry.droppable(Duration::ZERO, &known(&b)), []);
    let dropped = a.registry.droppable(later, &known(&b));
    assert_eq!(dropped, [RECEIPT]);
    a.registry.drop_rows(&dropped);
    assert_eq!(differences(&a, &b, later), [""; 0]);
    // The receipt is gone, but the created row prevents a second write.
    assert_eq!(kind_of(a.write_once(RECEIPT, make)), "name-taken");
}
