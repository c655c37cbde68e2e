//! Shows news above the prompt: decisions of others about the user, such as an accepted request, and
//! requests to join groups of the user.

use super::render;
use crate::net::Stop;
use crate::peer::Peer;
use rustyline::ExternalPrinter;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Interval between two requests to the tracker.
const INTERVAL: Duration = Duration::from_secs(3);

/// The longest time that dropping waits for a request that is under way.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// Asks the tracker for news until it is dropped.
#[derive(Debug)]
pub(super) struct NewsWatcher {
    stop: Stop,
    /// Disconnected once the thread has ended.
    ended: Receiver<()>,
}

impl NewsWatcher {
    /// Starts the thread, which shows news with `printer`.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(
        peer: &Arc<Peer>,
        mut printer: impl ExternalPrinter + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Stop::new();
        let (peer, stopping) = (Arc::downgrade(peer), stop.clone());
        let (ending, ended) = channel();
        thread::Builder::new().name("news".into()).spawn(move || {
            let _ending: Sender<()> = ending;
            while !stopping.wait(INTERVAL) {
                let Some(peer) = peer.upgrade() else { return };
                if peer.account().user().is_none() {
                    continue;
                }
                match peer.news() {
                    Ok(news) => {
                        for line in render::news_lines(&news) {
                            // Fails only if the terminal was closed.
                            let _ = printer.print(format!("{line}\n"));
                        }
                    }
                    Err(error) => log::debug!("cannot ask the tracker for news: {error}"),
                }
            }
        })?;
        Ok(Self { stop, ended })
    }
}

impl Drop for NewsWatcher {
    fn drop(&mut self) {
        self.stop.stop();
        // A thread that waits for a silent tracker ends with the process.
        let _ = self.ended.recv_timeout(STOP_TIMEOUT);
    }
}
