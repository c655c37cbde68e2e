//! Web seeds (BEP 19).

use crate::chosen::SET;
use crate::extension::*;
use crate::peers::{Logged, TORRENT, peer};
use crate::script::*;
use crate::server::*;
use crate::support::Sandbox;
use crate::torrent::{Torrent, word};
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// Writes the torrent with these web seeds; gives the command that downloads it.
fn with_seeds(sandbox: &Sandbox, torrent: &Torrent, urls: &[String]) -> String {
    let list = urls.iter().map(|url| format!("{}:{url}", url.len()));
    let list: String = list.collect();
    let mut bytes = torrent.bytes.clone();
    bytes.pop();
    bytes.extend(format!("8:url-listl{list}ee").into_bytes());
    let path: PathBuf = sandbox.path("seeded.torrent");
    fs::write(&path, bytes).unwrap();
    format!("download {}", word(&path))
}

fn download(sandbox: &Sandbox, torrent: &Torrent, urls: &[String]) -> Logged {
    let mut leech = peer(sandbox, "leech", &[]);
    leech.run(&with_seeds(sandbox, torrent, urls));
    leech
}

/// A server of one file, from which everything comes in the end.
fn complete_from(server: &Server, sandbox: &Sandbox, leech: &mut Logged, bytes: usize) {
    leech.run("wait 50");
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == TORRENT.content);
    let from = leech.download("share")["from"].clone();
    let given: u64 = from
        .as_object()
        .unwrap()
        .iter()
        .filter(|(source, _)| source.starts_with(&server.url("")))
        .map(|(_, given)| given.as_u64().unwrap())
        .sum();
    assert_eq!(given as usize, bytes, "{from}");
}

#[test]
fn a_file_comes_from_a_server_alone_in_long_stretches() {
    let sandbox = Sandbox::new();
    let server = Server::start(|request, _, stream| sound(request, stream, &TORRENT.content));
    let mut leech = download(&sandbox, &TORRENT, &[server.url("/some/file")]);
    complete_from(&server, &sandbox, &mut leech, TORRENT.content.len());
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.path == "/some/file"));
    // 39 blocks in twenty pieces.
    assert!(requests.len() <= 10, "{requests:?}");
    let asked: usize = requests
        .iter()
        .map(|request| request.range.map_or(0, |(from, end)| end - from))
        .sum();
    assert_eq!(asked, TORRENT.content.len(), "nothing is asked for twice");
}

#[test]
fn the_files_of_a_folder_come_by_their_paths_without_padding() {
    let sandbox = Sandbox::new();
    let server = Server::start(|request, _, stream| {
        let path = request.path.strip_prefix("/pub/set/").unwrap();
        assert!(!path.contains(".pad"), "padding is asked for");
        sound(request, stream, SET.file(path))
    });
    // Its last `/` is forgotten.
    let mut leech = download(&sandbox, &SET, &[server.url("/pub")]);
    leech.run("wait 50");
    for file in ["a.txt", "sub/b.bin", "empty", "sub/c.txt", "d.bin"] {
        let copy = fs::read(sandbox.path("leech/set").join(file)).unwrap();
        assert!(copy == SET.file(file), "{file}");
    }
    // Of chosen files no more is asked for than the pieces they lie in.
    server.requests().clear();
    let mut other = peer(&sandbox, "other", &[]);
    let line = with_seeds(&sandbox, &SET, &[server.url("/pub/")]);
    other.run(&format!("{line} --only sub/c.txt"));
    other.run("wait 50");
    assert!(fs::read(sandbox.path("other/set/sub/c.txt")).unwrap() == SET.file("sub/c.txt"));
    let asked: Vec<String> = server.requests().iter().map(|r| r.path.clone()).collect();
    assert!(
        !asked.iter().any(|path| path.ends_with("a.txt")),
        "{asked:?}"
    );
}

