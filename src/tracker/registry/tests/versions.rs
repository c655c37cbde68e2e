//! Versions of shares: the rules on one tracker, and what happens to versions that two trackers
//! publish and withdraw while they cannot reach each other.

use super::*;
use crate::wire::note::MAX_NOTE;
use crate::wire::replica::MAX_ENCODED;

impl TestTracker {
    /// The names of all listed versions, read in pages of one entry.
    fn versions(&self, actor: RowId) -> Vec<String> {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let lab = label("lab");
            let page = self.registry.share_versions(actor, &lab, after.as_ref(), 1);
            let (page, next) = page.unwrap();
            names.extend(page.into_iter().map(|version| version.name));
            match next {
                Some(next) => after = Some(next.to_string().parse().unwrap()),
                None => return names,
            }
        }
    }

    fn found(&self, actor: RowId, name: &str) -> Result<RowId, &'static str> {
        let found = self.registry.share(actor, &label("lab"), name);
        found.map(|row| row.id).map_err(|refusal| refusal.kind())
    }

    /// Makes the share that an earlier version of the program made, which accepted each name.
    fn publish_as_before(&mut self, actor: RowId, name: &str) -> RowId {
        let new = self.new_share(name, None);
        let (id, now, lab) = (new.id, self.next_time(), label("lab"));
        let update = share_oracle::publish_with_any_name(&self.registry, actor, &lab, new, now);
        self.apply(update).unwrap();
        id
    }

    /// The info-hash of the version that a name means.
    fn content(&self, actor: RowId, name: &str) -> InfoHash {
        let found = self.registry.share(actor, &label("lab"), name);
        found.unwrap().info_hash
    }

    fn edition(&self, id: RowId) -> Edition {
        self.registry.share_row(id).unwrap().edition.value
    }
}

fn tag(id: RowId) -> String {
    id.to_string()[..8].to_owned()
}

/// Two trackers with the share `f`, and its only version.
fn two_trackers_with_share() -> (TestTracker, TestTracker, RowId, RowId) {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let first = a.publish(olga, "lab", "f").unwrap();
    sync(&mut a, &mut b);
    (a, b, olga, first)
}

#[test]
fn a_new_version_needs_an_update_by_a_publisher_of_the_share_or_an_owner_of_the_group() {
    let (mut a, _, olga, first) = two_trackers_with_share();
    let nik = a.add_member(olga, "lab", "nik");
    let lab = label("lab");
    assert_eq!(kind_of(a.publish(olga, "lab", "f")), "share-exists");
    assert_eq!(kind_of(a.update(nik, "f", "n")), "not-the-publisher");
    let second = a.update(olga, "f", "better").unwrap();
    assert_eq!(
        (a.edition(second).first, a.edition(second).number),
        (first, 2)
    );
    assert_eq!(a.shares(nik, "lab").unwrap(), ["f"]);
    assert_eq!(a.versions(nik), ["f@1", "f@2"]);
    for (name, id) in [("f", second), ("f@2", second), ("f@1", first)] {
        assert_eq!(a.found(nik, name), Ok(id), "{name}");
    }
    for name in ["f@0", "f@3", "f@02", "f@+2", "f@", "@1", "f@1~00000000"] {
        assert_eq!(a.found(nik, name), Err("unknown-share"), "{name}");
    }
    let (page, _) = a.registry.shares(nik, &lab, None, 9).unwrap();
    let note = page[0].note.as_ref().map(ToString::to_string);
    assert_eq!(
        (page[0].number, page[0].versions, note),
        (2, 2, Some("better".into()))
    );
    // A publisher may go on, even if an owner has withdrawn his version.
    let own = a.publish(nik, "lab", "g").unwrap();
    a.update(olga, "g", "n").unwrap();
    a.withdraw(olga, "lab", "g@1").unwrap();
    a.update(nik, "g", "n").unwrap();
    assert_eq!(a.versions(nik), ["f@1", "f@2", "g@2", "g@3"]);
    assert!(a.registry.share_row(own).unwrap().withdrawn.is_some());
}

