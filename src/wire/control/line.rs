//! One line of text for a person. It is safe to send and to show on a terminal.

use std::fmt;

/// Maximum length of a [`TextLine`] in bytes.
const MAX_LINE_BYTES: usize = 800;

/// At most 800 bytes of text without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLine(String);

impl TextLine {
    /// `text` with each control character replaced by U+FFFD, cut to 800 bytes.
    pub fn new(text: &str) -> Self {
        let mut line = String::new();
        for character in text.chars() {
            let printable = if character.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                character
            };
            if line.len() + printable.len_utf8() > MAX_LINE_BYTES {
                break;
            }
            line.push(printable);
        }
        Self(line)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TextLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced_and_the_length_is_bounded() {
        assert_eq!(
            TextLine::new("a\nb\x1b[2J").as_str(),
            "a\u{fffd}b\u{fffd}[2J"
        );
        let long = TextLine::new(&"\u{e9}\0".repeat(1000));
        assert_eq!(long.as_str().len(), MAX_LINE_BYTES);
        assert_eq!(TextLine::new(long.as_str()), long);
        assert_eq!(TextLine::new(&"\u{20ac}".repeat(1000)).as_str().len(), 798);
    }
}
