//! The time from the death of a tracker to the next write of a peer, and the number of writes per
//! second. `benches/README.md` has figures.

use super::pair::Pair;
use crate::common::control_connection::{User, group_request};
use std::thread;
use std::time::{Duration, Instant};

/// The number of kills.
const DEATHS: usize = 40;
/// The number of users who write at the same time.
const WRITERS: usize = 16;
/// The time for which the users write.
const WRITING: Duration = Duration::from_secs(5);

#[test]
#[ignore = "a measurement"]
fn a_peer_writes_soon_after_the_death_of_its_tracker() {
    let mut pair = Pair::new();
    let mut peer = pair.peer("nik", 1);
    peer.run("create_user nik pw-of-nik");
    peer.run("login nik pw-of-nik");
    let mut times = Vec::new();
    for death in 0..DEATHS {
        // Each kill hits the tracker that the peer asks first. Normally that is tracker 1. For one
        // second after a request to tracker 1 has failed, it is tracker 2.
        let number = 1 + death % 2;
        peer.run("list_groups");
        pair.kill(number);
        let start = Instant::now();
        peer.run(&format!("create_group group{death}"));
        times.push(start.elapsed());
        pair.start(number, &[]);
        pair.wait_until_in_sync();
    }
    times.sort_unstable();
    let [median, percentile_95] = [DEATHS / 2, DEATHS * 95 / 100].map(|at| times[at].as_secs_f64());
    println!(
        "to the next write after a death: median {median:.3} s, \
         95 of 100 within {percentile_95:.3} s"
    );
    assert!(percentile_95 < 1.5);
}

/// Lets [`WRITERS`] users create groups at tracker 1, and returns the number of writes per second.
/// The names of the users begin with `name`.
fn writes_per_second(pair: &Pair, name: &str) -> f64 {
    let users: Vec<User> = (0..WRITERS)
        .map(|writer| pair.user(1, &format!("{name}{writer}")))
        .collect();
    let start = Instant::now();
    let created: usize = thread::scope(|scope| {
        let writers: Vec<_> = users
            .into_iter()
            .map(|mut user| {
                scope.spawn(move || {
                    let mut created = 0;
                    while start.elapsed() < WRITING {
                        user.perform(group_request(&format!(
                            "create_group {}.{created}",
                            user.name
                        )));
                        created += 1;
                    }
                    created
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum()
    });
    created as f64 / start.elapsed().as_secs_f64()
}

#[test]
#[ignore = "a measurement"]
fn writes_per_second_alone_and_with_a_replica() {
    let mut pair = Pair::new();
    let up = writes_per_second(&pair, "up");
    pair.kill(2);
    let down = writes_per_second(&pair, "down");
    pair.kill(1);
    let alone = {
        let info = pair.sandbox.path("cluster/info.txt");
        std::fs::write(info, "127.0.0.1:0\n").unwrap();
        std::fs::remove_dir_all(pair.data(1)).unwrap();
        pair.start(1, &[]);
        writes_per_second(&pair, "alone")
    };
    println!(
        "writes per second, {WRITERS} at a time: alone {alone:.0}, other replica up {up:.0}, other replica down {down:.0}"
    );
}
