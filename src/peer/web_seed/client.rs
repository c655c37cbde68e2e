//! Reads a part of a file from an HTTP server (BEP 19): ranges, redirects, and servers that ignore
//! ranges or lie.
//!
//! In scope: sending requests and reading the bodies of responses. Out of scope: what the head of a
//! response says (`response`), which bytes are requested, and whether they verify.

use super::error::{MAX_REDIRECTS, WebError};
use super::response::{full_body_end, range_bounds, redirected, uri};
use crate::base::Zone;
use crate::peer::{ForbiddenZone, announce::guarded, announce::trusted_tls};
use crate::system::{cause, lock};
use std::io::{self, Read};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};
use ureq::http::Uri;

/// How long a name look-up and a connection attempt may each take. A peer that stops waits for both
/// to end.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a block may take once it has begun to arrive.
pub(super) const BLOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// The maximum number of bytes skipped in one read.
const SKIP_SIZE: usize = 16 << 10;

/// An HTTP client that keeps connections open between requests.
#[derive(Debug, Default)]
pub(crate) struct WebClient {
    /// The agents, `None` after [`WebClient::shut_down`]; and whether this system has certificate
    /// authorities.
    agents: OnceLock<(Mutex<Option<Agents>>, bool)>,
}

/// One agent for each zone that web seeds may be in, ordered by zone. Each connects only to its
/// zone. [`Zone::LinkLocal`] and [`Zone::CloudMetadata`] have none: nothing is requested there.
type Agents = [ureq::Agent; 3];

/// A response that is being read.
pub(super) struct Body {
    reader: ureq::BodyReader<'static>,
    /// The offset of the next byte in the file.
    position: u64,
    /// The offset in the file at which the response ends.
    end: u64,
}

impl WebClient {
    /// Requests bytes `from` to `end` (exclusive) of a file of `length` bytes. The body begins at
    /// `from`, or at the start of the file if the server does not support ranges.
    pub(super) fn open(
        &self,
        url: &str,
        from: u64,
        end: u64,
        length: u64,
    ) -> Result<Body, WebError> {
        let mut url = url.to_owned();
        // The URLs of the torrent may also lead to a private network or to this machine.
        let mut nearest_allowed = Zone::ThisMachine;
        for hops in 0..=MAX_REDIRECTS {
            uri(&url)?;
            let (response, zone) = match self.call(&url, nearest_allowed, from, end) {
                Err(WebError::TooNear { .. }) if hops > 0 => return Err(WebError::Redirect(url)),
                other => other?,
            };
            let (status, headers) = (response.status().as_u16(), response.headers());
            if matches!(status, 301 | 302 | 303 | 307 | 308) {
                let to = redirected(&url, headers)?;
                uri(&to).map_err(|_| WebError::Redirect(to.clone()))?;
                // A redirect must not lead nearer to this machine than the server that sent it.
                nearest_allowed = zone;
                url = to;
                continue;
            }
            let (position, end) = match status {
                200 => (0, full_body_end(headers, length)?),
                206 => range_bounds(headers, from, end, length)?,
                408 | 425 | 429 | 500..=599 => return Err(WebError::Busy(status)),
                _ => return Err(WebError::Status(status)),
            };
            let reader = response.into_body().into_with_config();
            return Ok(Body {
                reader: reader.limit(u64::MAX).reader(),
                position,
                end,
            });
        }
        Err(WebError::Redirects)
    }

    /// Ends all requests in progress. Further requests fail.
    pub(crate) fn shut_down(&self) {
        let (agents, _) = self.agents.get_or_init(|| (Mutex::new(None), false));
        let agents = lock(agents).take();
        for agent in agents.into_iter().flatten() {
            agent.shutdown();
        }
    }

