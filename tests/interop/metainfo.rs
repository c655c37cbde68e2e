//! Valid torrents, and torrents with one defect each: how pieceful and libtorrent read them.

use super::contents;
use super::exchange::Swarm;
use super::libtorrent::Libtorrent;
use super::programs::{Program, are_installed};
use pieceful::torrent::Metainfo;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// A bencoded value.
type Bencode = Vec<u8>;

fn text(text: impl AsRef<[u8]>) -> Bencode {
    let text = text.as_ref();
    [text.len().to_string().as_bytes(), b":", text].concat()
}

fn number(number: impl ToString) -> Bencode {
    format!("i{}e", number.to_string()).into_bytes()
}

fn list(values: impl IntoIterator<Item = Bencode>) -> Bencode {
    let values: Bencode = values.into_iter().flatten().collect();
    [b"l", &values[..], b"e"].concat()
}

/// A bencoded dictionary with its keys in the given order.
#[derive(Clone)]
struct Fields(Vec<(&'static str, Bencode)>);

impl Fields {
    /// Replaces a value, or adds one at its place in the order of keys.
    fn with(mut self, key: &'static str, value: Bencode) -> Self {
        self.0.retain(|(other, _)| *other != key);
        let at = self.0.partition_point(|(other, _)| *other < key);
        self.0.insert(at, (key, value));
        self
    }

    fn without(mut self, key: &str) -> Self {
        self.0.retain(|(other, _)| *other != key);
        self
    }

    fn reversed(mut self) -> Self {
        self.0.reverse();
        self
    }

    fn encode(&self) -> Bencode {
        let pairs = self.0.iter();
        let pairs: Bencode = pairs
            .flat_map(|(key, value)| [text(key), value.clone()].concat())
            .collect();
        [b"d", &pairs[..], b"e"].concat()
    }

    /// A `.torrent` with this `info` and nothing else.
    fn torrent(&self) -> Bencode {
        Self(vec![("info", self.encode())]).encode()
    }
}

fn hashes(count: usize) -> Bencode {
    text(vec![b'h'; 20 * count])
}

/// A file of 40,000 bytes in pieces of 16 KiB.
fn file() -> Fields {
    Fields(vec![
        ("length", number(40_000)),
        ("name", text("name")),
        ("piece length", number(16_384)),
        ("pieces", hashes(3)),
    ])
}

/// A folder of these files, in one piece.
fn folder(files: impl IntoIterator<Item = Bencode>) -> Fields {
    let info = file().without("length").with("pieces", hashes(1));
    info.with("files", list(files))
}

/// An entry of `files`: a file of one byte.
fn member(path: &[&[u8]]) -> Fields {
    Fields(vec![
        ("length", number(1)),
        ("path", list(path.iter().map(text))),
    ])
}

/// A folder with one file of one byte.
fn path(path: &[&[u8]]) -> Fields {
    folder([member(path).encode()])
}

fn paths(paths: &[&[&[u8]]]) -> Fields {
    folder(paths.iter().map(|path| member(path).encode()))
}

/// A `.torrent` with one key beside its `info`.
fn torrent_with(key: &'static str, value: Bencode) -> Bencode {
    let torrent = Fields(vec![("info", file().encode())]);
    torrent.with(key, value).encode()
}

/// Torrents that both programs accept.
fn valid_torrents() -> Vec<(&'static str, Bencode)> {
    let many = (0..100_000).map(|at| member(&[b"d", format!("{at}").as_bytes()]).encode());
    let many = folder(many).with("piece length", number(131_072));
    let empty = member(&[b"empty"]).with("length", number(0)).encode();
    let deep = [&b"d"[..]; 90];
    let attribute = |attribute: &str| {
        let member = member(&[b"x"]).with("attr", text(attribute));
        folder([member.encode()]).torrent()
    };
    vec![
        ("a file", file().torrent()),
        ("a folder", path(&[b"d", b"x"]).torrent()),
        ("100,000 files", many.torrent()),
        (
            "an empty file in a folder",
            folder([empty, member(&[b"x"]).encode()]).torrent(),
        ),
        ("90 folders deep", path(&deep).torrent()),
        ("unsorted keys", file().reversed().torrent()),
        (
            "an unknown key in info",
            file().with("source", text("us")).torrent(),
        ),
        (
            "an unknown dictionary in info",
            file()
                .with(
                    "x",
                    Fields(vec![("b", number(1)), ("a", list([]))]).encode(),
                )
                .torrent(),
        ),
        (
            "unknown keys beside info",
            torrent_with("x", list([number(-1)])),
        ),
        ("private", file().with("private", number(1)).torrent()),
        ("private 2", file().with("private", number(2)).torrent()),
        ("private -1", file().with("private", number(-1)).torrent()),
        ("not private", file().with("private", number(0)).torrent()),
        ("an executable", attribute("x")),
        ("a padding file", attribute("p")),
        ("an attribute of the future", attribute("z")),
        (
            "pieces of 100,000 bytes",
            file()
                .with("piece length", number(100_000))
                .with("pieces", hashes(1))
                .torrent(),
        ),
        (
            "pieces of 256 MiB",
            file()
                .with("piece length", number(256 << 20))
                .with("pieces", hashes(1))
                .torrent(),
        ),
        (
            "names in many scripts",
            path(&["Größe".as_bytes(), "日本".as_bytes()]).torrent(),
        ),
        ("a hidden file", file().with("name", text(".x")).torrent()),
        (
            "a name that Windows reserves",
            file().with("name", text("aux.c")).torrent(),
        ),
        (
            "a name that ends in a dot",
            file().with("name", text("x.")).torrent(),
        ),
        (
            "a name of 255 bytes",
            file().with("name", text("n".repeat(255))).torrent(),
        ),
        (
            "a tracker",
            torrent_with("announce", text("http://x/announce")),
        ),
        (
            "tiers",
            torrent_with("announce-list", list([list([text("udp://x:1")]), list([])])),
        ),
        ("a number for announce", torrent_with("announce", number(1))),
        (
            "a text for announce-list",
            torrent_with("announce-list", text("x")),
        ),
        (
            "texts for tiers",
            torrent_with("announce-list", list([text("udp://x:1")])),
        ),
    ]
}

/// What libtorrent does with a torrent that pieceful refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Refuse,
    /// The table in `docs/peer.md` says why pieceful refuses it.
    Read,
}
use Verdict::{Read, Refuse};

/// A defect: its name, a torrent with it, a part of pieceful's error, and what libtorrent does.
type Defect = (&'static str, Bencode, &'static str, Verdict);

/// Torrents with one defect each.
fn defects() -> Vec<Defect> {
    [
        piece_length_defects(),
        missing_keys(),
        wrong_types(),
        bad_names(),
        impossible_folders(),
        bad_lengths(),
        wrong_hash_counts(),
        bad_encoding(),
    ]
    .concat()
}

/// Piece lengths that are too small or too large.
fn piece_length_defects() -> Vec<Defect> {
    let piece_length = |length: &str| {
        file()
            .with("piece length", number(length))
            .with("pieces", hashes(1))
            .torrent()
    };
    vec![
        (
            "piece length 0",
            piece_length("0"),
            "piece length 0",
            Refuse,
        ),
        (
            "negative piece length",
            piece_length("-16384"),
            "piece length -16384",
            Refuse,
        ),
        (
            "pieces of 4 GiB",
            piece_length("4294967296"),
            "piece length 4294967296",
            Refuse,
        ),
        (
            "pieces of 2^63-1 bytes",
            piece_length("9223372036854775807"),
            "piece length",
            Refuse,
        ),
        (
            "pieces of 2^64 bytes",
            piece_length("18446744073709551616"),
            "malformed number",
            Refuse,
        ),
    ]
}

/// Keys that are missing, or that exclude each other.
fn missing_keys() -> Vec<Defect> {
    let raw = |bytes: &[u8]| bytes.to_vec();
    vec![
        ("no info", raw(b"d1:ai1ee"), "lacks \"info\"", Refuse),
        (
            "no name",
            file().without("name").torrent(),
            "lacks \"name\"",
            Refuse,
        ),
        (
            "no piece length",
            file().without("piece length").torrent(),
            "lacks \"piece length\"",
            Refuse,
        ),
        (
            "no pieces",
            file().without("pieces").torrent(),
            "lacks \"pieces\"",
            Refuse,
        ),
        (
            "neither length nor files",
            file().without("length").torrent(),
            "either \"length\" or \"files\"",
            Refuse,
        ),
        (
            "both length and files",
            path(&[b"x"]).with("length", number(1)).torrent(),
            "either \"length\" or \"files\"",
            Read,
        ),
        ("no files", folder([]).torrent(), "no files", Refuse),
        (
            "a member without length",
            folder([member(&[b"x"]).without("length").encode()]).torrent(),
            "lacks \"length\"",
            Refuse,
        ),
        (
            "a member without path",
            folder([member(&[b"x"]).without("path").encode()]).torrent(),
            "lacks \"path\"",
            Refuse,
        ),
        (
            "total length",
            file()
                .without("length")
                .with("total length", number(40_000))
                .torrent(),
            "total length",
            Refuse,
        ),
    ]
}

/// Values of the wrong type.
fn wrong_types() -> Vec<Defect> {
    let raw = |bytes: &[u8]| bytes.to_vec();
    let with = |key, value| file().with(key, value).torrent();
    let member_with = |key, value| folder([member(&[b"x"]).with(key, value).encode()]).torrent();
    vec![
        (
            "a list for a torrent",
            raw(b"le"),
            "\"torrent\" in the torrent has the wrong type",
            Refuse,
        ),
        ("a list for info", raw(b"d4:infolee"), "\"info\"", Refuse),
        (
            "a text for length",
            with("length", text("40000")),
            "\"length\" in",
            Refuse,
        ),
        (
            "a number for name",
            with("name", number(1)),
            "\"name\"",
            Refuse,
        ),
        (
            "a text for piece length",
            with("piece length", text("16384")),
            "\"piece length\"",
            Refuse,
        ),
        (
            "a list for pieces",
            with("pieces", list([hashes(3)])),
            "\"pieces\"",
            Refuse,
        ),
        (
            "a text for files",
            folder([]).with("files", text("x")).torrent(),
            "\"files\"",
            Refuse,
        ),
        (
            "a number for a member",
            folder([number(1)]).torrent(),
            "\"files\"",
            Refuse,
        ),
        (
            "a text for path",
            member_with("path", text("x")),
            "\"path\"",
            Refuse,
        ),
        (
            "a number in a path",
            member_with("path", list([number(1)])),
            "\"path\"",
            Refuse,
        ),
        (
            "a text for private",
            with("private", text("1")),
            "\"private\"",
            Read,
        ),
    ]
}

/// Names and paths that some system cannot store, or that lead out of the folder.
fn bad_names() -> Vec<Defect> {
    let with = |key, value| file().with(key, value).torrent();
    vec![
        (
            "a name that is no UTF-8",
            with("name", text(b"\xff\xfe")),
            "not UTF-8",
            Read,
        ),
        (
            "a path that is no UTF-8",
            path(&[b"\xc3\x28"]).torrent(),
            "not UTF-8",
            Read,
        ),
        (
            "the name ..",
            with("name", text("..")),
            "leads to another folder",
            Refuse,
        ),
        (
            "the name .",
            with("name", text(".")),
            "leads to another folder",
            Refuse,
        ),
        (
            "an empty name",
            with("name", text("")),
            "an empty name",
            Refuse,
        ),
        (
            "a path with ..",
            path(&[b"..", b"x"]).torrent(),
            "leads to another folder",
            Read,
        ),
        (
            "a path of .. alone",
            path(&[b".."]).torrent(),
            "leads to another folder",
            Read,
        ),
        (
            "a path with .",
            path(&[b".", b"x"]).torrent(),
            "leads to another folder",
            Read,
        ),
        (
            "an empty component",
            path(&[b"d", b"", b"x"]).torrent(),
            "an empty name",
            Read,
        ),
        (
            "an empty path",
            path(&[]).torrent(),
            "an empty name",
            Refuse,
        ),
        (
            "an absolute name",
            with("name", text("/etc/passwd")),
            "path separator",
            Read,
        ),
        (
            "a slash in a component",
            path(&[b"../../x"]).torrent(),
            "path separator",
            Read,
        ),
        (
            "a backslash",
            path(&[b"..\\x"]).torrent(),
            "path separator",
            Read,
        ),
        ("a drive", with("name", text("C:x")), "like a drive", Read),
        (
            "a NUL in a name",
            with("name", text("a\0b")),
            "control character",
            Read,
        ),
        (
            "an escape in a path",
            path(&[b"\x1b[2J"]).torrent(),
            "control character",
            Read,
        ),
        (
            "a name of 256 bytes",
            with("name", text("n".repeat(256))),
            "longer than 255",
            Read,
        ),
        (
            "a path of 200 folders",
            path(&[&b"d"[..]; 201]).torrent(),
            "deeper than",
            Refuse,
        ),
    ]
}

/// Files that cannot exist beside each other, and a symbolic link.
fn impossible_folders() -> Vec<Defect> {
    vec![
        (
            "two files with the same path",
            paths(&[&[b"x"], &[b"x"]]).torrent(),
            "cannot both exist",
            Read,
        ),
        (
            "a file where a folder is needed",
            paths(&[&[b"x"], &[b"x", b"y"]]).torrent(),
            "cannot both exist",
            Read,
        ),
        (
            "a symbolic link",
            folder([
                member(&[b"x"]).encode(),
                member(&[b"l"])
                    .with("attr", text("l"))
                    .with("symlink path", list([text("x")]))
                    .with("length", number(0))
                    .encode(),
            ])
            .torrent(),
            "symbolic link",
            Read,
        ),
    ]
}

/// Lengths of files, and numbers of pieces, that are negative or too large.
fn bad_lengths() -> Vec<Defect> {
    let length = |length: &str| file().with("length", number(length)).torrent();
    let member_with = |key, value| folder([member(&[b"x"]).with(key, value).encode()]).torrent();
    let many_pieces = 3_000_000;
    vec![
        (
            "negative length",
            length("-1"),
            "the negative length -1",
            Refuse,
        ),
        (
            "length 2^63",
            length("9223372036854775808"),
            "malformed number",
            Refuse,
        ),
        (
            "length 2^63-1",
            length("9223372036854775807"),
            "pieces",
            Refuse,
        ),
        (
            "lengths that overflow together",
            folder([
                member(&[b"x"])
                    .with("length", number("9223372036854775807"))
                    .encode(),
                member(&[b"y"]).encode(),
            ])
            .torrent(),
            "overflow",
            Refuse,
        ),
        (
            "a negative member",
            member_with("length", number(-1)),
            "the negative length -1",
            Refuse,
        ),
        (
            "too many pieces",
            file()
                .with("length", number(many_pieces * 16_384))
                .with("pieces", hashes(many_pieces))
                .torrent(),
            "larger than",
            Refuse,
        ),
    ]
}

/// The number of piece hashes does not fit the length.
fn wrong_hash_counts() -> Vec<Defect> {
    let with = |key, value| file().with(key, value).torrent();
    vec![
        (
            "a hash too few",
            with("pieces", hashes(2)),
            "40 bytes instead of 60",
            Refuse,
        ),
        (
            "a hash too many",
            with("pieces", hashes(4)),
            "80 bytes instead of 60",
            Refuse,
        ),
        (
            "half a hash",
            with("pieces", text([b'h'; 50])),
            "50 bytes instead of 60",
            Refuse,
        ),
        (
            "no hash",
            with("pieces", text("")),
            "0 bytes instead of 60",
            Refuse,
        ),
    ]
}

/// Bytes that are not well-formed bencoding, or not the canonical form of a value.
fn bad_encoding() -> Vec<Defect> {
    let length = |length: &str| file().with("length", number(length)).torrent();
    let with = |key, value| file().with(key, value).torrent();
    let raw = |bytes: &[u8]| bytes.to_vec();
    let twice = [&b"d"[..], &text("a"), b"i1e", &text("a"), b"i1e", b"e"].concat();
    vec![
        (
            "lists 100,000 deep",
            torrent_with("x", [b"l".repeat(100_000), b"e".repeat(100_000)].concat()),
            "nests deeper",
            Refuse,
        ),
        (
            "dictionaries 100,000 deep",
            b"d1:a".repeat(100_000),
            "nests deeper",
            Refuse,
        ),
        ("a leading zero", length("040000"), "malformed number", Read),
        (
            "minus zero",
            torrent_with("x", number("-0")),
            "malformed number",
            Read,
        ),
        ("no digits", length(""), "malformed number", Refuse),
        (
            "a leading zero of a text's length",
            torrent_with("x", raw(b"02:ab")),
            "malformed number",
            Read,
        ),
        (
            "trailing bytes",
            [file().torrent(), raw(b"x")].concat(),
            "bytes after the end",
            Read,
        ),
        (
            "a key twice",
            torrent_with("x", twice.clone()),
            "has a key twice",
            Read,
        ),
        (
            "a key twice in info",
            with("x", twice),
            "has a key twice",
            Read,
        ),
        (
            "a number for a key",
            raw(b"di1ei1ee"),
            "unexpected byte",
            Refuse,
        ),
        (
            "a string longer than the file",
            raw(b"d4:info99999999999:x"),
            "too early",
            Refuse,
        ),
        (
            "cut short",
            file().torrent()[..40].to_vec(),
            "too early",
            Refuse,
        ),
        ("no bytes", raw(b""), "too early", Refuse),
        ("HTML", raw(b"<html></html>"), "unexpected byte", Refuse),
    ]
}

/// A folder for torrents, and the libtorrent that reads them.
struct Corpus {
    swarm: Swarm,
    libtorrent: Libtorrent,
}

impl Corpus {
    fn new() -> Option<Self> {
        are_installed(&[Program::Libtorrent]).then(|| {
            let swarm = Swarm::new("127.0.0.1");
            let libtorrent = Libtorrent::start(&swarm, &json!({}));
            Self { swarm, libtorrent }
        })
    }

    /// What libtorrent reads from each torrent, or why libtorrent refuses the torrent.
    fn read<'a>(&mut self, torrents: impl Iterator<Item = &'a Bencode>) -> Vec<Value> {
        let folder = self.swarm.sandbox.folder("corpus");
        let write = |(at, bytes): (usize, &Bencode)| {
            let path = folder.join(format!("{at}.torrent"));
            fs::write(&path, bytes).unwrap();
            path
        };
        let paths: Vec<PathBuf> = torrents.enumerate().map(write).collect();
        let answer = self
            .libtorrent
            .ask(&json!({"do": "read", "torrents": paths}));
        answer["read"].as_array().unwrap().clone()
    }
}