#[test]
fn a_server_that_knows_no_ranges_is_read_through_once() {
    let sandbox = Sandbox::new();
    let server = Server::start(|_, _, stream| whole(stream, &TORRENT.content));
    let mut leech = download(&sandbox, &TORRENT, &[server.url("/")]);
    complete_from(&server, &sandbox, &mut leech, TORRENT.content.len());
    assert_eq!(server.requests().len(), 1);
    assert_eq!(server.requests()[0].path, "/share");
}

#[test]
fn a_web_seed_of_a_magnet_link_is_asked_and_redirects_are_followed() {
    let sandbox = Sandbox::new();
    let server = Server::start(|request, _, stream| match request.path.as_str() {
        "/a" => redirect(stream, "/b/c"),
        "/b/c" => redirect(stream, "d"),
        "/b/d" => sound(request, stream, &TORRENT.content),
        other => panic!("{other} is asked for"),
    });
    let metadata = listen(&TORRENT, "metadata", |mut wire, _| {
        give(&mut wire, info(&TORRENT).len(), |piece| {
            data(piece, info(&TORRENT))
        });
    });
    let mut leech = peer(&sandbox, "leech", &[]);
    let escaped = server.url("/a").replace(':', "%3A").replace('/', "%2F");
    let more = format!("{}&ws={escaped}", peer_parameter(metadata));
    leech.run(&format!("download {}", link(&TORRENT, &more)));
    complete_from(&server, &sandbox, &mut leech, TORRENT.content.len());
    leech.kill();
    // It is known after a restart, too.
    let mut leech = peer(&sandbox, "leech", &[]);
    assert_eq!(leech.download("share")["state"], "complete");
}

fn redirect(stream: &mut TcpStream, to: &str) -> bool {
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).is_ok()
}

#[test]
fn a_useless_or_lying_one_is_left_and_a_sound_one_takes_its_place() {
    type Answer = fn(&Request, usize, &mut TcpStream) -> bool;
    let table: &[(Answer, &str)] = &[
        (
            |_, _, stream| status(stream, "404 Not Found"),
            "HTTP status 404",
        ),
        (
            |_, _, stream| status(stream, "416 Range Not Satisfiable"),
            "HTTP status 416",
        ),
        (
            |_, _, stream| whole(stream, b"another file"),
            "the file has 12 bytes there, but 642592 in the torrent",
        ),
        (
            |request, _, stream| {
                let (from, end) = request.range.unwrap();
                range_head(stream, from + 1, end, TORRENT.content.len())
            },
            "another range",
        ),
        (
            |request, _, stream| {
                let (from, end) = request.range.unwrap();
                range_head(stream, from, end, TORRENT.content.len() + 1)
            },
            "the file has 642593 bytes",
        ),
        (
            |_, _, stream| {
                let head = "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\nabcd";
                stream.write_all(head.as_bytes()).is_ok()
            },
            "another range",
        ),
        (
            |_, _, stream| {
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd";
                stream.write_all(head.as_bytes()).is_ok()
            },
            "encoded as gzip",
        ),
        (
            |request, _, stream| {
                let mut wrong = TORRENT.content.clone();
                wrong[..600_000].fill(9);
                sound(request, stream, &wrong)
            },
            "a piece from it does not verify",
        ),
        (
            |_, _, stream| redirect(stream, "/x"),
            "more than 5 redirects",
        ),
        (
            |_, _, stream| redirect(stream, "file:///etc/passwd"),
            "not followed",
        ),
        (
            |_, _, stream| redirect(stream, "/x?secret=1"),
            "not followed",
        ),
    ];
    let sandbox = Sandbox::new();
    let bad: Vec<Server> = table
        .iter()
        .map(|(answer, _)| Server::start(*answer))
        .collect();
    let mut urls: Vec<String> = bad.iter().map(|server| server.url("/f")).collect();
    urls.push("ftp://127.0.0.1/f".to_owned());
    urls.push("http://127.0.0.1:1/f?key=1".to_owned());
    let mut leech = download(&sandbox, &TORRENT, &urls);
    for (server, (_, reason)) in bad.iter().zip(table) {
        logged(
            &leech.log,
            &[
                "WARN",
                "the web seed",
                &server.url("/f"),
                "is dropped",
                reason,
            ],
        );
    }
    logged(
        &leech.log,
        &[
            "ftp://127.0.0.1/f",
            "is dropped",
            "not a valid http:// or https:// URL",
        ],
    );
    logged(
        &leech.log,
        &["127.0.0.1:1/f ", "is dropped", "only URLs without a query"],
    );
    assert_eq!(leech.download("share")["state"], "downloading");
    leech.kill();
    // Each of them beside a sound one, which is not blamed for what they sent.
    let server = Server::start(|request, _, stream| sound(request, stream, &TORRENT.content));
    urls.insert(2, server.url("/sound"));
    fs::remove_dir_all(sandbox.path("leech.state")).unwrap();
    let mut leech = download(&sandbox, &TORRENT, &urls);
    leech.run("wait 50");
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == TORRENT.content);
    assert!(line_with(&leech.log, &[&server.url("/sound"), "is dropped"]).is_none());
}

