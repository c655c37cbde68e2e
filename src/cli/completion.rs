//! Completion at the prompt: Tab offers commands, then values for the command's arguments.

use super::commands::{ArgumentKind, entries};
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Returns the names of the downloads that can be cancelled.
pub(super) type DownloadNames = Box<dyn Fn() -> Vec<String> + Send>;

/// Completes the line that is being typed, and hides passwords.
pub(super) struct PromptHelper {
    files: FilenameCompleter,
    downloads: DownloadNames,
    has_text: AtomicBool,
    hidden: AtomicBool,
}

impl PromptHelper {
    /// A helper that takes the names of downloads from `downloads`.
    pub(super) fn new(downloads: DownloadNames) -> Self {
        Self {
            files: FilenameCompleter::new(),
            downloads,
            has_text: AtomicBool::new(false),
            hidden: AtomicBool::new(false),
        }
    }

    /// Prepares for a new, empty line.
    pub(super) fn begin_line(&self) {
        self.has_text.store(false, Ordering::Relaxed);
    }

    /// Hides the text that is typed, or shows it again.
    pub(super) fn set_hidden(&self, hidden: bool) {
        self.hidden.store(hidden, Ordering::Relaxed);
    }

    fn is_hidden(&self) -> bool {
        self.hidden.load(Ordering::Relaxed)
    }

    /// Whether the line has any text.
    pub(super) fn has_text(&self) -> bool {
        self.has_text.load(Ordering::Relaxed)
    }

    /// The start of the last word of `before`, and its possible completions. `None` if the word is
    /// a path, or an argument of an unknown command.
    fn complete_word(&self, before: &str) -> Option<(usize, Vec<Pair>)> {
        let start = before.rfind([' ', '\t']).map_or(0, |blank| blank + 1);
        let (earlier, word) = before.split_at(start);
        let mut earlier = earlier.split_whitespace();
        let candidates: Vec<String> = match earlier.next() {
            None => entries().map(|entry| entry.name.to_owned()).collect(),
            Some(command) => match argument_kind(command, earlier.count())? {
                ArgumentKind::Command => entries().map(|entry| entry.name.to_owned()).collect(),
                ArgumentKind::Download => {
                    (self.downloads)().iter().map(|name| quote(name)).collect()
                }
                ArgumentKind::Path => return None,
                ArgumentKind::Other | ArgumentKind::Secret => Vec::new(),
            },
        };
        let fitting = candidates
            .into_iter()
            .filter(|candidate| candidate.starts_with(word));
        let pairs = fitting.map(|candidate| Pair {
            display: candidate.clone(),
            replacement: format!("{candidate} "),
        });
        Some((start, pairs.collect()))
    }
}

/// The kind of the argument at position `at` of `command`; `None` if there is no such command.
fn argument_kind(command: &str, at: usize) -> Option<ArgumentKind> {
    let entry = entries().find(|entry| entry.name == command)?;
    Some(
        entry
            .arguments
            .get(at)
            .map_or(ArgumentKind::Other, |argument| argument.kind),
    )
}

/// Quotes a name so that it is one word of a line.
fn quote(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len());
    for character in name.chars() {
        if matches!(character, ' ' | '\t' | '\'' | '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    super::escape::escape(&quoted).into_owned()
}

impl Completer for PromptHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        if self.is_hidden() {
            return Ok((position, Vec::new()));
        }
        let before = line.get(..position).unwrap_or_default();
        match self.complete_word(before) {
            Some(found) => Ok(found),
            None => {
                let (start, mut files) = self.files.complete_path(line, position)?;
                let is_quoted = before
                    .get(..start)
                    .is_some_and(|left| left.ends_with(['"', '\'']));
                if let [only] = files.as_mut_slice()
                    && !only.replacement.ends_with('/')
                    && !is_quoted
                {
                    only.replacement.push(' ');
                }
                Ok((start, files))
            }
        }
    }
}

impl Hinter for PromptHelper {
    type Hint = String;

    /// Notes whether the line has text: the editor calls this after each change. Shows no hint.
    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        self.has_text.store(!line.is_empty(), Ordering::Relaxed);
        None
    }
}

impl Highlighter for PromptHelper {
    /// Shows hidden text as blanks of the same width.
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.is_hidden() {
            Cow::Owned(" ".repeat(line.chars().count()))
        } else {
            Cow::Borrowed(line)
        }
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        self.is_hidden()
    }
}

impl Validator for PromptHelper {}
impl Helper for PromptHelper {}

impl fmt::Debug for PromptHelper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromptHelper").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::words;
    use super::*;

    fn offered(line: &str) -> Option<(usize, Vec<String>)> {
        let helper = PromptHelper::new(Box::new(|| {
            vec!["a b".into(), "it's".into(), "x\x1b".into()]
        }));
        let (start, pairs) = helper.complete_word(line)?;
        Some((
            start,
            pairs.into_iter().map(|pair| pair.replacement).collect(),
        ))
    }

    #[test]
    fn commands_and_downloads_are_offered() {
        let strings = |list: &[&str]| {
            list.iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            offered("sh"),
            Some((0, strings(&["show_downloads ", "show_peers "])))
        );
        assert_eq!(offered("help qu"), Some((5, strings(&["quit "]))));
        assert_eq!(offered("cancel a"), Some((7, strings(&["a\\ b "]))));
        assert_eq!(offered("cancel x"), Some((7, strings(&["x\\u{1b} "]))));
        assert_eq!(offered("wait 1"), Some((5, Vec::new())));
        assert_eq!(offered("cancel a b"), Some((9, Vec::new())));
        for files in [
            "send ",
            "download a",
            "torrent -setMode send a",
            "nonsense a",
        ] {
            assert_eq!(offered(files), None, "{files}");
        }
    }

    #[test]
    fn a_quoted_name_is_one_word_again() {
        for name in ["a b", "it's", "a\\b\"c", "plain"] {
            assert_eq!(words::split(&quote(name)), Ok(vec![name.to_owned()]));
        }
    }
}
