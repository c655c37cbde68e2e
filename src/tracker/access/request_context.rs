//! Who asks, and what came of it.

use super::token::Login;
use crate::tracker::store::Written;
use crate::wire::access::{Answer, Token};
use std::cell::Cell;
use std::net::IpAddr;

/// Somebody who asks: with a session that holds, and from where.
pub(super) struct RequestContext<'a> {
    pub(super) login: &'a Login,
    pub(super) token: &'a Token,
    pub(super) from: IpAddr,
    /// Whether something was written that is only here so far.
    only_here: Cell<bool>,
}

impl<'a> RequestContext<'a> {
    pub(super) fn new(login: &'a Login, token: &'a Token, from: IpAddr) -> Self {
        Self {
            login,
            token,
            from,
            only_here: Cell::new(false),
        }
    }

    /// Something was written for it.
    pub(super) fn note(&self, written: Written) {
        if written == Written::OnlyHere {
            self.only_here.set(true);
        }
    }

    /// Where all that was written for it is durable.
    pub(super) fn written(&self) -> Written {
        match self.only_here.get() {
            true => Written::OnlyHere,
            false => Written::Safe,
        }
    }
}

/// What came of a request.
pub(super) struct CompletedRequest {
    pub(super) renewed: Option<Token>,
    pub(super) answer: Answer,
    pub(super) written: Written,
}

impl From<Answer> for CompletedRequest {
    fn from(answer: Answer) -> Self {
        Self {
            renewed: None,
            answer,
            written: Written::Safe,
        }
    }
}
