//! URLs as people and other programs write them.

use super::percent::escape_byte;
use std::ops::Range;

/// A URL as it is requested, repaired as browsers do (WHATWG URL Standard, "URL parsing"). Spaces
/// and control characters at both ends, tabs and line ends anywhere, and the fragment are dropped.
/// Bytes that a URL cannot contain are escaped. The scheme becomes lower case. Dots at the end of
/// the host name are dropped too: not every resolver accepts one. A repaired URL is repaired no
/// further.
pub fn repaired(url: impl AsRef<[u8]>) -> String {
    let url = url.as_ref();
    let is_blank = |byte: &u8| *byte <= b' ';
    let start = url.iter().position(|byte| !is_blank(byte));
    let end = url.iter().rposition(|byte| !is_blank(byte));
    let url = match (start, end) {
        (Some(start), Some(end)) => url.get(start..=end).unwrap_or_default(),
        _ => &[],
    };
    let mut out = String::with_capacity(url.len());
    for byte in url.iter().take_while(|byte| **byte != b'#') {
        match byte {
            b'\t' | b'\r' | b'\n' => {}
            b'"' | b'<' | b'>' | b'`' | b'{' | b'}' => escape_byte(*byte, &mut out),
            b'!'..=b'~' => out.push(char::from(*byte)),
            _ => escape_byte(*byte, &mut out),
        }
    }
    if let Some(length) = scheme(&out).map(str::len)
        && let Some(scheme) = out.get_mut(..length)
    {
        scheme.make_ascii_lowercase();
    }
    if let Some(dots) = dots_after_host(&out) {
        out.replace_range(dots, "");
    }
    out
}

/// The position of the dots at the end of the host name. `None` if the name has no other letters.
fn dots_after_host(url: &str) -> Option<Range<usize>> {
    let start = url.find("://")? + 3;
    let rest = url.get(start..)?;
    let authority = rest.split(['/', '?']).next()?;
    let without_port = authority
        .trim_end_matches(|end: char| end.is_ascii_digit())
        .strip_suffix(':');
    let host = without_port.unwrap_or(authority);
    let name = host.trim_end_matches('.');
    let without_user = name.rsplit_once('@').map_or(name, |(_, name)| name);
    // A name with a colon is a malformed one, with a second port, or an IPv6 address.
    let is_name = !without_user.contains(':') || without_user.ends_with(']');
    (is_name && !name.is_empty()).then_some(start + name.len()..start + host.len())
}

/// The scheme of an absolute URL. `None` for a path, even if it contains `://`.
pub fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once(':')?;
    let mut letters = scheme.bytes();
    let begins = letters
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    let goes_on = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    (begins && letters.all(goes_on)).then_some(scheme)
}

/// The URL without user name and password, to be shown to people.
pub fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_repaired_as_browsers_do() {
        for (written, requested) in [
            ("http://h/a%20b?c=d|e", "http://h/a%20b?c=d|e"),
            ("  HTTP://Host/Path \r\n", "http://Host/Path"),
            ("http://h/my files/f", "http://h/my%20files/f"),
            ("http://h/donn\u{e9}es", "http://h/donn%C3%A9es"),
            ("http://h/\r\nX: y", "http://h/X:%20y"),
            (
                "http://h/<a>\"`{b}\u{7f}",
                "http://h/%3Ca%3E%22%60%7Bb%7D%7F",
            ),
            ("http://h/a?b#c?d", "http://h/a?b"),
            ("/d\u{fc}/http://x", "/d%C3%BC/http://x"),
            ("UDP://h:1", "udp://h:1"),
            ("http://a.b.:80/c.", "http://a.b:80/c."),
            ("http://a.b.?c", "http://a.b?c"),
            ("http://1.2.3.4:5", "http://1.2.3.4:5"),
            ("http://./", "http://./"),
            ("http://a..:80/", "http://a:80/"),
            ("http://a.:80.:80", "http://a.:80.:80"),
            ("http://u:p@[::1].", "http://u:p@[::1]"),
            ("Path", "Path"),
            (" \n", ""),
        ] {
            assert_eq!(repaired(written), requested, "{written:?}");
            assert_eq!(repaired(requested), requested, "again: {written:?}");
        }
        assert_eq!(repaired(b"/\xe9/\xff\0x"), "/%E9/%FF%00x");
    }

    #[test]
    fn only_absolute_urls_have_a_scheme() {
        for (url, found) in [
            ("http://h/", Some("http")),
            ("file:///etc", Some("file")),
            ("/a/http://h", None),
            ("a/http://h", None),
            ("?to=http://h", None),
            ("//h:1/", None),
            ("1a:b", None),
            ("", None),
        ] {
            assert_eq!(scheme(url), found, "{url}");
        }
    }

    #[test]
    fn user_and_password_are_not_shown() {
        for (url, shown) in [
            ("http://u:p@h:1/a@b?c", "http://h:1/a@b?c"),
            ("http://u@p@h?x@y", "http://h?x@y"),
            ("https://h", "https://h"),
            ("u@x", "u@x"),
        ] {
            assert_eq!(without_user(url), shown);
        }
    }
}
