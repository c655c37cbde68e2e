//! Machines and their makers: what counts for the maker, who may end a machine, and what a repeated
//! request of a machine confirms.

use super::machines::{OLGAS_SECRET, secret, start, two_with_machine, with_token};
use super::*;
use std::collections::HashMap;

#[test]
fn a_repeated_request_is_written_again_with_the_enrolment_and_the_start() {
    let (mut a, mut b, _, _, gpu1) = two_with_machine();
    b.start(gpu1, 1, start(1, 1)).unwrap();
    let before = b.registry.version_vector().clone();
    let now = b.next_time();
    let update = b.registry.renew_machine(gpu1, now).unwrap();
    assert!(update.confirms_earlier());
    b.apply(Ok(update)).unwrap();
    let change = b.registry.since(&before, usize::MAX).unwrap();
    let carried = change.rows().any(|row| match row {
        Row::Machine(row) => row.id == gpu1 && row.starts.is_some(),
        _ => false,
    });
    assert!(
        carried,
        "a tracker with the new write has the start: {change:?}"
    );
    sync(&mut a, &mut b);
    assert!(a.credential(gpu1, 1, start(1, 1)).is_some());
    let unknown = a.registry.renew_machine(RowId([9; 16]), now);
    assert_eq!(kind_of(unknown), "unknown-machine");
}

#[test]
fn a_token_has_ended_only_if_a_row_says_so() {
    let (mut it, olga, lab) = with_token(1);
    let gpu1 = it.enrol(OLGAS_SECRET, 1, "gpu1").unwrap();
    let without = |it: &TestTracker, is_missing: fn(&Row) -> bool| {
        let versions = it.registry.version_vector().clone();
        let rows = it.registry.rows().filter(|row| !is_missing(row)).cloned();
        let registry = Registry::load(it.registry.origin(), versions, rows).unwrap();
        registry.usable_groups(gpu1).map(drop)
    };
    let no_member: fn(&Row) -> bool = |row| matches!(row, Row::Membership(_));
    let no_token: fn(&Row) -> bool = |row| matches!(row, Row::Token(_));
    // These rows arrive later, from other trackers.
    for is_missing in [no_member, no_token] {
        assert_eq!(without(&it, is_missing), Err(Refusal::UnknownToken));
    }
    let nik = it.add_member(olga, "lab", "nik");
    it.leave(olga, "lab").unwrap();
    assert_eq!(without(&it, |_| false), Err(Refusal::TokenEnded), "{lab}");
    it.request(olga, "lab").unwrap();
    it.accept(nik, "lab", "olga").unwrap();
    assert_eq!(without(&it, |_| false), Err(Refusal::TokenEnded));
    it.revoke_token(olga, "olga/farm").unwrap();
    assert_eq!(without(&it, no_member), Err(Refusal::TokenEnded));
}

#[test]
fn the_bars_of_machines_do_not_push_out_those_of_members() {
    let (mut it, olga, lab) = with_token(1);
    let nik = it.add_member(olga, "lab", "nik");
    it.remove(olga, "lab", "nik").unwrap();
    let [gpu1, gpu2] = [1, 2].map(|key| it.enrol(OLGAS_SECRET, key, "gpu").unwrap());
    it.revoke_token(olga, "olga/farm").unwrap();
    for (limit, expected) in [(1, vec![nik]), (2, vec![nik, gpu1.max(gpu2)]), (0, vec![])] {
        let former = it.registry.former_members_since(lab, Duration::ZERO, limit);
        let former: Vec<RowId> = former.into_iter().map(|it| it.account).collect();
        assert_eq!(former, expected, "{limit}");
    }
}

