//! Web seeds (BEP 19): servers with and without ranges, slow, broken and lying ones, beside peers.

use super::file_choice::SET;
use crate::common::extensions::*;
use crate::common::fake_peer::*;
use crate::common::handmade_torrent::Torrent;
use crate::common::log::{log_line_with, wait_for_log_line};
use crate::common::open_swarm::{TORRENT, serve_to};
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_for;
use crate::common::web_server::*;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

/// Writes the torrent with these web seeds. Returns the command that downloads it.
fn download_command(sandbox: &Sandbox, torrent: &Torrent, urls: &[String]) -> String {
    let list = urls.iter().map(|url| format!("{}:{url}", url.len()));
    let list: String = list.collect();
    let mut bytes = torrent.bytes.clone();
    bytes.pop();
    bytes.extend(format!("8:url-listl{list}ee").into_bytes());
    let path: PathBuf = sandbox.path("seeded.torrent");
    fs::write(&path, bytes).unwrap();
    format!("download {}", quoted(&path))
}

/// A peer that downloads the torrent with these web seeds.
fn start_download(sandbox: &Sandbox, torrent: &Torrent, urls: &[String]) -> Peer {
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.run(&download_command(sandbox, torrent, urls));
    leech
}

/// Waits for the end of the download. Asserts that the peer has `bytes` bytes from this server.
fn assert_complete_from(server: &WebServer, sandbox: &Sandbox, leech: &mut Peer, bytes: usize) {
    leech.run("wait 50");
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == TORRENT.content);
    let from = leech.shown_download("share")["from"].clone();
    let received: u64 = from
        .as_object()
        .unwrap()
        .iter()
        .filter(|(source, _)| source.starts_with(&server.url("")))
        .map(|(_, bytes)| bytes.as_u64().unwrap())
        .sum();
    assert_eq!(received as usize, bytes, "{from}");
}

#[test]
fn a_file_comes_from_a_web_seed_in_long_ranges() {
    let sandbox = Sandbox::new();
    let server =
        WebServer::start(|request, _, stream| send_requested(request, stream, &TORRENT.content));
    let mut leech = start_download(&sandbox, &TORRENT, &[server.url("/some/file")]);
    assert_complete_from(&server, &sandbox, &mut leech, TORRENT.content.len());
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.path == "/some/file"));
    // There are 40 blocks in twenty pieces.
    assert!(requests.len() <= 10, "{requests:?}");
    let requested: usize = requests
        .iter()
        .map(|request| request.range.map_or(0, |(from, end)| end - from))
        .sum();
    assert_eq!(
        requested,
        TORRENT.content.len(),
        "a block is requested twice"
    );
}

#[test]
fn files_of_a_folder_are_requested_by_their_paths_without_padding() {
    let sandbox = Sandbox::new();
    let server = WebServer::start(|request, _, stream| {
        let path = request.path.strip_prefix("/pub/set/").unwrap();
        assert!(!path.contains(".pad"), "padding is asked for");
        send_requested(request, stream, SET.file(path))
    });
    // The URL of the folder has no `/` at its end.
    let mut leech = start_download(&sandbox, &SET, &[server.url("/pub")]);
    leech.run("wait 50");
    for file in ["a.txt", "sub/b.bin", "empty", "sub/c.txt", "d.bin"] {
        let copy = fs::read(sandbox.path("leech/set").join(file)).unwrap();
        assert!(copy == SET.file(file), "{file}");
    }
    // If only some files are chosen, only the pieces of these files are requested.
    server.requests().clear();
    let mut other = sandbox.debug_peer("other", &[]);
    let line = download_command(&sandbox, &SET, &[server.url("/pub/")]);
    other.run(&format!("{line} --only sub/c.txt"));
    other.run("wait 50");
    assert!(fs::read(sandbox.path("other/set/sub/c.txt")).unwrap() == SET.file("sub/c.txt"));
    let requested: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.path.clone())
        .collect();
    assert!(
        !requested.iter().any(|path| path.ends_with("a.txt")),
        "{requested:?}"
    );
}