#[test]
fn an_update_of_a_name_that_nobody_holds_is_a_first_version() {
    let (mut a, _, olga, first) = two_trackers_with_share();
    let other = a.update(olga, "g", "n").unwrap();
    assert!(a.registry.share_row(other).unwrap().is_first_version());
    a.update(olga, "f", "n").unwrap();
    a.withdraw(olga, "lab", "f").unwrap();
    assert_eq!(a.versions(olga), ["g@1"], "all versions are withdrawn");
    let again = a.update(olga, "f", "n").unwrap();
    assert_eq!(
        (a.edition(again).first, a.edition(again).number),
        (again, 1)
    );
    assert_ne!(again, first);
}

#[test]
fn the_content_of_the_newest_version_is_not_published_again_but_that_of_an_older_one_is() {
    let (mut a, _, olga, first) = two_trackers_with_share();
    let publish = |a: &mut TestTracker, hash| {
        let (id, now) = (a.next_id(), a.next_time());
        let new = NewShare {
            id,
            name: FileName::new("f").unwrap(),
            info_hash: InfoHash(hash),
            length: 7,
            note: None,
            is_update: true,
        };
        a.apply(a.registry.publish(olga, &label("lab"), new, now))
    };
    let old = a.registry.share_row(first).unwrap().info_hash.0;
    let unchanged = publish(&mut a, old).unwrap_err();
    assert_eq!(unchanged.kind(), "share-exists");
    assert!(
        unchanged.to_string().contains("as version 1"),
        "{unchanged}"
    );
    publish(&mut a, [7; 20]).unwrap();
    publish(&mut a, old).unwrap();
    assert_eq!(a.versions(olga), ["f@1", "f@2", "f@3"]);
    let quotas = AccountQuotas {
        shares: 3,
        ..AccountQuotas::default()
    };
    let hash = InfoHash([9; 20]);
    let refused = a.registry.check_share_quota(olga, hash, 1, &quotas);
    assert_eq!(refused, Err(Refusal::ShareQuota(3)), "each version counts");
}

#[test]
fn a_number_is_not_given_again_and_the_newest_version_that_is_left_is_the_share() {
    let (mut a, mut b, olga, first) = two_trackers_with_share();
    a.update(olga, "f", "n").unwrap();
    a.withdraw(olga, "lab", "f@2").unwrap();
    assert_eq!(a.found(olga, "f"), Ok(first));
    assert_eq!(a.found(olga, "f@2"), Err("unknown-share"));
    sync(&mut a, &mut b);
    let third = b.update(olga, "f", "n").unwrap();
    assert_eq!(b.edition(third).number, 3);
    // The claim to the name stays that of the first version, although it is withdrawn.
    b.withdraw(olga, "lab", "f@1").unwrap();
    let fourth = b.update(olga, "f", "n").unwrap();
    let since = b.registry.share_row(first).unwrap().created.stamp;
    assert_eq!([third, fourth].map(|id| b.edition(id).since), [since; 2]);
    assert_eq!(b.shares(olga, "lab").unwrap(), ["f"]);
}

#[test]
fn of_two_versions_with_one_number_the_later_is_the_newest_and_the_earlier_holds_the_number() {
    let (mut a, mut b, olga, _) = two_trackers_with_share();
    let earlier = a.update(olga, "f", "n").unwrap();
    b.now = a.now + 60_000;
    let later = b.update(olga, "f", "n").unwrap();
    sync(&mut a, &mut b);
    let tagged = format!("f@2~{}", tag(later));
    for tracker in [&a, &b] {
        assert_eq!(tracker.found(olga, "f"), Ok(later));
        assert_eq!(tracker.found(olga, "f@2"), Ok(earlier));
        assert_eq!(tracker.found(olga, &tagged), Ok(later));
        assert_eq!(tracker.versions(olga), ["f@1", "f@2", &tagged]);
    }
    a.withdraw(olga, "lab", "f@2").unwrap();
    sync(&mut a, &mut b);
    for tracker in [&a, &b] {
        assert_eq!(tracker.found(olga, "f@2"), Err("unknown-share"));
        assert_eq!(tracker.found(olga, &tagged), Ok(later));
        assert_eq!(tracker.versions(olga), ["f@1", &tagged], "names are stable");
    }
    let next = b.update(olga, "f", "n").unwrap();
    assert_eq!(b.edition(next).number, 3);
}