#[test]
fn one_that_breaks_off_or_is_busy_is_asked_again() {
    let sandbox = Sandbox::new();
    let server = Server::start(|request, number, stream| match number {
        0 => status(stream, "503 Service Unavailable"),
        // Half of what it said, and gone.
        1 => {
            let (from, end) = request.range.unwrap();
            range_head(stream, from, end, TORRENT.content.len());
            let half = from + (end - from) / 2;
            let _ = stream.write_all(&TORRENT.content[from..half]);
            false
        }
        // No word at all.
        2 => false,
        _ => sound(request, stream, &TORRENT.content),
    });
    let mut leech = download(&sandbox, &TORRENT, &[server.url("/f")]);
    complete_from(&server, &sandbox, &mut leech, TORRENT.content.len());
    logged(&leech.log, &["the web seed", "HTTP status 503"]);
}

#[test]
fn a_slow_one_does_not_keep_blocks_from_peers_nor_the_peer_from_its_end() {
    let sandbox = Sandbox::new();
    // It says what it has and sends no byte of it.
    let server = Server::start(|request, _, stream| {
        let (from, end) = request.range.unwrap();
        range_head(stream, from, end, TORRENT.content.len());
        thread::park_timeout(Duration::from_secs(120));
        false
    });
    let mut leech = download(&sandbox, &TORRENT, &[server.url("/f")]);
    wait_for(
        || (!server.requests().is_empty()).then_some(()),
        || "the server is not asked".to_owned(),
    );
    let wire = Wire::greet(leech.process.address, &TORRENT, BOTH, "giver");
    let given = thread::spawn(|| serve(wire, &TORRENT, |_, block| block.to_vec()));
    leech.run("wait 50");
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == TORRENT.content);
    let begun = std::time::Instant::now();
    leech.process.write_line("quit");
    leech.process.line();
    leech.end();
    given.join().unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "it waited for the server"
    );
}

#[test]
fn peers_and_servers_share_the_work_and_a_group_of_them_is_bounded() {
    let sandbox = Sandbox::new();
    let content = Torrent::new("share", 8 << 20, 65_536, 9);
    let file = content.content.clone();
    let servers: Vec<Server> = (0..6)
        .map(|_| {
            let file = file.clone();
            Server::start(move |request, _, stream| sound(request, stream, &file))
        })
        .collect();
    let urls: Vec<String> = servers.iter().map(|server| server.url("/")).collect();
    let mut leech = peer(&sandbox, "leech", &["--down", "4M"]);
    leech.run(&with_seeds(&sandbox, &content, &urls));
    leech.until("share", |download| download["state"] == "downloading");
    let wire = Wire::greet(leech.process.address, &content, BOTH, "giver");
    let owned = content.clone();
    let given = thread::spawn(move || serve(wire, &owned, |_, block| block.to_vec()));
    leech.run("wait 50");
    given.join().unwrap();
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == content.content);
    let asked = servers
        .iter()
        .filter(|server| !server.requests().is_empty());
    assert!(asked.count() <= 4, "more than four at once");
}

