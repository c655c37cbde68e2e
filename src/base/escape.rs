//! Makes text from outside safe for a terminal.
//!
//! In scope: replacing each character that moves the cursor, changes colours, reorders the text or
//! is invisible with an escape, such as `\n` or `\u{1b}`. Out of scope: JSON, which keeps names
//! unchanged.

use std::borrow::Cow;

/// Returns `text` on one line, without characters that a terminal would act on or hide.
pub fn escape(text: &str) -> Cow<'_, str> {
    let mut escaped: Option<String> = None;
    let mut previous = None;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        if must_escape(previous, character, next) {
            let out = escaped.get_or_insert_with(|| text.get(..at).unwrap_or_default().to_owned());
            out.extend(character.escape_default());
        } else if let Some(out) = &mut escaped {
            out.push(character);
        }
        previous = Some(character);
    }
    escaped.map_or(Cow::Borrowed(text), Cow::Owned)
}

fn must_escape(previous: Option<char>, character: char, next: Option<char>) -> bool {
    match character {
        // Between two characters outside ASCII, joiners are part of the spelling of some scripts
        // and of emoji; elsewhere they are only invisible.
        '\u{200c}' | '\u{200d}' => {
            let is_joinable =
                |side: Option<char>| side.is_some_and(|side| !side.is_ascii() && !is_format(side));
            !(is_joinable(previous) && is_joinable(next))
        }
        _ => character.is_control() || is_format(character),
    }
}

/// Whether it is a line or paragraph separator, or a format character (Unicode general category
/// Cf). The bidirectional controls and the joiners are format characters.
fn is_format(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_a_terminal_acts_on_are_escaped() {
        for (text, shown) in [
            ("\x1b[2Jgone", "\\u{1b}[2Jgone"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("invoice\u{202e}fdp.exe", "invoice\\u{202e}fdp.exe"),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
            ("a\u{200d}b", "a\\u{200d}b"),
            ("\u{200d}", "\\u{200d}"),
            ("x\0\x7f", "x\\u{0}\\u{7f}"),
        ] {
            assert_eq!(escape(text), shown);
        }
    }

    #[test]
    fn ordinary_names_are_not_changed() {
        let family = "👩\u{200d}👩\u{200d}👧";
        let persian = "می\u{200c}خواهم";
        for name in [
            "plain.iso",
            "Grüße, 世界 (1).txt",
            "a\\b 'c'",
            family,
            persian,
            "",
        ] {
            assert!(
                matches!(escape(name), Cow::Borrowed(same) if same == name),
                "{name}"
            );
        }
    }
}
