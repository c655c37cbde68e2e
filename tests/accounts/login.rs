//! Logins: the slow-down after failed tries, the events that end a login, one user at several
//! peers.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{
    ControlConnection, User, connect_from, create_user_request, group_request, login_request,
    new_write, password_of,
};
use crate::common::peer::Peer;
use crate::common::waiting::PATIENCE;
use pieceful::wire::access::{AccessAnswer, AccessRefusal, AccessRequest, Token};
use pieceful::wire::password::Password;
use std::time::{Duration, Instant};

/// Tries to log in from the loopback address of a host (see [`connect_from`]).
fn try_login_from(
    tracker: &AccountTracker,
    host: u16,
    user: &str,
    secret: &Password,
) -> Result<AccessAnswer, AccessRefusal> {
    let mut connection = ControlConnection::over(connect_from(host, tracker.address())).unwrap();
    connection.ask(None, login_request(user, secret))
}

fn wrong_password() -> Password {
    Password::new("guessed").unwrap()
}

/// The kind of a refusal, or `success` if the request succeeded.
fn kind(answer: Result<AccessAnswer, AccessRefusal>) -> String {
    match answer {
        Ok(_) => "success".to_owned(),
        Err(refused) => refused.kind.as_str().to_owned(),
    }
}

#[test]
fn five_failed_tries_slow_down_the_user_and_the_host() {
    let tracker = AccountTracker::new();
    for user in ["nik", "uma", "mayank"] {
        tracker
            .connect()
            .ask(None, create_user_request(user))
            .unwrap();
    }
    let kind_with_right_password =
        |host, user: &str| kind(try_login_from(&tracker, host, user, &password_of(user)));
    // uma logs in from host 1 first. So failures of others there do not keep her out later.
    assert_eq!(kind_with_right_password(1, "uma"), "success");
    let start = Instant::now();
    for _ in 0..5 {
        assert_eq!(
            kind(try_login_from(&tracker, 1, "nik", &wrong_password())),
            "login-refused"
        );
    }
    let refused = try_login_from(&tracker, 1, "nik", &password_of("nik"));
    // On a slow machine that needs a second for five tries, the wait is over already.
    if start.elapsed() < Duration::from_secs(1) {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind.as_str(), "slow-down");
        assert!(
            refused.message.as_str().contains("try again in 1 s"),
            "{refused}"
        );
    }
    // The next failure doubles the wait.
    while kind(try_login_from(&tracker, 1, "nik", &wrong_password())) == "slow-down" {
        assert!(start.elapsed() < PATIENCE);
    }
    assert_eq!(kind_with_right_password(1, "nik"), "slow-down", "that user");
    assert_eq!(
        kind_with_right_password(1, "mayank"),
        "slow-down",
        "others from that host"
    );
    assert_eq!(
        kind(try_login_from(&tracker, 1, "none", &wrong_password())),
        "slow-down"
    );
    assert_eq!(kind_with_right_password(1, "uma"), "success");
    assert_eq!(
        kind_with_right_password(2, "nik"),
        "success",
        "that user from elsewhere"
    );
    assert_eq!(kind_with_right_password(2, "mayank"), "success");
    // After the wait the login works.
    while kind_with_right_password(1, "nik") != "success" {
        assert!(start.elapsed() < PATIENCE);
    }
}

#[test]
fn a_wrong_old_password_counts_as_a_failed_try() {
    let tracker = AccountTracker::new();
    let mut nik = tracker.user("nik");
    let change = || AccessRequest::ChangePassword {
        write: new_write(),
        old: wrong_password(),
        new: password_of("nik"),
    };
    let mut tries = 0;
    while kind(nik.ask(change())) == "login-refused" {
        tries += 1;
        assert!(tries < 50, "guesses go on without end");
    }
    assert!(tries >= 5);
    assert_eq!(kind(nik.ask(change())), "slow-down");
}