    /// Sends a request. Refuses a server that is nearer than `nearest_allowed` (the nearer of two
    /// zones compares as the greater one). If the URL has a query, refuses every server that is not
    /// on the Internet. Returns the zone of the server too.
    fn call(
        &self,
        url: &str,
        nearest_allowed: Zone,
        from: u64,
        end: u64,
    ) -> Result<(ureq::http::Response<ureq::Body>, Zone), WebError> {
        let (agents, has_authorities) = self.agents.get_or_init(|| {
            let (agents, has_authorities) = agents();
            (Mutex::new(Some(agents)), has_authorities)
        });
        let agents = lock(agents).clone();
        let agents = agents.ok_or_else(|| WebError::Transport("the peer stops".to_owned()))?;
        if !has_authorities
            && url
                .get(..6)
                .is_some_and(|start| start.eq_ignore_ascii_case("https:"))
        {
            return Err(WebError::NoAuthorities);
        }
        let range = format!("bytes={from}-{}", end.saturating_sub(1));
        let mut zone = Zone::Internet;
        loop {
            let too_near = || WebError::TooNear {
                host: uri(url).map_or_else(|_| String::new(), |uri| host(&uri)),
                zone,
            };
            if zone > nearest_allowed || zone > Zone::Internet && url.contains('?') {
                return Err(too_near());
            }
            let agent = agents.get(zone as usize).ok_or_else(too_near)?;
            match agent.get(url).header("range", &range).call() {
                Ok(response) => return Ok((response, zone)),
                Err(ureq::Error::BadUri(_)) => return Err(WebError::Url),
                // Each agent looks the name up itself and refuses a host that has no address in its
                // zone. The error shows the nearest zone of the host: that zone is next.
                Err(error) => match ForbiddenZone::from_error(&error) {
                    Some(refused) if refused.zone > zone => zone = refused.zone,
                    _ => return Err(WebError::Transport(transport_cause(&error))),
                },
            }
        }
    }
}

