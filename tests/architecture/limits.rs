//! `docs/limits.md`: each limit in it has the value of the source, its option and its tests exist,
//! and no limit of the source is missing. The tests that `SECURITY.md` names exist too.
//!
//! A row of a table is `| NAME | VALUE | REASON | NUMBER |`. Its note is
//! `NUMBER. MORE REASONS. Source: CONSTANT; option OPTION. Test: TEST.`, or ends with
//! `No test: REASON.` Constants and tests have the last part of their module before their names. A
//! long name of a test may be without it.

use crate::constants::{Constant, Constants};
use crate::documents::root;
use crate::source::Source;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The document, below the root of the repository.
const DOCUMENT: &str = "docs/limits.md";
/// The top modules whose limits must be in the document.
const LIMITED: [&str; 8] = [
    "bencode", "torrent", "wire", "net", "storage", "swarm", "tracker", "peer",
];

/// Constants that are named like limits and bound nothing that others do: which, why.
const NO_LIMITS: [(&str, &str); 22] = [
    ("announcer::MAX_WAIT", "a wait that other events end"),
    ("tiers::STARVED_LIMIT", "when a download asks more trackers"),
    (
        "http::MIN_FAMILY_LIMIT",
        "the least time for the second address family",
    ),
    (
        "connection::MIN_STEP_LIMIT",
        "the least time for the last step of a request",
    ),
    (
        "client::MAX_FETCHING_INTERVAL",
        "an interval of our own announces",
    ),
    (
        "room_looks::MAX_PAUSE",
        "a pause between two looks at a full disk",
    ),
    (
        "finishing::WORKERS_TIMEOUT",
        "how long a command waits for our own threads",
    ),
    (
        "finishing::FINISH_TIMEOUT",
        "how long a command waits for our own threads",
    ),
    (
        "unfinished::OPENER_TIMEOUT",
        "how long a command waits for our own threads",
    ),
    ("destination::MAX_NAME_LENGTH", "a limit of file systems"),
    ("gather::MAX_SLICES", "a limit of Linux"),
    ("file_hashes::MAX_ADVANCE", "cuts our own work into steps"),
    ("arrange::MAX_DEFAULT_PIECES", "chooses a default"),
    ("block_run::MAX_RUN_BLOCKS", "cuts pieces into runs"),
    ("picker::MAX_UNREAD_TIME", "corrects a measurement"),
    ("alone::MAX_DOUBLINGS", "how a deadline grows"),
    ("address_counts::MAX_IN_ENTRY", "the layout of a table"),
    ("index::MAX_WITHOUT_TABLE", "the layout of a table"),
    (
        "tracker::server::MAX_EXPIRY_PAUSE",
        "an interval of our own work",
    ),
    (
        "saving::MAX_RETRY_PAUSE",
        "a pause between two attempts of our own",
    ),
    ("running::MAX_TICK_PAUSE", "an interval of our own work"),
    (
        "udp::server::RECEIVE_TIMEOUT",
        "a wait that other events end",
    ),
];

/// Limits that depend on the machine, so this test cannot compare their values.
const DEPEND_ON_MACHINE: [&str; 1] = ["open_files::MAX_OPEN_FILES"];

/// One row of the document, with its note.
#[derive(Debug, Default, PartialEq)]
struct Limit {
    name: String,
    /// In bytes, in seconds or as plain numbers.
    values: Vec<f64>,
    constants: Vec<String>,
    option: Option<String>,
    /// Empty if the note says why there is no test.
    tests: Vec<String>,
}

/// The limits of the document, or what is wrong with them. Each section has a table and numbered
/// notes: one for each row, in the same order.
fn read(document: &str) -> Result<Vec<Limit>, String> {
    let mut limits = Vec::new();
    for section in document.split("\n## ").skip(1) {
        let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
        let notes = notes(section);
        if rows.clone().count() != notes.len() {
            return Err(format!("a row or a note is missing: {section}"));
        }
        for ((row, note), number) in rows.zip(&notes).zip(1..) {
            let limit = parse(row, note, &format!("{number}"));
            limits.push(limit.ok_or_else(|| format!("this has another form: {row} {note}"))?);
        }
    }
    Ok(limits)
}

