//! Commands of a peer in messages, so that a person can type them as they are shown.
//!
//! In scope: quotes around a name with blanks or quotes, `--` before a name that looks like an
//! option. Out of scope: which command a message names.

use super::escape;
use std::borrow::Cow;

/// The text of a command with these operands and options. The prompt of a peer, and sh, read it
/// back as the same words.
pub fn command_text(command: &str, operands: &[&str], options: &[&str]) -> String {
    let looks_like_option = operands.iter().any(|operand| operand.starts_with("--"));
    let operands = operands.iter().map(|operand| quoted(operand));
    let options = options.iter().map(|option| Cow::Borrowed(*option));
    let mut words = vec![Cow::Borrowed(command)];
    if looks_like_option {
        words.extend(options.chain([Cow::Borrowed("--")]).chain(operands));
    } else {
        words.extend(operands.chain(options));
    }
    words.join(" ")
}

/// Whether a person can type this name as it is shown on a terminal.
pub fn can_be_typed(name: &str) -> bool {
    matches!(escape(name), Cow::Borrowed(_))
}

fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain =
        |character: char| character.is_alphanumeric() || "._-+,:@%/=".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return Cow::Borrowed(word);
    }
    if !word.contains('\'') {
        return Cow::Owned(format!("'{word}'"));
    }
    let mut text = String::from("\"");
    for character in word.chars() {
        if matches!(character, '"' | '\\' | '$' | '`') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_if_they_need_it() {
        for (name, text) in [
            ("disk.img", "stop_share lab disk.img --here"),
            ("Grüße-世界+1.txt", "stop_share lab Grüße-世界+1.txt --here"),
            ("a b", "stop_share lab 'a b' --here"),
            ("it's", "stop_share lab \"it's\" --here"),
            (
                "\"it's\" \\ $5",
                "stop_share lab \"\\\"it's\\\" \\\\ \\$5\" --here",
            ),
            ("a\\\"b", "stop_share lab 'a\\\"b' --here"),
            ("~", "stop_share lab '~' --here"),
            ("", "stop_share lab '' --here"),
            ("--all x", "stop_share --here -- lab '--all x'"),
        ] {
            assert_eq!(
                command_text("stop_share", &["lab", name], &["--here"]),
                text
            );
        }
        assert_eq!(command_text("wait", &[], &[]), "wait");
        assert_eq!(command_text("cancel", &["--x"], &[]), "cancel -- --x");
    }

    #[test]
    fn names_that_a_terminal_shows_escaped_cannot_be_typed() {
        assert!(can_be_typed("a 'b' \"c\" \\ ü"));
        assert!(!can_be_typed("a\nb") && !can_be_typed("\u{202e}x"));
    }
}