#[test]
fn a_server_without_ranges_is_read_once_from_start_to_end() {
    let sandbox = Sandbox::new();
    let server = WebServer::start(|_, _, stream| send_whole(stream, &TORRENT.content));
    let mut leech = start_download(&sandbox, &TORRENT, &[server.url("/")]);
    assert_complete_from(&server, &sandbox, &mut leech, TORRENT.content.len());
    assert_eq!(server.requests().len(), 1);
    assert_eq!(server.requests()[0].path, "/share");
}

#[test]
fn a_web_seed_in_a_magnet_link_is_used_and_its_redirects_are_followed() {
    let sandbox = Sandbox::new();
    let server = WebServer::start(|request, _, stream| match request.path.as_str() {
        "/a" => redirect(stream, "/b/c"),
        "/b/c" => redirect(stream, "d"),
        "/b/d" => send_requested(request, stream, &TORRENT.content),
        other => panic!("{other} is asked for"),
    });
    let metadata = listen(&TORRENT, "metadata", |mut link, _| {
        serve_metadata_of(&mut link, &TORRENT);
    });
    let mut leech = sandbox.debug_peer("leech", &[]);
    let escaped = server.url("/a").replace(':', "%3A").replace('/', "%2F");
    let parameters = format!("{}&ws={escaped}", peer_parameter(metadata));
    leech.run(&format!("download {}", magnet_link(&TORRENT, &parameters)));
    assert_complete_from(&server, &sandbox, &mut leech, TORRENT.content.len());
    leech.kill();
    // The download is known after a restart too.
    let mut leech = sandbox.debug_peer("leech", &[]);
    assert_eq!(leech.shown_download("share")["state"], "complete");
}

#[test]
fn urls_and_redirects_are_repaired_as_browsers_do() {
    let sandbox = Sandbox::new();
    let server = WebServer::start(|request, _, stream| match request.path.as_str() {
        "/my%20files/donn%C3%A9es" => redirect(stream, "../b/donn\u{e9}es/my file"),
        "/b/donn%C3%A9es/my%20file" => redirect(stream, "/fetch/http://other/file"),
        "/fetch/http://other/file" => send_requested(request, stream, &TORRENT.content),
        other => panic!("{other} is asked for"),
    });
    let url = format!(" HTTP{}\r\n", &server.url("/my files/donn\u{e9}es#x")[4..]);
    let mut leech = start_download(&sandbox, &TORRENT, &[url]);
    assert_complete_from(&server, &sandbox, &mut leech, TORRENT.content.len());
}

#[test]
fn a_content_encoding_that_only_describes_the_file_is_ignored() {
    let sandbox = Sandbox::new();
    let server = WebServer::start(|request, _, stream| {
        let mut answer = Vec::new();
        let (from, end) = request.range.unwrap();
        let length = TORRENT.content.len();
        let _ = write!(
            answer,
            "HTTP/1.1 206 Partial Content\r\nContent-Encoding: x-gzip\r\nContent-Range: bytes \
             {from}-{}/{length}\r\nContent-Length: {}\r\n\r\n",
            end - 1,
            end - from
        );
        stream.write_all(&answer).is_ok() && stream.write_all(&TORRENT.content[from..end]).is_ok()
    });
    let mut leech = start_download(&sandbox, &TORRENT, &[server.url("/share")]);
    assert_complete_from(&server, &sandbox, &mut leech, TORRENT.content.len());
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.head.contains("accept-encoding: identity"))
    );
}

/// A folder of six files without padding. Each piece at the border of two files has bytes of both.
static BORDERS: LazyLock<Torrent> = LazyLock::new(|| {
    let files = ["0", "1", "2", "3", "4", "5"].map(|name| (name, 100_000, ""));
    Torrent::folder("borders", &files, 16_384, 6)
});

/// A web server that has all files of the folder except those in `lacking`.
fn mirror_without(lacking: &'static [&str]) -> WebServer {
    WebServer::start(|request, _, stream| {
        let file = request.path.strip_prefix("/borders/").unwrap();
        match lacking.contains(&file) {
            true => send_status(stream, "404 Not Found"),
            false => send_requested(request, stream, BORDERS.file(file)),
        }
    })
}

/// The number of requests for a file at a server.
fn requests_for(server: &WebServer, file: &str) -> usize {
    let path = format!("/borders/{file}");
    let requests = server.requests();
    requests
        .iter()
        .filter(|request| request.path == path)
        .count()
}