/// The numbered notes of a section, each on one line.
fn notes(section: &str) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for line in section.lines() {
        if line.starts_with(|first: char| first.is_ascii_digit()) {
            notes.push(line.to_owned());
        } else if let (Some(note), true) = (notes.last_mut(), line.starts_with("   ")) {
            note.push(' ');
            note.push_str(line.trim());
        }
    }
    notes
}

fn parse(row: &str, note: &str, number: &str) -> Option<Limit> {
    let cells = row.trim_matches('|').split('|').map(str::trim);
    let [name, values, reason, row_number] = cells.collect::<Vec<_>>().try_into().ok()?;
    let note = note.strip_prefix(number)?.strip_prefix('.')?;
    let (_, after) = note.split_once(" Source: ")?;
    let (places, tests) = after.split_once(". ")?;
    let (constants, option) = match places.split_once("; option ") {
        Some((constants, option)) => (constants, Some(option.trim_matches('`').to_owned())),
        None => (places, None),
    };
    let tests = match (
        tests.strip_prefix("Test: "),
        tests.strip_prefix("No test: "),
    ) {
        (Some(tests), _) => code(tests),
        (None, Some(why)) if !why.is_empty() => Vec::new(),
        _ => return None,
    };
    let values: Option<Vec<_>> = values.split(", ").map(value).collect();
    let is_whole = !reason.is_empty() && row_number == number;
    is_whole.then_some(Limit {
        name: name.to_owned(),
        values: values?,
        constants: code(constants),
        option,
        tests,
    })
}

/// The texts between backticks.
fn code(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    spans.map(str::to_owned).collect()
}

/// A number with a unit: `16 KiB`, `1/4 of the places`, `2,000 bytes`.
fn value(text: &str) -> Option<f64> {
    let mut words = text.split(' ');
    let digits = words.next()?.replace(',', "");
    let number = match digits.split_once('/') {
        Some((part, of)) => part.parse::<f64>().ok()? / of.parse::<f64>().ok()?,
        None => digits.parse().ok()?,
    };
    let unit = match words.next().unwrap_or_default().trim_end_matches("/s") {
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        "TiB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "µs" => 1e-6,
        "ms" => 1e-3,
        "minutes" | "minute" => 60.0,
        "hours" | "hour" => 3600.0,
        "days" | "day" => 86_400.0,
        _ => 1.0,
    };
    Some(number * unit)
}

/// Limits whose constants do not exist or have other values.
fn wrong_values(limits: &[Limit], source: &Constants) -> Vec<String> {
    limits
        .iter()
        .filter_map(|limit| wrong_value(limit, source))
        .collect()
}

fn wrong_value(limit: &Limit, source: &Constants) -> Option<String> {
    // Fields may have several values: of the default, and of other cases. Each combination has the
    // values of one literal for each constant.
    let mut possible = vec![Vec::new()];
    for reference in &limit.constants {
        let named = source.all.iter().filter(|one| one.is_called(reference));
        let named: Vec<_> = named.collect();
        let is_field = reference.rsplit("::").nth(1).is_some_and(is_type);
        if named.is_empty() || named.len() > 1 && !is_field {
            return Some(format!("{reference} is {} constants", named.len()));
        }
        if DEPEND_ON_MACHINE.contains(&reference.as_str()) {
            return None;
        }
        let values = named.iter().filter_map(|one| {
            let values = source.values(one)?;
            let factor = if one.name.ends_with("_KIB") {
                1024.0
            } else {
                1.0
            };
            Some(
                values
                    .into_iter()
                    .map(|value| value * factor)
                    .collect::<Vec<_>>(),
            )
        });
        let values: Vec<_> = values.collect();
        let extended = possible.iter().flat_map(|known: &Vec<f64>| {
            values.iter().map(|more| [known.as_slice(), more].concat())
        });
        possible = extended.collect();
    }
    let equal = |values: &Vec<f64>| {
        values.len() == limit.values.len()
            && values
                .iter()
                .zip(&limit.values)
                .all(|(one, other)| (one - other).abs() < 1e-9)
    };
    let message = || format!("{} is {:?}, not {:?}", limit.name, possible, limit.values);
    (!possible.iter().any(equal)).then(message)
}

