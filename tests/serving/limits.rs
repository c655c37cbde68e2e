//! Limits on rates: kept, shared, shown, and no hindrance to a stop.

use crate::common::fake_peer::*;
use crate::common::handmade_torrent::Torrent;
use crate::common::log::{log_line_with, wait_for_log_line};
use crate::common::open_swarm::{TORRENT, leech_with, seed_with};
use crate::common::peer::quoted;
use crate::common::process::run;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_for;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const MIB: f64 = (1 << 20) as f64;
const WINDOW: Duration = Duration::from_secs(5);

/// Waits until there are any.
fn until_any(bytes: impl Fn() -> u64) {
    wait_for(|| (bytes() > 0).then_some(()), || "nothing moves".into());
}

#[test]
fn what_is_sent_keeps_its_limit_and_is_shared_fairly() {
    let sandbox = Sandbox::new();
    let seed = seed_with(&sandbox, "seed", &TORRENT, &["--up", "1M"]);
    let end = Instant::now() + WINDOW + Duration::from_secs(2);
    let counts: Vec<Arc<AtomicU64>> = (0..3).map(|_| Arc::default()).collect();
    let takers = counts.iter().enumerate().map(|(number, count)| {
        let count = count.clone();
        let mut link = FakePeer::connect(
            seed.process.address,
            &TORRENT,
            BEP_3_ONLY,
            &format!("taker{number}"),
        );
        // One of them asks for long blocks, which is to be of no use.
        let length = if number == 0 { 2 * BLOCK } else { BLOCK };
        thread::spawn(move || {
            link.fetch(0, 0, 1).unwrap();
            link.send(&request(1, 0, length).repeat(8));
            while Instant::now() < end {
                let block = link.read_until(PIECE).unwrap();
                count.fetch_add(block.len() as u64 - 8, Ordering::Relaxed);
                link.send(&request(1, 0, length));
            }
        })
    });
    let takers: Vec<_> = takers.collect();
    let sum = || -> u64 {
        counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    };
    until_any(sum);
    let (start, before) = (Instant::now(), sum());
    thread::sleep(WINDOW);
    let (seconds, bytes) = (start.elapsed().as_secs_f64(), sum() - before);
    let rate = bytes as f64 / seconds / MIB;
    assert!((0.9..1.1).contains(&rate), "{rate} MiB/s");
    takers.into_iter().for_each(|taker| taker.join().unwrap());
    let third = sum() as f64 / 3.0;
    for count in &counts {
        let share = count.load(Ordering::Relaxed) as f64 / third;
        assert!((0.8..1.2).contains(&share), "{counts:?}");
    }
}

#[test]
fn what_is_received_keeps_its_limit_and_is_shown() {
    let sandbox = Sandbox::new();
    let torrent = Torrent::new("share", 32 << 20, 32 << 10, 4);
    let mut leech = leech_with(&sandbox, "leech", &torrent, &["--down", "1M"]);
    for id in ["one", "two", "three"] {
        let link = FakePeer::connect(leech.process.address, &torrent, EXTENDED_AND_FAST, id);
        let owned = torrent.clone();
        thread::spawn(move || serve(link, &owned, |_, block| block.to_vec()));
    }
    leech.wait_for_download("share", |download| {
        download["bytes_done"].as_u64() > Some(1 << 20)
    });
    let start = Instant::now();
    let before = leech.download("share")["bytes_done"].as_u64().unwrap();
    thread::sleep(WINDOW);
    let after = leech.download("share");
    let seconds = start.elapsed().as_secs_f64();
    let bytes = after["bytes_done"].as_u64().unwrap() - before;
    let rate = bytes as f64 / seconds / MIB;
    assert!((0.9..1.1).contains(&rate), "{rate} MiB/s");
    let shown = after["rate"].as_f64().unwrap() / MIB;
    assert!((0.85..1.15).contains(&shown), "{shown} MiB/s are shown");
    // Nobody is blamed for what we do not read.
    assert_eq!(log_line_with(&leech.log, &["delivers nothing"]), None);
}

