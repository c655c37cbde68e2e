//! Patterns that choose files of a share by their paths.
//!
//! | in a pattern | matches |
//! |---|---|
//! | `?` | one character except `/` |
//! | `*` | any number of characters except `/` |
//! | `**` | any number of any characters |
//! | `**/` at the start or after `/` | any number of folders, also none |
//! | `/` at the end | everything in that folder and below |
//! | any other character | itself |
//!
//! A pattern without `/` is compared only with the last name of a path. So the file may be in any
//! folder.

use super::FilePath;
use std::fmt;
use std::str::FromStr;

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 1_024;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    pattern: String,
    parts: Vec<Part>,
    compares_only_last_name: bool,
}

/// Why text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// The text is empty.
    #[error("the pattern is empty")]
    Empty,
    /// More than 1,024 bytes.
    #[error("a pattern has at most {MAX_PATTERN} bytes")]
    TooLong,
    /// It starts with `/`, which no path of a share does.
    #[error("a pattern is compared with paths inside the share and does not start with /")]
    Absolute,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// This character.
    Exactly(char),
    /// `?`
    AnyOne,
    /// `*`
    AnyInName,
    /// `**`
    AnyInPath,
    /// `**/`
    AnyFolders,
}

impl Glob {
    /// Whether the pattern chooses a file with this path.
    pub fn matches(&self, path: &FilePath) -> bool {
        let names = path.components().iter().map(|name| name.as_str());
        let names: Vec<&str> = names.collect();
        let text = match (self.compares_only_last_name, names.last()) {
            (true, Some(last_name)) => (*last_name).to_owned(),
            _ => names.join("/"),
        };
        self.matches_text(&text)
    }

    /// Whether the pattern matches the text. Follows all ways through the pattern at the same time.
    /// So the time grows at most with the length of the pattern times the length of the text.
    fn matches_text(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        // For each length, whether the parts so far can match that many characters from the start.
        let mut reached = vec![false; text.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        for part in &self.parts {
            let mut next = vec![false; text.len() + 1];
            // Whether a `*` or `**` that began here or earlier can match all characters up to here.
            let mut open = false;
            for (at, slot) in next.iter_mut().enumerate() {
                let matches_here = reached.get(at).is_some_and(|reached| *reached);
                let before = at.checked_sub(1);
                let previous = before.and_then(|at| text.get(at)).copied();
                let matches_before =
                    before.is_some_and(|at| reached.get(at).is_some_and(|reached| *reached));
                open = match part {
                    Part::AnyInName => matches_here || open && previous != Some('/'),
                    _ => matches_here || open,
                };
                *slot = match part {
                    Part::Exactly(character) => matches_before && previous == Some(*character),
                    Part::AnyOne => matches_before && previous != Some('/'),
                    Part::AnyInName | Part::AnyInPath => open,
                    Part::AnyFolders => open && previous.is_none_or(|it| it == '/'),
                };
            }
            reached = next;
        }
        reached.last().is_some_and(|whole| *whole)
    }
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(pattern: &str) -> Result<Self, GlobError> {
        match pattern {
            "" => return Err(GlobError::Empty),
            _ if pattern.len() > MAX_PATTERN => return Err(GlobError::TooLong),
            _ if pattern.starts_with('/') => return Err(GlobError::Absolute),
            _ => {}
        }
        let mut parts = Vec::new();
        let mut characters = pattern.chars().peekable();
        while let Some(character) = characters.next() {
            parts.push(match character {
                '?' => Part::AnyOne,
                '*' if characters.next_if_eq(&'*').is_none() => Part::AnyInName,
                '*' => {
                    while characters.next_if_eq(&'*').is_some() {}
                    let at_name_start = matches!(parts.last(), None | Some(Part::Exactly('/')));
                    match at_name_start && characters.next_if_eq(&'/').is_some() {
                        true => Part::AnyFolders,
                        false => Part::AnyInPath,
                    }
                }
                other => Part::Exactly(other),
            });
        }
        if pattern.ends_with('/') {
            parts.push(Part::AnyInPath);
        }
        Ok(Self {
            pattern: pattern.to_owned(),
            parts,
            compares_only_last_name: !pattern.contains('/'),
        })
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::super::FileName;
    use super::*;
    use std::time::{Duration, Instant};

    fn matches(pattern: &str, path: &str) -> bool {
        let names = path.split('/').map(|name| FileName::new(name).unwrap());
        let path = FilePath::new(names.collect()).unwrap();
        let glob: Glob = pattern.parse().unwrap();
        assert_eq!(glob.to_string(), pattern);
        glob.matches(&path)
    }

    #[test]
    fn patterns_choose_paths() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("a", &["a", "sub/a"], &["b", "aa", "a/b"]),
            (
                "*.txt",
                &["x.txt", ".txt", "a/b/x.txt"],
                &["x.txt2", "a.txt/b"],
            ),
            ("?.bin", &["1.bin", "ü.bin"], &[".bin", "12.bin"]),
            ("**", &["a", "a/b/c"], &[]),
            ("sub/*", &["sub/a"], &["sub/a/b", "a", "other/sub/a"]),
            ("sub/**", &["sub/a", "sub/a/b"], &["sub2/a"]),
            ("sub/", &["sub/a", "sub/a/b"], &["sub"]),
            ("**/b", &["b", "a/b", "a/c/b"], &["ab", "a/bb", "b/a"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a/xb", "ab"]),
            ("a?b/x", &["a-b/x"], &["a/b/x"]),
            ("a*/x", &["abc/x", "a/x"], &["a/b/x"]),
            ("a**x", &["ax", "abcx", "b/ax"], &["xa"]),
            ("[a].{b}", &["[a].{b}"], &["a.b"]),
        ];
        for (pattern, meant, others) in table {
            for path in *meant {
                assert!(matches(pattern, path), "{pattern} {path}");
            }
            for path in *others {
                assert!(!matches(pattern, path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn each_kind_of_bad_pattern_has_its_own_error() {
        for (pattern, error) in [
            ("", GlobError::Empty),
            ("/a", GlobError::Absolute),
            (&"x".repeat(1_025), GlobError::TooLong),
        ] {
            assert_eq!(pattern.parse::<Glob>(), Err(error));
        }
    }

    #[test]
    fn matching_is_fast_for_every_pattern() {
        let begun = Instant::now();
        assert!(!matches(&"*a".repeat(500), &"a".repeat(255)));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
