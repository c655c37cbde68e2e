//! Shows news at the prompts: decisions of others about the user (for example, that a request was
//! accepted); requests to join groups of the user; downloads that have ended.

use super::notices::Notices;
use super::render;
use crate::net::Stop;
use crate::peer::Peer;
use crate::system::lock;
use rustyline::ExternalPrinter;
use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
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
    printer: Option<Printer>,
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
    /// prompt is open. `notices` keeps other lines until the next prompt. The printer must not
    /// block.
    ///
    /// # Errors
    /// The system cannot start the thread.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        notices: Arc<Notices>,
        printer: Option<Printer>,
    ) -> io::Result<NewsSubscription> {
        let mut state = lock(&self.0);
        if state.thread.is_none() {
            state.thread = Some(self.start(peer)?);
        }
        state.last_number += 1;
        let number = state.last_number;
        state.prompts.push(Prompt {
            number,
            notices,
            printer,
        });
        let feed = Arc::clone(self);
        Ok(NewsSubscription { feed, number })
    }

    fn start(self: &Arc<Self>, peer: &Arc<Peer>) -> io::Result<NewsThread> {
        let stop = Stop::new();
        let (feed, peer, stopping) = (Arc::clone(self), Arc::downgrade(peer), stop.clone());
        let (ending, ended) = channel();
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
                feed.show(&peer, &news);
            }
        })?;
        Ok(NewsThread { stop, ended })
    }

    fn show(&self, peer: &Peer, news: &[String]) {
        let downloads = peer.downloads();
        for prompt in &mut lock(&self.0).prompts {
            let mut lines = prompt.notices.add_ended(&downloads);
            let news = news.iter().cloned();
            lines.extend(news.filter_map(|line| prompt.notices.add(line)));
            for line in lines {
                // Fails only if the terminal was closed.
                let printer = prompt.printer.as_mut();
                let _ = printer.map(|printer| printer.print(format!("{line}\n")));
            }
        }
    }
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