#[test]
fn a_limit_far_below_what_owners_wait_for_blames_nobody_and_completes() {
    let sandbox = Sandbox::new();
    let torrent = Torrent::new("share", 9 * BLOCK as usize, BLOCK as usize, 4);
    // A block each two seconds for three links: each waits longer than a silent owner is waited for.
    let mut leech = leech_with(&sandbox, "leech", &torrent, &["--down", "8K"]);
    for id in ["one", "two", "three", "four"] {
        let link = FakePeer::connect(leech.process.address, &torrent, EXTENDED_AND_FAST, id);
        let owned = torrent.clone();
        thread::spawn(move || serve(link, &owned, |_, block| block.to_vec()));
    }
    leech.run("wait 50");
    assert_eq!(log_line_with(&leech.log, &["delivers nothing"]), None);
}

#[test]
fn a_pool_smaller_than_a_piece_completes_downloads_from_several_owners() {
    let sandbox = Sandbox::new();
    let torrents = [5, 6].map(|number| {
        let name = format!("share{number}");
        Torrent::new(&name, (9 << 20) + 5, 4 << 20, number)
    });
    let mut leech = leech_with(&sandbox, "leech", &torrents[0], &["--memory", "1M"]);
    let second = torrents[1].write(&sandbox, "second.torrent");
    leech.run(&format!("download {} second", quoted(&second)));
    for torrent in &torrents {
        for id in ["one", "two", "three", "four"] {
            let link = FakePeer::connect(leech.process.address, torrent, EXTENDED_AND_FAST, id);
            let owned = torrent.clone();
            thread::spawn(move || serve(link, &owned, |_, block| block.to_vec()));
        }
    }
    leech.run("wait 50");
    for (torrent, copy) in torrents.iter().zip(["copy", "second"]) {
        let copy = fs::read(sandbox.path(&format!("leech/{copy}"))).unwrap();
        assert!(copy == torrent.content, "{}", torrent.name);
    }
}

#[test]
fn a_stop_does_not_wait_for_a_limit() {
    let sandbox = Sandbox::new();
    let mut seed = seed_with(&sandbox, "seed", &TORRENT, &["--up", "1K"]);
    let mut leech = leech_with(&sandbox, "leech", &TORRENT, &["--down", "1K"]);
    let giver = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "giver");
    let asked = Arc::new(AtomicU64::new(0));
    let counted = asked.clone();
    thread::spawn(move || {
        serve(giver, &TORRENT, |_, block| {
            counted.fetch_add(1, Ordering::SeqCst);
            block.to_vec()
        })
    });
    let mut taker = FakePeer::connect(seed.process.address, &TORRENT, EXTENDED_AND_FAST, "taker");
    taker.fetch(0, 0, BLOCK).unwrap();
    taker.send(&request(0, 0, BLOCK).repeat(9));
    until_any(|| asked.load(Ordering::SeqCst));
    let start = Instant::now();
    for peer in [&mut seed, &mut leech] {
        peer.run("quit");
    }
    taker.read_to_end();
    wait_for_log_line(&leech.log, &["stopped"]);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn limits_that_are_none_are_a_usage_error() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder("work");
    for (option, value) in [
        ("--up", "0"),
        ("--up", "fast"),
        ("--down", "0M"),
        ("--down", "-1M"),
        ("--down", "10"),
        ("--upload-slots", "0"),
        ("--memory", "1023K"),
        ("--memory", "much"),
    ] {
        let given = format!("{option}={value}");
        let output = run(&folder, &["peer", "127.0.0.1:0", &given], "");
        assert_eq!(output.code, Some(2), "{option} {value}: {output:?}");
        assert!(output.stderr.contains(option), "{output:?}");
    }
    let torrent = TORRENT.write(&sandbox, "share.torrent");
    let command = format!("download {} copy", quoted(&torrent));
    let output = run(
        &folder,
        &[
            "peer",
            "127.0.0.1:0",
            "--up",
            "1.5MiB",
            "--down",
            "500k",
            "-c",
            &command,
        ],
        "",
    );
    assert_eq!(output.code, Some(0), "{output:?}");
}