#[test]
fn only_what_was_seen_under_a_name_is_withdrawn_also_at_another_tracker() {
    let (mut a, mut b, olga, _) = two_trackers_with_share();
    // Both trackers give the number 2. The person has seen the version of the tracker `a`.
    a.update(olga, "f", "n").unwrap();
    let there = b.update(olga, "f", "n").unwrap();
    let seen = a.content(olga, "f@2");
    let refused = b.withdraw_seen(olga, "lab", "f@2", seen).unwrap_err();
    assert_eq!(refused.kind(), "other-version");
    assert!(refused.to_string().contains("not what this peer saw"));
    assert_eq!(b.found(olga, "f@2"), Ok(there));
    // The name means a share that was made meanwhile.
    let seen = b.content(olga, "f");
    b.withdraw(olga, "lab", "f").unwrap();
    let other = b.publish(olga, "lab", "f").unwrap();
    let refused = b.withdraw_seen(olga, "lab", "f", seen);
    assert_eq!(kind_of(refused), "other-version");
    assert_eq!(b.found(olga, "f"), Ok(other));
    // The name means nothing here yet.
    let seen = InfoHash([9; 20]);
    let refused = b.withdraw_seen(olga, "lab", "g", seen);
    assert_eq!(kind_of(refused), "other-version");
}

#[test]
fn a_withdrawal_of_a_share_withdraws_all_versions_that_the_tracker_knows() {
    let (mut a, mut b, olga, _) = two_trackers_with_share();
    let seen = a.content(olga, "f");
    let unknown_there = a.update(olga, "f", "n").unwrap();
    b.update(olga, "f", "n").unwrap();
    // The newest version that was seen is unknown there.
    let refused = b.withdraw_seen(olga, "lab", "f", a.content(olga, "f"));
    assert_eq!(kind_of(refused), "other-version");
    b.withdraw_seen(olga, "lab", "f", seen).unwrap();
    assert_eq!(b.versions(olga), [""; 0]);
    sync(&mut a, &mut b);
    assert_eq!(b.found(olga, "f"), Ok(unknown_there));
    assert_eq!(b.versions(olga).len(), 1);
}

#[test]
fn a_version_that_is_published_without_knowledge_of_a_withdrawal_stays() {
    let (mut a, mut b, olga, _) = two_trackers_with_share();
    a.update(olga, "f", "n").unwrap();
    sync(&mut a, &mut b);
    // A whole share is withdrawn, its name is used again, and it gets a version meanwhile.
    a.withdraw(olga, "lab", "f").unwrap();
    let other = a.publish(olga, "lab", "f").unwrap();
    let third = b.update(olga, "f", "n").unwrap();
    sync(&mut a, &mut b);
    for tracker in [&a, &b] {
        assert_eq!(
            tracker.found(olga, "f"),
            Ok(third),
            "it keeps the older claim"
        );
        assert_eq!(tracker.found(olga, &format!("f~{}", tag(other))), Ok(other));
        assert_eq!(tracker.shares(olga, "lab").unwrap().len(), 2);
    }
    // One version is withdrawn meanwhile.
    a.withdraw(olga, "lab", "f@3").unwrap();
    let fourth = b.update(olga, "f", "n").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.found(olga, "f"), Ok(fourth));
    assert_eq!(a.edition(fourth).number, 4);
}

#[test]
fn two_shares_with_one_name_keep_their_versions_apart() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let first = a.publish(olga, "lab", "f").unwrap();
    let second_of_first = a.update(olga, "f", "n").unwrap();
    b.now = a.now + 60_000;
    let other = b.publish(olga, "lab", "f").unwrap();
    let second_of_other = b.update(olga, "f", "n").unwrap();
    sync(&mut a, &mut b);
    let tagged = format!("f~{}", tag(other));
    for tracker in [&a, &b] {
        for (name, id) in [
            ("f".to_owned(), second_of_first),
            ("f@1".to_owned(), first),
            (tagged.clone(), second_of_other),
            (format!("{tagged}@1"), other),
            (format!("{tagged}@2"), second_of_other),
        ] {
            assert_eq!(tracker.found(olga, &name), Ok(id), "{name}");
        }
        assert_eq!(tracker.shares(olga, "lab").unwrap().len(), 2);
        assert_eq!(tracker.versions(olga).len(), 4);
    }
    let third = b.update(olga, "f", "n").unwrap();
    assert_eq!(
        b.edition(third).first,
        first,
        "the share that holds the name"
    );
    b.withdraw(olga, "lab", "f").unwrap();
    assert_eq!(
        b.versions(olga),
        ["f@1", "f@2"],
        "the other share holds the name"
    );
}

