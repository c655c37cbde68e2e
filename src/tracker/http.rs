//! The part of HTTP (RFC 9112) that a tracker needs for announces and scrapes: one request head in,
//! one response out.
//!
//! In scope: parsing a head from bytes that may be less or more than one head, and writing
//! responses. Out of scope: sockets, deadlines, and requests with a body. A request with a body is
//! refused, so that its body cannot be parsed as the next request.

/// Maximum length of a request head in bytes.
pub(super) const MAX_HEAD: usize = 8 << 10;
/// Maximum number of header lines.
const MAX_HEADERS: usize = 64;

/// The parts of a request that the tracker uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    /// Whether the response must have no body, because the method is `HEAD`.
    pub(super) omit_response_body: bool,
    /// The path of the target, without the query.
    pub(super) path: &'a str,
    /// The part of the target after `?`.
    pub(super) query: &'a str,
    /// The host that the request is for, perhaps with a port. Empty if the request names no host.
    pub(super) host: &'a str,
    /// Whether another request may follow on the connection.
    pub(super) keep_alive: bool,
    /// Whether the request is HTTP/1.0. Clients of that version expect an explicit
    /// `Connection: keep-alive`.
    pub(super) is_http_1_0: bool,
}

/// Why a request is not served. The connection closes after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HttpError {
    #[error("the request is not HTTP/1: {0}")]
    Malformed(#[from] httparse::Error),
    #[error("the request's head has more than {MAX_HEAD} bytes or {MAX_HEADERS} headers")]
    TooLarge,
    #[error("this tracker answers GET and HEAD only")]
    Method,
    #[error("this tracker accepts no request with a body")]
    Body,
    #[error("the request's head did not arrive in time")]
    TooSlow,
}

impl HttpError {
    fn status(self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::Body => "400 Bad Request",
            Self::TooLarge => "431 Request Header Fields Too Large",
            Self::Method => "405 Method Not Allowed",
            Self::TooSlow => "408 Request Timeout",
        }
    }

    /// Appends the error response. It has the header `Connection: close`.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let status = self.status();
        let allow = if self == Self::Method {
            "Allow: GET, HEAD\r\n"
        } else {
            ""
        };
        let body = format!("{self}\n");
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n{allow}Content-Length: {}\r\n\
             Connection: close\r\n\r\n",
            body.len()
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(body.as_bytes());
    }
}

/// Parses the head at the start of `bytes`. Returns the request and the length of its head, or
/// `None` if the head is incomplete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Request<'_>, usize)>, HttpError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(HttpError::TooLarge),
        Err(error) => return Err(error.into()),
    };
    let is_http_1_0 = request.version == Some(0);
    let (mut keep_alive, mut host) = (!is_http_1_0, None);
    for header in &*request.headers {
        if header.name.eq_ignore_ascii_case("connection") {
            for word in header.value.split(|byte| *byte == b',') {
                let word = word.trim_ascii();
                if word.eq_ignore_ascii_case(b"close") {
                    keep_alive = false;
                } else if word.eq_ignore_ascii_case(b"keep-alive") && is_http_1_0 {
                    keep_alive = true;
                }
            }
        }
        if header.name.eq_ignore_ascii_case("host") {
            // `?` replaces a name that is not UTF-8. No tracker has the name `?`.
            let name = str::from_utf8(header.value).unwrap_or("?");
            host.get_or_insert(name.trim());
        }
        let is_length = header.name.eq_ignore_ascii_case("content-length");
        if header.name.eq_ignore_ascii_case("transfer-encoding")
            || (is_length && header.value.trim_ascii() != b"0")
        {
            return Err(HttpError::Body);
        }
    }
    let omit_response_body = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(HttpError::Method),
    };
    let target = request.path.unwrap_or_default();
    // A target may be a whole URL. Then the host of the URL counts, and the field `Host` does not
    // (RFC 9112, section 3.2.2).
    let target = match target.strip_prefix("http://") {
        Some(after_scheme) => {
            let end_of_host = after_scheme.find('/').unwrap_or(after_scheme.len());
            let (url_host, path) = after_scheme.split_at(end_of_host);
            host = Some(url_host);
            if path.is_empty() { "/" } else { path }
        }
        None => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        omit_response_body,
        path,
        query,
        host: host.unwrap_or_default(),
        keep_alive,
        is_http_1_0,
    };
    Ok(Some((request, length)))
}

/// Writes the response for `request` to the end of `out`, with this status (such as `200 OK`) and a
/// body of plain text.
pub(super) fn respond(request: &Request<'_>, status: &str, body: &[u8], out: &mut Vec<u8>) {
    respond_as(request, status, "text/plain", body, out);
}

/// Writes the response for `request` to the end of `out`, with this status and a body of this media
/// type.
pub(super) fn respond_as(
    request: &Request<'_>,
    status: &str,
    media_type: &str,
    body: &[u8],
    out: &mut Vec<u8>,
) {
    let connection = match (request.keep_alive, request.is_http_1_0) {
        (true, true) => "Connection: keep-alive\r\n",
        (true, false) => "",
        (false, _) => "Connection: close\r\n",
    };
    let length = body.len().to_string();
    let parts = [
        "HTTP/1.1 ",
        status,
        "\r\nContent-Type: ",
        media_type,
        "\r\nContent-Length: ",
        &length,
        "\r\n",
        connection,
        "\r\n",
    ];
    parts
        .iter()
        .for_each(|part| out.extend_from_slice(part.as_bytes()));
    if !request.omit_response_body {
        out.extend_from_slice(body);
    }
}

