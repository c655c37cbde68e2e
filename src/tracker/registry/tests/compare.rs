//! What differs between two registries is named, and nothing else is.

use super::*;

fn told(a: &Side, b: &Side, now: Duration) -> Vec<String> {
    let differences = a.registry.differences(&b.registry, now);
    differences.iter().map(ToString::to_string).collect()
}

#[test]
fn each_kind_of_difference_is_named_once() {
    let (mut a, mut b, olga, lab) = pair_with_group();
    assert_eq!(told(&a, &b, Duration::ZERO), [""; 0]);
    let nik = a.user("nik").unwrap();
    let eve = b.user("eve").unwrap();
    let told_by = told(&a, &b, Duration::ZERO);
    let only = |name, id, place| format!("account {name} ({id}): in the {place} only");
    let mut expected = [only("nik", nik, "first"), only("eve", eve, "second")];
    expected.sort_by_key(|line| line.split('(').nth(1).map(str::to_owned));
    assert_eq!(told_by, expected);
    a.pull(&b);
    b.pull(&a);
    a.publish(olga, "lab", "f").unwrap();
    b.pull(&a);
    a.withdraw(olga, "lab", "f").unwrap();
    let told_by = told(&a, &b, Duration::ZERO);
    assert!(
        told_by.len() == 1
            && told_by[0].starts_with("share f (")
            && told_by[0].contains("withdrawn is ["),
        "{told_by:?}"
    );
    assert!(told_by[0].ends_with("in the first, nothing in the second"));
    b.pull(&a);
    a.leave(olga, "lab").unwrap();
    let told_by = told(&a, &b, Duration::ZERO).join("\n");
    for part in [
        format!("group lab ({lab}): members is 0 in the first, 1"),
        "ended is [".into(),
    ] {
        assert!(told_by.contains(&part), "{told_by}");
    }
}

#[test]
fn what_has_expired_may_have_been_forgotten() {
    let (mut a, b, olga, _) = pair_with_group();
    let (session, now) = (a.id(), a.time());
    let until = now * 2;
    a.apply(a.registry.log_out(olga, session, until, now))
        .unwrap();
    let before = told(&a, &b, now);
    assert_eq!(before, [format!("log-out {session}: in the first only")]);
    assert_eq!(told(&a, &b, until), [""; 0]);
}

#[test]
fn a_secret_that_differs_is_named_without_it() {
    let mut a = Side::new(1);
    let nik = a.user("nik").unwrap();
    let mut rows: Vec<Row> = a.registry.rows().cloned().collect();
    let Some(Row::Account(account)) = rows.first_mut() else {
        panic!("no account")
    };
    account.password.value = password("other");
    let versions = a.registry.version_vector().clone();
    let other = Registry::load(a.registry.origin(), versions, rows).unwrap();
    let differences = a.registry.differences(&other, Duration::ZERO);
    let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(told, [format!("account nik ({nik}): a secret differs")]);
}
