//! What others decide about the user, told above a standing prompt.

use super::render;
use crate::net::Stop;
use crate::peer::Peer;
use rustyline::ExternalPrinter;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// How often the tracker is asked.
const PAUSE: Duration = Duration::from_secs(3);

/// How long the end waits for a tracker that is being asked.
const PATIENCE: Duration = Duration::from_millis(500);

/// Asks now and then as long as it lives.
#[derive(Debug)]
pub(super) struct NewsTeller {
    stop: Stop,
    /// Says by its end that the thread has ended.
    ended: Receiver<()>,
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
        let (ending, ended) = channel();
        thread::Builder::new().name("news".into()).spawn(move || {
            let _ending: Sender<()> = ending;
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
        Ok(Self { stop, ended })
    }
}

impl Drop for NewsTeller {
    fn drop(&mut self) {
        self.stop.stop();
        // One that waits for a tracker which does not answer is left to the end of the process.
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}