/// The fuzz function of the parser. A head is read in the same way however much follows it, and is
/// incomplete if it is cut off.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let parsed = parse(bytes);
    let Ok(Some((request, length))) = parsed else {
        if let Err(error) = parsed {
            error.write(&mut Vec::new());
        }
        return;
    };
    let head = bytes.get(..length).unwrap_or_default();
    assert_eq!(parse(head), Ok(Some((request, length))));
    for cut in (0..length).step_by(length / 32 + 1).chain([length - 1]) {
        let cut = parse(head.get(..cut).unwrap_or_default());
        assert_eq!(cut, Ok(None));
    }
    super::OwnNames::default().allow_host(request.host);
    crate::wire::fuzz_query(request.query);
    respond(&request, "200 OK", b"body", &mut Vec::new());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Result<Option<(Request<'_>, usize)>, HttpError> {
        parse(head.as_bytes())
    }

    #[test]
    fn heads_are_parsed_and_bytes_after_them_are_not() {
        let table: &[(&str, Request<'_>)] = &[
            (
                "GET /announce?a=b?c HTTP/1.1\r\nHost: x\r\n\r\n",
                Request {
                    omit_response_body: false,
                    path: "/announce",
                    query: "a=b?c",
                    host: "x",
                    keep_alive: true,
                    is_http_1_0: false,
                },
            ),
            (
                "\r\nHEAD / HTTP/1.0\nConnection: x, Keep-Alive\n\n",
                Request {
                    omit_response_body: true,
                    path: "/",
                    query: "",
                    host: "",
                    keep_alive: true,
                    is_http_1_0: true,
                },
            ),
            (
                "GET http://a:80/scrape? HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
                Request {
                    omit_response_body: false,
                    path: "/scrape",
                    query: "",
                    host: "a:80",
                    keep_alive: false,
                    is_http_1_0: true,
                },
            ),
            (
                "GET http://a HTTP/1.1\r\nconnection:  keep-alive,CLOSE \r\n\r\n",
                Request {
                    omit_response_body: false,
                    path: "/",
                    query: "",
                    host: "a",
                    keep_alive: false,
                    is_http_1_0: false,
                },
            ),
        ];
        for (head, request) in table {
            let expected = Ok(Some((*request, head.len())));
            assert_eq!(read(head), expected, "{head}");
            assert_eq!(read(&format!("{head}GET / HTTP/9")), expected, "{head}");
            for cut in 0..head.len() {
                assert_eq!(read(&head[..cut]), Ok(None), "{head} cut at {cut}");
            }
        }
    }

    #[test]
    fn each_bad_head_gets_its_own_error() {
        let lines = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert!(read(&lines(MAX_HEADERS)).is_ok_and(|read| read.is_some()));
        let malformed = [
            "G\0T / HTTP/1.1\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n",
            "GET / /announce HTTP/1.1\r\n\r\n",
        ];
        for head in malformed {
            assert!(matches!(read(head), Err(HttpError::Malformed(_))), "{head}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_HEAD));
        let table: &[(&str, HttpError)] = &[
            (&lines(MAX_HEADERS + 1), HttpError::TooLarge),
            (&lines(10_000), HttpError::TooLarge),
            (&long, HttpError::TooLarge),
            (&"\r\n".repeat(MAX_HEAD / 2), HttpError::TooLarge),
            ("POST / HTTP/1.1\r\n\r\n", HttpError::Method),
            (
                "GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
                HttpError::Body,
            ),
            (
                "GET / HTTP/1.1\r\ncontent-length: 00\r\n\r\n",
                HttpError::Body,
            ),
            (
                "GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
                HttpError::Body,
            ),
            (
                "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
                HttpError::Body,
            ),
        ];
        for (head, error) in table {
            let start: String = head.chars().take(80).collect();
            assert_eq!(read(head), Err(*error), "{start}");
        }
    }

    #[test]
    fn responses_contain_their_length_and_whether_the_connection_stays_open() {
        let request = |keep_alive, is_http_1_0, omit_response_body| Request {
            omit_response_body,
            path: "/",
            query: "",
            host: "",
            keep_alive,
            is_http_1_0,
        };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n";
        for (request, tail) in [
            (request(true, false, false), "\r\nde"),
            (
                request(true, true, false),
                "Connection: keep-alive\r\n\r\nde",
            ),
            (request(false, true, false), "Connection: close\r\n\r\nde"),
            (request(false, false, true), "Connection: close\r\n\r\n"),
        ] {
            let mut out = Vec::new();
            respond(&request, "200 OK", b"de", &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{head}{tail}"));
        }
        let mut out = Vec::new();
        HttpError::Method.write(&mut out);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 405 Method Not Allowed\r\n")
                && head.contains("Allow: GET, HEAD\r\n")
        );
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
