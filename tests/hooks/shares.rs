//! Hooks after new shares of groups.

use super::script::Script;
use crate::common::account_tracker::AccountTracker;
use crate::common::log::wait_for_log_line;
use crate::common::peer::{Peer, quoted};
use crate::common::waiting::wait_until;
use crate::team::{join, logged_in_peer};
use std::fs;
use std::time::{Duration, Instant};

/// An announce interval in seconds that is longer than any test.
const LONG_INTERVAL: [&str; 2] = ["--interval", "3600"];

fn upload(tracker: &AccountTracker, peer: &mut Peer, name: &str, seed: u64) -> String {
    let path = tracker
        .sandbox
        .file(&format!("{seed}/{name}"), 50_000, seed);
    let path = path.to_str().unwrap().replace('\'', r"'\''");
    let uploaded = peer.run(&format!("upload_file lab '{path}'"));
    uploaded["info_hash"].as_str().unwrap().to_owned()
}

/// The owner of the group `lab`, who has published the share `before`.
fn owner(tracker: &AccountTracker) -> Peer {
    let mut nik = logged_in_peer(tracker, "nik", &[]);
    nik.run("create_group lab");
    upload(tracker, &mut nik, "before", 1);
    nik
}

/// Waits until the peer has seen this number of shares for the first time.
fn wait_for_catalogue(peer: &Peer, shares: usize) {
    let expected = format!("the group lab: {shares} shares, 0 new");
    wait_for_log_line(&peer.log, &[&expected]);
}

#[test]
fn a_new_share_is_reported_soon_and_what_was_there_before_is_not() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    let script = Script::new(&tracker.sandbox, "hook", "");
    let mut nik = owner(&tracker);
    let arguments = ["--on-share", &script.command()];
    let mut mayank = logged_in_peer(&tracker, "mayank", &arguments);
    join(&mut nik, &mut mayank, "mayank");
    wait_for_catalogue(&mayank, 1);
    let begun = Instant::now();
    let name = r#"it's "$(new)" ü"#;
    let info_hash = upload(&tracker, &mut nik, name, 2);
    let facts = script.wait_for(name);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(facts["PIECEFUL_EVENT"], "share");
    assert_eq!(facts["PIECEFUL_GROUP"], "lab");
    assert_eq!(facts["PIECEFUL_USER"], "mayank");
    assert_eq!(facts["PIECEFUL_PUBLISHER"], "nik");
    assert_eq!(facts["PIECEFUL_INFO_HASH"], info_hash);
    assert_eq!(facts["PIECEFUL_LENGTH"], "50000");
    assert!(!facts.contains_key("PIECEFUL_PATH"));
    // No variable has the password or the token.
    let token = String::from_utf8_lossy(&tracker.token("mayank")).into_owned();
    let secrets = ["pw of mayank", &*token];
    let is_secret = |value: &String| secrets.iter().any(|secret| value.contains(secret));
    assert!(!facts.values().any(is_secret), "{facts:?}");
    // A withdrawn share is no event.
    nik.run("stop_share lab before");
    upload(&tracker, &mut nik, "last", 3);
    script.wait_for("last");
    assert_eq!(script.names(), [name, "last"]);
}

