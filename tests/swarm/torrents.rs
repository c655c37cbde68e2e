//! `pieceful torrent create`, `show` and `check` as a person runs them.

use crate::common::process::{Output, run};
use crate::common::sandbox::{Sandbox, bytes};
use std::fs;

/// A folder `set` and its torrent `set.torrent` with pieces of 16 KiB. `a` ends and `b` begins in
/// the middle of the second piece.
struct TorrentOfFolder {
    sandbox: Sandbox,
}

impl TorrentOfFolder {
    fn new(options: &[&str]) -> Self {
        let folder = Self {
            sandbox: Sandbox::new(),
        };
        folder.write("a", 24_576);
        folder.write("b", 40_960);
        folder.write("sub/c", 16_384);
        let create = ["torrent", "create", "set", "--piece-length", "16K"];
        let created = folder.run(&[&create, options].concat());
        assert_eq!(created.code, Some(0), "{created:?}");
        folder
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(&self.sandbox.path(""), arguments, "")
    }

    fn write(&self, name: &str, length: usize) {
        self.sandbox
            .file(&format!("set/{name}"), length, length as u64);
    }

    /// Changes one bit of a file.
    fn flip(&self, name: &str, at: usize) {
        let path = self.sandbox.path("set").join(name);
        let mut content = fs::read(&path).unwrap();
        content[at] ^= 1;
        fs::write(path, content).unwrap();
    }

    /// The lines that `torrent check` prints. Asserts that it prints to standard output and exits
    /// with 0, or prints to standard error and exits with 1.
    fn check(&self, path: &str) -> Vec<String> {
        let checked = self.run(&["torrent", "check", "set.torrent", path]);
        let good = checked.stderr.is_empty();
        let code = i32::from(!good);
        assert_eq!(checked.code, Some(code), "{checked:?}");
        assert_ne!(checked.stdout.is_empty(), good, "{checked:?}");
        let lines = if good { checked.stdout } else { checked.stderr };
        lines.lines().map(str::to_owned).collect()
    }
}

const DOES_NOT_MATCH: &str = "error: set does not match the torrent: ";

#[test]
fn check_names_each_file_that_differs() {
    let folder = TorrentOfFolder::new(&[]);
    let all_good = "set matches the torrent: all 5 pieces are good";
    assert_eq!(folder.check("set"), [all_good]);
    assert_eq!(
        folder.check("./set/"),
        [all_good.replacen("set", "./set/", 1)]
    );
    folder.flip("a", 0);
    let expected = [
        "error: set/a: 1 bad piece".to_owned(),
        format!("{DOES_NOT_MATCH}4 of 5 pieces are good"),
    ];
    assert_eq!(folder.check("set"), expected);
    folder.write("a", 24_576);
    // The bad piece is in two files, so that each of them may be bad.
    folder.flip("b", 0);
    let expected = [
        "error: set/a: may be bad: 1 bad piece in common with other files".to_owned(),
        "error: set/b: may be bad: 1 bad piece in common with other files".to_owned(),
        format!("{DOES_NOT_MATCH}4 of 5 pieces are good"),
    ];
    assert_eq!(folder.check("set"), expected);
    folder.flip("b", 10_000);
    folder.flip("b", 40_959);
    assert_eq!(folder.check("set")[1], "error: set/b: 2 bad pieces");
    folder.write("b", 40_960);
    fs::remove_file(folder.sandbox.path("set/sub/c")).unwrap();
    let expected = [
        "error: set/sub/c is missing".to_owned(),
        format!("{DOES_NOT_MATCH}4 of 5 pieces are good"),
    ];
    assert_eq!(folder.check("set"), expected);
    fs::write(folder.sandbox.path("set/sub/c"), bytes(16_385, 16_384)).unwrap();
    let lines = folder.check("set");
    assert!(
        lines[0].starts_with("error: set/sub/c has 16385 bytes where the torrent says 16384"),
        "{lines:?}"
    );
    // Files that the torrent does not name do not matter.
    folder.write("sub/c", 16_384);
    folder.write("more", 10);
    assert_eq!(folder.check("set"), [all_good]);
}

#[test]
fn check_blames_the_right_file_where_files_have_their_own_sha1() {
    let folder = TorrentOfFolder::new(&["--file-sha1"]);
    folder.flip("b", 0);
    let lines = folder.check("set");
    assert!(lines[0].starts_with("error: set/b: SHA-1 "), "{lines:?}");
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn check_of_the_parent_folder_says_which_path_to_name() {
    let folder = TorrentOfFolder::new(&[]);
    let hint = |place: &str, inside: &str| {
        format!("error: nothing in {place} matches the torrent; did you mean {inside}?")
    };
    assert_eq!(folder.check("."), [hint(".", "./set")]);
    let missing = folder.check("nowhere");
    assert_eq!(missing, ["error: nowhere is missing"]);
    // The same for a torrent of a single file.
    fs::rename(folder.sandbox.path("set/b"), folder.sandbox.path("one")).unwrap();
    let created = folder.run(&["torrent", "create", "one", "-o", "set.torrent", "--force"]);
    assert_eq!(created.code, Some(0), "{created:?}");
    assert_eq!(
        folder.check("one"),
        ["one matches the torrent: its only piece is good"]
    );
    assert_eq!(folder.check("."), [hint(".", "./one")]);
    assert_eq!(folder.check("set"), ["error: set is not a regular file"]);
    let without_path = folder.run(&["torrent", "check", "set.torrent"]);
    assert_eq!(without_path.code, Some(2), "{without_path:?}");
    let not_a_torrent = folder.run(&["torrent", "check", "one", "one"]);
    assert_eq!(not_a_torrent.code, Some(1), "{not_a_torrent:?}");
}

#[test]
fn a_private_torrent_shows_no_magnet_link() {
    for (options, has_link) in [
        (&["--private"][..], false),
        (&["-t", "http://127.0.0.1:9/announce"], true),
    ] {
        let folder = TorrentOfFolder::new(options);
        let output = folder.run(&["torrent", "show", "set.torrent"]);
        assert_eq!(output.code, Some(0));
        assert_eq!(
            output.stdout.contains("magnet:?"),
            has_link,
            "{}",
            output.stdout
        );
        let reason = "magnet     none: a private torrent";
        assert_eq!(
            output.stdout.contains(reason),
            !has_link,
            "{}",
            output.stdout
        );
    }
}
