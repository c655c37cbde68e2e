//! For a mistyped word, finds the command or option that the user probably meant.

/// The word of `known` with the smallest edit distance to `typed`. `None` if that distance is more
/// than 3, or more than half of the length of the known word.
pub(in crate::cli) fn nearest<'a>(
    typed: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let words = known.map(|word| (distance(&typed, word), word));
    let best = words.min_by_key(|(distance, _)| *distance);
    best.filter(|(distance, word)| *distance <= 3 && *distance * 2 <= word.len())
        .map(|(_, word)| word)
}

/// The Levenshtein distance between `name` and the first 64 characters of `typed`. The limit of 64
/// bounds the work.
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
    fn a_mistyped_word_is_found() {
        let known = ["send", "download", "show_downloads", "--only", "--force"];
        for (typed, meant) in [
            ("sned", Some("send")),
            ("DOWNLOAD", Some("download")),
            ("show_download", Some("show_downloads")),
            ("--onyl", Some("--only")),
            ("", None),
            ("ls", None),
            ("frobnicate", None),
        ] {
            assert_eq!(nearest(typed, known.into_iter()), meant, "{typed}");
        }
    }
}