#[test]
fn the_shares_of_machines_count_against_the_quotas_of_their_maker() {
    let (mut it, olga, _) = with_token(1);
    let [gpu1, gpu2] = [1, 2].map(|key| it.enrol(OLGAS_SECRET, key, "gpu").unwrap());
    it.publish(gpu1, "lab", "a").unwrap();
    it.publish(gpu2, "lab", "b").unwrap();
    let quotas = |shares| AccountQuotas {
        shares,
        ..AccountQuotas::default()
    };
    for subject in [olga, gpu1, gpu2] {
        let check = |shares| {
            let hash = InfoHash([9; 20]);
            let checked = it
                .registry
                .check_share_quota(subject, hash, 1, &quotas(shares));
            kind_of(checked)
        };
        assert_eq!((check(2), check(3)), ("quota", "ok"), "{subject}");
    }
    let usage: Vec<_> = it.registry.usage().collect();
    let [(account, usage)] = usage[..] else {
        panic!("{usage:?}")
    };
    assert_eq!((account, usage.shares), (olga, 2));
}

#[test]
fn the_removal_of_an_account_withdraws_the_shares_of_its_machines() {
    let (mut it, olga, _) = with_token(1);
    let nik = it.add_member(olga, "lab", "nik");
    let gpu1 = it.enrol(OLGAS_SECRET, 1, "gpu1").unwrap();
    it.publish(gpu1, "lab", "a").unwrap();
    it.registry.take_changed();
    let now = it.next_time();
    let step = it.registry.remove_account_as_operator(olga, 0, now);
    assert_eq!(step.unwrap().rows(), [], "a share is left");
    let step = it.registry.remove_account_as_operator(olga, 9, now);
    it.apply(step).unwrap();
    let Some(Row::Share(share)) = it.registry.rows().find(|row| matches!(row, Row::Share(_)))
    else {
        panic!("the row is kept")
    };
    assert!(share.withdrawn.is_some());
    assert_eq!(it.shares(nik, "lab").unwrap(), [""; 0]);
    let changed = it.registry.take_changed();
    assert!(changed.accounts.contains(&gpu1), "its logins have ended");
}

#[test]
fn a_share_that_a_machine_publishes_while_its_maker_is_removed_is_not_listed() {
    let (mut a, mut b, olga, _, gpu1) = two_with_machine();
    let nik = a.add_member(olga, "lab", "nik");
    sync(&mut a, &mut b);
    let now = a.next_time();
    a.apply(a.registry.remove_account_as_operator(olga, 9, now))
        .unwrap();
    b.publish(gpu1, "lab", "late").unwrap();
    sync(&mut a, &mut b);
    let versions = a.registry.version_vector().clone();
    let mut rows: Vec<Row> = a.registry.rows().cloned().collect();
    for _ in 0..rows.len() {
        rows.rotate_left(1);
        let it = Registry::load(a.registry.origin(), versions.clone(), rows.clone()).unwrap();
        let (listed, _) = it.shares(nik, &label("lab"), None, 9).unwrap();
        assert_eq!(listed, [], "whatever the order of the rows");
        let nothing = Change::default();
        let mut shares = it.rows().filter(|row| matches!(row, Row::Share(_)));
        assert!(shares.all(|row| it.is_of_removed_publisher(row, &nothing)));
    }
}

#[test]
fn an_owner_of_one_group_of_a_token_revokes_and_an_owner_of_all_allows() {
    let (mut it, olga, lab) = with_token(1);
    let nik = it.add_member(olga, "lab", "nik");
    it.give(olga, "nik", Role::Owner).unwrap();
    let den = it.create_group(olga, "den").unwrap();
    let groups = [("lab", Role::Reader), ("den", Role::Reader)];
    it.create_token(olga, "both", (2, 9), &groups).unwrap();
    let [gpu1, gpu2] = [1, 2].map(|key| it.enrol(2, key, &format!("gpu{key}")).unwrap());
    it.start(gpu1, 1, start(1, 1)).unwrap();
    assert_eq!(it.start(gpu1, 1, start(1, 2)), Ok(true));
    assert_eq!(kind_of(it.allow(nik, "olga/gpu1")), "not-the-owner");
    it.revoke_machine(nik, "olga/gpu1").unwrap();
    assert_eq!(it.registry.role_of(den, gpu1), None);
    it.revoke_token(nik, "olga/both").unwrap();
    assert_eq!(it.registry.role_of(lab, gpu2), None);
    let uma = it.add_member(olga, "lab", "uma");
    assert_eq!(kind_of(it.revoke_token(uma, "olga/farm")), "not-the-owner");
}