#[test]
fn a_share_that_was_published_meanwhile_is_reported_at_the_next_start() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    let script = Script::new(&tracker.sandbox, "hook", "");
    let mut nik = owner(&tracker);
    let arguments = ["--on-share", &script.command()];
    let mut mayank = logged_in_peer(&tracker, "mayank", &arguments);
    join(&mut nik, &mut mayank, "mayank");
    wait_for_catalogue(&mayank, 1);
    mayank.kill();
    upload(&tracker, &mut nik, "meanwhile", 2);
    let mayank = tracker.sandbox.debug_peer("mayank", &arguments);
    wait_for_log_line(&mayank.log, &["the group lab: 2 shares, 1 new"]);
    script.wait_for("meanwhile");
    // From now on a crash does not run it again.
    wait_for_log_line(&mayank.log, &["--on-share for meanwhile: exit code 0"]);
    assert_eq!(script.names(), ["meanwhile"]);
    // The group has another name now, and is the same group.
    mayank.kill();
    nik.run("rename_group lab hall");
    let path = tracker.sandbox.file("4/renamed", 50_000, 4);
    nik.run(&format!("upload_file hall {}", quoted(&path)));
    let _mayank = tracker.sandbox.debug_peer("mayank", &arguments);
    assert_eq!(script.wait_for("renamed")["PIECEFUL_GROUP"], "hall");
    assert_eq!(script.names(), ["meanwhile", "renamed"]);
}

#[test]
fn other_content_under_the_same_name_is_a_new_share() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    let script = Script::new(
        &tracker.sandbox,
        "hook",
        "mv \"$0.runs/$$\" \"$0.runs/.old\"",
    );
    let other = Script::new(&tracker.sandbox, "other", "");
    let mut nik = owner(&tracker);
    let arguments = ["--on-share", &script.command()];
    let mut mayank = logged_in_peer(&tracker, "mayank", &arguments);
    join(&mut nik, &mut mayank, "mayank");
    wait_for_catalogue(&mayank, 1);
    mayank.kill();
    nik.run("stop_share lab before");
    let info_hash = upload(&tracker, &mut nik, "before", 2);
    let arguments = ["--on-share", &other.command()];
    let _mayank = tracker.sandbox.debug_peer("mayank", &arguments);
    let facts = other.wait_for("before");
    assert_eq!(facts["PIECEFUL_INFO_HASH"], info_hash);
    assert!(script.names().is_empty());
}

#[test]
fn a_later_group_of_the_same_name_has_nothing_new_at_first() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    let script = Script::new(&tracker.sandbox, "hook", "");
    let arguments = ["--on-share", &script.command()];
    let mut nik = owner(&tracker);
    let mut mayank = logged_in_peer(&tracker, "mayank", &arguments);
    join(&mut nik, &mut mayank, "mayank");
    wait_for_catalogue(&mayank, 1);
    mayank.run("leave_group lab");
    nik.run("leave_group lab --yes");
    nik.run("create_group lab");
    upload(&tracker, &mut nik, "one", 2);
    upload(&tracker, &mut nik, "two", 3);
    join(&mut nik, &mut mayank, "mayank");
    wait_for_catalogue(&mayank, 2);
    upload(&tracker, &mut nik, "three", 4);
    script.wait_for("three");
    assert_eq!(script.names(), ["three"]);
}

#[test]
fn more_new_shares_than_may_wait_are_all_reported() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    let go = tracker.sandbox.path("go");
    let body = format!("while ! test -e '{}'; do sleep 0.05; done", go.display());
    let script = Script::new(&tracker.sandbox, "hook", &body);
    let mut nik = owner(&tracker);
    let arguments = ["--on-share", &script.command()];
    let mut mayank = logged_in_peer(&tracker, "mayank", &arguments);
    join(&mut nik, &mut mayank, "mayank");
    wait_for_catalogue(&mayank, 1);
    // 1 runs, and 200 may wait.
    for seed in 1_000..1_204 {
        upload(&tracker, &mut nik, &format!("s{seed}"), seed);
    }
    wait_until("200 events wait", || {
        mayank.run("status")["hooks"][0]["waiting"] == 200
    });
    std::fs::write(go, "").unwrap();
    wait_until("all hooks have run", || script.names().len() == 204);
}

