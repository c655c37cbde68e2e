//! A flood of log-ins from many addresses of one network. It keeps nobody else out, and delays no
//! request without a password.

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

/// The connections of the flood. If the tracker checked passwords in the order of arrival, every
/// log-in would wait until it has checked this many.
const FLOOD: u16 = 400;
/// The addresses of the flood.
const FLOOD_ADDRESSES: u16 = 100;
/// The network of the flood, and two others: see [`connect_from_network`].
const FLOOD_NETWORK: u8 = 2;
const HOME: u8 = 3;
const ELSEWHERE: u8 = 4;

fn connect(network: u8, host: u16, tracker: SocketAddr) -> ControlConnection {
    ControlConnection::over(connect_from_network(network, host, tracker)).unwrap()
}

/// Logs in again and again until `end` is set. The password is right, so nothing slows this down.
fn flood(number: u16, tracker: SocketAddr, answered: &AtomicUsize, end: &AtomicBool) {
    let mut connection = connect(FLOOD_NETWORK, number % FLOOD_ADDRESSES, tracker);
    while !end.load(Ordering::Relaxed) {
        let request = login_request("eve", &password_of("eve"));
        // While the tracker ends, the connection may too.
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

/// The shortest of three times, because a busy machine may delay one.
fn shortest(mut attempt: impl FnMut()) -> Duration {
    let times = [(); 3].map(|()| {
        let start = Instant::now();
        attempt();
        start.elapsed()
    });
    times.into_iter().min().unwrap()
}

/// How long it takes to log in from there.
fn log_in_time(network: u8, user: &str, tracker: SocketAddr) -> Duration {
    let mut connection = connect(network, 1, tracker);
    shortest(|| {
        let answer = connection.ask(None, login_request(user, &password_of(user)));
        assert!(
            matches!(answer, Ok(AccessAnswer::LoggedIn { .. })),
            "{answer:?}"
        );
    })
}

#[test]
fn a_flood_of_log_ins_from_one_network_keeps_nobody_out() {
    let tracker = AccountTracker::new();
    for user in ["eve", "nik", "uma"] {
        let request = create_user_request(user);
        tracker.connect().ask(None, request).unwrap();
    }
    let address = tracker.address();
    let mut nik = User::log_in(connect(HOME, 1, address), "nik");
    let (answered, end) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (turn, known, stranger, list) = thread::scope(|scope| {
        let _ends = SetOnDrop(&end);
        for number in 0..FLOOD {
            let (answered, end) = (&answered, &end);
            scope.spawn(move || flood(number, address, answered, end));
        }
        // After that many answers the flood is under way: all its connections wait for their turns.
        let start = Instant::now();
        while answered.load(Ordering::Relaxed) < usize::from(FLOOD) / 2 {
            assert!(start.elapsed() < Duration::from_secs(60));
            thread::sleep(Duration::from_millis(10));
        }
        let (before, start) = (answered.load(Ordering::Relaxed), Instant::now());
        let known = log_in_time(HOME, "nik", address);
        let stranger = log_in_time(ELSEWHERE, "uma", address);
        let list = shortest(|| drop(nik.ask(group_request("list_groups")).unwrap()));
        let more = answered.load(Ordering::Relaxed) - before;
        // How long each connection of the flood waits for its next answer.
        let turn = start.elapsed() * u32::from(FLOOD) / u32::try_from(more.max(1)).unwrap();
        (turn, known, stranger, list)
    });
    println!(
        "each log-in of the flood takes {turn:.1?}, one of a known user {known:.1?}, one of a \
         stranger {stranger:.1?}, a list of groups {list:.1?}"
    );
    assert!(known < turn / 5, "{known:?} of {turn:?}");
    assert!(stranger < turn / 5, "{stranger:?} of {turn:?}");
    assert!(list < turn / 10, "{list:?} of {turn:?}");
}

#[test]
fn log_ins_sent_without_waiting_for_answers_wait_for_their_turns_too() {
    let tracker = AccountTracker::new();
    for user in ["eve", "nik"] {
        let request = create_user_request(user);
        tracker.connect().ask(None, request).unwrap();
    }
    let address = tracker.address();
    let mut nik = User::log_in(connect(HOME, 1, address), "nik");
    // The tracker has fewer threads for requests that may block than there are connections. The
    // first request of each connection checks no password, so it needs such a thread and no turn.
    // The log-ins behind it must not keep the thread.
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
    let list = shortest(|| drop(nik.ask(group_request("list_groups")).unwrap()));
    assert!(list < Duration::from_millis(500), "{list:?}");
}
