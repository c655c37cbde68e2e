//! The time of logins and lists with few and with many accounts. `benches/README.md` has figures.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{
    ControlConnection, User, create_user_request, group_request, login_request, password_of,
};
use pieceful::wire::access::AccessAnswer;
use std::thread;
use std::time::{Duration, Instant};

/// The number of times that each request is timed.
const ROUNDS: usize = 200;

/// A tracker with users and groups of up to ten members, and one user who is logged in.
fn filled_tracker(users: usize, groups: usize) -> (AccountTracker, User) {
    let tracker = AccountTracker::with(&["--max-new-accounts", "1000000"]);
    let name = |number: usize| format!("user{number:04}");
    thread::scope(|scope| {
        for part in 0..8 {
            let mut connection = tracker.connect();
            scope.spawn(move || {
                for number in (part..users).step_by(8) {
                    connection
                        .ask(None, create_user_request(&name(number)))
                        .unwrap();
                }
            });
        }
    });
    let members = users.min(10);
    let mut all: Vec<User> = (0..members)
        .map(|number| User::log_in(tracker.connect(), &name(number * users / members)))
        .collect();
    for number in 0..groups {
        let owner = number % members;
        all[owner].perform(group_request(&format!("create_group group{number:03}")));
        for member in (0..members).filter(|member| *member != owner) {
            all[member].perform(group_request(&format!("join_group group{number:03}")));
            let user = all[member].name.clone();
            all[owner].perform(group_request(&format!(
                "accept_request group{number:03} {user}"
            )));
        }
    }
    let user = all.remove(members / 2);
    (tracker, user)
}

/// The median time that `call` takes.
fn median(mut call: impl FnMut()) -> Duration {
    let mut all: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed()
        })
        .collect();
    all.sort_unstable();
    all[ROUNDS / 2]
}

/// The median times of a login and of a list of groups.
fn times(users: usize, groups: usize) -> (Duration, Duration) {
    let (tracker, mut user) = filled_tracker(users, groups);
    let mut connection: ControlConnection = tracker.connect();
    let (name, secret) = (user.name.clone(), password_of(&user.name));
    let logins = median(|| {
        let answer = connection.ask(None, login_request(&name, &secret));
        assert!(matches!(answer, Ok(AccessAnswer::LoggedIn { .. })));
    });
    let lists = median(|| assert_eq!(user.groups().len(), groups));
    println!(
        "{users} users, {groups} groups: login {:.1} ms, list_groups {:.2} ms",
        logins.as_secs_f64() * 1e3,
        lists.as_secs_f64() * 1e3
    );
    (logins, lists)
}

#[test]
#[ignore = "a measurement"]
fn logins_and_lists_stay_fast_with_many_accounts() {
    let few = times(10, 5);
    let many = times(1_000, 200);
    assert!(many.0 < few.0 * 2, "logins are slower");
    // The list itself is 40 times as long.
    assert!(many.1 < few.1 + Duration::from_millis(20));
}
