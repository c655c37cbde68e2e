//! What Tab offers at the prompt: commands, then what the command's argument names.

use super::commands::{What, entries};
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells the names of downloads that can be cancelled.
pub(super) type Names = Box<dyn Fn() -> Vec<String> + Send>;

/// What the prompt knows while a line is typed.
pub(super) struct Typing {
    files: FilenameCompleter,
    downloads: Names,
    typed: AtomicBool,
    hidden: AtomicBool,
}

impl Typing {
    /// Completes names of downloads by asking `downloads`.
    pub(super) fn new(downloads: Names) -> Self {
        Self {
            files: FilenameCompleter::new(),
            downloads,
            typed: AtomicBool::new(false),
            hidden: AtomicBool::new(false),
        }
    }

    /// A new line begins.
    pub(super) fn begin_line(&self) {
        self.typed.store(false, Ordering::Relaxed);
    }

    /// Whether what is typed is kept from view.
    pub(super) fn hide(&self, hidden: bool) {
        self.hidden.store(hidden, Ordering::Relaxed);
    }

    fn is_hidden(&self) -> bool {
        self.hidden.load(Ordering::Relaxed)
    }

    /// Whether the line holds anything.
    pub(super) fn has_typed(&self) -> bool {
        self.typed.load(Ordering::Relaxed)
    }

    /// Where the word at the end of `before` starts, and what it could be; `None` if it names a file or nothing known.
    fn words(&self, before: &str) -> Option<(usize, Vec<Pair>)> {
        let start = before.rfind([' ', '\t']).map_or(0, |blank| blank + 1);
        let (earlier, word) = before.split_at(start);
        let mut earlier = earlier.split_whitespace();
        let candidates: Vec<String> = match earlier.next() {
            None => entries().map(|entry| entry.name.to_owned()).collect(),
            Some(command) => match what(command, earlier.count())? {
                What::Command => entries().map(|entry| entry.name.to_owned()).collect(),
                What::Download => (self.downloads)().iter().map(|name| quote(name)).collect(),
                What::Path => return None,
                What::Other | What::Secret => Vec::new(),
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

/// What the argument number `at` of `command` names.
fn what(command: &str, at: usize) -> Option<What> {
    let entry = entries().find(|entry| entry.name == command)?;
    Some(
        entry
            .arguments
            .get(at)
            .map_or(What::Other, |argument| argument.what),
    )
}

/// A name as one word of a line.
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

impl Completer for Typing {
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
        match self.words(before) {
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

impl Hinter for Typing {
    type Hint = String;

    /// Called whenever the line has changed; shows nothing.
    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        self.typed.store(!line.is_empty(), Ordering::Relaxed);
        None
    }
}

impl Highlighter for Typing {
    /// What is hidden is shown as nothing, as wide as it is.
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

impl Validator for Typing {}
impl Helper for Typing {}

impl fmt::Debug for Typing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typing")
    }
}

#[cfg(test)]
mod tests {
    use super::super::words;
    use super::*;

    fn offered(line: &str) -> Option<(usize, Vec<String>)> {
        let typing = Typing::new(Box::new(|| {
            vec!["a b".into(), "it's".into(), "x\x1b".into()]
        }));
        let (start, pairs) = typing.words(line)?;
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
    fn a_quoted_name_is_read_back() {
        for name in ["a b", "it's", "a\\b\"c", "plain"] {
            assert_eq!(words::split(&quote(name)), Ok(vec![name.to_owned()]));
        }
    }
}