fn is_type(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
}

/// Whether a constant must be in the document or on the list of exceptions.
fn is_limit(constant: &Constant) -> bool {
    let name = &constant.name;
    let is_limited = constant
        .path
        .first()
        .is_some_and(|top| LIMITED.contains(&top.as_str()));
    let is_named = name.starts_with("MAX_") || name.ends_with("LIMIT") || name.ends_with("TIMEOUT");
    is_limited && is_named
}

/// Limits of the source that are neither in the document nor an exception, and needless exceptions.
fn missing(limits: &[Limit], source: &Constants, exceptions: &[(&str, &str)]) -> Vec<String> {
    let listed = |constant: &Constant| {
        let mut references = limits.iter().flat_map(|limit| &limit.constants);
        references.any(|reference| constant.is_called(reference))
    };
    let excepted = |constant: &Constant| {
        exceptions
            .iter()
            .any(|(reference, _)| constant.is_called(reference))
    };
    let of_source: Vec<_> = source.all.iter().filter(|one| is_limit(one)).collect();
    let missing = of_source
        .iter()
        .filter(|one| !listed(one) && !excepted(one));
    let missing = missing.map(|one| format!("{}::{} is missing", one.path.join("::"), one.name));
    let needless = exceptions.iter().filter(|(reference, _)| {
        let mut named = of_source.iter().filter(|one| one.is_called(reference));
        named.next().is_none_or(|one| listed(one))
    });
    let needless = needless.map(|(reference, _)| format!("{reference} is no exception"));
    missing.chain(needless).collect()
}

/// The names of all tests of this checkout, with and without the last parts of their modules.
pub(crate) fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["src", "tests"] {
        for path in files(&root().join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let module = module(&path);
            found.extend(tests_in(&text).map(|name| format!("{module}::{name}")));
            found.extend(tests_in(&text).map(str::to_owned));
        }
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let below = entries.flat_map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    below
        .filter(|path| path.extension().is_some_and(|it| it == "rs"))
        .collect()
}

/// The name of a file, or of its folder if the file is `mod.rs`, `main.rs` or `tests.rs`.
fn module(path: &Path) -> String {
    let stem = path.file_stem().unwrap();
    let name = match stem.to_str() {
        Some("mod" | "main" | "tests") => path.parent().and_then(Path::file_name).unwrap(),
        _ => stem,
    };
    name.display().to_string()
}

/// The functions under `#[test]`.
fn tests_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[test]").skip(1).filter_map(|after| {
        let (_, signature) = after.split_once("fn ")?;
        signature.split('(').next()
    })
}

#[test]
fn each_limit_of_the_document_has_the_value_and_the_option_of_the_source() {
    let limits = read(&fs::read_to_string(root().join(DOCUMENT)).unwrap()).unwrap();
    let source = Source::read();
    let wrong = wrong_values(&limits, &Constants::of(&source));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Another test compares this page with the options of the program.
    let options = fs::read_to_string(root().join("docs/cli.md")).unwrap();
    for option in limits.iter().filter_map(|limit| limit.option.as_ref()) {
        assert!(
            options.contains(&format!("`{option} ")),
            "no option {option}"
        );
    }
}

