//! A line of input split into words.
//!
//! In scope: blanks between words, quotes and backslash as in sh (POSIX shell, section 2.2). No other character is
//! special: `#`, `$` and `*` are ordinary. Out of scope: what the words mean.

/// Why a line cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WordsError {
    /// A quote without its partner.
    #[error("the quote {0} is not closed")]
    Unclosed(char),
    /// Nothing follows the last backslash.
    #[error("nothing follows the backslash at the end")]
    Backslash,
}

/// Splits `line` into words; a pair of quotes makes a word even if it holds nothing.
///
/// # Errors
/// See [`WordsError`].
pub(super) fn split(line: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => quoted(&mut characters, word.get_or_insert_default())?,
            '"' => double_quoted(&mut characters, word.get_or_insert_default())?,
            '\\' => {
                let next = characters.next().ok_or(WordsError::Backslash)?;
                word.get_or_insert_default().push(next);
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(
    characters: &mut impl Iterator<Item = char>,
    word: &mut String,
) -> Result<(), WordsError> {
    loop {
        match characters.next().ok_or(WordsError::Unclosed('\''))? {
            '\'' => return Ok(()),
            other => word.push(other),
        }
    }
}

/// Between double quotes a backslash quotes only what would be special there in sh.
fn double_quoted(
    characters: &mut impl Iterator<Item = char>,
    word: &mut String,
) -> Result<(), WordsError> {
    let unclosed = WordsError::Unclosed('"');
    loop {
        match characters.next().ok_or(unclosed)? {
            '"' => return Ok(()),
            '\\' => match characters.next().ok_or(unclosed)? {
                special @ ('"' | '\\' | '$' | '`') => word.push(special),
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_in_sh() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            (" \t\r", &[]),
            ("send a.iso", &["send", "a.iso"]),
            ("  send\t a\\ b  ", &["send", "a b"]),
            ("send 'a  b'\"c d\"e", &["send", "a  bc de"]),
            ("''", &[""]),
            ("a \"\" b", &["a", "", "b"]),
            (r"'a\b'", &[r"a\b"]),
            (r#""a\"b\\c\d\$""#, &[r#"a"b\c\d$"#]),
            ("it\\'s", &["it's"]),
            (r#""it's""#, &["it's"]),
            (
                "#1 $HOME *.iso ~ a;b|c",
                &["#1", "$HOME", "*.iso", "~", "a;b|c"],
            ),
            ("ü\u{a0}x", &["ü\u{a0}x"]),
        ];
        for (line, words) in table {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(split(line), Ok(words), "{line}");
        }
    }

    #[test]
    fn what_is_not_closed_is_an_error() {
        for (line, error) in [
            ("send 'a", WordsError::Unclosed('\'')),
            ("send \"a", WordsError::Unclosed('"')),
            ("send \"a\\\"", WordsError::Unclosed('"')),
            ("send a\\", WordsError::Backslash),
        ] {
            assert_eq!(split(line), Err(error), "{line}");
        }
    }
}