#[test]
fn a_catalogue_is_not_fetched_again_for_news_about_memberships() {
    let tracker = AccountTracker::with(&LONG_INTERVAL);
    let script = Script::new(&tracker.sandbox, "hook", "");
    let mut nik = owner(&tracker);
    let arguments = ["--on-share", &script.command()];
    let mut mayank = logged_in_peer(&tracker, "mayank", &arguments);
    join(&mut nik, &mut mayank, "mayank");
    wait_for_catalogue(&mayank, 1);
    nik.run("create_group other");
    nik.run("set_role lab mayank reader");
    // The list of the groups is fetched because of the news.
    wait_until("the list was fetched again", || {
        let log = std::fs::read_to_string(&mayank.log).unwrap();
        let lists = log.matches("the user is a member of 1 groups").count();
        let catalogues = log.matches("the catalogue of the group lab:").count();
        assert!(catalogues <= 1, "{log}");
        lists >= 2
    });
}

fn two_scripts(tracker: &AccountTracker) -> (Script, Script) {
    let script = |name| Script::new(&tracker.sandbox, name, "");
    (script("first hook"), script("second hook"))
}

/// The owner of the group `lab`, and a member whose peer runs `first` for this option and
/// `complete` after each download.
fn with_hooks(
    tracker: &AccountTracker,
    option: &str,
    first: &Script,
    complete: &Script,
) -> [Peer; 2] {
    let mut nik = owner(tracker);
    let arguments = [
        option,
        &first.command(),
        "--on-complete",
        &complete.command(),
    ];
    let mut mayank = logged_in_peer(tracker, "mayank", &arguments);
    join(&mut nik, &mut mayank, "mayank");
    [nik, mayank]
}

#[test]
fn a_new_version_is_reported_with_its_number_and_its_note_and_so_is_its_download() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let (shares, complete) = two_scripts(&tracker);
    let [mut nik, mut mayank] = with_hooks(&tracker, "--on-share", &shares, &complete);
    wait_for_catalogue(&mayank, 1);
    mayank.run("download_file lab before");
    let first = complete.wait_for("before");
    assert_eq!(first["PIECEFUL_VERSION"], "1");
    let path = tracker.sandbox.file("1/before", 60_000, 4);
    let note = r#"it's "$(new)""#;
    let line = format!(
        "upload_file lab {} --update --note '{}'",
        quoted(&path),
        note.replace('\'', r"'\''")
    );
    let updated = nik.run(&line);
    assert_eq!(updated["version"], 2, "{updated}");
    let facts = shares.wait_for("before@2");
    assert_eq!(facts["PIECEFUL_NOTE"], note);
    assert_eq!(facts["PIECEFUL_LENGTH"], "60000");
    mayank.run("download_file lab before");
    let facts = complete.wait_for("before@2");
    assert!(!facts.contains_key("PIECEFUL_NOTE"));
    assert_eq!(facts["PIECEFUL_PATH"], first["PIECEFUL_PATH"]);
    assert_eq!(shares.names(), ["before@2"]);
    assert_eq!(complete.names(), ["before", "before@2"]);
}

#[test]
fn an_unfinished_version_whose_place_a_newer_one_takes_is_no_error() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let (errors, complete) = two_scripts(&tracker);
    let [mut nik, mut mayank] = with_hooks(&tracker, "--on-error", &errors, &complete);
    nik.run("logout");
    mayank.run("download_file lab before");
    mayank.wait_for_download("before", |it| it["state"] == "downloading");
    nik.run("login nik 'pw of nik'");
    let path = tracker.sandbox.file("1/before", 60_000, 4);
    nik.run(&format!("upload_file lab {} --update", quoted(&path)));
    let started = mayank.run("download_file lab before");
    assert_eq!(started["version"], 2, "{started}");
    complete.wait_for("before@2");
    // Hooks of one kind run in order, so an earlier error would come before this one.
    fs::remove_file(tracker.sandbox.path("mayank/before")).unwrap();
    let facts = errors.wait_for("before@2");
    assert_eq!(facts["PIECEFUL_ERROR_KIND"], "lost");
    assert_eq!(errors.names(), ["before@2"]);
}
