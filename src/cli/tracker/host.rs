//! A running tracker, as attached clients see it: it carries out their commands as those of its
//! console.

use crate::certificate::Fingerprint;
use crate::cli::attach::{Host, SentLine, Session};
use crate::cli::command_error::CommandError;
use crate::cli::console::{Console, Failed};
use crate::cli::output::Output;
use crate::wire::attach::Ending;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

/// A running tracker.
#[derive(Debug)]
pub(super) struct TrackerHost {
    pub(super) number: NonZeroU32,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) console: Arc<Console>,
}

impl Host for TrackerHost {
    fn serve(&self, session: &Arc<Session>) {
        let output = session.output(false);
        if let Some(fingerprint) = self.fingerprint {
            print_first_lines(self.number, self.console.address, fingerprint, &output);
        }
        let (mut all_succeeded, mut ending) = (true, Ending::Nothing);
        loop {
            session.done(all_succeeded, ending);
            if ending == Ending::Process {
                log::info!("an attached command ends this tracker");
                self.console.stop.stop();
            }
            if ending != Ending::Nothing {
                return;
            }
            let Some(line) = session.next_line() else {
                return;
            };
            let ran = match line {
                // The client was stopped, or this tracker stops.
                SentLine::Input(_, text) | SentLine::Argument(_, text)
                    if session.stop.is_stopped() =>
                {
                    let name = text.split_whitespace().next().unwrap_or_default();
                    output.error(&CommandError::not_run(name).to_string());
                    Err(Failed)
                }
                SentLine::Input(_, text) | SentLine::Argument(_, text) => {
                    self.console.run(&text, &**session, &output)
                }
                SentLine::NotText(_) => {
                    output.error(&CommandError::NotText.to_string());
                    Err(Failed)
                }
            };
            all_succeeded &= ran.is_ok();
            ending = ran.unwrap_or(Ending::Nothing);
        }
    }
}

/// Prints the first two lines of a tracker's output, which scripts rely on.
pub(super) fn print_first_lines(
    number: NonZeroU32,
    address: SocketAddr,
    cluster: Fingerprint,
    output: &Output,
) {
    output.result(&format!("tracker {number} listening on {address}"));
    output.result(&format!("fingerprint {cluster}"));
}
