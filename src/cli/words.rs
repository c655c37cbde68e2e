//! Splits a line of input into words.
//!
//! In scope: blanks between words, quotes and backslash as in sh (POSIX shell, section 2.2);
//! comments; `~/` at a prompt. No other character is special: `$` and `*` are ordinary. Out of
//! scope: the meaning of the words.

/// Why a line cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SplitWordsError {
    /// A quote without a closing quote.
    #[error("the quote {0} is not closed; close it, or write \\{0} for the character itself")]
    Unclosed(char),
    /// A backslash at the end of the line.
    #[error("the line ends with a backslash; write \\\\ for the character itself")]
    Backslash,
}

/// Splits `line` into words. A pair of quotes with nothing in it and nothing next to it is an empty
/// word. A line whose first character is `#` is a comment and has no words.
///
/// # Errors
/// See [`SplitWordsError`].
pub(super) fn split(line: &str) -> Result<Vec<String>, SplitWordsError> {
    split_with_home(line, None)
}

/// Like [`split`]. If `home` is known, it replaces the `~` of an unquoted `~/` at the start of a
/// word.
///
/// # Errors
/// See [`SplitWordsError`].
pub(super) fn split_with_home(
    line: &str,
    home: Option<&str>,
) -> Result<Vec<String>, SplitWordsError> {
    if line.starts_with('#') {
        return Ok(Vec::new());
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => push_single_quoted(&mut characters, word.get_or_insert_default())?,
            '"' => push_double_quoted(&mut characters, word.get_or_insert_default())?,
            '\\' => {
                let next = characters.next().ok_or(SplitWordsError::Backslash)?;
                word.get_or_insert_default().push(next);
            }
            '~' if word.is_none() && characters.as_str().starts_with('/') => {
                word = Some(home.unwrap_or("~").to_owned());
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Appends to `word` the characters up to the closing quote.
fn push_single_quoted(
    characters: &mut impl Iterator<Item = char>,
    word: &mut String,
) -> Result<(), SplitWordsError> {
    loop {
        match characters.next().ok_or(SplitWordsError::Unclosed('\''))? {
            '\'' => return Ok(()),
            other => word.push(other),
        }
    }
}

/// Like [`push_single_quoted`], but for double quotes: between these, a backslash escapes only the
/// characters that are special there in sh.
fn push_double_quoted(
    characters: &mut impl Iterator<Item = char>,
    word: &mut String,
) -> Result<(), SplitWordsError> {
    let unclosed = SplitWordsError::Unclosed('"');
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
                "1# #2 $HOME *.iso ~ ~/x a;b|c",
                &["1#", "#2", "$HOME", "*.iso", "~", "~/x", "a;b|c"],
            ),
            ("# it's a comment", &[]),
            (" #x", &["#x"]),
            ("'#x'", &["#x"]),
            ("ü\u{a0}x", &["ü\u{a0}x"]),
        ];
        for (line, words) in table {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(split(line), Ok(words), "{line}");
        }
    }

    #[test]
    fn only_an_unquoted_tilde_and_slash_at_the_start_of_a_word_mean_the_home_folder() {
        let line = r"~/a ~/'b c' '~/d' \~/e f~/g ~ ~nik/h --only=~/i ''~/j";
        let words = [
            "/h m/a",
            "/h m/b c",
            "~/d",
            "~/e",
            "f~/g",
            "~",
            "~nik/h",
            "--only=~/i",
            "~/j",
        ];
        let words = words.map(str::to_owned).to_vec();
        assert_eq!(split_with_home(line, Some("/h m")), Ok(words));
    }

    #[test]
    fn an_open_quote_or_a_backslash_at_the_end_is_an_error() {
        for (line, error) in [
            ("send 'a", SplitWordsError::Unclosed('\'')),
            ("send \"a", SplitWordsError::Unclosed('"')),
            ("send \"a\\\"", SplitWordsError::Unclosed('"')),
            ("send a\\", SplitWordsError::Backslash),
        ] {
            assert_eq!(split(line), Err(error), "{line}");
        }
    }
}
