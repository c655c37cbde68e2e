//! Shows news at the prompt: decisions of others about the user (for example, that a request was
//! accepted); requests to join groups of the user; downloads that have ended.

use super::notices::Notices;
use super::render;
use crate::net::Stop;
use crate::peer::Peer;
use rustyline::ExternalPrinter;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
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
type Printer = Box<dyn ExternalPrinter + Send>;

/// Looks for news until it is dropped.
#[derive(Debug)]
pub(super) struct NewsWatcher {
    stop: Stop,
    /// Disconnected once the thread has ended.
    ended: Receiver<()>,
}

impl NewsWatcher {
    /// Starts the thread, which passes news to `notices`. With `printer`, it shows a line
    /// immediately if the prompt is open. `notices` keeps other lines until the next prompt.
    ///
    /// # Errors
    /// The system cannot start the thread.
    pub(super) fn start(
        peer: &Arc<Peer>,
        notices: Arc<Notices>,
        mut printer: Option<Printer>,
    ) -> io::Result<Self> {
        let stop = Stop::new();
        let (peer, stopping) = (Arc::downgrade(peer), stop.clone());
        let (ending, ended) = channel();
        thread::Builder::new().name("news".into()).spawn(move || {
            let _ending: Sender<()> = ending;
            let mut last_ask = Instant::now();
            while !stopping.wait(LOOK_INTERVAL) {
                let Some(peer) = peer.upgrade() else { return };
                let mut lines = notices.add_ended(&peer.downloads());
                let interval = match peer.account().is_watching() {
                    true => ASK_INTERVAL_WITH_HINTS,
                    false => ASK_INTERVAL,
                };
                if peer.account().take_news_hint() || last_ask.elapsed() >= interval {
                    last_ask = Instant::now();
                    let news = ask(&peer).into_iter();
                    lines.extend(news.filter_map(|line| notices.add(line)));
                }
                for line in lines {
                    // Fails only if the terminal was closed.
                    let _ = printer
                        .as_mut()
                        .map(|printer| printer.print(format!("{line}\n")));
                }
            }
        })?;
        Ok(Self { stop, ended })
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

impl Drop for NewsWatcher {
    fn drop(&mut self) {
        self.stop.stop();
        // A thread that waits for a silent tracker ends with the process.
        let _ = self.ended.recv_timeout(STOP_TIMEOUT);
    }
}
