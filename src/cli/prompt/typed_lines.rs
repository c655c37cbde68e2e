//! Lines that a person types into the line editor: history, completion, Ctrl-C and Ctrl-Z.

use super::next_input::NextInput;
use crate::cli::commands::without_passwords;
use crate::cli::completion::PromptHelper;
use crate::cli::terminal;
use crate::net::Stop;
use crate::system::lock;
use nix::errno::Errno;
use nix::sys::signal::{Signal, raise};
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{
    Cmd, ColorMode, CompletionType, ConditionalEventHandler, Config, Editor, Event, EventContext,
    EventHandler, ExternalPrinter, KeyEvent, RepeatCount,
};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// The number of lines of history that are kept.
const MAX_HISTORY: usize = 1_000;

/// The line editor on the terminal.
pub(super) struct TypedLines {
    editor: Editor<PromptHelper, FileHistory>,
    history: Option<PathBuf>,
    suspended: SuspendedLine,
    stop: Stop,
}

impl TypedLines {
    /// An editor with the history in the file `history`, if it has one, and a printer that writes
    /// lines above the line that is being typed.
    pub(super) fn new(
        history: Option<PathBuf>,
        helper: PromptHelper,
        stop: &Stop,
    ) -> io::Result<(Self, impl ExternalPrinter + Send + use<>)> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .bracketed_paste(false)
            // The highlighter needs this mode to hide passwords.
            .color_mode(ColorMode::Forced)
            .auto_add_history(false)
            .max_history_size(MAX_HISTORY)
            .map_err(io::Error::other)?
            .build();
        let mut editor =
            Editor::<PromptHelper, FileHistory>::with_config(config).map_err(io::Error::other)?;
        editor.set_helper(Some(helper));
        editor.set_history_ignore_space(true);
        let suspended = SuspendedLine::default();
        let on_ctrl_z = EventHandler::Conditional(Box::new(suspended.clone()));
        editor.bind_sequence(KeyEvent::ctrl('Z'), on_ctrl_z);
        // The file does not exist at the first start.
        let _ = history.as_ref().map(|history| editor.load_history(history));
        let printer = editor.create_external_printer().map_err(io::Error::other)?;
        let lines = Self {
            editor,
            history,
            suspended,
            stop: stop.clone(),
        };
        Ok((lines, printer))
    }

    /// Reads a command, which goes into the history without its passwords.
    pub(super) fn read_command(&mut self, prompt: &str) -> NextInput {
        let input = self.read(prompt, true);
        if let NextInput::Line(line) = &input
            && let Some(kept) = without_passwords(line)
        {
            let added = self.editor.add_history_entry(kept);
            if let Some(history) = &self.history
                && let Err(error) = added.and_then(|_| self.editor.append_history(history))
            {
                let path = history.display();
                log::warn!("cannot write the history {path}: {error}");
            }
        }
        input
    }

    /// Reads an answer that is not a command.
    pub(super) fn read_answer(&mut self, question: &str) -> NextInput {
        self.read(question, false)
    }

    /// Reads an answer that is not shown.
    pub(super) fn read_hidden(&mut self, question: &str) -> NextInput {
        self.set_hidden(true);
        let input = self.read(question, false);
        self.set_hidden(false);
        input
    }

    fn set_hidden(&self, hidden: bool) {
        if let Some(helper) = self.editor.helper() {
            helper.set_hidden(hidden);
        }
    }

    /// Reads a line. With `ctrl_c_clears`, Ctrl-C drops the text that was typed and shows the
    /// prompt again, as in a shell. If no text was typed, or without `ctrl_c_clears`, Ctrl-C means
    /// quit. The prompt is shown in the foreground only.
    fn read(&mut self, prompt: &str, ctrl_c_clears: bool) -> NextInput {
        let mut text = String::new();
        loop {
            if !terminal::wait_until_in_foreground(&self.stop) {
                return NextInput::Stopped;
            }
            if let Some(helper) = self.editor.helper() {
                helper.begin_line();
            }
            let read = self.editor.readline_with_initial(prompt, (&text, ""));
            match read {
                Ok(line) => return NextInput::Line(line),
                Err(ReadlineError::Eof) => return NextInput::End,
                Err(ReadlineError::Interrupted) => match lock(&self.suspended.0).take() {
                    // Ctrl-Z was pressed. `raise` returns when the process goes on.
                    Some(typed) => {
                        text = typed;
                        let _ = raise(Signal::SIGTSTP);
                    }
                    // Ctrl-C was pressed.
                    None if ctrl_c_clears && self.has_text() => text.clear(),
                    None => return NextInput::Quit,
                },
                // The process was stopped by another program and goes on in the background.
                Err(error) if is_input_error(&error) && !terminal::is_in_foreground() => {}
                Err(error) => return NextInput::Failed(error.to_string()),
            }
        }
    }

    fn has_text(&self) -> bool {
        self.editor.helper().is_some_and(PromptHelper::has_text)
    }
}

/// The line that was typed when Ctrl-Z was pressed.
#[derive(Clone, Default)]
struct SuspendedLine(Arc<Mutex<Option<String>>>);

impl ConditionalEventHandler for SuspendedLine {
    /// Leaves the editor, so that the terminal has its former settings while the process is stopped
    /// or in the background.
    fn handle(
        &self,
        _: &Event,
        _: RepeatCount,
        _: bool,
        context: &EventContext<'_>,
    ) -> Option<Cmd> {
        *lock(&self.0) = Some(context.line().to_owned());
        Some(Cmd::Interrupt)
    }
}

fn is_input_error(error: &ReadlineError) -> bool {
    match error {
        ReadlineError::Io(error) => error.raw_os_error() == Some(Errno::EIO as i32),
        ReadlineError::Errno(errno) => *errno == Errno::EIO,
        _ => false,
    }
}