#[test]
fn a_web_seed_that_lacks_a_file_is_not_asked_for_it_again_and_stays_in_use() {
    let sandbox = Sandbox::new();
    // Neither server has the whole piece at the border of the files 2 and 3.
    let (one, two) = (mirror_without(&["0", "3"]), mirror_without(&["2", "5"]));
    let mut leech = start_download(&sandbox, &BORDERS, &[one.url("/"), two.url("/")]);
    leech.run("wait 50");
    for file in ["0", "1", "2", "3", "4", "5"] {
        let copy = fs::read(sandbox.path("leech/borders").join(file)).unwrap();
        assert!(copy == BORDERS.file(file), "{file}");
    }
    for (server, lacking) in [(&one, ["0", "3"]), (&two, ["2", "5"])] {
        for file in lacking {
            assert!(requests_for(server, file) <= 1, "{file} is asked for again");
        }
    }
    assert!(log_line_with(&leech.log, &["is dropped"]).is_none());
}

#[test]
fn a_web_seed_that_waits_gets_its_turn_when_the_others_lack_a_file() {
    let sandbox = Sandbox::new();
    let servers: Vec<WebServer> = (0..4).map(|_| mirror_without(&["1", "2"])).collect();
    let last = mirror_without(&[]);
    let all = servers.iter().chain([&last]);
    let urls: Vec<String> = all.map(|server| server.url("/")).collect();
    let mut leech = start_download(&sandbox, &BORDERS, &urls);
    leech.run("wait 50");
    assert!(requests_for(&last, "1") > 0);
}

#[test]
fn the_reason_why_web_seeds_deliver_nothing_is_shown() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.tracker_info(), "# no tracker\n").unwrap();
    let server = WebServer::start(|_, _, stream| send_status(stream, "403 Forbidden"));
    let url = format!("http://user:secret-word@{}/f", server.address);
    let mut leech = start_download(&sandbox, &TORRENT, &[url]);
    let shown = leech.wait_for_download("share", |download| {
        let trouble = download["trouble"].as_str().unwrap_or_default();
        trouble.contains(&format!("the web seed {}", server.url("/f")))
            && trouble.contains("HTTP status 403")
    });
    assert!(!shown.to_string().contains("secret-word"), "{shown}");
    leech.assert_refused("wait 0.1", "not-complete", "HTTP status 403");
    // If a web seed lacks a file, the message names the file.
    let lacking = mirror_without(&["4"]);
    leech.run(&download_command(&sandbox, &BORDERS, &[lacking.url("/")]));
    leech.wait_for_download("borders", |download| {
        let trouble = download["trouble"].as_str().unwrap_or_default();
        trouble.contains("4: HTTP status 404")
    });
}

fn redirect(stream: &mut TcpStream, to: &str) -> bool {
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).is_ok()
}

/// A function that answers a request, as in [`WebServer::start`].
type Answer = fn(&WebRequest, usize, &mut TcpStream) -> bool;

