//! What the head of a response from a web seed says: where a redirect leads, and which bytes of the
//! file the body has.

use super::error::WebError;
use crate::base::url;
use ureq::http::{HeaderMap, HeaderValue, Uri};

/// Parses an HTTP URL.
pub(super) fn uri(url: &str) -> Result<Uri, WebError> {
    let uri: Uri = url.parse().map_err(|_| WebError::Url)?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    Some(uri)
        .filter(|uri| is_http && uri.host().is_some())
        .ok_or(WebError::Url)
}

/// The full URL to which a redirect leads (RFC 9110, 10.2.2). The header `Location` has a full URL
/// or one that is relative to `url`.
pub(super) fn redirected(url: &str, headers: &HeaderMap) -> Result<String, WebError> {
    let location = headers.get("location").map(HeaderValue::as_bytes);
    let location = url::repaired(location.unwrap_or_default());
    if url::scheme(&location).is_some() {
        return Ok(location);
    }
    let (scheme, rest) = url.split_once("://").ok_or(WebError::Url)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at_checked(end).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let path = match location.as_str() {
        "" => return Err(WebError::Redirect(String::new())),
        no_scheme if no_scheme.starts_with("//") => return Ok(format!("{scheme}:{no_scheme}")),
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        query if query.starts_with('?') => format!("{path}{query}"),
        relative => format!("{folder}/{relative}"),
    };
    Ok(format!("{scheme}://{host}{}", without_dots(&path)))
}

