//! Words of a line that look special: options, comments, `~/`.

use super::downloads::{seeded_swarm, send};
use crate::common::process::run;
use crate::common::sandbox::Sandbox;
use crate::common::terminal::Terminal;
use std::fs;

#[test]
fn a_mistyped_option_starts_nothing_and_the_error_names_the_nearest_option() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    sandbox.file("set/a.raw", 50_000, 1);
    sandbox.file("set/b.jpg", 50_000, 2);
    let mut seed = sandbox.peer("seed");
    let torrent = send(&mut seed, &sandbox, &sandbox.path("set"), "set.torrent");
    let file = sandbox.path("set/a.raw");
    let file = file.display();
    let mut leech = sandbox.peer("leech");
    for (typed, part) in [
        (
            format!("download '{torrent}' --sequental"),
            "no option --sequental, the nearest is --sequential",
        ),
        (
            format!("download '{torrent}' --sequential=yes"),
            "--sequential takes no value",
        ),
        (
            format!("send '{file}' --private"),
            "no option --private (if a name begins with --, type -- before it)",
        ),
        (
            "download_file lab x --onyl=a".to_owned(),
            "no option --onyl, the nearest is --only",
        ),
        ("upload_file --lab x".to_owned(), "no option --lab"),
        ("show_downloads --all".to_owned(), "no option --all"),
    ] {
        leech.assert_refused(&typed, "arguments", part);
    }
    assert_eq!(
        leech.run("show_downloads")["downloads"],
        serde_json::json!([])
    );
    assert_eq!(fs::read_dir(sandbox.path("leech")).unwrap().count(), 0);
    leech.run(&format!("download '{torrent}' --only=*.raw"));
    leech.run("wait 60");
    assert!(sandbox.path("leech/set/a.raw").exists());
    assert!(!sandbox.path("leech/set/b.jpg").exists());
}

#[test]
fn words_after_two_dashes_are_not_options() {
    let (sandbox, _tracker, file, _seed, torrent) = seeded_swarm("f", 300_000, &[]);
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download -- '{torrent}' --copy"));
    leech.run("wait 60");
    let copy = fs::read(sandbox.path("leech/--copy")).unwrap();
    assert!(copy == fs::read(file).unwrap());
}

#[test]
fn comments_are_skipped_and_a_tilde_in_a_script_is_a_folder_name() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let folder = sandbox.folder("work");
    sandbox.file("work/~/f", 1_000, 1);
    let info = sandbox.tracker_info();
    let arguments = ["peer", "127.0.0.1:0", info.to_str().unwrap()];
    let script = "# shares it's file\nsend ~/f\n#quit\n";
    let output = run(&folder, &arguments, script);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    assert!(folder.join("f.torrent").exists());
}

#[test]
fn at_a_prompt_a_tilde_is_the_home_folder() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    // In tests, the home folder of a process is its working folder.
    sandbox.file("nik/f", 1_000, 1);
    let mut nik = Terminal::peer(&sandbox, "nik");
    let output = nik.type_line("send '~/f'");
    assert!(
        output.contains("error: ") && output.contains("~/f"),
        "{output}"
    );
    let output = nik.type_line("send ~/f ~/out.torrent");
    assert!(output.contains("sharing f  1000 B"), "{output}");
    assert!(sandbox.path("nik/out.torrent").exists());
}