/// Bad answers, and the reason in the log for which the web seed is dropped.
fn bad_answers() -> Vec<(Answer, &'static str)> {
    vec![
        (
            |_, _, stream| send_status(stream, "404 Not Found"),
            "HTTP status 404",
        ),
        (
            |_, _, stream| send_status(stream, "416 Range Not Satisfiable"),
            "HTTP status 416",
        ),
        (
            |_, _, stream| send_whole(stream, b"another file"),
            "the file has 12 bytes there, but 642592 in the torrent",
        ),
        (
            |request, _, stream| {
                let (from, end) = request.range.unwrap();
                send_range_head(stream, from + 1, end, TORRENT.content.len())
            },
            "another range",
        ),
        (
            |request, _, stream| {
                let (from, end) = request.range.unwrap();
                send_range_head(stream, from, end, TORRENT.content.len() + 1)
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
                send_requested(request, stream, &wrong)
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
    ]
}

#[test]
fn useless_or_lying_web_seeds_are_dropped_and_an_honest_one_replaces_them() {
    let table = bad_answers();
    let sandbox = Sandbox::new();
    let bad: Vec<WebServer> = table
        .iter()
        .map(|(answer, _)| WebServer::start(*answer))
        .collect();
    let mut urls: Vec<String> = bad.iter().map(|server| server.url("/f")).collect();
    urls.push("ftp://127.0.0.1/f".to_owned());
    urls.push("http://127.0.0.1:1/f?key=1".to_owned());
    let mut leech = start_download(&sandbox, &TORRENT, &urls);
    for (server, (_, reason)) in bad.iter().zip(&table) {
        wait_for_log_line(
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
    wait_for_log_line(
        &leech.log,
        &[
            "ftp://127.0.0.1/f",
            "is dropped",
            "not a valid http:// or https:// URL",
        ],
    );
    wait_for_log_line(
        &leech.log,
        &["127.0.0.1:1/f ", "is dropped", "only URLs without a query"],
    );
    assert_eq!(leech.shown_download("share")["state"], "downloading");
    leech.kill();
    // The leech does not blame an honest web seed for data of the bad ones.
    let server =
        WebServer::start(|request, _, stream| send_requested(request, stream, &TORRENT.content));
    urls.insert(2, server.url("/honest"));
    fs::remove_dir_all(sandbox.path("leech.state")).unwrap();
    let mut leech = start_download(&sandbox, &TORRENT, &urls);
    leech.run("wait 50");
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == TORRENT.content);
    assert!(log_line_with(&leech.log, &[&server.url("/honest"), "is dropped"]).is_none());
}

#[test]
fn a_web_seed_that_breaks_off_or_is_busy_is_asked_again() {
    let sandbox = Sandbox::new();
    let server = WebServer::start(|request, number, stream| match number {
        0 => send_status(stream, "503 Service Unavailable"),
        // Half of the promised bytes, and the end of the connection.
        1 => {
            let (from, end) = request.range.unwrap();
            send_range_head(stream, from, end, TORRENT.content.len());
            let half = from + (end - from) / 2;
            let _ = stream.write_all(&TORRENT.content[from..half]);
            false
        }
        // The end of the connection without an answer.
        2 => false,
        _ => send_requested(request, stream, &TORRENT.content),
    });
    let mut leech = start_download(&sandbox, &TORRENT, &[server.url("/f")]);
    assert_complete_from(&server, &sandbox, &mut leech, TORRENT.content.len());
    wait_for_log_line(&leech.log, &["the web seed", "HTTP status 503"]);
}

#[test]
fn a_slow_web_seed_holds_up_neither_the_download_nor_the_end_of_the_peer() {
    let sandbox = Sandbox::new();
    // This server sends the head of an answer and nothing of the body.
    let server = WebServer::start(|request, _, stream| {
        let (from, end) = request.range.unwrap();
        send_range_head(stream, from, end, TORRENT.content.len());
        thread::park_timeout(Duration::from_secs(120));
        false
    });
    let mut leech = start_download(&sandbox, &TORRENT, &[server.url("/f")]);
    wait_for(
        || (!server.requests().is_empty()).then_some(()),
        || "the server gets no request".to_owned(),
    );
    let serving = serve_to(&leech, &TORRENT, "source");
    leech.run("wait 50");
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == TORRENT.content);
    let start = std::time::Instant::now();
    leech.process.write_line("quit");
    leech.process.line();
    leech.end();
    serving.join().unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "the peer waited for the server"
    );
}

#[test]
fn at_most_four_web_seeds_are_used_beside_peers() {
    let sandbox = Sandbox::new();
    let torrent = Torrent::new("share", 8 << 20, 65_536, 9);
    let file = torrent.content.clone();
    let servers: Vec<WebServer> = (0..6)
        .map(|_| {
            let file = file.clone();
            WebServer::start(move |request, _, stream| send_requested(request, stream, &file))
        })
        .collect();
    let urls: Vec<String> = servers.iter().map(|server| server.url("/")).collect();
    let mut leech = sandbox.debug_peer("leech", &["--down", "4M"]);
    leech.run(&download_command(&sandbox, &torrent, &urls));
    leech.wait_for_state("share", "downloading");
    let serving = serve_to(&leech, &torrent, "source");
    leech.run("wait 50");
    serving.join().unwrap();
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == torrent.content);
    let requested = servers
        .iter()
        .filter(|server| !server.requests().is_empty());
    assert!(requested.count() <= 4, "more than four web seeds were used");
}