/// A path without the components `.` and `..` (RFC 3986, 5.2.4). A query after the path is kept.
fn without_dots(path: &str) -> String {
    let end = path.find('?').unwrap_or(path.len());
    let (path, query) = path.split_at_checked(end).unwrap_or((path, ""));
    let mut kept: Vec<&str> = Vec::new();
    let mut components = path.split('/').skip(1).peekable();
    while let Some(component) = components.next() {
        let is_last = components.peek().is_none();
        match component {
            "." | ".." => {
                if component == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            name => kept.push(name),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

/// The offset in the file at which the body of a 200 response ends: `length`, the file's length. A
/// coding is ignored if `Content-Length` is `length`, because some servers send a file `x.gz` as it
/// is, but with `Content-Encoding: gzip`.
pub(super) fn full_body_end(headers: &HeaderMap, length: u64) -> Result<u64, WebError> {
    let found = text(headers, "content-length").map(str::parse);
    match found {
        Some(Ok(found)) if found == length => Ok(length),
        Some(Ok(found)) => Err(other_length(headers, found, length)),
        _ => match coding(headers) {
            Some(coding) => Err(WebError::Encoded(coding)),
            None => Ok(length),
        },
    }
}

/// The offsets in the file at which the body of a 206 response starts and ends. `from` and `end`
/// are the requested ones, and `length` is the file's length. A coding is ignored if the range is
/// right.
pub(super) fn range_bounds(
    headers: &HeaderMap,
    from: u64,
    end: u64,
    length: u64,
) -> Result<(u64, u64), WebError> {
    let range = text(headers, "content-range").unwrap_or_default();
    let wrong_range = || WebError::Range(range.chars().take(80).collect());
    let parsed = || {
        let (span, total) = range.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let total: Option<u64> = match total.trim() {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        Some((first, last.checked_add(1)?, total))
    };
    let (first, after, total) = parsed().ok_or_else(wrong_range)?;
    match total {
        Some(found) if found != length => return Err(other_length(headers, found, length)),
        _ => {}
    }
    if first != from || after <= first || after > end {
        return Err(wrong_range());
    }
    Ok((first, after))
}

/// The error if the server's file has another length. If the body has a coding, that is probably
/// the reason.
fn other_length(headers: &HeaderMap, found: u64, expected: u64) -> WebError {
    match coding(headers) {
        Some(coding) => WebError::Encoded(coding),
        None => WebError::Length { found, expected },
    }
}

/// The coding of the body (RFC 9110, 8.4), if it has one.
fn coding(headers: &HeaderMap) -> Option<String> {
    let coding = text(headers, "content-encoding")?.trim();
    let is_coded = !coding.is_empty() && !coding.eq_ignore_ascii_case("identity");
    is_coded.then(|| coding.chars().take(80).collect())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The fuzz function. The input is the head of a response, and then the URL that was asked for.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let mut found = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Response::new(&mut found);
    let Ok(httparse::Status::Complete(length)) = head.parse(bytes) else {
        return;
    };
    let mut headers = HeaderMap::new();
    for header in &*head.headers {
        let name = ureq::http::HeaderName::from_bytes(header.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(header.value)) {
            headers.append(name, value);
        }
    }
    let _ = full_body_end(&headers, 100);
    if let Ok((first, after)) = range_bounds(&headers, 10, 20, 100) {
        assert!(first == 10 && first < after && after <= 20);
    }
    let url = url::repaired(bytes.get(length..).unwrap_or_default());
    if uri(&url).is_ok()
        && let Ok(target) = redirected(&url, &headers)
    {
        let _ = uri(&target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_range_must_start_as_requested_and_must_not_end_later() {
        let of = |range: &str| range_bounds(&headers("content-range", range), 10, 20, 100);
        assert_eq!(of("bytes 10-19/100").unwrap(), (10, 20));
        assert_eq!(of("bytes 10-14/*").unwrap(), (10, 15));
        for other in [
            "",
            "bytes 0-19/100",
            "bytes 10-20/100",
            "bytes 11-19/100",
            "bytes 10-9/100",
            "bytes */100",
            "bytes 10-18446744073709551615/100",
            "items 10-19/100",
        ] {
            assert!(matches!(of(other), Err(WebError::Range(_))), "{other}");
        }
        let other_file = of("bytes 10-19/101");
        assert!(matches!(
            other_file,
            Err(WebError::Length { found: 101, .. })
        ));
        let other_file = full_body_end(&headers("content-length", "5"), 6);
        assert!(matches!(other_file, Err(WebError::Length { .. })));
    }

    #[test]
    fn a_coding_is_ignored_if_the_range_or_the_content_length_is_right() {
        let encoded = |name, value: &str| {
            let mut headers = headers(name, value);
            headers.insert("content-encoding", "x-gzip".parse().unwrap());
            headers
        };
        let range = |range| range_bounds(&encoded("content-range", range), 10, 20, 100);
        assert_eq!(range("bytes 10-19/100").unwrap(), (10, 20));
        assert!(matches!(range("bytes 10-19/90"), Err(WebError::Encoded(_))));
        let whole = |length| full_body_end(&encoded("content-length", length), 100);
        assert_eq!(whole("100").unwrap(), 100);
        assert!(matches!(whole("90"), Err(WebError::Encoded(_))));
        let unknown = full_body_end(&headers("content-encoding", "gzip"), 1);
        assert!(matches!(unknown, Err(WebError::Encoded(_))));
        let plain = full_body_end(&headers("content-encoding", "Identity"), 1);
        assert_eq!(plain.unwrap(), 1);
    }

    #[test]
    fn redirects_are_resolved() {
        let to = |location: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert("location", HeaderValue::from_bytes(location).unwrap());
            redirected("http://h:1/a/b?c", &headers)
        };
        for (location, url) in [
            ("https://other/x", "https://other/x"),
            ("//other/x", "http://other/x"),
            ("/x/y", "http://h:1/x/y"),
            ("x", "http://h:1/a/x"),
            ("?x", "http://h:1/a/b?x"),
            ("../x/./y/", "http://h:1/x/y/"),
            ("/../x/..?y", "http://h:1/?y"),
            ("/fetch/http://other/x", "http://h:1/fetch/http://other/x"),
            ("fetch/http://other/x", "http://h:1/a/fetch/http://other/x"),
            ("/x?to=http://other", "http://h:1/x?to=http://other"),
            ("/donn\u{e9}es/my file", "http://h:1/donn%C3%A9es/my%20file"),
            ("HTTP://other/donn\u{e9}es", "http://other/donn%C3%A9es"),
            ("file:///etc", "file:///etc"),
        ] {
            assert_eq!(to(location.as_bytes()).unwrap(), url);
        }
        assert_eq!(to(b"/\xe9").unwrap(), "http://h:1/%E9");
        assert!(to(b"").is_err());
        assert!(uri("ftp://h/").is_err());
    }
}
