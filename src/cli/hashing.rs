//! How far hashing is, shown once it takes longer than a moment: a bar on a terminal, a plain line now and then elsewhere.

use super::output::Output;
use super::units::size;
use crate::system::recover;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What takes no longer than this is not worth showing.
const MOMENT: Duration = Duration::from_secs(1);
/// The time between two plain lines.
const PAUSE: Duration = Duration::from_secs(5);
/// The time between two pictures of the bar.
const PICTURE: Duration = Duration::from_millis(100);

/// Progress over bytes, told by any thread.
#[derive(Debug)]
pub(super) struct Hashing<'a> {
    what: &'static str,
    output: &'a Output,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bar: Option<ProgressBar>,
    next: Instant,
    most: u64,
}

impl<'a> Hashing<'a> {
    /// Nothing shown so far; `what` says what goes on.
    pub(super) fn new(what: &'static str, output: &'a Output) -> Self {
        let state = State {
            bar: None,
            next: Instant::now() + MOMENT,
            most: 0,
        };
        Self {
            what,
            output,
            state: Mutex::new(state),
        }
    }

    /// `done` of `total` bytes are hashed.
    pub(super) fn step(&self, done: u64, total: u64) {
        // Whoever shows it already shows it for all: workers do not queue here.
        let Ok(mut state) = self.state.try_lock() else {
            return;
        };
        state.most = state.most.max(done);
        if self.output.is_json() || Instant::now() < state.next {
            return;
        }
        if self.output.shows_bars() {
            state.next = Instant::now() + PICTURE;
            let bar = state
                .bar
                .get_or_insert_with(|| bar(self.what, total))
                .clone();
            bar.set_position(state.most);
            bar.set_message(format!("{} of {}", size(state.most), size(total)));
        } else {
            state.next = Instant::now() + PAUSE;
            self.output.note(&format!(
                "{} {} of {}",
                self.what,
                size(state.most),
                size(total)
            ));
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(self) {
        let state = recover(self.state.into_inner());
        if let Some(bar) = state.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{bar:24}] {percent:3}%  {wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(total).with_style(style.progress_chars("=> "));
    bar.set_prefix(what);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_a_moment_shows_nothing_and_numbers_never_fall() {
        let output = Output::new(false);
        let hashing = Hashing::new("hashing", &output);
        hashing.step(7, 10);
        hashing.step(3, 10);
        let state = hashing.state.lock().unwrap();
        assert!(state.bar.is_none() && state.most == 7);
    }
}
