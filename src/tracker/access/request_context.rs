//! The context of a request, and its result.

use super::password_turns::PasswordTurn;
use crate::tracker::registry::Login;
use crate::tracker::store::Durability;
use crate::wire::access::{AccessAnswer, IssuedToken, Token};
use std::cell::Cell;
use std::net::IpAddr;

/// The peer that sent a request: its address, and the turn of the request to have its password
/// checked.
#[derive(Clone, Copy)]
pub(super) struct Requester<'a> {
    /// The address of the peer.
    pub(super) from: IpAddr,
    /// The turn of the request. `None` if the request has no password.
    pub(super) turn: Option<&'a PasswordTurn>,
}

impl Requester<'_> {
    /// Ends the turn, if there is one: no password of the request remains to be checked or hashed.
    pub(super) fn end_turn(&self) {
        if let Some(turn) = self.turn {
            turn.end();
        }
    }
}

/// The context of a request: the login and token that it was sent with, and where it came from.
pub(super) struct RequestContext<'a> {
    pub(super) login: &'a Login,
    pub(super) token: &'a Token,
    pub(super) from: IpAddr,
    pub(super) requester: Requester<'a>,
    /// Whether the durability of some write of this request is [`Durability::OnlyHere`].
    only_here: Cell<bool>,
}

impl<'a> RequestContext<'a> {
    pub(super) fn new(login: &'a Login, token: &'a Token, requester: Requester<'a>) -> Self {
        Self {
            login,
            token,
            from: requester.from,
            requester,
            only_here: Cell::new(false),
        }
    }

    /// Records how durable a write of this request is.
    pub(super) fn record_write(&self, durability: Durability) {
        if durability == Durability::OnlyHere {
            self.only_here.set(true);
        }
    }

    /// How durable all writes of this request are: [`Durability::Safe`] if each of them is safe.
    pub(super) fn durability(&self) -> Durability {
        match self.only_here.get() {
            true => Durability::OnlyHere,
            false => Durability::Safe,
        }
    }
}

/// The result of a request.
pub(super) struct CompletedRequest {
    /// The new token of the login, if its renewal was due.
    pub(super) renewed: Option<IssuedToken>,
    pub(super) answer: AccessAnswer,
    pub(super) durability: Durability,
}

impl From<AccessAnswer> for CompletedRequest {
    fn from(answer: AccessAnswer) -> Self {
        Self {
            renewed: None,
            answer,
            durability: Durability::Safe,
        }
    }
}