#[test]
fn a_repeated_command_makes_one_version_that_stays_in_the_share_that_one_tracker_knew() {
    for knows_first in [false, true] {
        let (mut a, mut b, olga, _) = two_trackers_with_group();
        let id = RowId([7; 16]);
        let publish = |tracker: &mut TestTracker| {
            let now = tracker.next_time();
            let new = NewShare {
                id,
                name: FileName::new("f").unwrap(),
                info_hash: InfoHash([7; 20]),
                length: 7,
                note: "n".parse().ok(),
                is_update: true,
            };
            tracker.apply(tracker.registry.publish(olga, &label("lab"), new, now))
        };
        // Only the tracker `a` knows a share of this name. The clock of `b` may be behind.
        let first = a.publish(olga, "lab", "f").unwrap();
        match knows_first {
            true => {
                publish(&mut a).unwrap();
                b.now = a.now + 60_000;
                publish(&mut b).unwrap();
            }
            false => {
                publish(&mut b).unwrap();
                a.now = b.now + 60_000;
                publish(&mut a).unwrap();
            }
        }
        assert_eq!(b.edition(id).first, id);
        sync(&mut a, &mut b);
        for tracker in [&a, &b] {
            let edition = tracker.edition(id);
            assert_eq!((edition.first, edition.number), (first, 2));
            assert_eq!(tracker.versions(olga), ["f@1", "f@2"]);
            assert_eq!(tracker.shares(olga, "lab").unwrap(), ["f"]);
            assert_eq!(tracker.registry.dump().shares.len(), 2);
        }
    }
}

#[test]
fn of_two_numbers_of_a_repeated_command_the_greater_one_counts() {
    let (mut a, mut b, olga, first) = two_trackers_with_share();
    a.update(olga, "f", "n").unwrap();
    let new = a.new_share("f", Some("n"));
    for tracker in [&mut a, &mut b] {
        let now = tracker.next_time();
        let update = tracker
            .registry
            .publish(olga, &label("lab"), new.clone(), now);
        tracker.apply(update).unwrap();
    }
    assert_eq!([&a, &b].map(|it| it.edition(new.id).number), [3, 2]);
    // Each tracker learns only of the other execution of this command.
    sync(&mut a, &mut b);
    for tracker in [&a, &b] {
        let edition = tracker.edition(new.id);
        assert_eq!((edition.first, edition.number), (first, 3));
        assert_eq!(tracker.versions(olga), ["f@1", "f@2", "f@3"]);
    }
}

#[test]
fn the_versions_of_a_removed_account_are_not_listed_and_keep_their_numbers() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    a.publish(nik, "lab", "f").unwrap();
    a.update(olga, "f", "n").unwrap();
    a.update(nik, "f", "n").unwrap();
    sync(&mut a, &mut b);
    let now = a.next_time();
    let removal = a.registry.remove_account_as_operator(nik, 1, now);
    a.apply(removal).unwrap();
    let now = a.next_time();
    let removal = a.registry.remove_account_as_operator(nik, 9, now);
    a.apply(removal).unwrap();
    let fourth = b.update(nik, "f", "n").unwrap();
    sync(&mut a, &mut b);
    for tracker in [&a, &b] {
        assert_eq!(tracker.versions(olga), ["f@2"]);
        assert_eq!(tracker.shares(olga, "lab").unwrap(), ["f"]);
        assert_eq!(
            tracker
                .registry
                .version_name(tracker.registry.share_row(fourth).unwrap()),
            None
        );
    }
    let fifth = a.update(olga, "f", "n").unwrap();
    assert_eq!(a.edition(fifth).number, 5);
}

