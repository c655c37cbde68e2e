//! Finds the command that was probably meant by a mistyped one.

use super::table::entries;

/// The command with the smallest edit distance: at most 3, and at most half of the name's length.
pub(super) fn nearest(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    let names = entries().map(|entry| (distance(&word, entry.name), entry.name));
    let best = names.min_by_key(|(distance, _)| *distance);
    best.filter(|(distance, name)| *distance <= 3 && *distance * 2 <= name.len())
        .map(|(_, name)| name)
}

/// The Levenshtein distance to the first 64 characters of `typed`, which bounds the work.
fn distance(typed: &str, name: &str) -> usize {
    let typed: String = typed.chars().take(64).collect();
    strsim::levenshtein(&typed, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshtein_distances() {
        for (typed, name, expected) in [
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("wiat", "wait", 2),
        ] {
            assert_eq!(distance(typed, name), expected);
        }
    }

    #[test]
    fn a_mistyped_command_is_found() {
        for (typed, meant) in [
            ("sned", Some("send")),
            ("DOWNLOAD", Some("download")),
            ("show_download", Some("show_downloads")),
            ("exti", Some("exit")),
            ("", None),
            ("ls", None),
            ("frobnicate", None),
        ] {
            assert_eq!(nearest(typed), meant, "{typed}");
        }
    }
}
