//! Bad torrents: a peer refuses them, writes nothing, takes little memory and goes on. Odd torrents
//! that are valid.

use crate::common::handmade_torrent::Torrent;
use crate::common::open_swarm::{assert_serves, leech, seed};
use crate::common::peer::quoted;
use crate::common::process::{resident_kib, run};
use crate::common::sandbox::Sandbox;
use std::fs;

/// A bencoded string.
fn bencoded(text: &str) -> String {
    format!("{}:{text}", text.len())
}

/// A torrent of one byte with this name.
fn with_name(name: &str) -> Vec<u8> {
    format!(
        "d4:infod6:lengthi1e4:name{}12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxee",
        bencoded(name)
    )
    .into_bytes()
}

/// A torrent of a folder with one file of one byte at this path.
fn with_path(path: &[&str]) -> Vec<u8> {
    let path: String = path.iter().map(|part| bencoded(part)).collect();
    format!("d4:infod5:filesld6:lengthi1e4:pathl{path}eee4:name1:d12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxee").into_bytes()
}

/// A torrent of one file with these bencoded values.
fn with_values(length: &str, piece_length: &str, pieces: &str) -> Vec<u8> {
    format!("d4:infod6:length{length}4:name1:x12:piece length{piece_length}6:pieces{pieces}ee")
        .into_bytes()
}

#[test]
fn bad_torrents_are_refused_and_write_nothing() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.debug_peer("leech", &[]);
    let hash = format!("20:{}", "x".repeat(20));
    let long = "n".repeat(256);
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("a name that leaves the folder", with_name("../escaped")),
        ("two dots", with_name("..")),
        ("a dot", with_name(".")),
        ("no name", with_name("")),
        ("an absolute name", with_name("/tmp/escaped")),
        ("a backslash", with_name("..\\escaped")),
        ("a NUL", with_name("x\0y")),
        ("a line feed", with_name("x\ny")),
        ("an escape character", with_name("\x1b[2J")),
        ("256 bytes", with_name(&long)),
        (
            "a path that leaves the folder",
            with_path(&["..", "escaped"]),
        ),
        (
            "a path that leaves the folder later",
            with_path(&["a", "..", "..", "escaped"]),
        ),
        ("an absolute part", with_path(&["/etc", "x"])),
        ("an empty part", with_path(&["a", "", "x"])),
        ("a dot in a path", with_path(&[".", "x"])),
        ("a separator in a part", with_path(&["a/../../escaped"])),
        ("no path", with_path(&[])),
        ("pieces of 0 bytes", with_values("i1e", "i0e", &hash)),
        (
            "pieces of a negative length",
            with_values("i1e", "i-16384e", &hash),
        ),
        ("pieces of 4 GiB", with_values("i1e", "i4294967296e", &hash)),
        (
            "half a hash",
            with_values("i1e", "i16384e", "10:xxxxxxxxxx"),
        ),
        ("one hash too few", with_values("i16385e", "i16384e", &hash)),
        (
            "hashes in a list",
            with_values("i1e", "i16384e", &format!("l{hash}e")),
        ),
        ("a negative length", with_values("i-1e", "i16384e", &hash)),
        (
            "2^63 bytes",
            with_values("i9223372036854775808e", "i16384e", &hash),
        ),
        (
            "2^63-1 bytes",
            with_values("i9223372036854775807e", "i16384e", &hash),
        ),
        ("20,000 lists", "l".repeat(20_000).into_bytes()),
        (
            "a million dictionaries",
            "d1:a".repeat(1_000_000).into_bytes(),
        ),
        ("no end", b"d4:infod6:lengthi1e".to_vec()),
        (
            "a string longer than the file",
            b"d4:info99999999999:x".to_vec(),
        ),
        (
            "a string length above 64 bits",
            b"d4:info99999999999999999999999:x".to_vec(),
        ),
        ("minus zero", with_values("i-0e", "i16384e", &hash)),
        ("leading zeros", with_values("i007e", "i16384e", &hash)),
        (
            "bytes after the end",
            [with_name("x"), b"x".to_vec()].concat(),
        ),
        (
            "the same key twice",
            b"d4:infod6:lengthi1e6:lengthi1eee".to_vec(),
        ),
        ("an empty file", vec![]),
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
        let show_output = run(
            &sandbox.folder("work"),
            &["torrent", "show", file.to_str().unwrap()],
            "",
        );
        assert_eq!(show_output.code, Some(1), "{name}: {show_output:?}");
        let terminal_acts_on = |c: char| c.is_control() && c != '\n';
        assert!(
            show_output.stderr.starts_with("error: ")
                && !show_output.stderr.contains(terminal_acts_on),
            "{name}: {show_output:?}"
        );
    }
    assert_eq!(fs::read_dir(sandbox.path("leech")).unwrap().count(), 0);
    assert!(!sandbox.path("escaped").exists());
    assert!(resident_kib(peer.process.id()) < 64 << 10);
}

#[test]
fn a_text_direction_control_in_a_name_is_escaped_in_all_output() {
    let sandbox = Sandbox::new();
    let name = "report\u{202e}fdp.exe";
    let file = Torrent::new(name, 1000, 16_384, 6).write(&sandbox, "t.torrent");
    let download = format!("download {}", quoted(&file));
    let folder = sandbox.folder("work");
    let peer_output = run(
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
    let show_output = run(&folder, &["torrent", "show", file.to_str().unwrap()], "");
    for text in [
        &peer_output.stdout,
        &peer_output.stderr,
        &show_output.stdout,
    ] {
        assert!(
            text.contains("report\\u{202e}fdp.exe") && !text.contains('\u{202e}'),
            "{text}"
        );
    }
}

#[test]
fn unknown_keys_and_a_wrong_order_of_keys_are_part_of_the_info_hash() {
    let sandbox = Sandbox::new();
    let mut torrent = Torrent::new("share", 100_000, 32_768, 7);
    // An unknown key comes first, against the order of keys.
    let info = [
        b"d1:zi7e".as_slice(),
        &torrent.bytes[8..torrent.bytes.len() - 1],
    ]
    .concat();
    torrent.info_hash = sha1_of(&info);
    torrent.bytes = [b"d4:info", info.as_slice(), b"e"].concat();
    drop(leech(&sandbox, "leech", &torrent));
    let peer = seed(&sandbox, "seed", &torrent);
    assert_serves(&peer, &torrent);
}

fn sha1_of(bytes: &[u8]) -> [u8; 20] {
    use sha1::{Digest, Sha1};
    Sha1::digest(bytes).into()
}
