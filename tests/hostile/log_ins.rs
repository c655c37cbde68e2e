//! A flood of log-ins from many addresses of one network. Users of other networks can still log in
//! soon, and requests without a password are not delayed.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{
    ControlConnection, User, connect_from_network, create_user_request, group_request,
    login_request, password_of,
};
use pieceful::wire::access::AccessAnswer;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Number of connections of the flood. If the tracker checked passwords in the order of arrival, it
/// would check one password of each of these connections before the password of any other user.
const FLOOD_CONNECTIONS: u16 = 400;
/// Number of addresses from which these connections come.
const FLOOD_ADDRESSES: u16 = 100;
/// The network of the flood: see [`connect_from_network`].
const FLOOD_NETWORK: u8 = 2;
/// The network from which nik has logged in before the flood.
const KNOWN_NETWORK: u8 = 3;
/// A network from which nobody has logged in before the flood.
const UNKNOWN_NETWORK: u8 = 4;

fn connect(network: u8, host: u16, tracker: SocketAddr) -> ControlConnection {
    ControlConnection::over(connect_from_network(network, host, tracker)).unwrap()
}

/// Logs in again and again until `end` is set. The password is right: the tracker would slow down
/// attempts with a wrong one.
fn flood(number: u16, tracker: SocketAddr, answered: &AtomicUsize, end: &AtomicBool) {
    let mut connection = connect(FLOOD_NETWORK, number % FLOOD_ADDRESSES, tracker);
    while !end.load(Ordering::Relaxed) {
        let request = login_request("eve", &password_of("eve"));
        // If the tracker ends, the connection ends too.
        if connection.try_ask(None, request).is_err() {
            return;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sets a flag when it is dropped, also after a failed assertion.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `attempt` three times. Returns the shortest time that it took, because a busy machine may
/// delay some attempts.
fn shortest_time(mut attempt: impl FnMut()) -> Duration {
    let times = [(); 3].map(|()| {
        let start = Instant::now();
        attempt();
        start.elapsed()
    });
    times.into_iter().min().unwrap()
}

/// How long it takes `user` to log in from `network`.
fn log_in_time(network: u8, user: &str, tracker: SocketAddr) -> Duration {
    let mut connection = connect(network, 1, tracker);
    shortest_time(|| {
        let answer = connection.ask(None, login_request(user, &password_of(user)));
        assert!(
            matches!(answer, Ok(AccessAnswer::LoggedIn { .. })),
            "{answer:?}"
        );
    })
}

#[test]
fn users_of_other_networks_can_log_in_during_a_flood_of_log_ins() {
    let tracker = AccountTracker::new();
    for user in ["eve", "nik", "uma"] {
        let request = create_user_request(user);
        tracker.connect().ask(None, request).unwrap();
    }
    let address = tracker.address();
    let mut nik = User::log_in(connect(KNOWN_NETWORK, 1, address), "nik");
    let (answered, end) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (flood_time, known_time, unknown_time, list_time) = thread::scope(|scope| {
        let _ends = SetOnDrop(&end);
        for number in 0..FLOOD_CONNECTIONS {
            let (answered, end) = (&answered, &end);
            scope.spawn(move || flood(number, address, answered, end));
        }
        // Waits until the flood has got half as many answers as it has connections. Then the flood
        // is under way: all its connections wait for their turns.
        let start = Instant::now();
        while answered.load(Ordering::Relaxed) < usize::from(FLOOD_CONNECTIONS) / 2 {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "the tracker answers too few log-ins of the flood"
            );
            thread::sleep(Duration::from_millis(10));
        }
        let (answered_before, start) = (answered.load(Ordering::Relaxed), Instant::now());
        let known_time = log_in_time(KNOWN_NETWORK, "nik", address);
        let unknown_time = log_in_time(UNKNOWN_NETWORK, "uma", address);
        let list_time = shortest_time(|| drop(nik.ask(group_request("list_groups")).unwrap()));
        let new_answers = answered.load(Ordering::Relaxed) - answered_before;
        // How long each connection of the flood waits for its next answer.
        let new_answers = u32::try_from(new_answers.max(1)).unwrap();
        let flood_time = start.elapsed() * u32::from(FLOOD_CONNECTIONS) / new_answers;
        (flood_time, known_time, unknown_time, list_time)
    });
    println!(
        "a log-in of the flood takes {flood_time:.1?}, a log-in from a known address \
         {known_time:.1?}, a log-in from an unknown address {unknown_time:.1?}, a list of groups \
         {list_time:.1?}"
    );
    assert!(
        known_time < flood_time / 5,
        "a known address waits too long"
    );
    assert!(
        unknown_time < flood_time / 5,
        "an unknown address waits too long"
    );
    assert!(
        list_time < flood_time / 10,
        "a list of groups takes too long"
    );
}

#[test]
fn log_ins_that_follow_another_request_do_not_keep_its_thread() {
    let tracker = AccountTracker::new();
    for user in ["eve", "nik"] {
        let request = create_user_request(user);
        tracker.connect().ask(None, request).unwrap();
    }
    let address = tracker.address();
    let mut nik = User::log_in(connect(KNOWN_NETWORK, 1, address), "nik");
    // There are more connections here than threads of the tracker for requests that may block. The
    // first request of each connection has no password. So it needs such a thread, but it does not
    // wait for a turn. The log-ins after this request must not keep the thread.
    let _flood: Vec<ControlConnection> = (0..300)
        .map(|number| {
            let mut connection = connect(FLOOD_NETWORK, number % FLOOD_ADDRESSES, address);
            connection.send(group_request("list_groups"));
            for _ in 0..15 {
                connection.send(login_request("eve", &password_of("eve")));
            }
            connection
        })
        .collect();
    let list_time = shortest_time(|| drop(nik.ask(group_request("list_groups")).unwrap()));
    assert!(list_time < Duration::from_millis(500), "{list_time:?}");
}
