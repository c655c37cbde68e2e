//! Versions of shares at real trackers: published, listed and withdrawn on both sides of a split,
//! and kept over a restart and a backup.

use super::pair::Pair;
use crate::common::control_connection::{User, group_request, new_write};
use crate::common::group_info::{group_authority, group_info};
use pieceful::wire::access::{
    AccessAnswer, AccessRequest, FileEntry, MetainfoPart, ShortText, WriteId,
};
use pieceful::wire::control::InfoPart;

/// The request that publishes a version of `data` in `lab`. Its content follows from `hash_text`.
fn publish(write: WriteId, authority: &str, hash_text: &str, note: Option<&str>) -> AccessRequest {
    let info = group_info("data", (2, 9), hash_text, authority);
    AccessRequest::Publish {
        write,
        group: "lab".parse().unwrap(),
        part: InfoPart::of(&info, 0).unwrap(),
        update: note.is_some(),
        note: note.map(|note| note.parse().unwrap()),
    }
}

/// The request that withdraws what the name means at the tracker of `user`.
fn withdraw(user: &mut User, name: &str) -> AccessRequest {
    let entries = list(user, name.contains('@'));
    let entry = entries.iter().find(|entry| entry.name.as_str() == name);
    AccessRequest::Withdraw {
        write: new_write(),
        group: "lab".parse().unwrap(),
        name: ShortText::new(name).unwrap(),
        seen: entry.unwrap().info_hash,
    }
}

fn list(user: &mut User, versions: bool) -> Vec<FileEntry> {
    let answer = user.ask(AccessRequest::ListFiles {
        group: "lab".parse().unwrap(),
        versions,
        after: None,
    });
    match answer {
        Ok(AccessAnswer::Files { page, .. }) => page.entries,
        other => panic!("{other:?}"),
    }
}

/// The names of all versions, each with its note.
fn versions(user: &mut User) -> Vec<String> {
    let described = list(user, true).into_iter().map(|entry| {
        let note = entry.note.map_or(String::new(), |note| note.to_string());
        format!("{}: {note}", entry.name.as_str())
    });
    described.collect()
}

fn metainfo(user: &mut User, name: &str) -> Result<MetainfoPart, String> {
    let answer = user.ask(AccessRequest::Metainfo {
        group: "lab".parse().unwrap(),
        name: ShortText::new(name).unwrap(),
        offset: 0,
    });
    match answer {
        Ok(AccessAnswer::Metainfo(part)) => Ok(part),
        Ok(other) => panic!("{other:?}"),
        Err(refused) => Err(refused.kind.as_str().to_owned()),
    }
}

fn refused(user: &mut User, ask: AccessRequest) -> String {
    user.ask(ask).unwrap_err().kind.as_str().to_owned()
}

/// The same login at the second tracker.
fn at_second(pair: &Pair, user: &User) -> User {
    User {
        name: user.name.clone(),
        token: user.token.clone(),
        connection: pair.connect(2),
    }
}

#[test]
fn a_share_gets_versions_that_can_be_named_listed_and_withdrawn() {
    let pair = Pair::new();
    let [mut owner, mut nik] = ["owner", "nik"].map(|name| pair.user(1, name));
    owner.perform(group_request("create_group lab"));
    nik.perform(group_request("join_group lab"));
    owner.perform(group_request("accept_request lab nik"));
    let authority = group_authority(&mut owner, "lab");
    let of = |hash_text, note| publish(new_write(), &authority, hash_text, note);
    owner.perform(of("1", None));
    assert_eq!(refused(&mut owner, of("2", None)), "share-exists");
    assert_eq!(
        refused(&mut nik, of("2", Some("mine"))),
        "not-the-publisher"
    );
    owner.perform(of("2", Some("second try")));
    assert_eq!(refused(&mut owner, of("2", Some("again"))), "share-exists");
    assert_eq!(versions(&mut nik), ["data@1: ", "data@2: second try"]);
    let newest = list(&mut nik, false).remove(0);
    assert_eq!(
        (newest.name.as_str(), newest.version, newest.versions),
        ("data", 2, 2)
    );
    for (name, number) in [("data", 2), ("data@1", 1), ("data@2", 2)] {
        let part = metainfo(&mut nik, name).unwrap();
        assert_eq!(
            (part.version, part.share.as_str()),
            (number, "data"),
            "{name}"
        );
    }
    assert_eq!(
        metainfo(&mut nik, "data@3"),
        Err("unknown-share".to_owned())
    );
    let ask = withdraw(&mut nik, "data@1");
    assert_eq!(refused(&mut nik, ask), "not-the-publisher");
    let ask = withdraw(&mut owner, "data@2");
    owner.perform(ask);
    assert_eq!(metainfo(&mut nik, "data").unwrap().version, 1);
    owner.perform(of("3", Some("third")));
    assert_eq!(versions(&mut nik), ["data@1: ", "data@3: third"]);
    let ask = withdraw(&mut owner, "data");
    owner.perform(ask);
    assert_eq!(versions(&mut nik), [""; 0]);
}

