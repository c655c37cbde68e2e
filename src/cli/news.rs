//! What others decide about the user, told above a standing prompt.

use super::render;
use crate::net::Stop;
use crate::peer::Peer;
use rustyline::ExternalPrinter;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the tracker is asked.
const PAUSE: Duration = Duration::from_secs(3);

/// Asks now and then as long as it lives.
#[derive(Debug)]
pub(super) struct NewsTeller {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl NewsTeller {
    /// Tells by `printer`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        peer: &Arc<Peer>,
        mut printer: impl ExternalPrinter + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Stop::new();
        let (peer, stopping) = (Arc::downgrade(peer), stop.clone());
        let thread = thread::Builder::new().name("news".into()).spawn(move || {
            while !stopping.wait(PAUSE) {
                let Some(peer) = peer.upgrade() else { return };
                if peer.account().user().is_none() {
                    continue;
                }
                match peer.news() {
                    Ok(news) => {
                        for entry in &news {
                            // A terminal that is gone needs nothing.
                            let _ = printer.print(format!("{}\n", render::news(entry)));
                        }
                    }
                    Err(error) => log::debug!("what is new could not be asked: {error}"),
                }
            }
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for NewsTeller {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
