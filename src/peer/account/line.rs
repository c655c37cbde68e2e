//! Requests to the trackers of TRACKER_INFO: which one is asked, over which line.
//!
//! In scope: trying one tracker after the other, using an open line again, deadlines. Out of scope: what is asked, and
//! whose session it is.

use super::{AccountError, TrackerLineError};
use crate::net::{FrameIoError, FrameReader, TlsStream, write_frame};
use crate::peer::{FirstUse, Trust};
use crate::wire::TrackerInfo;
use crate::wire::access::{Ask, MAX_FRAME, Reply, Request, Token};
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer may take: a log-in may wait for others that are being checked.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a request may take to be sent.
const SEND: Duration = Duration::from_secs(10);
/// How long a line may have been silent to be used again; trackers close lines that are silent for longer.
const REUSE: Duration = Duration::from_secs(20);

/// Is told of a cluster that is met for the first time.
#[derive(Clone)]
pub struct FirstUseNotice(Arc<dyn Fn(FirstUse<'_>) + Send + Sync>);

impl FirstUseNotice {
    /// Calls that.
    pub fn new(tell: impl Fn(FirstUse<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl fmt::Debug for FirstUseNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstUseNotice")
    }
}

/// The trackers a peer may ask.
#[derive(Debug)]
pub(super) struct Trackers {
    tracker_info: PathBuf,
    folder: PathBuf,
    first_use: FirstUseNotice,
    /// A line that nobody uses at the moment: one is taken out to be used.
    idle: Mutex<Option<OpenLine>>,
}

#[derive(Debug)]
struct OpenLine {
    stream: TlsStream,
    last_id: u32,
    used: Instant,
}

/// What came of a request.
pub(super) struct Told {
    pub(super) reply: Reply,
    /// Whether it was sent before, to a tracker that gave no answer: what it asks for may have been done then.
    pub(super) again: bool,
}

impl Trackers {
    pub(super) fn new(tracker_info: PathBuf, folder: &Path, first_use: FirstUseNotice) -> Self {
        Self {
            tracker_info,
            folder: folder.to_owned(),
            first_use,
            idle: Mutex::new(None),
        }
    }

    /// Asks the first tracker that answers.
    ///
    /// # Errors
    /// When none does, or one is not to be trusted.
    pub(super) fn ask(&self, ask: &Ask, token: Option<&Token>) -> Result<Told, AccountError> {
        let mut again = false;
        if let Some(line) = self.take_idle() {
            match self.ask_over(line, ask, token) {
                Ok(reply) => return Ok(Told { reply, again }),
                Err(error) => {
                    log::debug!("a line to a tracker was of no more use: {error}");
                    again = true;
                }
            }
        }
        let info = self.info()?;
        let first_use = |first: FirstUse<'_>| (self.first_use.0)(first);
        let trust = Trust::new(info.fingerprint, &self.folder, &first_use);
        let mut troubles = Vec::new();
        for tracker in &info.addresses {
            let found = (tracker.host.as_str(), tracker.port).to_socket_addrs();
            let addresses: Vec<SocketAddr> = match found {
                Ok(found) => found.collect(),
                Err(error) => {
                    troubles.push(format!("{tracker}: {error}"));
                    continue;
                }
            };
            for address in addresses {
                let line = match trust.connect(address) {
                    Ok(stream) => OpenLine {
                        stream,
                        last_id: 0,
                        used: Instant::now(),
                    },
                    Err(error) if error.may_pass() => {
                        troubles.push(error.to_string());
                        continue;
                    }
                    Err(error) => return Err(AccountError::Untrusted(error)),
                };
                match self.ask_over(line, ask, token) {
                    Ok(reply) => return Ok(Told { reply, again }),
                    Err(error) => {
                        again = true;
                        troubles.push(format!("the tracker at {address}: {error}"));
                    }
                }
            }
        }
        Err(AccountError::NoTracker {
            troubles: troubles.join("; "),
            sent: again,
        })
    }

    fn ask_over(
        &self,
        mut line: OpenLine,
        ask: &Ask,
        token: Option<&Token>,
    ) -> Result<Reply, TrackerLineError> {
        let reply = line.ask(ask, token)?;
        line.used = Instant::now();
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        Ok(reply)
    }

    fn take_idle(&self) -> Option<OpenLine> {
        let line = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        line.filter(|line| line.used.elapsed() < REUSE)
    }

    /// The file is read before each new attempt: it may be written or changed while the peer runs.
    fn info(&self) -> Result<TrackerInfo, AccountError> {
        let shown = self.tracker_info.display();
        let text = std::fs::read_to_string(&self.tracker_info)
            .map_err(|error| AccountError::TrackerInfo(format!("{shown}: {error}")))?;
        let info: TrackerInfo = text
            .parse()
            .map_err(|error| AccountError::TrackerInfo(format!("{shown}: {error}")))?;
        if info.addresses.is_empty() {
            let what = format!("{shown} names no tracker: write its HOST:PORT into it");
            return Err(AccountError::TrackerInfo(what));
        }
        Ok(info)
    }
}

impl OpenLine {
    fn ask(&mut self, ask: &Ask, token: Option<&Token>) -> Result<Reply, TrackerLineError> {
        self.last_id = self.last_id.wrapping_add(1);
        let request = Request {
            id: self.last_id,
            token: token.cloned(),
            ask: ask.clone(),
        };
        write_frame(&self.stream, &request.encode(), MAX_FRAME, SEND)?;
        // A tracker says nothing unasked: nothing of a next frame is lost with this reader.
        let mut reader = FrameReader::new(&self.stream, MAX_FRAME);
        let body = match reader.next(ANSWER, SEND) {
            Err(FrameIoError::Closed) => return Err(TrackerLineError::NoAnswer),
            body => body?,
        };
        let reply = Reply::decode(body)?;
        if reply.id != request.id && reply.result.is_ok() {
            return Err(TrackerLineError::OtherAnswer);
        }
        Ok(reply)
    }
}

impl Drop for OpenLine {
    fn drop(&mut self) {
        self.stream.hang_up();
    }
}
