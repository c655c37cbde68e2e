//! The audit log: what gets an entry, conflicts, and the bound on their number.

use super::*;

impl TestTracker {
    /// Applies an update with its entry in the audit log.
    fn apply_audited(
        &mut self,
        update: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
        account: Option<RowId>,
    ) {
        let (id, now) = (self.next_id(), self.next_time());
        let from = account.map(|_| [127, 0, 0, 1].into());
        let author = Author { account, from };
        let update = update(&self.registry, now).unwrap();
        let update = self.registry.with_audit(update, id, author, now);
        self.apply(Ok(update)).unwrap();
    }

    fn audit(&self) -> Vec<String> {
        let entries = self.registry.audit(usize::MAX);
        let text = |entry: AuditView| {
            let [subject, group] = [entry.subject, entry.group].map(Option::unwrap_or_default);
            let action = entry.action.as_str();
            format!("{} {action} {subject} {group}", entry.who)
        };
        entries.into_iter().map(text).collect()
    }
}

#[test]
fn both_sides_of_a_split_have_each_entry_once() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let nik = a.create_user("nik").unwrap();
    let vera = a.create_user("vera").unwrap();
    a.request(nik, "lab").unwrap();
    sync(&mut a, &mut b);
    let lab = label("lab");
    a.apply_audited(
        |it, now| it.accept(olga, &lab, &label("nik"), now),
        Some(olga),
    );
    b.now += 60_000;
    b.apply_audited(|it, now| it.end_all_logins(nik, now), None);
    a.now += 120_000;
    a.apply_audited(
        |it, now| it.remove_member(olga, &lab, &label("nik"), now),
        Some(olga),
    );
    // A request gets no entry, because it changes nothing yet.
    let id = b.next_id();
    b.apply_audited(
        |it, now| it.request_membership(vera, &lab, id, now),
        Some(vera),
    );
    sync(&mut a, &mut b);
    let expected = [
        "olga accepted nik lab",
        "the operator ended-logins nik ",
        "olga removed-member nik lab",
    ];
    assert_eq!(a.audit(), expected);
    assert_eq!(b.audit(), expected);
    assert_eq!(a.registry.audit(1).len(), 1);
    assert_eq!(a.registry.audit(1)[0].action, AuditAction::RemovedMember);
}

#[test]
fn a_repeated_command_has_one_entry() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let (id, entry) = (a.next_id(), a.next_id());
    for tracker in [&mut a, &mut b] {
        let now = tracker.next_time();
        let new = NewShare {
            id,
            name: FileName::new("a.bin").unwrap(),
            info_hash: InfoHash([1; 20]),
            length: 7,
            note: None,
            is_update: false,
        };
        let update = tracker.registry.publish(olga, &label("lab"), new, now);
        let author = Author {
            account: Some(olga),
            from: Some([127, 0, 0, tracker.registry.origin().0[0]].into()),
        };
        let update = tracker
            .registry
            .with_audit(update.unwrap(), entry, author, now);
        tracker.apply(Ok(update)).unwrap();
    }
    sync(&mut a, &mut b);
    assert_eq!(a.audit(), ["olga published a.bin lab"]);
}

#[test]
fn a_write_id_that_is_used_again_replaces_no_entry() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let nik_id = a.add_member(olga, "lab", "nik");
    a.add_member(olga, "lab", "uma");
    sync(&mut a, &mut b);
    let (seed, receipt) = (a.next_id(), a.next_id());
    let remove = |tracker: &mut TestTracker, who: &str| {
        let now = tracker.next_time();
        let it = &tracker.registry;
        let update = it.remove_member(olga, &label("lab"), &label(who), now);
        let (account, from) = (Some(olga), None);
        let update = it.with_audit(update.unwrap(), seed, Author { account, from }, now);
        let update = it.with_receipt(update, receipt, now, now);
        tracker.apply(update).unwrap();
    };
    // Two commands under one write id, at trackers that do not know of each other's write.
    remove(&mut a, "nik");
    remove(&mut b, "uma");
    sync(&mut a, &mut b);
    let [nik, uma] = ["nik", "uma"].map(|who| format!("olga removed-member {who} lab"));
    for tracker in [&a, &b] {
        let mut entries = tracker.audit();
        entries.sort();
        assert_eq!(entries, [nik.clone(), uma.clone()]);
    }
    // The same command again, when its receipt has expired and was dropped.
    a.request(nik_id, "lab").unwrap();
    a.accept(olga, "lab", "nik").unwrap();
    a.registry.drop_rows(&[receipt]);
    remove(&mut a, "nik");
    sync(&mut a, &mut b);
    for tracker in [&a, &b] {
        let entries = tracker.audit();
        assert_eq!(entries.iter().filter(|it| **it == nik).count(), 2);
        assert_eq!(entries.len(), 3);
    }
}