/// A download of which all but the last pieces are here.
fn resumed(sandbox: &Sandbox, here: usize, urls: &[String], arguments: &[&str]) -> Logged {
    let mut leech = peer(sandbox, "leech", arguments);
    let mut part = TORRENT.content.clone();
    part[here..].fill(0);
    fs::write(sandbox.path("leech/share.part"), part).unwrap();
    leech.run(&with_seeds(sandbox, &TORRENT, urls));
    leech
}

#[test]
fn one_that_comes_to_what_is_wanted_late_is_waited_for() {
    let sandbox = Sandbox::new();
    // It knows no ranges, and it takes long until it is past what is here: that is how it is, no event is waited for.
    let server = Server::start(|_, _, stream| {
        let (slow, quick) = TORRENT.content.split_at(600_000);
        let length = TORRENT.content.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let sent = stream.write_all(head.as_bytes()).is_ok();
        sent && slow.chunks(33_334).all(|part| {
            thread::sleep(Duration::from_secs(1));
            stream.write_all(part).is_ok()
        }) && stream.write_all(quick).is_ok()
    });
    let mut leech = resumed(&sandbox, 18 * 32_768, &[server.url("/")], &[]);
    leech.run("wait 50");
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == TORRENT.content);
    assert_eq!(server.requests().len(), 1, "it is read through once");
}

#[test]
fn one_whose_first_byte_comes_late_is_waited_for() {
    let sandbox = Sandbox::new();
    let server = Server::start(|request, number, stream| {
        if number == 0 {
            thread::sleep(Duration::from_secs(17));
        }
        sound(request, stream, &TORRENT.content)
    });
    let mut leech = download(&sandbox, &TORRENT, &[server.url("/")]);
    complete_from(&server, &sandbox, &mut leech, TORRENT.content.len());
    let requests = server.requests();
    let asked = requests.iter().filter_map(|request| request.range);
    let asked: usize = asked.map(|(from, end)| end - from).sum();
    assert_eq!(asked, TORRENT.content.len(), "{requests:?}");
}

#[test]
fn what_is_passed_over_ends_with_the_download_and_counts_in_the_limit() {
    let sandbox = Sandbox::new();
    let server = Server::start(|_, _, stream| whole(stream, &TORRENT.content));
    // A minute would go by until the server comes to what is wanted.
    let mut leech = resumed(
        &sandbox,
        18 * 32_768,
        &[server.url("/")],
        &["--down", "10K"],
    );
    wait_for(
        || (!server.requests().is_empty()).then_some(()),
        || "the server is not asked".to_owned(),
    );
    let begun = std::time::Instant::now();
    assert_eq!(leech.download("share")["state"], "downloading");
    leech.run("cancel share");
    leech.process.write_line("quit");
    leech.process.line();
    leech.end();
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "it went on reading"
    );
}

#[test]
fn one_that_lies_and_hangs_up_does_not_escape() {
    let sandbox = Sandbox::new();
    // A wrong block each time: a piece is never of one answer alone.
    let liar = Server::start(|request, _, stream| {
        let (from, end) = request.range.unwrap();
        range_head(stream, from, end, TORRENT.content.len());
        let _ = stream.write_all(&vec![7; (end - from).min(16_384)]);
        false
    });
    let leech = download(&sandbox, &TORRENT, &[liar.url("/f")]);
    logged(
        &leech.log,
        &["WARN", &liar.url("/f"), "is dropped", "does not verify"],
    );
}

#[test]
fn web_seeds_are_asked_beside_each_other() {
    let sandbox = Sandbox::new();
    let sound_one = Server::start(|request, _, stream| sound(request, stream, &TORRENT.content));
    let silent = Server::start(|_, _, _| {
        thread::park_timeout(Duration::from_secs(120));
        false
    });
    let urls = [silent.url("/f"), silent.url("/g"), sound_one.url("/f")];
    let mut leech = download(&sandbox, &TORRENT, &urls);
    // Less than one silence.
    leech.run("wait 18");
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == TORRENT.content);
}
