//! Torrents that would write where they must not, take all memory, or end the process.

use crate::common::handmade_torrent::Torrent;
use crate::common::open_swarm::leech;
use crate::common::peer::quoted;
use crate::common::process::{resident_kib, run};
use crate::common::sandbox::Sandbox;
use std::fs;

fn text(text: &str) -> String {
    format!("{}:{text}", text.len())
}

/// A torrent of one byte under this name.
fn named(name: &str) -> Vec<u8> {
    format!(
        "d4:infod6:lengthi1e4:name{}12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxee",
        text(name)
    )
    .into_bytes()
}

/// A torrent of a folder with one file of one byte at this path.
fn at(path: &[&str]) -> Vec<u8> {
    let path: String = path.iter().map(|part| text(part)).collect();
    format!("d4:infod5:filesld6:lengthi1e4:pathl{path}eee4:name1:d12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxee").into_bytes()
}

fn with(length: &str, piece_length: &str, pieces: &str) -> Vec<u8> {
    format!("d4:infod6:length{length}4:name1:x12:piece length{piece_length}6:pieces{pieces}ee")
        .into_bytes()
}

#[test]
fn no_torrent_gets_out_of_its_folder_or_ends_the_peer() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.debug_peer("leech", &[]);
    let hash = format!("20:{}", "x".repeat(20));
    let long = "n".repeat(256);
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("a name that climbs", named("../escaped")),
        ("two dots", named("..")),
        ("a dot", named(".")),
        ("no name", named("")),
        ("an absolute name", named("/tmp/escaped")),
        ("a backslash", named("..\\escaped")),
        ("a NUL", named("x\0y")),
        ("a line feed", named("x\ny")),
        ("an escape", named("\x1b[2J")),
        ("256 bytes", named(&long)),
        ("a path that climbs", at(&["..", "escaped"])),
        (
            "a path that climbs later",
            at(&["a", "..", "..", "escaped"]),
        ),
        ("an absolute part", at(&["/etc", "x"])),
        ("an empty part", at(&["a", "", "x"])),
        ("a dot in a path", at(&[".", "x"])),
        ("a separator in a part", at(&["a/../../escaped"])),
        ("no path", at(&[])),
        ("pieces of 0 bytes", with("i1e", "i0e", &hash)),
        ("pieces of less", with("i1e", "i-16384e", &hash)),
        ("pieces of 4 GiB", with("i1e", "i4294967296e", &hash)),
        ("half a hash", with("i1e", "i16384e", "10:xxxxxxxxxx")),
        ("a hash too few", with("i16385e", "i16384e", &hash)),
        (
            "hashes in a list",
            with("i1e", "i16384e", &format!("l{hash}e")),
        ),
        ("a length below nothing", with("i-1e", "i16384e", &hash)),
        (
            "2^63 bytes",
            with("i9223372036854775808e", "i16384e", &hash),
        ),
        (
            "2^63-1 bytes",
            with("i9223372036854775807e", "i16384e", &hash),
        ),
        ("20,000 lists", "l".repeat(20_000).into_bytes()),
        (
            "a million dictionaries",
            "d1:a".repeat(1_000_000).into_bytes(),
        ),
        ("no end", b"d4:infod6:lengthi1e".to_vec()),
        ("a text longer than all", b"d4:info99999999999:x".to_vec()),
        (
            "a length past numbers",
            b"d4:info99999999999999999999999:x".to_vec(),
        ),
        ("minus zero", with("i-0e", "i16384e", &hash)),
        ("leading zeros", with("i007e", "i16384e", &hash)),
        ("bytes after the end", [named("x"), b"x".to_vec()].concat()),
        (
            "the same key twice",
            b"d4:infod6:lengthi1e6:lengthi1eee".to_vec(),
        ),
        ("nothing", vec![]),
        ("17 MiB", vec![b'x'; 17 << 20]),
    ];
    for (name, bytes) in table {
        let file = sandbox.path("bad.torrent");
        fs::write(&file, &bytes).unwrap();
        let answer = peer.try_run(&format!("download {}", quoted(&file)));
        assert_eq!(answer["error"]["kind"], "bad-torrent", "{name}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("bad.torrent") && message.len() < 1000,
            "{name}: {message}"
        );
        let shown = run(
            &sandbox.folder("work"),
            &["torrent", "show", file.to_str().unwrap()],
            "",
        );
        assert_eq!(shown.code, Some(1), "{name}: {shown:?}");
        let acted_on = |c: char| c.is_control() && c != '\n';
        assert!(
            shown.stderr.starts_with("error: ") && !shown.stderr.contains(acted_on),
            "{name}: {shown:?}"
        );
    }
    assert_eq!(fs::read_dir(sandbox.path("leech")).unwrap().count(), 0);
    assert!(!sandbox.path("escaped").exists());
    assert!(resident_kib(peer.process.id()) < 64 << 10);
}

#[test]
fn a_name_that_could_command_a_terminal_is_escaped_where_people_read_it() {
    let sandbox = Sandbox::new();
    let name = "report\u{202e}fdp.exe";
    let file = Torrent::new(name, 1000, 16_384, 6).write(&sandbox, "t.torrent");
    let download = format!("download {}", quoted(&file));
    let folder = sandbox.folder("work");
    let output = run(
        &folder,
        &[
            "peer",
            "127.0.0.1:0",
            "none.txt",
            "--dir",
            "state",
            "-c",
            &download,
            "-c",
            "show_downloads",
            "-c",
            "status",
            "-c",
            "wait 0",
        ],
        "",
    );
    let shown = run(&folder, &["torrent", "show", file.to_str().unwrap()], "");
    for text in [&output.stdout, &output.stderr, &shown.stdout] {
        assert!(
            text.contains("report\\u{202e}fdp.exe") && !text.contains('\u{202e}'),
            "{text}"
        );
    }
}

#[test]
fn unknown_keys_and_foreign_order_count_into_the_info_hash_as_they_are() {
    let sandbox = Sandbox::new();
    let mut torrent = Torrent::new("share", 100_000, 32_768, 7);
    // An unknown key in front, against the order of keys.
    let info = [
        b"d1:zi7e".as_slice(),
        &torrent.bytes[8..torrent.bytes.len() - 1],
    ]
    .concat();
    torrent.info_hash = sha1_of(&info);
    torrent.bytes = [b"d4:info", info.as_slice(), b"e"].concat();
    drop(leech(&sandbox, "leech", &torrent));
    let peer = crate::common::open_swarm::seed(&sandbox, "seed", &torrent);
    crate::common::open_swarm::assert_serves(&peer, &torrent);
}

fn sha1_of(bytes: &[u8]) -> [u8; 20] {
    use sha1::{Digest, Sha1};
    Sha1::digest(bytes).into()
}