#[test]
fn each_limit_of_the_source_is_in_the_document() {
    let limits = read(&fs::read_to_string(root().join(DOCUMENT)).unwrap()).unwrap();
    let source = Source::read();
    let missing = missing(&limits, &Constants::of(&source), &NO_LIMITS);
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn each_test_that_the_documents_name_exists() {
    let limits = read(&fs::read_to_string(root().join(DOCUMENT)).unwrap()).unwrap();
    let tests = tests();
    let security = code(&fs::read_to_string(root().join("SECURITY.md")).unwrap());
    let of_security = security.iter().filter(|name| name.contains("::"));
    assert!(of_security.clone().count() > 10, "SECURITY.md names tests");
    let named = limits.iter().flat_map(|limit| &limit.tests);
    let named = named.chain(of_security);
    let unknown: Vec<_> = named.filter(|name| !tests.contains(*name)).collect();
    assert!(unknown.is_empty(), "there is no test {unknown:?}");
}

/// Tests the checks of this file: they find faults in a small document and a small source.
#[test]
fn faults_of_the_document_of_limits_are_found() {
    let document = "# Limits\n\nText.\n\n## A\n\n| limit | value | why | note |\n|---|---|---|---|\n\
        | links | 2,000 | memory | 1 |\n| a message | 10 s, 4 KiB | why | 2 |\n\n\
        1. More\n   reasons. Source: `net::MAX_LINKS`; option `--max-peers`. Test: `net::a`,\n   `b`.\n\
        2. Source: `net::TIME_LIMIT`, `net::MAX_BYTES`. No test: x.\n\n\
        ## B\n\n| limit | value | why | note |\n|---|---|---|---|\n\
        | parts | 1/4 of the whole | why | 1 |\n| gone | 1 | why | 2 |\n\n\
        1. Source: `Parts::one`. Test: `net::a`.\n2. Source: `net::GONE`. Test: `net::a`.\n";
    let limits = read(document).unwrap();
    let first = Limit {
        name: "links".to_owned(),
        values: vec![2000.0],
        constants: vec!["net::MAX_LINKS".to_owned()],
        option: Some("--max-peers".to_owned()),
        tests: vec!["net::a".to_owned(), "b".to_owned()],
    };
    assert_eq!((limits.len(), limits.first()), (4, Some(&first)));
    let (row, note) = ("| a | 1 | why | 1 |", "1. Source: `a::B`. Test: `a::b`.");
    assert!(parse(row, note, "1").is_some());
    for (row, note) in [
        ("| a | many | why | 1 |", note),
        ("| a | 1 | | 1 |", note),
        ("| a | 1 | why | 2 |", note),
        (row, "2. Source: `a::B`. Test: `a::b`."),
        (row, "1. Why. Test: `a::b`."),
        (row, "1. Source: `a::B`."),
    ] {
        assert!(parse(row, note, "1").is_none(), "{row} {note}");
    }
    let source = Source::from(&|file| match file {
        "lib.rs" => Some("mod net;".to_owned()),
        "net.rs" => Some(
            "const MAX_LINKS: usize = 2_001;
            const TIME_LIMIT: Duration = Duration::from_secs(10);
            const MAX_BYTES: usize = 4 << 10;
            const MAX_OTHERS: usize = 1;
            const MAX_EXCEPTED: usize = 1;
            impl Parts { fn new(total: usize) -> Self { Self { one: (total / 4).max(1) } } }"
                .to_owned(),
        ),
        _ => None,
    });
    let constants = Constants::of(&source);
    assert_eq!(
        wrong_values(&limits, &constants),
        [
            "links is [[2001.0]], not [2000.0]",
            "net::GONE is 0 constants"
        ]
    );
    assert_eq!(
        missing(
            &limits,
            &constants,
            &[("net::MAX_EXCEPTED", "why"), ("net::MAX_LINKS", "why")]
        ),
        [
            "net::MAX_OTHERS is missing",
            "net::MAX_LINKS is no exception"
        ]
    );
    let text = "#[test]\nfn a() {}\nfn helper() {}\n#[test]\n#[ignore]\nfn b() {}";
    assert_eq!(tests_in(text).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(module(Path::new("src/net/server/tests.rs")), "server");
    assert_eq!(module(Path::new("tests/hostile/places.rs")), "places");
}
