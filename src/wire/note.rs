//! The note of a version of a share: what its publisher says about it.

use std::fmt;
use std::str::FromStr;

/// The most characters of a [`Note`].
pub const MAX_NOTE: usize = 200;

/// One line of text: 1 to [`MAX_NOTE`] characters without control characters and line separators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(String);

/// Why a text is not a note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Empty, or longer than [`MAX_NOTE`].
    #[error("a note must have 1 to {MAX_NOTE} characters, not {0}")]
    Length(usize),
    /// A control character, or a character that ends a line.
    #[error("a note must be one line of text without control characters")]
    Control,
}

impl Note {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let is_forbidden = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        if text.contains(is_forbidden) {
            return Err(NoteError::Control);
        }
        match text.chars().count() {
            1..=MAX_NOTE => Ok(Self(text.to_owned())),
            length => Err(NoteError::Length(length)),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_line_of_bounded_length() {
        let longest = "\u{e9}".repeat(MAX_NOTE);
        for good in ["x", " two words ", "\u{20ac} 3", &longest] {
            assert_eq!(good.parse::<Note>().unwrap().to_string(), good);
        }
        let long = "x".repeat(MAX_NOTE + 1);
        for (bad, error) in [
            ("", NoteError::Length(0)),
            (long.as_str(), NoteError::Length(MAX_NOTE + 1)),
            ("a\nb", NoteError::Control),
            ("\u{1b}[2J", NoteError::Control),
            ("a\u{85}b", NoteError::Control),
            ("a\u{2028}b", NoteError::Control),
        ] {
            assert_eq!(bad.parse::<Note>(), Err(error), "{bad:?}");
        }
    }
}
