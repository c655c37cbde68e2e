//! Clients that log in, show their tokens, and log out: also over several lives of a token, while a
//! tracker cannot be reached and a clock is wrong.
//!
//! The oracle is in [`World::show_token`]: a tracker that has ever had a log-out on its disk
//! accepts no token of that login again, and does not list it.

use super::super::super::{Replica, Serving};
use super::super::{Failure, Mutation};
use super::{LIFE_PART_MILLIS, World};
use crate::tracker::registry::{
    LONGEST_TOKEN_LIFE, Login, LoginTimeError, MAX_DRIFT, MAX_LOGIN_LIFE, Refusal, Registry,
};
use std::net::{IpAddr, Ipv4Addr};

/// Milliseconds after which a tracker serves again whose clock was set forward.
const RESTART_MILLIS: u64 = 3_000;
/// Milliseconds in which every tracker collects garbage.
const GC_MILLIS: u64 = 62_000;
/// The tokens that clients keep.
const MAX_TOKENS: usize = 12;
/// How wrong a clock is at most, in parts of the life of a token ([`LIFE_PART_MILLIS`]).
const WRONG_PARTS: i64 = 200;

/// From where clients come.
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

impl World {
    /// Runs the part of a short simulation in which only logins and clocks are at fault.
    pub(in super::super) fn run_logins(&mut self) -> Result<(), Failure> {
        self.pass(RESTART_MILLIS)?;
        for at in 0..self.nodes.len() {
            self.request_operation(at)?;
            self.pass(RESTART_MILLIS)?;
        }
        self.logins_over_days()
    }

    /// A client logs in, shows a token or logs out at a tracker.
    pub(super) fn use_a_login(&mut self, at: usize) -> Result<(), Failure> {
        let token = self.rng.choice(&self.tokens).copied();
        match (self.rng.u8(..5), token) {
            (0, _) | (_, None) => self.log_in(at),
            (1, Some(token)) => self.log_out(at, token),
            (_, Some(token)) => self.show_token(at, token),
        }
    }

    /// A login goes on for several lives of a token, while one tracker may be cut off for most of
    /// the time. A clock may be wrong by many lives when the login begins, another one when it
    /// ends.
    pub(super) fn logins_over_days(&mut self) -> Result<(), Failure> {
        self.oracle.counts.note("logins used for days");
        let all = self.nodes.len();
        let at = self.rng.usize(..all);
        let cut_off = self.rng.usize(..all);
        self.with_wrong_clock(at, |world| world.log_in(at))?;
        let is_cut_off = self.rng.bool();
        for other in (0..all).filter(|other| is_cut_off && *other != cut_off) {
            (self.blocked[cut_off][other], self.blocked[other][cut_off]) = (true, true);
        }
        self.pass(RESTART_MILLIS)?;
        self.show_all_tokens()?;
        let leaver = (cut_off + self.rng.usize(1..all)) % all;
        self.with_wrong_clock(leaver, |world| match world.tokens.last().copied() {
            Some(token) => world.log_out(leaver, token),
            None => Ok(()),
        })?;
        for _ in 0..self.rng.u8(4..10) {
            self.pass_part_of_a_life()?;
            self.show_all_tokens()?;
        }
        self.blocked = Default::default();
        self.pass(GC_MILLIS)?;
        self.show_all_tokens()
    }

    /// Does something while the clock of a tracker is right, or wrong by many lives of a token.
    fn with_wrong_clock(
        &mut self,
        at: usize,
        action: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let right = self.nodes[at].skew;
        let offsets = [0, 0, WRONG_PARTS, -WRONG_PARTS];
        let parts = *self.rng.choice(&offsets).unwrap_or(&0);
        self.nodes[at].skew += parts * LIFE_PART_MILLIS;
        self.pass(RESTART_MILLIS)?;
        let done = action(self);
        self.nodes[at].skew = right;
        self.pass(RESTART_MILLIS)?;
        done
    }

    /// A part of the life of a token passes.
    fn pass_part_of_a_life(&mut self) -> Result<(), Failure> {
        self.days += 1;
        self.wall += self.rng.i64(5..11) * LIFE_PART_MILLIS;
        self.pass(RESTART_MILLIS)
    }

    fn show_all_tokens(&mut self) -> Result<(), Failure> {
        for at in 0..self.nodes.len() {
            for token in self.tokens.clone() {
                self.show_token(at, token)?;
            }
        }
        Ok(())
    }

