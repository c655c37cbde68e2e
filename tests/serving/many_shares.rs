//! Peers with many shares: what they cost while nobody asks for them, and how many there may be.

use crate::common::peer::{Peer, quoted};
use crate::common::process::{command_with_descriptor_limit, processor_time};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_for;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// How long the processor time is measured, after the peer has become quiet.
const IDLE: Duration = Duration::from_secs(4);

#[test]
fn shares_that_nobody_asks_for_cost_hardly_any_processor_time() {
    const SHARES: usize = 600;
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&["--interval", "600"]);
    let mut seed = sandbox.peer("seed");
    for number in 0..SHARES {
        let file = sandbox.file(&format!("{number}"), 100, number as u64);
        seed.run(&format!("send {}", quoted(&file)));
    }
    let id = seed.process.id();
    let mut former = processor_time(id);
    // Waits for the end of the last announces.
    wait_for(
        || {
            thread::sleep(Duration::from_millis(500));
            let used = processor_time(id);
            let is_quiet = used - former < Duration::from_millis(5);
            former = used;
            is_quiet.then_some(())
        },
        || "the peer never becomes quiet".to_owned(),
    );
    let before = processor_time(id);
    thread::sleep(IDLE);
    let used = processor_time(id) - before;
    // 1 % of a core.
    assert!(used < IDLE / 100, "{used:?} in {IDLE:?}");
    seed.end();
}

/// A peer that may have at most 64 descriptors.
fn peer_with_few_descriptors(sandbox: &Sandbox, name: &str) -> Peer {
    let (folder, info) = (sandbox.folder(name), sandbox.tracker_info());
    let limited = |arguments: &[&str]| command_with_descriptor_limit(&folder, arguments, 64);
    Peer::start_with("127.0.0.1:0", &info, &sandbox.state(name), &[], limited)
}

/// The number of files below a folder that the process has open.
fn open_below(id: u32, folder: &Path) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{id}/fd")).unwrap();
    let paths = descriptors.filter_map(|descriptor| fs::read_link(descriptor.unwrap().path()).ok());
    paths.filter(|path| path.starts_with(folder)).count()
}

#[test]
fn a_peer_may_have_more_shares_and_downloads_than_descriptors() {
    const SHARES: u64 = 80;
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let shared = sandbox.folder("shared");
    let mut seed = peer_with_few_descriptors(&sandbox, "seed");
    for number in 0..SHARES {
        // Every second share is a folder.
        sandbox.file(&format!("shared/{number}"), 20_000, number);
        if number % 2 == 1 {
            fs::remove_file(shared.join(number.to_string())).unwrap();
            sandbox.file(&format!("shared/{number}/below/file"), 20_000, number);
        }
        let path = shared.join(number.to_string());
        seed.run(&format!("send {}", quoted(&path)));
    }
    seed.end();
    let seed = peer_with_few_descriptors(&sandbox, "seed");
    let mut leech = peer_with_few_descriptors(&sandbox, "leech");
    let copies = sandbox.folder("leech");
    for number in 0..SHARES {
        let torrent = sandbox.path(&format!("seed/{number}.torrent"));
        leech.run(&format!("download {}", quoted(&torrent)));
        leech.run("wait 30");
        let file = match number % 2 {
            1 => format!("{number}/below/file"),
            _ => number.to_string(),
        };
        let [original, copy] = [&shared, &copies].map(|folder| fs::read(folder.join(&file)));
        assert_eq!(copy.unwrap(), original.unwrap(), "{file}");
    }
    for (peer, folder) in [(&seed, &shared), (&leech, &copies)] {
        let open = open_below(peer.process.id(), folder);
        assert!(open <= 32, "{open} files are open");
    }
    leech.end();
    seed.end();
}