#[test]
fn libtorrent_reads_the_same_info_hash_and_privacy_from_valid_torrents() {
    let Some(mut corpus) = Corpus::new() else {
        return;
    };
    let torrents = valid_torrents();
    let read = corpus.read(torrents.iter().map(|(_, bytes)| bytes));
    let mut differences = Vec::new();
    for ((name, bytes), theirs) in torrents.iter().zip(read) {
        let ours = Metainfo::parse(bytes).map(|read| {
            let (hash, private) = (read.info().info_hash().to_string(), read.info().private());
            json!({"info_hash": hash, "private": private})
        });
        if ours.as_ref() != Ok(&theirs) {
            differences.push(format!("{name}: {ours:?}, libtorrent {theirs}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn each_defect_is_refused_with_its_reason_and_libtorrent_refuses_or_reads_it_as_listed() {
    let Some(mut corpus) = Corpus::new() else {
        return;
    };
    let torrents = defects();
    let read = corpus.read(torrents.iter().map(|(_, bytes, ..)| bytes));
    let mut differences = Vec::new();
    for ((name, bytes, reason, expected), theirs) in torrents.iter().zip(read) {
        let ours = Metainfo::parse(bytes).map(|read| read.info().info_hash().to_string());
        let names_reason = ours
            .as_ref()
            .is_err_and(|error| error.to_string().contains(reason));
        let verdict = if theirs["error"].is_null() {
            Read
        } else {
            Refuse
        };
        if !names_reason || verdict != *expected {
            let ours = ours.map_err(|error| error.to_string());
            differences.push(format!("{name}: {ours:?}, libtorrent {theirs}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn both_programs_read_the_same_info_hash_from_torrents_made_by_libtorrent() {
    let Some(mut corpus) = Corpus::new() else {
        return;
    };
    let owned = contents::write(&corpus.swarm.sandbox);
    for (name, hybrid) in contents::NAMES
        .into_iter()
        .flat_map(|name| [(name, false), (name, true)])
    {
        let torrent = corpus.swarm.sandbox.path("made.torrent");
        let make = json!({"do": "make", "path": owned.join(name), "trackers": [], "out": torrent, "hybrid": hybrid});
        corpus.libtorrent.ask(&make);
        let bytes = fs::read(&torrent).unwrap();
        let theirs = corpus.read([&bytes].into_iter());
        let ours = Metainfo::parse(&bytes)
            .unwrap()
            .info()
            .info_hash()
            .to_string();
        assert_eq!(theirs[0]["info_hash"], ours, "{name}, hybrid: {hybrid}");
    }
}
