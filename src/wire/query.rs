//! Query strings of HTTP announces and scrapes: `key=value` pairs with `%`-escapes (RFC 3986,
//! section 2.1).
//!
//! In scope: splitting and unescaping, without allocation. Out of scope: the meaning of the keys.

use crate::base::hex;

/// Why a query string is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A `%` without two hex digits after it.
    #[error("the query has a malformed %-escape")]
    Escape,
    /// A part between two `&` that has no `=`.
    #[error("the query has a part without =")]
    NoValue,
}

/// The pairs of `query`, still escaped. Empty parts between two `&` are ignored.
///
/// # Errors
/// [`QueryError::Escape`] for a malformed escape anywhere. An item is [`QueryError::NoValue`] if it
/// has no `=`.
pub(super) fn pairs(
    query: &str,
) -> Result<impl Iterator<Item = Result<(&str, &str), QueryError>>, QueryError> {
    let is_well_formed = query.split('%').skip(1).all(|after| {
        matches!(after.as_bytes(), [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
    });
    if !is_well_formed {
        return Err(QueryError::Escape);
    }
    Ok(query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').ok_or(QueryError::NoValue)))
}

/// The unescaped bytes of `value`. A `+` is a blank, as in HTML forms. Clients escape a plus.
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

/// The unescaped bytes of `value`, or `None` if there are not exactly 20.
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
    fn each_kind_of_malformed_query_has_its_own_error() {
        let all = |query: &str| -> Result<Vec<_>, QueryError> {
            pairs(query)?
                .map(|pair| pair.map(|(k, v)| format!("{k}:{v}")))
                .collect()
        };
        assert_eq!(all("a=1&&b=&"), Ok(vec!["a:1".into(), "b:".into()]));
        assert_eq!(all("a=%41=%42"), Ok(vec!["a:%41=%42".into()]));
        assert_eq!(all(""), Ok(vec![]));
        for escape in ["a=%", "a=%4", "a=%4&b=1", "a=%g0", "%=1", "a=%%41", "a=%4é"] {
            assert_eq!(all(escape), Err(QueryError::Escape), "{escape}");
        }
        for bare in ["a", "a=1&b", "?"] {
            assert_eq!(all(bare), Err(QueryError::NoValue), "{bare}");
        }
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
            prop_assert!(pairs(&query).unwrap().all(|pair| pair == Ok(("a", text.as_str()))));
            prop_assert_eq!(unescaped(&text).collect::<Vec<_>>(), bytes);
        }
    }
}
