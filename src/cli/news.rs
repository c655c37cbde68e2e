//! Shows news at the prompts: decisions of others about the user (for example, that a request was
//! accepted); requests to join groups of the user; downloads that have ended.

use super::notices::Notices;
use super::render;
use crate::net::Stop;
use crate::peer::{DownloadStatus, Peer};
use crate::system::lock;
use crossbeam::channel::{Receiver, Sender, bounded};
use rustyline::ExternalPrinter;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Interval between two checks for ended downloads and for hints.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Interval between two requests to the tracker while no tracker sends hints.
const ASK_INTERVAL: Duration = Duration::from_secs(3);

/// Interval between two requests to the tracker while a tracker sends hints.
const ASK_INTERVAL_WITH_HINTS: Duration = Duration::from_secs(300);

/// The longest time for which `drop` waits for a request that is under way.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// The most lines that wait until a prompt has printed those before.
const MAX_WAITING: usize = 1_000;

/// Shows a line above the prompt.
pub(super) type Printer = Box<dyn ExternalPrinter + Send>;

/// The prompts of a peer: its own one, and those of attached clients. All show the same news,
/// because a tracker reports each piece of news to this peer once.
#[derive(Debug, Default)]
pub(super) struct NewsFeed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    prompts: Vec<Prompt>,
    last_number: u64,
    /// The thread runs while there is a prompt.
    thread: Option<NewsThread>,
}

struct Prompt {
    number: u64,
    notices: Arc<Notices>,
    /// Passes lines to the thread that prints them. `None`: the notices keep them.
    printing: Option<Sender<String>>,
}

#[derive(Debug)]
struct NewsThread {
    stop: Stop,
    /// Disconnected once the thread has ended.
    ended: Receiver<()>,
}

/// A prompt shows news until this is dropped.
#[derive(Debug)]
pub(super) struct NewsSubscription {
    feed: Arc<NewsFeed>,
    number: u64,
}

impl NewsFeed {
    /// Passes news to `notices` from now on. With `printer`, a line is shown immediately if the
    /// prompt is open. `notices` keeps other lines until the next prompt. The printer may block:
    /// then only this prompt waits, and shows at most [`MAX_WAITING`] of the lines that come
    /// meanwhile.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        notices: Arc<Notices>,
        printer: Option<Printer>,
    ) -> io::Result<NewsSubscription> {
        let printing = printer.map(start_printing).transpose()?;
        let mut state = lock(&self.0);
        if state.thread.is_none() {
            state.thread = Some(self.start(peer)?);
        }
        state.last_number += 1;
        let number = state.last_number;
        state.prompts.push(Prompt {
            number,
            notices,
            printing,
        });
        let feed = Arc::clone(self);
        Ok(NewsSubscription { feed, number })
    }

    fn start(self: &Arc<Self>, peer: &Arc<Peer>) -> io::Result<NewsThread> {
        let stop = Stop::new();
        let (feed, peer, stopping) = (Arc::clone(self), Arc::downgrade(peer), stop.clone());
        let (ending, ended) = bounded(0);
        thread::Builder::new().name("news".into()).spawn(move || {
            let _ending: Sender<()> = ending;
            let mut last_ask = Instant::now();
            while !stopping.wait(LOOK_INTERVAL) {
                let Some(peer) = peer.upgrade() else { return };
                let interval = match peer.account().is_watching() {
                    true => ASK_INTERVAL_WITH_HINTS,
                    false => ASK_INTERVAL,
                };
                let mut news = Vec::new();
                if peer.account().take_news_hint() || last_ask.elapsed() >= interval {
                    last_ask = Instant::now();
                    news = ask(&peer);
                }
                let end = peer.account().take_login_end();
                news.extend(end.map(|end| end.text(render::time)));
                feed.show(&peer.downloads(), &news);
            }
        })?;
        Ok(NewsThread { stop, ended })
    }

    fn show(&self, downloads: &[DownloadStatus], news: &[String]) {
        for prompt in &lock(&self.0).prompts {
            let mut lines = prompt.notices.add_ended(downloads);
            let news = news.iter().cloned();
            lines.extend(news.filter_map(|line| prompt.notices.add(line)));
            for line in lines {
                if let Some(printing) = &prompt.printing {
                    // Fails only if the prompt does not print the lines before.
                    let _ = printing.try_send(line);
                }
            }
        }
    }
}

/// Starts the thread that prints the lines of one prompt. It ends when the sender is dropped.
fn start_printing(mut printer: Printer) -> io::Result<Sender<String>> {
    let (sender, lines) = bounded::<String>(MAX_WAITING);
    let thread = thread::Builder::new().name("news-print".into());
    // Not joined: a terminal that does not read would stop the process.
    thread.spawn(move || {
        for line in lines {
            // Fails only if the terminal was closed.
            let _ = printer.print(format!("{line}\n"));
        }
    })?;
    Ok(sender)
}

/// Asks the trackers for decisions and join requests. Returns the lines to show.
fn ask(peer: &Peer) -> Vec<String> {
    if peer.account().user().is_none() {
        return Vec::new();
    }
    let news = peer.news().unwrap_or_else(|error| {
        log::debug!("cannot ask the tracker for news: {error}");
        Vec::new()
    });
    render::news_lines(&news)
}

impl Drop for NewsSubscription {
    fn drop(&mut self) {
        let mut state = lock(&self.feed.0);
        state.prompts.retain(|prompt| prompt.number != self.number);
        let thread = match state.prompts.is_empty() {
            true => state.thread.take(),
            false => None,
        };
        drop(state);
        if let Some(thread) = thread {
            thread.stop.stop();
            // A thread that waits for a silent tracker ends with the process.
            let _ = thread.ended.recv_timeout(STOP_TIMEOUT);
        }
    }
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompt").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam::channel::unbounded;

    /// Prints a line once the other side of the channel takes it.
    struct SlowPrinter(Sender<String>);

    impl ExternalPrinter for SlowPrinter {
        fn print(&mut self, line: String) -> rustyline::Result<()> {
            // Fails if the test has ended.
            let _ = self.0.send(line);
            Ok(())
        }
    }

    #[test]
    fn a_prompt_that_does_not_print_stops_no_other_one() {
        let feed = NewsFeed::default();
        let (frozen, _never_taken) = bounded(0);
        let (good, printed) = unbounded();
        for (number, lines) in [(1, frozen), (2, good)] {
            let notices = Arc::<Notices>::default();
            notices.open_prompt();
            let printing = Some(start_printing(Box::new(SlowPrinter(lines))).unwrap());
            lock(&feed.0).prompts.push(Prompt {
                number,
                notices,
                printing,
            });
        }
        for number in 0..MAX_WAITING + 10 {
            let line = format!("line {number}");
            feed.show(&[], std::slice::from_ref(&line));
            assert_eq!(printed.recv().unwrap(), line + "\n");
        }
    }
}
