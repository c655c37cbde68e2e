//! Many rows: pages of lists, indexes that agree with the rows, and a registry that is loaded from
//! its rows.

use super::*;

/// A tracker with 2,000 users and 200 groups, which the first 200 users own. Each user has joined
/// nine groups of other users and has asked to join one more. Rows: 2,000 accounts, 200 groups, 200
/// memberships of owners, and 20,000 other memberships and requests.
fn tracker_with_many_rows() -> TestTracker {
    let mut tracker = TestTracker::new(1);
    let users: Vec<RowId> = (0..2_000)
        .map(|number| tracker.create_user(&format!("user{number:04}")).unwrap())
        .collect();
    for (number, user) in users.iter().take(200).enumerate() {
        tracker
            .create_group(*user, &format!("group{number:03}"))
            .unwrap();
    }
    for (number, user) in users.iter().enumerate() {
        for step in 1..=10 {
            let group = (number + step * 17) % 200;
            let name = format!("group{group:03}");
            tracker.request(*user, &name).unwrap();
            if step < 10 {
                tracker
                    .accept(users[group], &name, &format!("user{number:04}"))
                    .unwrap();
            }
        }
    }
    tracker
}

#[test]
fn pages_of_a_large_registry_are_sorted_and_complete_and_a_loaded_registry_is_equal() {
    let tracker = tracker_with_many_rows();
    let registry = &tracker.registry;
    assert_eq!(registry.rows().count(), 22_400);
    let mut labels = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = registry.groups(None, after.as_ref(), 33);
        assert!(page.items.len() <= 33);
        labels.extend(page.items.iter().map(|group| group.label.to_string()));
        let Some(next) = page.next else { break };
        after = Some(next.to_string().parse().unwrap());
    }
    assert!(
        labels.is_sorted() && labels.len() == 200,
        "{}",
        labels.len()
    );
    let user = registry.account_id(&label("user1234")).unwrap();
    let groups = registry.groups_of(user, None, 100).items;
    let count_role = |wanted| groups.iter().filter(|it| it.role == wanted).count();
    assert_eq!(
        (
            count_role(GroupRole::Member),
            count_role(GroupRole::Requester)
        ),
        (9, 1)
    );
    let owner = registry.account_id(&label("user0007")).unwrap();
    let group = label("group007");
    let members = registry.members(owner, &group, None, 1_000).unwrap();
    assert_eq!((members.items.len(), members.next), (91, None));
    assert_eq!(
        members
            .items
            .iter()
            .filter(|it| it.role == Role::Owner)
            .count(),
        1
    );
    let first_page = registry.requests(owner, &group, None, 4).unwrap();
    let second_page = registry
        .requests(owner, &group, first_page.next.as_ref(), 1_000)
        .unwrap();
    assert_eq!(first_page.items.len() + second_page.items.len(), 10);

    let rows = registry
        .rows()
        .map(|row| Row::decode(&row.encode()).unwrap());
    let versions = registry.version_vector().clone();
    let loaded = Registry::load(registry.origin(), versions.clone(), rows).unwrap();
    assert_eq!(loaded.dump(), registry.dump());
    let row = registry.rows().next().unwrap().clone();
    let twice = Registry::load(registry.origin(), versions, [row.clone(), row.clone()]);
    assert_eq!(twice.unwrap_err(), LoadError::Twice(row.id()));
    let newer = Registry::load(registry.origin(), VersionVector::new(), [row.clone()]);
    assert_eq!(newer.unwrap_err(), LoadError::Newer(row.id()));
}

#[test]
fn a_catch_up_comes_in_batches_of_about_the_requested_length() {
    let mut a = TestTracker::new(1);
    for number in 0..500 {
        a.create_user(&format!("user{number}")).unwrap();
    }
    let mut known = VersionVector::new();
    let mut rows = 0;
    while let Some(change) = a.registry.since(&known, 4_096) {
        assert!(change.encode().len() < 5_000, "{}", change.encode().len());
        rows += change.rows().count();
        change.advance(&mut known);
    }
    assert_eq!(rows, 500);
    assert_eq!(&known, a.registry.version_vector());
}
