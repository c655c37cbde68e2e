//! Progress of hashing that takes longer than a second: a bar on a terminal, otherwise a line from
//! time to time.

use super::output::Output;
use super::units::size;
use crate::system::recover;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Time before the first progress is shown.
const DELAY: Duration = Duration::from_secs(1);
/// Interval between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Interval between two updates of the bar.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// Shows how many bytes are hashed. Any thread may report progress.
#[derive(Debug)]
pub(super) struct HashingProgress<'a> {
    activity: &'static str,
    output: &'a Output,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bar: Option<ProgressBar>,
    next_update: Instant,
    /// The largest number of bytes reported so far: reports of threads may overtake each other.
    done: u64,
}

impl<'a> HashingProgress<'a> {
    /// Shows nothing yet. `activity`, such as `hashing`, is shown before the numbers.
    pub(super) fn new(activity: &'static str, output: &'a Output) -> Self {
        let state = State {
            bar: None,
            next_update: Instant::now() + DELAY,
            done: 0,
        };
        Self {
            activity,
            output,
            state: Mutex::new(state),
        }
    }

    /// Reports that `done` of `total` bytes are hashed.
    pub(super) fn step(&self, done: u64, total: u64) {
        // If another thread is updating the display, this update is skipped: workers do not wait.
        let Ok(mut state) = self.state.try_lock() else {
            return;
        };
        state.done = state.done.max(done);
        if self.output.is_json() || Instant::now() < state.next_update {
            return;
        }
        if self.output.shows_bars() {
            state.next_update = Instant::now() + BAR_INTERVAL;
            let bar = state
                .bar
                .get_or_insert_with(|| bar(self.activity, total, self.output))
                .clone();
            bar.set_position(state.done);
            bar.set_message(format!("{} of {}", size(state.done), size(total)));
        } else {
            state.next_update = Instant::now() + LINE_INTERVAL;
            self.output.note(&format!(
                "{} {} of {}",
                self.activity,
                size(state.done),
                size(total)
            ));
        }
    }

    /// Removes the bar.
    pub(super) fn finish(self) {
        let state = recover(self.state.into_inner());
        if let Some(bar) = state.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(activity: &'static str, total: u64, output: &Output) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{bar:24}] {percent:3}%  {wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(total), output.bars());
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(activity);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_shown_at_first_and_the_number_never_decreases() {
        let output = Output::new(false);
        let hashing = HashingProgress::new("hashing", &output);
        hashing.step(7, 10);
        hashing.step(3, 10);
        let state = hashing.state.lock().unwrap();
        assert!(state.bar.is_none() && state.done == 7);
    }
}