fn agents() -> (Agents, bool) {
    let (tls, has_authorities) = trusted_tls();
    let agent = |allows: fn(&Uri, Zone) -> bool| {
        let config = ureq::Agent::config_builder()
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_send_request(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(16)
            .proxy(None)
            .tls_config(tls.clone())
            .user_agent(concat!("pieceful/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .build();
        guarded(config, allows)
    };
    let agents = [
        agent(|_, zone| zone == Zone::Internet),
        agent(|_, zone| zone == Zone::PrivateNetwork),
        agent(|_, zone| zone == Zone::ThisMachine),
    ];
    (agents, has_authorities)
}

impl Body {
    /// Whether the rest of the response contains this byte of the file. If the server sends only
    /// whole files, many bytes may have to be skipped before it.
    pub(super) fn reaches(&self, offset: u64) -> bool {
        (self.position..self.end).contains(&offset)
    }

    /// The number of bytes that the next [`Body::skip`] is to skip on the way to byte `offset`.
    /// `None` if no byte is left to skip.
    pub(super) fn bytes_to_skip(&self, offset: u64) -> Option<u32> {
        let left = offset.saturating_sub(self.position).min(SKIP_SIZE as u64);
        u32::try_from(left).ok().filter(|left| *left > 0)
    }

    /// Skips the number of bytes that [`Body::bytes_to_skip`] returned. Fails if some of them are
    /// still missing after `deadline`.
    pub(super) fn skip(&mut self, bytes: u32, deadline: Instant) -> Result<(), WebError> {
        let mut skipped = [0; SKIP_SIZE];
        let part = skipped.get_mut(..bytes as usize).unwrap_or_default();
        self.fill(part, deadline)
    }

    /// Fills `buffer` with the next bytes.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<(), WebError> {
        self.fill(buffer, Instant::now() + BLOCK_TIMEOUT)
    }

    fn fill(&mut self, mut room: &mut [u8], deadline: Instant) -> Result<(), WebError> {
        while !room.is_empty() {
            let read = match self.reader.read(room) {
                Ok(0) => return Err(WebError::Short(self.position)),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(WebError::Transport(cause(&error))),
            };
            self.position += read as u64;
            room = room.get_mut(read..).unwrap_or_default();
            if !room.is_empty() && Instant::now() > deadline {
                return Err(WebError::Slow);
            }
        }
        Ok(())
    }

    /// If the whole response was read, reads once more: the client then sees the end of the body,
    /// and can reuse the connection.
    pub(super) fn finish_if_complete(&mut self) {
        if self.position >= self.end {
            let _ = self.reader.read(&mut [0]);
        }
    }
}

fn transport_cause(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => cause(error),
        error => error.to_string(),
    }
}

fn host(uri: &Uri) -> String {
    uri.host().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;
    use std::sync::Arc;

    /// A server that redirects the listed paths and serves a file of one byte for all others.
    /// Returns the requested paths too.
    fn server(redirects: &'static [(&str, &str)]) -> (u16, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requested = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requested);
        // The thread ends with the test process.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = [0; 2_000];
                let length = stream.read(&mut head).unwrap();
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let path = head.split(' ').nth(1).unwrap().to_owned();
                let redirect = redirects.iter().find(|(from, _)| *from == path);
                log.lock().unwrap().push(path);
                let answer = match redirect {
                    Some((_, to)) => {
                        let to = to.replace("PORT", &port.to_string());
                        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n")
                    }
                    None => "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n".to_owned(),
                };
                let answer = format!("{answer}Connection: close\r\n\r\n");
                let body = if redirect.is_some() { "" } else { "x" };
                stream.write_all((answer + body).as_bytes()).unwrap();
            }
        });
        (port, requested)
    }

    #[test]
    fn a_url_with_a_query_is_refused_for_every_spelling_of_this_machine() {
        let (port, requested) = server(&[
            ("/to", "/file"),
            ("/query", "/x?query"),
            ("/other", "http://127.1:PORT/x?query"),
            ("/link", "http://0.0.0.0:PORT/file"),
            ("/cloud", "http://169.254.169.254/file"),
        ]);
        let client = WebClient::default();
        let open = |url: &str| client.open(&url.replace("PORT", &port.to_string()), 0, 1, 1);
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "localhost",
            "[::ffff:127.0.0.1]",
        ] {
            let file = open(&format!("http://{host}:PORT/file"));
            assert!(file.is_ok(), "{host}: {:?}", file.err());
            let with_query = open(&format!("http://{host}:PORT/file?query"));
            assert!(
                matches!(with_query, Err(WebError::TooNear { .. })),
                "{host}"
            );
        }
        for host in ["0.0.0.0", "0", "169.254.1.1", "[::]", "[fe80::1]"] {
            let file = open(&format!("http://{host}:PORT/file"));
            assert!(matches!(file, Err(WebError::TooNear { .. })), "{host}");
        }
        assert!(open("http://127.0.0.1:PORT/to").is_ok());
        for path in ["query", "other", "link", "cloud"] {
            let opened = open(&format!("http://127.0.0.1:PORT/{path}"));
            assert!(matches!(opened, Err(WebError::Redirect(_))), "{path}");
        }
        let requested = requested.lock().unwrap();
        assert!(
            !requested.iter().any(|path| path.contains('?')),
            "{requested:?}"
        );
    }

    #[test]
    fn a_call_never_reaches_a_nearer_zone_than_allowed() {
        let (port, requested) = server(&[]);
        let client = WebClient::default();
        let call = |nearest| client.call(&format!("http://localhost:{port}/file"), nearest, 0, 1);
        for farther in [Zone::Internet, Zone::PrivateNetwork] {
            let near = call(farther).map(drop);
            assert!(matches!(
                near,
                Err(WebError::TooNear {
                    zone: Zone::ThisMachine,
                    ..
                })
            ));
        }
        assert!(requested.lock().unwrap().is_empty());
        assert_eq!(call(Zone::ThisMachine).unwrap().1, Zone::ThisMachine);
    }
}
