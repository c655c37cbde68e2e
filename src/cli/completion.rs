//! Completion at the prompt: Tab offers commands, then values for the command's arguments.
//!
//! Names come from other users. Characters that a terminal would act on are shown escaped and never
//! inserted.

use super::commands::{ArgumentKind, entries};
use super::words;
use crate::base::escape;
use crate::wire::role::Role;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// The maximum number of candidates that are offered. The editor cannot show more than 65,535.
const MAX_CANDIDATES: usize = 10_000;

/// Returns the names that are offered for an argument of this kind. The text is the group that was
/// typed before the argument, if there is one.
pub(super) type OfferedNames = Box<dyn Fn(ArgumentKind, Option<&str>) -> Vec<String> + Send>;

/// Completes the line that is being typed, and hides passwords.
pub(super) struct PromptHelper {
    files: FilenameCompleter,
    names: OfferedNames,
    has_text: AtomicBool,
    hidden: AtomicBool,
}

impl PromptHelper {
    /// A helper that takes names of everything but commands and paths from `names`.
    pub(super) fn new(names: OfferedNames) -> Self {
        Self {
            files: FilenameCompleter::new(),
            names,
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

    /// `before` is the line up to the cursor. Returns where its last word starts, and the possible
    /// completions of that word; `None` if the word is a path, or an argument of an unknown
    /// command.
    fn complete_word(&self, before: &str) -> Option<(usize, Vec<Pair>)> {
        let word = LastWord::of(before);
        let earlier = words::split(before.get(..word.start)?).ok()?;
        let commands = || entries().map(|entry| entry.name.to_owned()).collect();
        let candidates: Vec<String> = match earlier.split_first() {
            None => commands(),
            Some((command, arguments)) => match argument_kind(command, arguments.len())? {
                ArgumentKind::Command => commands(),
                ArgumentKind::Path => return None,
                ArgumentKind::Role => Role::ALL.iter().map(|role| role.as_str().into()).collect(),
                kind => {
                    let group = arguments.first().map(String::as_str);
                    (self.names)(kind, group)
                }
            },
        };
        let fitting = candidates
            .iter()
            .filter(|candidate| candidate.starts_with(&word.text));
        let pairs = fitting.take(MAX_CANDIDATES).map(|candidate| Pair {
            display: escape(candidate).into_owned(),
            replacement: word.completed(candidate),
        });
        Some((word.start, pairs.collect()))
    }
}

/// The kind of the argument at position `at` of `command`; `None` if there is no such command.
fn argument_kind(command: &str, at: usize) -> Option<ArgumentKind> {
    let entry = entries().find(|entry| entry.name == command)?;
    Some(
        entry
            .argument(at)
            .map_or(ArgumentKind::Other, |argument| argument.kind),
    )
}

/// The word that is being typed.
struct LastWord {
    /// Where it starts in the line.
    start: usize,
    /// Its text so far, without quotes.
    text: String,
    /// The quote that is open.
    quote: Option<char>,
}

impl LastWord {
    /// The last word of a line; empty if the line ends with a blank. For the grammar see `words`.
    fn of(line: &str) -> Self {
        let (mut start, mut text, mut quote) = (None, String::new(), None);
        let mut characters = line.char_indices();
        while let Some((at, character)) = characters.next() {
            match (quote, character) {
                (None, ' ' | '\t') => {
                    start = None;
                    text.clear();
                    continue;
                }
                (None, '\'' | '"') => quote = Some(character),
                (Some(open), _) if open == character => quote = None,
                (None | Some('"'), '\\') => text.extend(characters.next().map(|(_, next)| next)),
                _ => text.push(character),
            }
            start.get_or_insert(at);
        }
        Self {
            start: start.unwrap_or(line.len()),
            text,
            quote,
        }
    }

    /// The word to insert for a name, with the quotes that it needs. If a terminal would act on a
    /// character of the name: only the part before that character.
    fn completed(&self, name: &str) -> String {
        let safe = harmless(name);
        let is_all = safe.len() == name.len();
        // Single quotes cannot contain a single quote: such a name gets backslashes instead.
        match self
            .quote
            .filter(|quote| *quote == '"' || !name.contains('\''))
        {
            None => {
                with_backslashes(safe, &[' ', '\t', '\'', '"', '\\'])
                    + if is_all { " " } else { "" }
            }
            Some(open) => {
                let special: &[char] = if open == '"' {
                    &['"', '\\', '$', '`']
                } else {
                    &[]
                };
                let text = with_backslashes(safe, special);
                let end = if is_all {
                    format!("{open} ")
                } else {
                    String::new()
                };
                format!("{open}{text}{end}")
            }
        }
    }
}

/// The text with a backslash before each of these characters.
fn with_backslashes(text: &str, special: &[char]) -> String {
    let mut quoted = String::with_capacity(text.len());
    for character in text.chars() {
        if special.contains(&character) {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}

/// The text before the first character that a terminal would act on or hide.
fn harmless(text: &str) -> &str {
    let escaped = escape(text);
    let mut both = text.char_indices().zip(escaped.chars());
    let end = both.find(|((_, character), shown)| character != shown);
    let end = end.map_or(text.len(), |((at, _), _)| at);
    text.get(..end).unwrap_or_default()
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
                files.truncate(MAX_CANDIDATES);
                let is_quoted = before
                    .get(..start)
                    .is_some_and(|earlier| earlier.ends_with(['"', '\'']));
                let is_only = files.len() == 1;
                for file in &mut files {
                    file.display = escape(&file.display).into_owned();
                    let safe = harmless(&file.replacement).len();
                    if safe < file.replacement.len() {
                        file.replacement.truncate(safe);
                    } else if is_only && !file.replacement.ends_with('/') && !is_quoted {
                        file.replacement.push(' ');
                    }
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
    /// Shows a blank for each character of hidden text.
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
    use super::*;

    fn offered(line: &str) -> Option<(usize, Vec<String>)> {
        let names = ["a b", "it's", "x\x1b[2J", "say \"a\""];
        let offered = move |kind: ArgumentKind, _: Option<&str>| match kind {
            ArgumentKind::Download => names.map(str::to_owned).to_vec(),
            _ => Vec::new(),
        };
        let helper = PromptHelper::new(Box::new(offered));
        let (start, pairs) = helper.complete_word(line)?;
        for pair in &pairs {
            assert!(!pair.display.contains('\x1b') && !pair.replacement.contains('\x1b'));
        }
        Some((
            start,
            pairs.into_iter().map(|pair| pair.replacement).collect(),
        ))
    }

    #[test]
    fn commands_and_downloads_are_offered() {
        for (line, start, words) in [
            ("sh", 0, &["show_downloads ", "show_peers "][..]),
            ("help qu", 5, &["quit "]),
            ("cancel a", 7, &["a\\ b "]),
            ("cancel a\\ b", 7, &["a\\ b "]),
            ("cancel 'a ", 7, &["'a b' "]),
            ("cancel \"sa", 7, &["\"say \\\"a\\\"\" "]),
            ("cancel 'it", 7, &["it\\'s "]),
            ("cancel x", 7, &["x"]),
            ("wait 1", 5, &[]),
            ("cancel a b", 9, &[]),
            ("list_files ", 11, &[]),
        ] {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(offered(line), Some((start, words)), "{line}");
        }
        // In these lines, `PromptHelper::complete` completes the word as a path.
        for line in [
            "send ",
            "download a",
            "torrent -setMode send a",
            "nonsense a",
        ] {
            assert_eq!(offered(line), None, "{line}");
        }
    }

    #[test]
    fn a_completed_name_is_read_as_one_word() {
        for name in ["a b", "it's", "a\\b\"c", "plain", "$`x"] {
            for typed in ["", "\"", "'"] {
                let completed = LastWord::of(typed).completed(name);
                assert_eq!(
                    words::split(&completed),
                    Ok(vec![name.to_owned()]),
                    "{typed}"
                );
            }
        }
    }
}
