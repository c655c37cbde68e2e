//! `pieceful torrent` as a person runs it.

use crate::common::process::{Output, run};
use crate::common::sandbox::{Sandbox, bytes};
use std::fs;

/// A folder `set` in pieces of 16 KiB: `a` ends in the middle of the second one, where `b` begins.
struct Scene {
    sandbox: Sandbox,
}

impl Scene {
    fn new(options: &[&str]) -> Self {
        let scene = Self {
            sandbox: Sandbox::new(),
        };
        scene.write("a", 24_576);
        scene.write("b", 40_960);
        scene.write("sub/c", 16_384);
        let make = ["torrent", "create", "set", "--piece-length", "16K"];
        let made = scene.run(&[&make, options].concat());
        assert_eq!(made.code, Some(0), "{made:?}");
        scene
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(&self.sandbox.path(""), arguments, "")
    }

    fn write(&self, name: &str, length: usize) {
        self.sandbox
            .file(&format!("set/{name}"), length, length as u64);
    }

    fn flip(&self, name: &str, at: usize) {
        let path = self.sandbox.path("set").join(name);
        let mut content = fs::read(&path).unwrap();
        content[at] ^= 1;
        fs::write(path, content).unwrap();
    }

    /// What `torrent check` says of it, which must agree with its exit code.
    fn check(&self, path: &str) -> Vec<String> {
        let checked = self.run(&["torrent", "check", "set.torrent", path]);
        let good = checked.stderr.is_empty();
        let code = i32::from(!good);
        assert_eq!(checked.code, Some(code), "{checked:?}");
        assert_ne!(checked.stdout.is_empty(), good, "{checked:?}");
        let told = if good { checked.stdout } else { checked.stderr };
        told.lines().map(str::to_owned).collect()
    }
}

const NOT: &str = "error: set is not as the torrent says: ";

#[test]
fn each_file_that_is_not_as_it_should_be_is_named() {
    let scene = Scene::new(&[]);
    let well = "set is as the torrent says: all 5 pieces verify";
    assert_eq!(scene.check("set"), [well]);
    assert_eq!(scene.check("./set/"), [well.replacen("set", "./set/", 1)]);
    scene.flip("a", 0);
    let expected = [
        "error: set/a: 1 bad piece".to_owned(),
        format!("{NOT}4 of 5 pieces verify"),
    ];
    assert_eq!(scene.check("set"), expected);
    scene.write("a", 24_576);
    // In the piece that two files have in common, neither is blamed.
    scene.flip("b", 0);
    let expected = [
        "error: set/a: may be bad: 1 bad piece in common with other files".to_owned(),
        "error: set/b: may be bad: 1 bad piece in common with other files".to_owned(),
        format!("{NOT}4 of 5 pieces verify"),
    ];
    assert_eq!(scene.check("set"), expected);
    scene.flip("b", 10_000);
    scene.flip("b", 40_959);
    assert_eq!(scene.check("set")[1], "error: set/b: 2 bad pieces");
    scene.write("b", 40_960);
    fs::remove_file(scene.sandbox.path("set/sub/c")).unwrap();
    let expected = [
        "error: set/sub/c is missing".to_owned(),
        format!("{NOT}4 of 5 pieces verify"),
    ];
    assert_eq!(scene.check("set"), expected);
    fs::write(scene.sandbox.path("set/sub/c"), bytes(16_385, 16_384)).unwrap();
    let told = scene.check("set");
    assert!(
        told[0].starts_with("error: set/sub/c has 16385 bytes where the torrent says 16384"),
        "{told:?}"
    );
    // What the torrent does not name is nobody's fault.
    scene.write("sub/c", 16_384);
    scene.write("more", 10);
    assert_eq!(scene.check("set"), [well]);
}

#[test]
fn where_files_have_a_sha1_of_their_own_the_right_one_is_blamed() {
    let scene = Scene::new(&["--file-sha1"]);
    scene.flip("b", 0);
    let told = scene.check("set");
    assert!(told[0].starts_with("error: set/b: SHA-1 "), "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn who_names_the_folder_around_it_is_told_where_it_is() {
    let scene = Scene::new(&[]);
    let hint = |place: &str, inside: &str| {
        format!(
            "error: {place} holds nothing of what the torrent says, but {inside} may be it: name that one"
        )
    };
    assert_eq!(scene.check("."), [hint(".", "./set")]);
    let missing = scene.check("nowhere");
    assert_eq!(missing, ["error: nowhere is missing"]);
    // A single file likewise.
    fs::rename(scene.sandbox.path("set/b"), scene.sandbox.path("one")).unwrap();
    let made = scene.run(&["torrent", "create", "one", "-o", "set.torrent", "--force"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(
        scene.check("one"),
        ["one is as the torrent says: its one piece verifies"]
    );
    assert_eq!(scene.check("."), [hint(".", "./one")]);
    assert_eq!(scene.check("set"), ["error: set is no regular file"]);
    let wrong = scene.run(&["torrent", "check", "set.torrent"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    let unread = scene.run(&["torrent", "check", "one", "one"]);
    assert_eq!(unread.code, Some(1), "{unread:?}");
}

#[test]
fn a_private_torrent_shows_no_link_as_nobody_could_join_by_it() {
    for (options, link) in [
        (&["--private"][..], false),
        (&["-t", "http://127.0.0.1:9/announce"], true),
    ] {
        let scene = Scene::new(options);
        let shown = scene.run(&["torrent", "show", "set.torrent"]);
        assert_eq!(shown.code, Some(0));
        assert_eq!(shown.stdout.contains("magnet:?"), link, "{}", shown.stdout);
        let private = "magnet     none: a private torrent";
        assert_eq!(shown.stdout.contains(private), !link, "{}", shown.stdout);
    }
}