#[test]
fn a_new_share_cannot_have_a_name_that_means_a_version() {
    let (mut a, _, olga, first) = two_trackers_with_share();
    let nik = a.add_member(olga, "lab", "nik");
    for name in ["f@1", "f@2", "g@7", "f@2~0123abcd", "f~01234567@9"] {
        let refused = a.publish(nik, "lab", name).unwrap_err();
        assert_eq!(refused.kind(), "name-taken", "{name}");
        assert!(refused.to_string().contains("rename"), "{refused}");
        assert_eq!(kind_of(a.update(nik, name, "n")), "name-taken", "{name}");
    }
    assert_eq!(a.found(nik, "f@1"), Ok(first));
    for name in ["photo@2x.png", "f@0", "@3"] {
        let id = a.publish(nik, "lab", name).unwrap();
        assert_eq!(a.found(nik, name), Ok(id), "{name}");
    }
}

#[test]
fn a_new_share_cannot_have_a_name_that_means_another_share_now() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    b.pull(&a);
    a.publish(olga, "lab", "f").unwrap();
    let late = b.publish(olga, "lab", "f").unwrap();
    sync(&mut a, &mut b);
    let name = format!("f~{}", tag(late));
    assert_eq!(a.found(nik, &name), Ok(late));
    let refused = a.publish(nik, "lab", &name).unwrap_err();
    assert_eq!(refused.kind(), "name-taken");
    assert!(refused.to_string().contains("rename"), "{refused}");
    assert_eq!(kind_of(a.update(nik, &name, "n")), "name-taken");
    assert_eq!(a.found(nik, &name), Ok(late));
    // A name that only looks like it is free.
    let free = a.publish(nik, "lab", "backup~20261201").unwrap();
    assert_eq!(a.found(nik, "backup~20261201"), Ok(free));
}

#[test]
fn an_earlier_share_whose_whole_name_looks_like_a_version_comes_first_and_both_can_be_named() {
    let (mut a, _, olga, first) = two_trackers_with_share();
    let second = a.update(olga, "f", "n").unwrap();
    let other = a.publish_as_before(olga, "f@2");
    assert_eq!(a.found(olga, "f@2"), Ok(other));
    let with_tag = format!("f~{}@2", tag(first));
    let expected = ["f@1", &format!("f@2~{}", tag(second)), "f@2@1"];
    assert_eq!(a.versions(olga), expected);
    for (name, id) in [
        (&with_tag[..], second),
        (expected[1], second),
        ("f@2@1", other),
        ("f@1", first),
    ] {
        assert_eq!(a.found(olga, name), Ok(id), "{name}");
    }
    let another = a.publish_as_before(olga, expected[1]);
    assert_eq!(a.found(olga, expected[1]), Ok(another));
    assert!(a.versions(olga).contains(&with_tag));
    // A share with this name gets versions. A version without a name is not listed.
    let newer = a.update(olga, "f@2", "n").unwrap();
    assert_eq!(a.found(olga, "f@2@2"), Ok(newer));
    a.publish_as_before(olga, &with_tag);
    let with_both_tags = format!("{with_tag}~{}", tag(second));
    assert!(a.versions(olga).contains(&with_both_tags));
    a.publish_as_before(olga, &with_both_tags);
    let row = a.registry.share_row(second).unwrap();
    assert_eq!(a.registry.version_name(row), None);
    assert!(!a.versions(olga).contains(&String::new()));
    assert_eq!(a.found(olga, "f"), Ok(second));
}

