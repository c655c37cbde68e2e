//! An HTTP server whose every byte a test chooses.

use super::waiting::PATIENCE;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// The first byte and the one after the last.
    pub(crate) range: Option<(usize, usize)>,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// `answer` writes the answer to a request, which is numbered from 0, and says whether the line stays open.
    pub(crate) fn start(
        answer: impl Fn(&Request, usize, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (told, answer) = (requests.clone(), Arc::new(answer));
        // All threads end with the process of the tests at the latest.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (told, answer) = (told.clone(), answer.clone());
                thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.set_write_timeout(Some(PATIENCE)).unwrap();
                    let mut writing = stream.try_clone().unwrap();
                    let mut reading = BufReader::new(stream);
                    while let Some(request) = read(&mut reading) {
                        let number = {
                            let mut told = told.lock().unwrap();
                            told.push(request.clone());
                            told.len() - 1
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

    pub(crate) fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap()
    }
}

fn read(reading: &mut impl BufRead) -> Option<Request> {
    let mut lines = reading.lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ');
    assert_eq!(words.next(), Some("GET"), "{first}");
    let path = words.next().unwrap().to_owned();
    let mut range = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            let (first, last) = bytes.split_once('-').unwrap();
            // Without a last byte it is all the rest.
            let end = last.parse().map_or(usize::MAX, |last: usize| last + 1);
            range = Some((first.parse().unwrap(), end));
        }
    }
    Some(Request { path, range })
}

/// An answer without a body.
pub(crate) fn status(stream: &mut TcpStream, status: &str) -> bool {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).is_ok()
}

/// The whole file, whatever was asked for.
pub(crate) fn whole(stream: &mut TcpStream, file: &[u8]) -> bool {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", file.len());
    stream.write_all(head.as_bytes()).is_ok() && stream.write_all(file).is_ok()
}

/// The head of an answer with a range of a file of `length` bytes.
pub(crate) fn range_head(stream: &mut TcpStream, from: usize, end: usize, length: usize) -> bool {
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{length}\r\nContent-Length: {}\r\n\r\n",
        end - 1,
        end - from
    );
    stream.write_all(head.as_bytes()).is_ok()
}

/// What a sound server answers.
pub(crate) fn sound(request: &Request, stream: &mut TcpStream, file: &[u8]) -> bool {
    let Some((from, end)) = request.range else {
        return whole(stream, file);
    };
    let end = end.min(file.len());
    range_head(stream, from, end, file.len()) && stream.write_all(&file[from..end]).is_ok()
}
