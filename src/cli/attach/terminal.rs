//! The screen of an attached client, as the running process uses it.

use super::frames::FrameSender;
use crate::cli::screen::Screen;
use crate::system::lock;
use crate::wire::attach::{AttachReply, Caller, MAX_TEXT};
use indicatif::{ProgressDrawTarget, TermLike};
use std::io;
use std::sync::{Arc, Mutex};

/// Standard output and standard error of the client.
#[derive(Clone, Debug)]
pub(super) struct ClientScreen {
    sender: Arc<FrameSender>,
    is_terminal: bool,
    is_plain: bool,
    columns: u16,
}

impl ClientScreen {
    pub(super) fn new(sender: Arc<FrameSender>, caller: &Caller) -> Self {
        Self {
            sender,
            is_terminal: caller.error_terminal,
            is_plain: caller.plain,
            // A terminal may say 0.
            columns: caller.columns.max(1),
        }
    }

    /// Sends text in parts that fit into a message.
    fn send(&self, text: &[u8], message: fn(Vec<u8>) -> AttachReply) -> io::Result<()> {
        for part in text.chunks(MAX_TEXT) {
            self.sender.send(&message(part.to_vec()).encode())?;
        }
        Ok(())
    }
}

impl Screen for ClientScreen {
    fn write_result(&self, text: &[u8]) -> io::Result<()> {
        self.send(text, AttachReply::Output)
    }

    fn write_error(&self, text: &[u8]) {
        let _ = self.send(text, AttachReply::Error);
    }

    fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    fn is_plain(&self) -> bool {
        self.is_plain
    }

    fn columns(&self) -> usize {
        usize::from(self.columns).clamp(1, 80)
    }

    fn bars(&self) -> ProgressDrawTarget {
        ProgressDrawTarget::term_like(Box::new(ClientTerminal {
            screen: self.clone(),
            text: Mutex::default(),
        }))
    }
}

/// The client's terminal, on which bars are drawn.
#[derive(Debug)]
struct ClientTerminal {
    screen: ClientScreen,
    /// What is sent at the next `flush`.
    text: Mutex<String>,
}

impl ClientTerminal {
    fn add(&self, text: &str) -> io::Result<()> {
        lock(&self.text).push_str(text);
        Ok(())
    }

    /// Adds a control sequence that moves the cursor (ECMA-48, CUU, CUD, CUF, CUB).
    fn move_cursor(&self, count: usize, direction: char) -> io::Result<()> {
        match count {
            0 => Ok(()),
            count => self.add(&format!("\x1b[{count}{direction}")),
        }
    }
}

impl TermLike for ClientTerminal {
    fn width(&self) -> u16 {
        self.screen.columns
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D')
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.add(s)?;
        self.add("\r\n")
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.add(s)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let text = std::mem::take(&mut *lock(&self.text));
        self.screen.send(text.as_bytes(), AttachReply::Error)
    }
}
