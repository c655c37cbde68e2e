//! Query strings of HTTP announces and scrapes: `key=value` pairs with `%`-escapes (RFC 3986,
//! section 2.1).
//!
//! In scope: splitting and unescaping, without allocation. Out of scope: the meaning of the keys.
//! Other clients add keys of their own, so only the values that are read must be well-formed.

use crate::base::hex;

/// Why a query string is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A `%` without two hex digits after it.
    #[error("the query has a malformed %-escape")]
    Escape,
}

/// The pairs of `query`, still escaped. A key without `=` has an empty value. Empty parts between
/// two `&` are ignored.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Checks the escapes of a value.
///
/// # Errors
/// [`QueryError::Escape`] if a `%` is not followed by two hex digits.
pub(super) fn check_escapes(value: &str) -> Result<(), QueryError> {
    let is_well_formed = value.split('%').skip(1).all(|after| {
        matches!(after.as_bytes(), [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
    });
    is_well_formed.then_some(()).ok_or(QueryError::Escape)
}

/// The unescaped bytes of `value`, which must have passed [`check_escapes`]. A `+` is a blank, as
/// in HTML forms; a plus is sent as `%2B`.
pub(super) fn unescaped(value: &str) -> impl Iterator<Item = u8> {
    let mut bytes = value.bytes();
    std::iter::from_fn(move || {
        Some(match bytes.next()? {
            b'%' => hex::byte([bytes.next()?, bytes.next()?])?,
            b'+' => b' ',
            byte => byte,
        })
    })
}

/// The unescaped bytes of `value`, which must have passed [`check_escapes`]. `None` if there are
/// not exactly 20.
pub(super) fn twenty_bytes(value: &str) -> Option<[u8; 20]> {
    let mut out = [0; 20];
    let mut bytes = unescaped(value);
    for byte in &mut out {
        *byte = bytes.next()?;
    }
    bytes.next().is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::percent::escape_into;
    use proptest::prelude::*;

    #[test]
    fn a_query_is_split_into_pairs_and_escapes_are_checked() {
        let all = |query: &str| {
            pairs(query)
                .map(|(k, v)| format!("{k}:{v} "))
                .collect::<String>()
        };
        assert_eq!(all("a=1&&b=&c&"), "a:1 b: c: ");
        assert_eq!(all("a=%41=%42"), "a:%41=%42 ");
        assert_eq!(all(""), "");
        for escape in ["%", "%4", "%4&b=1", "%g0", "%%41", "%4é"] {
            assert_eq!(check_escapes(escape), Err(QueryError::Escape), "{escape}");
        }
        assert_eq!(check_escapes("%00a%ff+"), Ok(()));
    }

    #[test]
    fn a_value_that_is_not_twenty_bytes_is_refused() {
        assert_eq!(
            twenty_bytes("a%62+%2bcccccccccccccccc"),
            Some(*b"ab +cccccccccccccccc")
        );
        assert_eq!(twenty_bytes(&"a".repeat(19)), None);
        assert_eq!(twenty_bytes(&"%00".repeat(21)), None);
    }

    proptest! {
        #[test]
        fn unescaping_reverses_escaping(bytes: Vec<u8>) {
            let mut text = String::new();
            escape_into(&bytes, &mut text);
            let query = format!("a={text}");
            prop_assert!(pairs(&query).all(|pair| pair == ("a", text.as_str())));
            prop_assert_eq!(check_escapes(&text), Ok(()));
            prop_assert_eq!(unescaped(&text).collect::<Vec<_>>(), bytes);
        }
    }
}