    fn log_in(&mut self, at: usize) -> Result<(), Failure> {
        let (id, wall) = (self.new_id(), self.clock_of(at).wall);
        let Some(registry) = self.registry_for_clients(at) else {
            return Ok(());
        };
        let accounts = registry.accounts(None, 9).items;
        let account = accounts.first().and_then(|(id, _)| registry.account(*id));
        let Some(account) = account else {
            return Ok(());
        };
        let token = Login::begin(account.id, id, account.credential(), wall, MAX_LOGIN_LIFE);
        self.add_token(token);
        self.oracle.counts.note("log-in");
        match self.rng.bool() {
            true => self.note_use(at, token),
            // As if an earlier version had begun it: its row comes with a renewal.
            false => Ok(()),
        }
    }

    /// The tracker notes a use of a login, if that is due.
    fn note_use(&mut self, at: usize, token: Login) -> Result<(), Failure> {
        let wall = self.clock_of(at).wall;
        self.write(at, |_, registry| match registry.is_use_due(&token, wall) {
            true => registry.note_use(&token, None, HOST, wall),
            false => Err(Refusal::LoginEnded),
        })
    }

    /// Adds a token. If there are too many, drops the one that expires first.
    fn add_token(&mut self, token: Login) {
        self.tokens.push(token);
        if self.tokens.len() > MAX_TOKENS {
            let oldest = self
                .tokens
                .iter()
                .min_by_key(|token| token.expires)
                .copied();
            self.tokens.retain(|token| Some(*token) != oldest);
        }
    }

    /// A client shows a token. If the tracker accepts it, the tracker may renew it.
    fn show_token(&mut self, at: usize, token: Login) -> Result<(), Failure> {
        let wall = self.clock_of(at).wall;
        let Some(registry) = self.registry_for_clients(at) else {
            return Ok(());
        };
        let is_in_time = match token.check_times(wall) {
            Err(LoginTimeError::FromFuture | LoginTimeError::FromFarFuture) => {
                self.mutation == Mutation::AcceptTokensFromTheFuture
            }
            result => result.is_ok(),
        };
        let ended = registry.check_login(token.account, token.id, token.credential);
        let was_logged_out = self.nodes[at].disk.log_outs.contains(&token.id);
        let list = registry.logins(token.account, token.id, None, (wall, 1000));
        let is_listed = list.is_ok_and(|list| list.items.iter().any(|login| login.is_present));
        if was_logged_out && is_listed {
            return Err(Failure(format!(
                "tracker {at} lists {token:?}, which was logged out there"
            )));
        }
        match (is_in_time && ended.is_ok(), was_logged_out) {
            (true, true) => {
                return Err(Failure(format!(
                    "tracker {at} accepts {token:?}, which was logged out there; its row there: {:?}",
                    registry.row(token.id)
                )));
            }
            (true, false) => {
                self.oracle.counts.note("token accepted");
                if token.is_renewal_due(wall) || self.rng.u8(..4) == 0 {
                    let renewed = token.renewed(wall, MAX_LOGIN_LIFE);
                    self.add_token(renewed);
                    self.note_use(at, renewed)?;
                }
            }
            (false, true) if is_in_time => self.oracle.counts.note("token refused after log-out"),
            (false, _) => {}
        }
        Ok(())
    }

    /// A client logs out, with a token that may not be valid.
    fn log_out(&mut self, at: usize, token: Login) -> Result<(), Failure> {
        let wall = self.clock_of(at).wall;
        // The shortest time that is enough while clocks are right, so that rows are dropped here.
        let lifetime = LONGEST_TOKEN_LIFE + MAX_DRIFT;
        let expires = wall.max(token.issued) + lifetime;
        self.write(at, |_, registry| {
            registry.check_login(token.account, token.id, token.credential)?;
            registry.log_out(token.account, token.id, expires, wall)
        })
    }

    /// The registry of a tracker, if the tracker answers clients now.
    fn registry_for_clients(&self, at: usize) -> Option<&Registry> {
        let node = &self.nodes[at];
        let replica = node.replica.as_ref()?;
        let answers = node.starved_until <= self.now && replica.serving() == Serving::Yes;
        answers.then(|| Replica::registry(replica))
    }
}