#[test]
fn the_time_of_an_entry_is_that_of_the_clock_and_its_order_that_of_the_writes() {
    let mut a = TestTracker::new(1);
    let nik = a.create_user("nik").unwrap();
    let year = 365 * 24 * 3_600_000;
    a.now += year;
    a.apply_audited(|it, now| it.end_all_logins(nik, now), None);
    // The clock is right again. Stamps go on from the latest one.
    a.now -= year;
    a.apply_audited(|it, now| it.end_all_logins(nik, now), Some(nik));
    let now = Duration::from_millis(a.now);
    let entries = a.registry.audit(9);
    let who: Vec<_> = entries.iter().map(|it| it.who_id).collect();
    assert_eq!(who, [None, Some(nik)]);
    assert!(entries[0].at > now + Duration::from_millis(year / 2));
    assert!(entries[1].at <= now, "{entries:?}");
}

#[test]
fn a_removed_user_is_told_apart_from_the_next_one_of_that_name() {
    let mut a = TestTracker::new(1);
    let first = a.create_user("nik").unwrap();
    a.apply_audited(|it, now| it.end_all_logins(first, now), None);
    a.apply_audited(|it, now| it.remove_account_as_operator(first, 9, now), None);
    // No other user has the name yet. The label must not change when one gets it.
    let alone = a.registry.audit(1)[0].subject.clone().unwrap();
    assert!(alone.starts_with("nik~"), "{alone}");
    let second = a.create_user("nik").unwrap();
    a.apply_audited(|it, now| it.end_all_logins(second, now), None);
    let entries = a.registry.audit(9);
    let ids: Vec<_> = entries.iter().map(|it| it.subject_id).collect();
    assert_eq!(ids, [Some(first), Some(first), Some(second)]);
    let names: Vec<_> = entries.into_iter().filter_map(|it| it.subject).collect();
    assert_eq!(names, [alone.as_str(), &alone, "nik"]);
}

#[test]
fn entries_beyond_the_bound_are_dropped_and_nobody_flushes_those_of_others() {
    let mut a = TestTracker::new(1);
    let nik = a.create_user("nik").unwrap();
    let olga = a.create_user("olga").unwrap();
    a.apply_audited(|it, now| it.end_all_logins(olga, now), Some(olga));
    for _ in 0..MAX_AUDIT {
        a.apply_audited(|it, now| it.end_all_logins(nik, now), Some(nik));
    }
    let dropped: Vec<RowId> = a.registry.surplus_audit().into_iter().collect();
    assert_eq!(dropped.len(), 1);
    a.registry.drop_rows(&dropped);
    let left = a.audit();
    assert_eq!(left.len(), MAX_AUDIT);
    assert_eq!(left[0], "olga ended-logins  ");
    assert!(a.registry.surplus_audit().is_empty());
    let now = Duration::from_millis(a.now);
    assert_eq!(a.registry.droppable(now, &[]), []);
    let expired = now + AUDIT_LIFETIME;
    assert_eq!(a.registry.droppable(expired, &[]).len(), MAX_AUDIT);
}

#[test]
fn an_entry_keeps_the_role_and_the_name_that_were_given() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    a.add_member(olga, "lab", "nik");
    let nik = label("nik").into();
    for role in [Role::Owner, Role::Reader] {
        let set = |it: &Registry, now| it.set_role(olga, &label("lab"), &nik, role, now);
        a.apply_audited(set, Some(olga));
    }
    for (from, to) in [("lab", "hall"), ("hall", "den")] {
        let name: GroupName = to.parse().unwrap();
        let rename = |it: &Registry, now| it.rename_group(olga, &label(from), name, now);
        a.apply_audited(rename, Some(olga));
    }
    sync(&mut a, &mut b);
    for tracker in [&a, &b] {
        let entries = tracker.registry.audit(9).into_iter();
        let details: Vec<_> = entries.filter_map(|it| it.detail).collect();
        let details: Vec<_> = details.iter().map(AuditDetail::as_str).collect();
        assert_eq!(details, ["owner", "reader", "hall", "den"]);
        assert!(tracker.audit().iter().all(|entry| entry.ends_with("den")));
    }
}