#[test]
fn an_unknown_user_and_a_wrong_password_get_the_same_answer_in_the_same_time() {
    let tracker = AccountTracker::new();
    tracker
        .connect()
        .ask(None, create_user_request("nik"))
        .unwrap();
    let mut answers: Vec<AccessRefusal> = Vec::new();
    let (mut unknown, mut known): (Vec<Duration>, Vec<Duration>) = Default::default();
    // Each round comes from another host, so that no failed try slows down the next round.
    for host in 0..20 {
        for (user, times) in [("none", &mut unknown), ("nik", &mut known)] {
            let mut connection =
                ControlConnection::over(connect_from(1 + host * 2, tracker.address())).unwrap();
            let start = Instant::now();
            answers.push(
                connection
                    .ask(None, login_request(user, &wrong_password()))
                    .unwrap_err(),
            );
            times.push(start.elapsed());
        }
    }
    assert!(
        answers.iter().all(|refused| *refused == answers[0]),
        "{answers:?}"
    );
    assert_eq!(answers[0].kind.as_str(), "login-refused");
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (unknown, known) = (median(&mut unknown), median(&mut known));
    // If the tracker did not hash for unknown users, that answer would take a hundredth of the
    // time.
    assert!(
        unknown < known * 3 && known < unknown * 3,
        "{unknown:?} {known:?}"
    );
}

/// The kind of the error of a command. Empty if the command succeeds.
fn error_kind(peer: &mut Peer, typed: &str) -> String {
    let object = peer.try_run(typed);
    let kind = object["error"]["kind"].as_str().unwrap_or_default();
    kind.to_owned()
}

#[test]
fn a_logout_ends_one_login_and_a_new_password_ends_all_others() {
    let tracker = AccountTracker::new();
    let [mut one, mut two, mut three] =
        ["one", "two", "three"].map(|name| tracker.sandbox.peer(name));
    one.run("create_user nik first-password");
    for peer in [&mut one, &mut two, &mut three] {
        peer.run("login nik first-password");
        assert_eq!(peer.run("status")["user"], "nik");
    }
    one.run("create_group lab");
    two.run("list_members lab");
    // A logout ends the login of its peer alone.
    three.run("logout");
    assert_eq!(error_kind(&mut three, "list_groups"), "not-logged-in");
    one.run("list_groups");
    three.run("login nik first-password");
    // A new password ends all logins except the one that changed the password.
    one.run("change_password first-password second-password");
    one.run("list_groups");
    for peer in [&mut two, &mut three] {
        assert_eq!(error_kind(peer, "create_group other"), "session-ended");
        assert_eq!(error_kind(peer, "list_groups"), "not-logged-in");
        assert_eq!(peer.run("status")["user"], serde_json::Value::Null);
    }
    assert_eq!(
        error_kind(&mut two, "login nik first-password"),
        "login-refused"
    );
    two.run("login nik second-password");
    // After its login has ended, a peer can log in another user.
    one.run("create_user uma pw-of-uma");
    three.run("login uma pw-of-uma");
    assert_eq!(
        error_kind(&mut three, "login nik second-password"),
        "logged-in"
    );
    assert_eq!(three.run("status")["user"], "uma");
    assert_eq!(error_kind(&mut three, "list_members lab"), "not-a-member");
}

#[test]
fn a_login_survives_restarts_of_peer_and_tracker() {
    let tracker = AccountTracker::new();
    let mut peer = tracker.sandbox.peer("nik");
    peer.run("create_user nik pw-of-nik");
    peer.run("login nik pw-of-nik");
    peer.run("create_group lab");
    peer.process.kill();
    let mut peer = tracker.sandbox.peer("nik");
    assert_eq!(peer.run("status")["user"], "nik");
    peer.run("list_members lab");
    // The restarted tracker has another address. TRACKER_INFO names it.
    let tracker = AccountTracker::restart(tracker.kill());
    peer.run("list_members lab");
    peer.run("logout");
    peer.process.kill();
    let mut peer = tracker.sandbox.peer("nik");
    assert_eq!(error_kind(&mut peer, "list_groups"), "not-logged-in");
}

#[test]
fn a_revoked_token_stays_revoked_after_a_restart() {
    let tracker = AccountTracker::new();
    let mut nik = tracker.user("nik");
    let other = User::log_in(tracker.connect(), "nik");
    assert_eq!(nik.ask(group_request("logout")), Ok(AccessAnswer::Done));
    let answer_kind = |tracker: &AccountTracker, token: &Token| {
        let ask = AccessRequest::ListGroups { after: None };
        kind(tracker.connect().ask(Some(token), ask))
    };
    let tracker = AccountTracker::restart(tracker.kill());
    assert_eq!(answer_kind(&tracker, &nik.token), "session-ended");
    assert_eq!(answer_kind(&tracker, &other.token), "success");
}
