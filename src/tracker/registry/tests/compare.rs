//! Each difference between two registries is reported, and nothing else.

use super::*;

fn difference_lines(a: &TestTracker, b: &TestTracker, now: Duration) -> Vec<String> {
    let differences = a.registry.differences(&b.registry, now);
    differences.iter().map(ToString::to_string).collect()
}

#[test]
fn each_kind_of_difference_is_reported_once() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    assert_eq!(difference_lines(&a, &b, Duration::ZERO), [""; 0]);
    let nik = a.create_user("nik").unwrap();
    let eve = b.create_user("eve").unwrap();
    let lines = difference_lines(&a, &b, Duration::ZERO);
    let only = |name, id, place| format!("account {name} ({id}): in the {place} only");
    let mut expected = [only("nik", nik, "first"), only("eve", eve, "second")];
    expected.sort_by_key(|line| line.split('(').nth(1).map(str::to_owned));
    assert_eq!(lines, expected);
    a.pull(&b);
    b.pull(&a);
    a.publish(olga, "lab", "f").unwrap();
    b.pull(&a);
    a.withdraw(olga, "lab", "f").unwrap();
    let lines = difference_lines(&a, &b, Duration::ZERO);
    assert!(
        lines.len() == 1
            && lines[0].starts_with("share f (")
            && lines[0].contains("withdrawn is ["),
        "{lines:?}"
    );
    assert!(lines[0].ends_with("in the first, nothing in the second"));
    b.pull(&a);
    a.leave(olga, "lab").unwrap();
    let lines = difference_lines(&a, &b, Duration::ZERO).join("\n");
    for part in [
        format!("group lab ({lab}): members is 0 in the first, 1"),
        "ended is [".into(),
    ] {
        assert!(lines.contains(&part), "{lines}");
    }
}

#[test]
fn an_expired_row_that_only_one_registry_has_is_not_reported() {
    let (mut a, b, olga, _) = two_trackers_with_group();
    let (login, now) = (a.next_id(), a.next_time());
    let expires = now * 2;
    a.apply(a.registry.log_out(olga, login, expires, now))
        .unwrap();
    let before = difference_lines(&a, &b, now);
    assert_eq!(before, [format!("log-out {login}: in the first only")]);
    assert_eq!(difference_lines(&a, &b, expires), [""; 0]);
}

#[test]
fn an_entry_of_the_audit_log_that_only_one_registry_has_is_not_reported() {
    let (mut a, b, olga, _) = two_trackers_with_group();
    let (id, now) = (a.next_id(), a.next_time());
    let update = a.registry.end_all_logins(olga, now).unwrap();
    let update = a.registry.with_audit(update, id, Author::OPERATOR, now);
    a.apply(Ok(update)).unwrap();
    let lines = difference_lines(&a, &b, now).join("\n");
    assert!(
        lines.contains("account olga") && !lines.contains("audit"),
        "{lines}"
    );
}

#[test]
fn a_different_secret_is_reported_but_not_shown() {
    let mut a = TestTracker::new(1);
    let nik = a.create_user("nik").unwrap();
    let mut rows: Vec<Row> = a.registry.rows().cloned().collect();
    let Some(Row::Account(account)) = rows.first_mut() else {
        panic!("no account")
    };
    account.password.value = password("other");
    let versions = a.registry.version_vector().clone();
    let other = Registry::load(a.registry.origin(), versions, rows).unwrap();
    let differences = a.registry.differences(&other, Duration::ZERO);
    let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(lines, [format!("account nik ({nik}): a secret differs")]);
}
