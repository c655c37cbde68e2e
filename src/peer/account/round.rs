//! What one time round all trackers gave, and what is made of it.

use super::{AccountError, ends_session};
use crate::peer::TrustError;
use crate::wire::access::{Ask, ErrorKind, Reply};

/// What came of a request.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) reply: Reply,
    /// Whether it was sent before, to a tracker that gave no answer: what it asks for may have been done then.
    pub(super) again: bool,
    /// Whether every tracker that is listed was heard, where the reply says that a session is over.
    pub(super) unanimous: bool,
}

/// What one time round all trackers gave.
#[derive(Default)]
pub(super) struct Round {
    /// A refusal by which another tracker may not go.
    pub(super) refused: Option<Reply>,
    /// Somebody has just started.
    pub(super) is_starting: bool,
    /// Somebody may only have been slow.
    pub(super) late: bool,
    pub(super) untrusted: Option<TrustError>,
    pub(super) troubles: Vec<String>,
}

impl Round {
    /// Whether a tracker may have done what it says it has not.
    pub(super) fn asked_again(&self, reply: &Reply, ask: &Ask) -> bool {
        let unsaved = matches!(&reply.result, Err(refused) if refused.kind == ErrorKind::NOT_SAVED);
        unsaved && ask.is_write()
    }

    /// Gives a reply back if it is the last word.
    pub(super) fn weigh(&mut self, reply: Reply) -> Option<Reply> {
        let Err(refused) = &reply.result else {
            return Some(reply);
        };
        let kind = refused.kind;
        self.is_starting |= kind == ErrorKind::NOT_SERVING;
        let others_may = ends_session(kind)
            || [
                ErrorKind::NOT_SERVING,
                ErrorKind::NOT_SAVED,
                ErrorKind::BUSY,
            ]
            .contains(&kind);
        if !others_may {
            return Some(reply);
        }
        let weaker = |before: &Reply| matches!(&before.result, Err(refused) if refused.kind == ErrorKind::NOT_SERVING);
        if self.refused.as_ref().is_none_or(weaker) {
            self.refused = Some(reply);
        }
        None
    }

    pub(super) fn end(mut self, again: bool) -> Result<Told, AccountError> {
        if let Some(reply) = self.refused {
            // A tracker that does not answer may know more of a session than one that does. One that was asked before it
            // fell silent may have ended it, as it was asked to.
            let unanimous = self.troubles.is_empty() && !self.is_starting;
            match &reply.result {
                Err(refused) if ends_session(refused.kind) && !unanimous && !again => {
                    self.troubles
                        .push(format!("the one that answers says: {refused}"));
                }
                _ => {
                    return Ok(Told {
                        reply,
                        again,
                        unanimous,
                    });
                }
            }
        }
        match self.untrusted {
            Some(error) => Err(AccountError::Untrusted(error)),
            None => Err(AccountError::NoTracker {
                troubles: self.troubles.join("; "),
                sent: again,
            }),
        }
    }
}
