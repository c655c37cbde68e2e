//! Limits on rates and memory: they hold, are shared between links, and do not delay a stop.

use crate::common::fake_peer::*;
use crate::common::handmade_torrent::Torrent;
use crate::common::log::{log_line_with, wait_for_log_line};
use crate::common::open_swarm::{TORRENT, leech_with, seed_with, serve_to};
use crate::common::peer::{Peer, quoted};
use crate::common::process::run;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_for;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const MIB: f64 = (1 << 20) as f64;
/// The time for which a rate is measured.
const WINDOW: Duration = Duration::from_secs(5);

/// Waits until a counter is above zero.
fn wait_until_positive(count: impl Fn() -> u64) {
    wait_for(
        || (count() > 0).then_some(()),
        || "the count stays 0".into(),
    );
}

/// Starts a caller that fetches blocks until `end`. `count` counts their bytes.
fn start_caller(seed: &Peer, number: usize, count: Arc<AtomicU64>, end: Instant) -> JoinHandle<()> {
    let id = format!("caller{number}");
    let mut link = FakePeer::connect(seed.process.address, &TORRENT, BEP_3_ONLY, &id);
    // The first caller requests longer blocks. It must not get more bytes than the others.
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
}

#[test]
fn uploads_run_at_their_limit_and_share_it_fairly() {
    let sandbox = Sandbox::new();
    let seed = seed_with(&sandbox, "seed", &TORRENT, &["--up", "1M"]);
    let end = Instant::now() + WINDOW + Duration::from_secs(2);
    let counts: Vec<Arc<AtomicU64>> = (0..3).map(|_| Arc::default()).collect();
    let callers: Vec<_> = counts
        .iter()
        .enumerate()
        .map(|(number, count)| start_caller(&seed, number, count.clone(), end))
        .collect();
    let sum = || -> u64 {
        counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    };
    wait_until_positive(sum);
    let (start, before) = (Instant::now(), sum());
    thread::sleep(WINDOW);
    let (seconds, bytes) = (start.elapsed().as_secs_f64(), sum() - before);
    let rate = bytes as f64 / seconds / MIB;
    assert!((0.9..1.1).contains(&rate), "{rate} MiB/s");
    callers
        .into_iter()
        .for_each(|caller| caller.join().unwrap());
    let mean = sum() as f64 / 3.0;
    for count in &counts {
        let ratio = count.load(Ordering::Relaxed) as f64 / mean;
        assert!((0.8..1.2).contains(&ratio), "{counts:?}");
    }
}

#[test]
fn downloads_run_at_their_limit_and_show_their_rate() {
    let sandbox = Sandbox::new();
    let torrent = Torrent::new("share", 32 << 20, 32 << 10, 4);
    let mut leech = leech_with(&sandbox, "leech", &torrent, &["--down", "1M"]);
    for id in ["one", "two", "three"] {
        serve_to(&leech, &torrent, id);
    }
    leech.wait_for_download("share", |download| {
        download["bytes_done"].as_u64() > Some(1 << 20)
    });
    let start = Instant::now();
    let before = leech.shown_download("share")["bytes_done"]
        .as_u64()
        .unwrap();
    thread::sleep(WINDOW);
    let after = leech.shown_download("share");
    let seconds = start.elapsed().as_secs_f64();
    let bytes = after["bytes_done"].as_u64().unwrap() - before;
    let rate = bytes as f64 / seconds / MIB;
    assert!((0.9..1.1).contains(&rate), "{rate} MiB/s");
    let shown_rate = after["rate"].as_f64().unwrap() / MIB;
    assert!(
        (0.85..1.15).contains(&shown_rate),
        "{shown_rate} MiB/s are shown"
    );
    // The leech does not blame seeds for data that it does not read.
    assert_eq!(log_line_with(&leech.log, &["delivers nothing"]), None);
}

#[test]
fn a_download_with_a_very_low_limit_blames_no_seed_and_completes() {
    let sandbox = Sandbox::new();
    let torrent = Torrent::new("share", 9 * BLOCK as usize, BLOCK as usize, 4);
    // All four links together get one block in two seconds, so each is silent for about 8 s. A seed
    // that is silent for 6 s normally counts as stalled.
    let mut leech = leech_with(&sandbox, "leech", &torrent, &["--down", "8K"]);
    for id in ["one", "two", "three", "four"] {
        serve_to(&leech, &torrent, id);
    }
    leech.run("wait 50");
    assert_eq!(log_line_with(&leech.log, &["delivers nothing"]), None);
}

#[test]
fn downloads_complete_with_less_memory_than_one_piece() {
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
            serve_to(&leech, torrent, id);
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
    let source = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "source");
    let requested = Arc::new(AtomicU64::new(0));
    let counted = requested.clone();
    thread::spawn(move || {
        serve(source, &TORRENT, |_, block| {
            counted.fetch_add(1, Ordering::SeqCst);
            block.to_vec()
        })
    });
    let mut caller = FakePeer::connect(seed.process.address, &TORRENT, EXTENDED_AND_FAST, "caller");
    caller.fetch(0, 0, BLOCK).unwrap();
    caller.send(&request(0, 0, BLOCK).repeat(9));
    wait_until_positive(|| requested.load(Ordering::SeqCst));
    let start = Instant::now();
    for peer in [&mut seed, &mut leech] {
        peer.run("quit");
    }
    caller.read_to_end();
    wait_for_log_line(&leech.log, &["stopped"]);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn invalid_limits_are_a_usage_error() {
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
        let argument = format!("{option}={value}");
        let output = run(&folder, &["peer", "127.0.0.1:0", &argument], "");
        assert_eq!(output.code, Some(2), "{option} {value}: {output:?}");
        assert!(output.stderr.contains(option), "{output:?}");
    }
    // Fractions and lower-case units are valid.
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