#[test]
fn a_page_of_versions_goes_on_after_a_version_that_was_withdrawn_or_is_unknown_here() {
    let (mut a, mut b, olga, _) = two_trackers_with_share();
    for tracker in [&mut a, &mut b] {
        tracker.update(olga, "f", "n").unwrap();
        tracker.update(olga, "f", "n").unwrap();
    }
    let lab = label("lab");
    let (_, next) = a.registry.share_versions(olga, &lab, None, 2).unwrap();
    a.withdraw(olga, "lab", "f@2").unwrap();
    let names = |tracker: &TestTracker| {
        let page = tracker
            .registry
            .share_versions(olga, &lab, next.as_ref(), 9);
        let (page, _) = page.unwrap();
        page.into_iter().map(|view| view.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&a), ["f@3"]);
    // That tracker knows another version with the number where the page ended.
    assert_eq!(
        names(&b),
        ["f@2", "f@3"],
        "none is left out or listed twice"
    );
    let first: ShareCursor = format!("{}/f", next.as_ref().unwrap().first)
        .parse()
        .unwrap();
    let after = a.registry.share_versions(olga, &lab, Some(&first), 9);
    assert_eq!(after.unwrap().0.len(), 0, "after all versions of the share");
}

#[test]
fn a_share_has_a_limited_number_of_versions_and_more_are_withdrawn_in_several_writes() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let name = "\u{e9}".repeat(127);
    let note = "\u{1f600}".repeat(MAX_NOTE);
    a.publish(olga, "lab", &name).unwrap();
    b.pull(&a);
    let next_version = |tracker: &mut TestTracker| tracker.update(olga, &name, &note);
    for _ in 1..MAX_VERSIONS_OF_SHARE {
        next_version(&mut a).unwrap();
    }
    assert_eq!(kind_of(next_version(&mut a)), "quota");
    for _ in MAX_VERSIONS_OF_SHARE..=MAX_WITHDRAWN_TOGETHER {
        next_version(&mut b).unwrap();
    }
    b.pull(&a);
    let lab = label("lab");
    // The oldest version is the one that was seen. It is withdrawn last.
    let seen = b.content(olga, &format!("{name}@1"));
    let step = |tracker: &TestTracker| tracker.registry.step_of_withdrawal(&lab, &name);
    let oldest = b.found(olga, &format!("{name}@1")).unwrap();
    assert!(step(&b).is_some_and(|next| next != oldest));
    let now = b.next_time();
    let update = b.registry.withdraw(olga, &lab, &name, seen, now).unwrap();
    assert_eq!(update.rows().len(), MAX_WITHDRAWN_TOGETHER);
    let length = update.change().unwrap().encode().len();
    // A receipt and an entry of the audit log come with it.
    assert!(length + 2_048 < MAX_ENCODED, "{length}");
    b.apply(Ok(update)).unwrap();
    assert_eq!(b.found(olga, &name), Ok(oldest));
    assert_eq!(step(&b), None);
    b.withdraw_seen(olga, "lab", &name, seen).unwrap();
    assert_eq!(b.shares(olga, "lab").unwrap(), [""; 0]);
}

#[test]
fn the_audit_log_names_the_version() {
    let (mut a, _, olga, _) = two_trackers_with_share();
    type Operation<'a> = dyn Fn(&Registry, RowId, Duration) -> Result<Update, Refusal> + 'a;
    let mut run = |operation: &Operation<'_>| {
        let (id, seed, now) = (a.next_id(), a.next_id(), a.next_time());
        let update = operation(&a.registry, id, now).unwrap();
        let author = Author {
            account: Some(olga),
            from: None,
        };
        let update = a.registry.with_audit(update, seed, author, now);
        a.apply(Ok(update)).unwrap();
        let view = a.registry.audit(1).remove(0);
        format!("{} {}", view.action.as_str(), view.subject.unwrap())
    };
    let lab = label("lab");
    let update = |it: &Registry, id: RowId, now| {
        let new = NewShare {
            id,
            name: FileName::new("f").unwrap(),
            info_hash: InfoHash([id.0[0]; 20]),
            length: 7,
            note: None,
            is_update: true,
        };
        it.publish(olga, &lab, new, now)
    };
    assert_eq!(run(&update), "published f@2");
    let withdraw = |it: &Registry, name: &str, now| {
        let seen = it.share(olga, &lab, name)?.info_hash;
        it.withdraw(olga, &lab, name, seen, now)
    };
    let one = run(&|it, _, now| withdraw(it, "f@1", now));
    assert_eq!(one, "withdrew-version f@1");
    let rest = run(&|it, _, now| withdraw(it, "f", now));
    assert_eq!(rest, "withdrew f");
}