#[test]
fn versions_of_both_sides_of_a_split_are_merged_and_kept_over_restarts_and_in_backups() {
    let mut pair = Pair::new();
    let mut owner = pair.user(1, "owner");
    owner.perform(group_request("create_group lab"));
    let authority = group_authority(&mut owner, "lab");
    let of = |hash_text, note| publish(new_write(), &authority, hash_text, note);
    owner.perform(of("1", None));
    owner.perform(of("2", Some("second")));
    pair.wait_until_in_sync();
    let mut there = at_second(&pair, &owner);
    there.groups();
    pair.split();
    // Two versions get the number 3, and meanwhile the version 2 is withdrawn at one side.
    owner.perform(of("3", Some("here")));
    there.perform(of("4", Some("there")));
    let ask = withdraw(&mut owner, "data@2");
    owner.perform(ask);
    // The number 3 means another version at the other side.
    let ask = withdraw(&mut owner, "data@3");
    assert_eq!(refused(&mut there, ask), "other-version");
    // A command without an answer is repeated at the other side, which gives another number.
    let repeated = publish(new_write(), &authority, "5", Some("twice"));
    owner.perform(of("6", Some("one more")));
    for user in [&mut owner, &mut there] {
        user.perform(repeated.clone());
    }
    pair.proxy.mend();
    pair.wait_until_in_sync();
    let merged = versions(&mut owner);
    assert_eq!(versions(&mut there), merged);
    // The other version with the number 3 has a tag.
    let is_tagged = |shown: &&String| shown.starts_with("data@3~");
    assert_eq!(merged.iter().filter(is_tagged).count(), 1, "{merged:?}");
    for part in ["data@1: ", ": here", ": there", ": one more"] {
        assert_eq!(
            merged.iter().filter(|shown| shown.contains(part)).count(),
            1,
            "{merged:?}"
        );
    }
    assert_eq!(
        merged
            .iter()
            .filter(|shown| shown.ends_with(": twice"))
            .count(),
        1
    );
    assert!(
        !merged.iter().any(|shown| shown.starts_with("data@2")),
        "{merged:?}"
    );
    for entry in list(&mut there, true) {
        let part = metainfo(&mut owner, entry.name.as_str()).unwrap();
        assert_eq!(
            (part.version, part.info_hash),
            (entry.version, entry.info_hash)
        );
    }
    let newest = list(&mut owner, false);
    assert_eq!(newest.len(), 1);
    let next = of("7", Some("the last one"));
    there.perform(next);
    assert_eq!(list(&mut there, false)[0].version, newest[0].version + 1);
    pair.wait_until_in_sync();
    let merged = versions(&mut owner);
    drop((owner, there));
    pair.stop_and_assert_same();
    for number in [1, 2] {
        pair.start(number, &[]);
    }
    pair.wait_until_in_sync();
    let mut owner = User::log_in(pair.connect(1), "owner");
    assert_eq!(versions(&mut owner), merged, "after a restart");
    let backup = String::from_utf8_lossy(&pair.backup(1)).into_owned();
    assert!(backup.contains("pieceful backup 5\n"));
    assert!(backup.contains("the last one"), "the backup has the notes");
}
