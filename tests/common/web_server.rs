//! A fake HTTP server: a test chooses every byte that the server sends. The functions `send_...`
//! return whether the bytes were written.

use super::waiting::PATIENCE;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// A request that the server received.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WebRequest {
    pub(crate) path: String,
    /// The first byte of the range, and the byte after its last one. `usize::MAX` if the range has
    /// no last byte.
    pub(crate) range: Option<(usize, usize)>,
    /// The lines after the first one, in lower case.
    pub(crate) head: String,
}

/// A running server.
pub(crate) struct WebServer {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<WebRequest>>>,
}

impl WebServer {
    /// Starts a server. `answer` gets a request and its number (from 0), writes the answer and
    /// returns whether the connection stays open.
    pub(crate) fn start(
        answer: impl Fn(&WebRequest, usize, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<WebRequest>>> = Arc::default();
        let (received, answer) = (requests.clone(), Arc::new(answer));
        // The threads end with the process of the tests, or earlier.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (received, answer) = (received.clone(), answer.clone());
                thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.set_write_timeout(Some(PATIENCE)).unwrap();
                    let mut writing = stream.try_clone().unwrap();
                    let mut reading = BufReader::new(stream);
                    while let Some(request) = read_request(&mut reading) {
                        let number = {
                            let mut received = received.lock().unwrap();
                            received.push(request.clone());
                            received.len() - 1
                        };
                        if !answer(&request, number, &mut writing) {
                            let _ = writing.shutdown(std::net::Shutdown::Both);
                            return;
                        }
                    }
                });
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> MutexGuard<'_, Vec<WebRequest>> {
        self.requests.lock().unwrap()
    }
}

fn read_request(reading: &mut impl BufRead) -> Option<WebRequest> {
    let mut lines = reading.lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ');
    assert_eq!(words.next(), Some("GET"), "{first}");
    let path = words.next().unwrap().to_owned();
    let (mut range, mut head) = (None, String::new());
    for line in lines.take_while(|line| !line.is_empty()) {
        let line = line.to_ascii_lowercase();
        head += &format!("{line}\n");
        if let Some(bytes) = line.strip_prefix("range: bytes=") {
            let (start, last) = bytes.split_once('-').unwrap();
            // A range without a last byte goes to the end of the file.
            let end = last.parse().map_or(usize::MAX, |last: usize| last + 1);
            range = Some((start.parse().unwrap(), end));
        }
    }
    Some(WebRequest { path, range, head })
}

/// Answers with a status and no body.
pub(crate) fn send_status(stream: &mut TcpStream, status: &str) -> bool {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).is_ok()
}

/// Answers with the whole file.
pub(crate) fn send_whole(stream: &mut TcpStream, file: &[u8]) -> bool {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", file.len());
    stream.write_all(head.as_bytes()).is_ok() && stream.write_all(file).is_ok()
}

/// Writes only the head of an answer. The answer is for the bytes `from..end` of a file of `length`
/// bytes.
pub(crate) fn send_range_head(
    stream: &mut TcpStream,
    from: usize,
    end: usize,
    length: usize,
) -> bool {
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{length}\r\nContent-Length: {}\r\n\r\n",
        end - 1,
        end - from
    );
    stream.write_all(head.as_bytes()).is_ok()
}

/// Answers as HTTP demands: with the range that was requested, or with the whole file.
pub(crate) fn send_requested(request: &WebRequest, stream: &mut TcpStream, file: &[u8]) -> bool {
    let Some((from, end)) = request.range else {
        return send_whole(stream, file);
    };
    let end = end.min(file.len());
    send_range_head(stream, from, end, file.len()) && stream.write_all(&file[from..end]).is_ok()
}
