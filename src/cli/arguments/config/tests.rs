use super::super::tests::parse;
use super::super::{Invocation, PeerArguments, peer, reread, tracker};
use super::keys::keys;
use super::*;
use std::fs;

fn peer_of(line: &str) -> PeerArguments {
    match parse(line) {
        Ok(Invocation::Peer(arguments)) => arguments,
        other => panic!("{line}: {other:?}"),
    }
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn a_file_says_what_options_say_and_options_override_it() {
    let (folder, path) = file(
        "listen = \"127.0.0.1:7000\"\ntracker_info = \"t.txt\"\ndir = \"/d\"\nup = \"1M\"\nmax-peers = 9\n\
         name = \"Lab 3\"\nstay = true\nlog = \"debug\"\nlog-size = \"1M\"\ncommands = [\"send x\", \"wait\"]\n",
    );
    let shown = path.display();
    let read = peer_of(&format!("peer --config {shown}"));
    assert_eq!(read.listen.to_string(), "127.0.0.1:7000");
    assert_eq!(read.tracker_info, folder.path().join("t.txt"));
    assert_eq!(
        (read.dir, read.identity.name),
        (Some("/d".into()), "Lab 3".into())
    );
    assert_eq!((read.limits.up, read.max_peers), (Some(1 << 20), 9));
    assert!(read.commands.stay && read.log.file_size == 1 << 20);
    assert_eq!(read.commands.lines, ["send x", "wait"]);
    assert_eq!(read.commands.folder.as_deref(), Some(folder.path()));
    // Only typed arguments stop a command from attaching.
    assert_eq!(read.process.attach.start_only, ["--config"]);
    let typed = format!("peer 127.0.0.1:1 --config {shown} --up 2M --dir e --name y -c status");
    let typed = peer_of(&typed);
    assert_eq!(typed.listen.to_string(), "127.0.0.1:1");
    assert_eq!(
        (typed.dir, typed.identity.name),
        (Some("e".into()), "y".into())
    );
    assert_eq!((typed.limits.up, typed.max_peers), (Some(2 << 20), 9));
    assert_eq!(typed.commands.lines, ["status"]);
    assert_eq!(typed.commands.folder, None);
}

#[test]
fn an_error_names_the_file_the_line_and_the_nearest_key() {
    for (mode, text, part) in [
        (
            "peer",
            "# x\nmax_peers = 9",
            "line 2: there is no setting \"max_peers\"; the nearest is max-peers",
        ),
        (
            "peer",
            "\n\nxyz = 1",
            "line 3: there is no setting \"xyz\"; pieceful peer --print-config lists",
        ),
        (
            "peer",
            "up = \"1X\"",
            "line 1: up: \"1X\" is not valid: expected bytes per second",
        ),
        (
            "peer",
            "up = true",
            "line 1: up: expected a text or a number",
        ),
        ("peer", "stay = 1", "line 1: stay: expected true or false"),
        (
            "peer",
            "commands = \"wait\"",
            "line 1: commands: expected a list of texts",
        ),
        (
            "peer",
            "commands = [\"login nik secret\"]",
            "line 1: commands: a command contains a password",
        ),
        (
            "peer",
            "log = \"loud\"",
            "line 1: log: \"loud\" is not valid: expected one of",
        ),
        ("peer", "listen = \"x\"", "line 1: listen: "),
        ("peer", "up = 1\nup = 2", "line 2: duplicate key"),
        ("peer", "up = ", "line 1: "),
        (
            "peer",
            "config = \"x\"",
            "line 1: config cannot be set in a file",
        ),
        (
            "peer",
            "max-peers = 3000",
            "line 1: max-peers: \"3000\" is not valid: expected a number from 1",
        ),
        (
            "tracker",
            "commands = []",
            "line 1: there is no setting \"commands\"",
        ),
        (
            "tracker",
            "number = 0",
            "line 1: number: \"0\" is not valid: expected a number",
        ),
        (
            "tracker",
            "dump = true",
            "line 1: dump cannot be set in a file",
        ),
        (
            "tracker",
            "interval = 0x10",
            "line 1: interval: expected a text or a number",
        ),
    ] {
        let (_folder, path) = file(text);
        let error = parse(&format!("{mode} --config {}", path.display())).unwrap_err();
        let begin = format!("{}: {part}", path.display());
        assert!(
            error.starts_with(&begin) && !error.contains('\n'),
            "{text}: {error}"
        );
    }
    let missing = parse("peer --config /no/such/file").unwrap_err();
    assert_eq!(missing, "/no/such/file: No such file or directory");
}

#[test]
fn the_printed_file_has_the_defaults_and_every_key() {
    for (mode, command) in [
        ("peer", peer::definition()),
        ("tracker", tracker::definition()),
    ] {
        let Ok(Invocation::PrintRaw(text)) = parse(&format!("{mode} --print-config")) else {
            panic!("{mode}");
        };
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
        let (_folder, path) = file(&text);
        let shown = |line: &str| match parse(line) {
            Ok(Invocation::Peer(mut arguments)) => {
                arguments.process = Default::default();
                arguments.commands.folder = None;
                format!("{arguments:?}")
            }
            Ok(Invocation::Tracker(mut arguments)) => {
                arguments.client.process = Default::default();
                format!("{arguments:?}")
            }
            other => panic!("{other:?}"),
        };
        let read = shown(&format!("{mode} --config {}", path.display()));
        assert_eq!(read, shown(mode));
        for (key, _) in keys(&command) {
            let lines = text.lines().map(|line| line.trim_start_matches("# "));
            let entries = lines.filter(|line| line.starts_with(&format!("{key} = ")));
            assert_eq!(entries.count(), 1, "{key}");
        }
    }
}

#[test]
fn changes_of_a_file_are_found() {
    let (_folder, path) = file("up = \"1M\"\nthreads = 4\nname = \"x\"");
    let line = format!("peer --config {} --name y", path.display());
    let before = peer_of(&line).process.config.unwrap();
    fs::write(&path, "up = \"2M\"\nname = \"z\"\ndown = \"1M\"").unwrap();
    let (now, changes) = reread(&before).unwrap();
    let change = |key: &str, before: Option<&str>, now: Option<&str>| Change {
        key: key.to_owned(),
        before: before.map(str::to_owned),
        now: now.map(str::to_owned),
        is_overridden: key == "name",
    };
    assert_eq!(
        changes,
        [
            change("down", None, Some("1M")),
            change("name", Some("x"), Some("z")),
            change("threads", Some("4"), None),
            change("up", Some("1M"), Some("2M")),
        ]
    );
    let Invocation::Peer(now) = now else { panic!() };
    assert_eq!(
        (now.limits.up, now.identity.name),
        (Some(2 << 20), "y".into())
    );
    fs::write(&path, "up = 1\nbad").unwrap();
    assert!(reread(&before).unwrap_err().contains("line 2"));
}