/// A download whose partial file has the first `length` bytes.
fn start_download_with_part(
    sandbox: &Sandbox,
    length: usize,
    urls: &[String],
    arguments: &[&str],
) -> Peer {
    let mut leech = sandbox.debug_peer("leech", arguments);
    let mut part = TORRENT.content.clone();
    part[length..].fill(0);
    fs::write(sandbox.path("leech/share.part"), part).unwrap();
    leech.run(&download_command(sandbox, &TORRENT, urls));
    leech
}

#[test]
fn a_download_waits_for_a_web_seed_that_reaches_the_missing_pieces_late() {
    let sandbox = Sandbox::new();
    // This server ignores ranges, and it is slow until it has sent the pieces that the leech has
    // already. The test needs that time: there is no event to wait for.
    let server = WebServer::start(|_, _, stream| {
        let (slow, quick) = TORRENT.content.split_at(600_000);
        let length = TORRENT.content.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let sent = stream.write_all(head.as_bytes()).is_ok();
        sent && slow.chunks(33_334).all(|part| {
            thread::sleep(Duration::from_secs(1));
            stream.write_all(part).is_ok()
        }) && stream.write_all(quick).is_ok()
    });
    let mut leech = start_download_with_part(&sandbox, 18 * 32_768, &[server.url("/")], &[]);
    leech.run("wait 50");
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == TORRENT.content);
    assert_eq!(server.requests().len(), 1, "the file was requested again");
}

#[test]
fn a_download_waits_for_a_web_seed_whose_first_byte_comes_late() {
    let sandbox = Sandbox::new();
    let server = WebServer::start(|request, number, stream| {
        if number == 0 {
            thread::sleep(Duration::from_secs(17));
        }
        send_requested(request, stream, &TORRENT.content)
    });
    let mut leech = start_download(&sandbox, &TORRENT, &[server.url("/")]);
    assert_complete_from(&server, &sandbox, &mut leech, TORRENT.content.len());
    let requests = server.requests();
    let requested = requests.iter().filter_map(|request| request.range);
    let requested: usize = requested.map(|(from, end)| end - from).sum();
    assert_eq!(requested, TORRENT.content.len(), "{requests:?}");
}

#[test]
fn skipped_bytes_count_against_the_limit_and_reading_ends_with_the_download() {
    let sandbox = Sandbox::new();
    let server = WebServer::start(|_, _, stream| send_whole(stream, &TORRENT.content));
    // With the limit, the server needs a minute until it reaches the missing pieces.
    let mut leech = start_download_with_part(
        &sandbox,
        18 * 32_768,
        &[server.url("/")],
        &["--down", "10K"],
    );
    wait_for(
        || (!server.requests().is_empty()).then_some(()),
        || "the server is not asked".to_owned(),
    );
    let start = std::time::Instant::now();
    assert_eq!(leech.shown_download("share")["state"], "downloading");
    leech.run("cancel share");
    leech.process.write_line("quit");
    leech.process.line();
    leech.end();
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "the peer went on reading"
    );
}

#[test]
fn a_web_seed_that_lies_and_hangs_up_is_dropped() {
    let sandbox = Sandbox::new();
    // Each answer is one wrong block. A piece has two blocks, so no piece comes from one answer.
    let liar = WebServer::start(|request, _, stream| {
        let (from, end) = request.range.unwrap();
        send_range_head(stream, from, end, TORRENT.content.len());
        let _ = stream.write_all(&vec![7; (end - from).min(16_384)]);
        false
    });
    let leech = start_download(&sandbox, &TORRENT, &[liar.url("/f")]);
    wait_for_log_line(
        &leech.log,
        &["WARN", &liar.url("/f"), "is dropped", "does not verify"],
    );
}

#[test]
fn a_silent_web_seed_does_not_hold_up_another_one() {
    let sandbox = Sandbox::new();
    let honest =
        WebServer::start(|request, _, stream| send_requested(request, stream, &TORRENT.content));
    let silent = WebServer::start(|_, _, _| {
        thread::park_timeout(Duration::from_secs(120));
        false
    });
    let urls = [silent.url("/f"), silent.url("/g"), honest.url("/f")];
    let mut leech = start_download(&sandbox, &TORRENT, &urls);
    // This is less than the time for which a silent server may hold up a request.
    leech.run("wait 18");
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == TORRENT.content);
}