#[test]
fn a_start_that_is_accepted_again_after_an_answer_has_other_logins() {
    let (mut it, olga, _) = with_token(1);
    let gpu1 = it.enrol(OLGAS_SECRET, 1, "gpu1").unwrap();
    it.start(gpu1, 1, start(7, 1)).unwrap();
    let before = it.credential(gpu1, 1, start(7, 1)).unwrap();
    it.start(gpu1, 1, start(7, 2)).unwrap();
    it.allow(olga, "olga/gpu1").unwrap();
    it.start(gpu1, 1, start(7, 1)).unwrap();
    let login = RowId([9; 16]);
    let ended = it.registry.check_login(gpu1, login, before);
    assert_eq!(ended, Err(Refusal::LoginEnded));
    let after = it.credential(gpu1, 1, start(7, 1)).unwrap();
    assert_eq!(it.registry.check_login(gpu1, login, after), Ok(()));
}

#[test]
fn a_key_that_makes_a_known_tag_of_the_same_name_does_not_enrol() {
    let (mut it, _, _) = with_token(1);
    let token = it.registry.token_id(&"olga/farm".parse().unwrap()).unwrap();
    let mut found: HashMap<[u8; 4], KeyHash> = HashMap::new();
    let (first, second) = (0_u32..)
        .find_map(|number| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            let tag = tag_of(Machine::id_of(token, &KeyHash(key)));
            let other = found.insert(tag, KeyHash(key))?;
            Some((other, KeyHash(key)))
        })
        .unwrap();
    let enrol = |it: &mut TestTracker, key: KeyHash, name: &str| {
        let (secret, now) = (secret(OLGAS_SECRET), it.next_time());
        let update = it.registry.enrol(&secret, key, name.parse().unwrap(), now);
        kind_of(it.apply(update))
    };
    assert_eq!(enrol(&mut it, first, "gpu"), "ok");
    assert_eq!(enrol(&mut it, second, "gpu"), "name-taken");
    assert_eq!(enrol(&mut it, second, "other"), "ok");
}

#[test]
fn a_user_has_no_more_entries_in_the_audit_log_by_more_machines() {
    let (mut it, olga, _) = with_token(1);
    let nik = it.create_user("nik").unwrap();
    let [gpu1, gpu2] = [1, 2].map(|key| it.enrol(OLGAS_SECRET, key, "gpu").unwrap());
    for (number, who) in [nik, nik, gpu1, gpu2, olga].into_iter().enumerate() {
        let now = it.next_time();
        let update = it.registry.renew_machine(gpu1, now).unwrap();
        let done = (AuditAction::Enrolled, Some(gpu1), None);
        let seed = RowId([100 + u8::try_from(number).unwrap(); 16]);
        let author = Author {
            account: Some(who),
            from: None,
        };
        let update = it.registry.with_audit_of(update, seed, author, done, now);
        it.registry.apply(update).unwrap();
    }
    let surplus = |limit| {
        let account_of = |who| it.registry.account_of(who);
        let beyond = it.registry.index.audit.beyond(limit, account_of);
        let rows = beyond.iter().map(|id| match it.registry.row(*id) {
            Some(Row::Audit(entry)) => entry.who,
            row => panic!("{row:?}"),
        });
        let mut authors: Vec<RowId> = rows.collect();
        authors.sort_unstable();
        authors
    };
    assert_eq!(
        surplus(4),
        [gpu1],
        "olga and her machines have three entries"
    );
}
