//! The decisions of a closed run: which clients have reported, which files each client owns, which
//! clients have finished or died.
//!
//! The rules:
//! - All clients wait until every expected client has reported what it owns. Then all are released
//!   together. When all have finished, the run ends for all.
//! - A client that does not report in time, or dies, counts as ended. The outcome names it, and
//!   also each client that cannot get a file. The other clients go on.
//! - Two owners with different content under one name end the run. A client that comes afterwards
//!   gets the reason.
//!
//! In scope: these decisions. Events go in, with the time if it matters: a [`Duration`] since the
//! run's start. The resulting actions come out as [`RunEffect`]s, in order. Out of scope: sockets,
//! threads and clocks (see `running`).

use super::{
    Client, Files, Refused, RunConnectionId, RunEffect, RunOutcome, not_wanted, out_of_order,
};
use crate::torrent::{FileName, InfoHash};
use crate::wire::control::{
    ClientNumber, InfoPart, MAX_PAGE, RunAnswer, RunErrorKind, RunNotice, RunRequest,
    RunRequestMessage, TextLine,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

/// Default time for clients to report, counted from the run's start.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(60);
/// A client whose connection has been silent this long counts as dead.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a new connection may take to send its hello.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Reason why a client cannot get a file: all owners of the file are dead, or no client ever owned
/// it.
pub const NO_LIVING_OWNER: &str = "no living owner";

/// Maximum number of failures sent to the clients. The outcome contains all.
const MAX_SENT_FAILURES: usize = 100;

/// State of a closed run.
#[derive(Debug)]
pub struct ClosedRun {
    expected: NonZeroU32,
    wait: Duration,
    phase: Phase,
    connections: HashMap<RunConnectionId, Connection>,
    clients: BTreeMap<ClientNumber, Client>,
    files: Files,
    failures: Vec<TextLine>,
    outcome: Option<RunOutcome>,
    /// Clients that came after a conflict had ended the run. `None` without a conflict, and
    /// after an abort.
    refused_after_conflict: Option<BTreeSet<ClientNumber>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Gathering,
    Released,
    Ended,
}

#[derive(Debug)]
struct Connection {
    ip: IpAddr,
    last_request: Duration,
    client: Option<ClientNumber>,
}

impl ClosedRun {
    /// Creates a run of `expected` clients. They must report what they own within `wait`, counted
    /// from the run's start.
    pub fn new(expected: NonZeroU32, wait: Duration) -> Self {
        Self {
            expected,
            wait,
            phase: Phase::Gathering,
            connections: HashMap::new(),
            clients: BTreeMap::new(),
            files: Files::default(),
            failures: Vec::new(),
            outcome: None,
            refused_after_conflict: None,
        }
    }

    /// Whether a conflict has ended the run and some clients have not come yet to get the reason.
    pub fn expects_more_clients(&self) -> bool {
        let late = self.refused_after_conflict.as_ref();
        late.is_some_and(|late| {
            let came = self.clients.len().saturating_add(late.len());
            (came as u64) < u64::from(self.expected.get())
        })
    }

    /// The result, once the run has ended.
    pub fn outcome(&self) -> Option<&RunOutcome> {
        self.outcome.as_ref()
    }

    /// When [`ClosedRun::tick`] is due if no other event comes first.
    pub fn next_tick(&self) -> Option<Duration> {
        let silences = self.connections.values().map(Connection::deadline);
        let report = (self.phase == Phase::Gathering).then_some(self.wait);
        silences.chain(report).min()
    }

    /// A client has connected from `ip`.
    pub fn on_connected(
        &mut self,
        connection: RunConnectionId,
        ip: IpAddr,
        now: Duration,
    ) -> Vec<RunEffect> {
        if self.phase == Phase::Ended && !self.expects_more_clients() {
            return vec![RunEffect::Close(connection)];
        }
        let state = Connection {
            ip: ip.to_canonical(),
            last_request: now,
            client: None,
        };
        self.connections.insert(connection, state);
        Vec::new()
    }

    /// A request has arrived.
    pub fn on_request(
        &mut self,
        connection: RunConnectionId,
        request: RunRequestMessage,
        now: Duration,
    ) -> Vec<RunEffect> {
        let Some(state) = self.connections.get_mut(&connection) else {
            return Vec::new();
        };
        state.last_request = now;
        let (ip, client) = (state.ip, state.client);
        let answer = match (client, request.ask) {
            (None, RunRequest::Hello { client, port }) => {
                self.on_hello(connection, client, SocketAddr::new(ip, port.get()))
            }
            (None, _) => Err((
                RunErrorKind::OutOfOrder,
                "the first message is hello".into(),
            )),
            (Some(client), ask) => self.on_ask(client, ask),
        };
        let refused = answer.is_err() && client.is_none();
        let answer = answer.unwrap_or_else(|(kind, message)| RunAnswer::Error {
            kind,
            message: TextLine::new(&message),
        });
        let id = request.id;
        let answer = RunNotice::Answer { id, answer };
        let mut effects = Vec::new();
        if self.connections.contains_key(&connection) {
            effects.push(RunEffect::Send(connection, answer));
        }
        if refused {
            self.connections.remove(&connection);
            effects.push(RunEffect::Close(connection));
        }
        self.advance(&mut effects);
        effects
    }

    /// A connection was closed by its client, or failed.
    pub fn on_disconnected(&mut self, connection: RunConnectionId) -> Vec<RunEffect> {
        self.drop_connection(connection);
        let mut effects = Vec::new();
        self.advance(&mut effects);
        effects
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) -> Vec<RunEffect> {
        let mut effects = Vec::new();
        let silent = self.connections.iter();
        let silent = silent.filter(|(_, state)| state.deadline() <= now);
        let mut silent: Vec<RunConnectionId> = silent.map(|(id, _)| *id).collect();
        silent.sort_unstable();
        for connection in silent {
            self.drop_connection(connection);
            effects.push(RunEffect::Close(connection));
        }
        if self.phase == Phase::Gathering && now >= self.wait {
            self.end_unreported_clients(&mut effects);
            self.release(&mut effects);
        }
        self.advance(&mut effects);
        effects
    }

    /// Ends the run early as a failure with this reason.
    pub fn abort(&mut self, reason: &str) -> Vec<RunEffect> {
        let mut effects = Vec::new();
        self.refused_after_conflict = None;
        if self.phase != Phase::Ended {
            self.failures.push(TextLine::new(reason));
            self.end(&mut effects);
        }
        effects
    }

    fn on_hello(
        &mut self,
        connection: RunConnectionId,
        number: ClientNumber,
        address: SocketAddr,
    ) -> Result<RunAnswer, Refused> {
        if let Some(late) = &mut self.refused_after_conflict {
            late.insert(number);
            let outcome = self.outcome.iter().flat_map(|outcome| &outcome.failures);
            let why = outcome.map(TextLine::as_str).collect::<Vec<_>>().join("; ");
            return Err((
                RunErrorKind::RunStarted,
                format!("the run has failed: {why}"),
            ));
        }
        if self.clients.contains_key(&number) {
            let message = format!("client {number} has already connected");
            return Err((RunErrorKind::NumberTaken, message));
        }
        if self.phase != Phase::Gathering {
            let message = format!("the run has started without client {number}");
            return Err((RunErrorKind::RunStarted, message));
        }
        if self.clients.len() as u64 >= u64::from(self.expected.get()) {
            let message = format!("the run is for {} clients and all have come", self.expected);
            return Err((RunErrorKind::RunFull, message));
        }
        self.clients
            .insert(number, Client::new(connection, address));
        if let Some(state) = self.connections.get_mut(&connection) {
            state.client = Some(number);
        }
        Ok(RunAnswer::Ok)
    }

    fn on_ask(&mut self, number: ClientNumber, ask: RunRequest) -> Result<RunAnswer, Refused> {
        match ask {
            RunRequest::Hello { .. } => Err(out_of_order(&ask)),
            RunRequest::Ping => Ok(RunAnswer::Ok),
            RunRequest::Own { .. } | RunRequest::Want { .. } | RunRequest::Reported
                if self.phase != Phase::Gathering =>
            {
                let message = "the run has started; nothing more can be reported".into();
                Err((RunErrorKind::RunStarted, message))
            }
            RunRequest::Own { parts } => self.on_own(number, &parts),
            RunRequest::Want { names } => {
                self.client(number)?.want(names)?;
                Ok(RunAnswer::Ok)
            }
            RunRequest::Reported => {
                self.client(number)?.end_report()?;
                Ok(RunAnswer::Ok)
            }
            _ if self.phase != Phase::Released => Err(out_of_order(&ask)),
            RunRequest::Lookup { name, offset } => self.lookup(number, &name, offset),
            RunRequest::Owners { info_hash } => Ok(self.owners(number, info_hash)),
            RunRequest::Complete { name } => {
                let info_hash = self.files.info_hash(&name);
                let client = self.client(number)?;
                let info_hash = info_hash.ok_or_else(|| not_wanted(&name))?;
                client.complete(&name, info_hash)?;
                Ok(RunAnswer::Ok)
            }
            RunRequest::Failed { name, reason } => {
                self.client(number)?.give_up(&name)?;
                self.add_failure(&format!("client {number}: {name}: {reason}"));
                Ok(RunAnswer::Ok)
            }
            RunRequest::Finished => match self.client(number)?.finish() {
                true => Ok(RunAnswer::Ok),
                false => Err(out_of_order(&ask)),
            },
        }
    }

    fn on_own(&mut self, number: ClientNumber, parts: &[InfoPart]) -> Result<RunAnswer, Refused> {
        for part in parts {
            let Some(raw) = self.client(number)?.report_part(part)? else {
                continue;
            };
            let added = self.files.add(&raw, number)?;
            self.client(number)?.owned.insert(added.info_hash);
            if let Some((name, first)) = added.conflict {
                let (low, high) = (first.min(number), first.max(number));
                self.add_failure(&format!(
                    "clients {low} and {high} own different content under the name {name}"
                ));
                self.phase = Phase::Ended;
                self.refused_after_conflict = Some(BTreeSet::new());
                return Ok(RunAnswer::Ok);
            }
        }
        Ok(RunAnswer::Ok)
    }

    fn lookup(
        &mut self,
        number: ClientNumber,
        name: &FileName,
        offset: u32,
    ) -> Result<RunAnswer, Refused> {
        let no_owner = || (RunErrorKind::NoOwner, NO_LIVING_OWNER.to_owned());
        let info_hash = self.files.info_hash(name).ok_or_else(no_owner)?;
        if !self
            .clients
            .values()
            .any(|client| client.shares(&info_hash))
        {
            return Err(no_owner());
        }
        let info = self.files.info(&info_hash).ok_or_else(no_owner)?;
        let part = InfoPart::of(info, offset);
        let part = part.map_err(|error| (RunErrorKind::BadInfo, error.to_string()))?;
        self.client(number)?.fetching.insert(info_hash);
        Ok(RunAnswer::Info { part })
    }

    /// Addresses of the other clients that have the file or download it. Clients with the whole
    /// file come first, then those that download it. Both lists are sorted by client number. They
    /// begin after the number of the client that asks, and wrap around. So not all clients ask the
    /// same owner first.
    fn owners(&self, number: ClientNumber, info_hash: InfoHash) -> RunAnswer {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = self.clients.range((Excluded(number), Unbounded));
        let others = after.chain(self.clients.range(..number));
        let living = others
            .map(|(_, client)| client)
            .filter(|client| client.shares(&info_hash));
        let (whole, partial): (Vec<&Client>, Vec<&Client>) =
            living.partition(|client| client.owned.contains(&info_hash));
        let addresses = whole.iter().chain(&partial).take(MAX_PAGE);
        RunAnswer::Owners {
            addresses: addresses.map(|client| client.address).collect(),
            whole: u32::try_from(whole.len()).unwrap_or(u32::MAX),
        }
    }

    fn client(&mut self, number: ClientNumber) -> Result<&mut Client, Refused> {
        let client = self.clients.get_mut(&number);
        client.ok_or_else(|| {
            (
                RunErrorKind::OutOfOrder,
                format!("there is no client {number}"),
            )
        })
    }

    fn add_failure(&mut self, failure: &str) {
        self.failures.push(TextLine::new(failure));
    }

    /// Drops a connection. If it belongs to a client, the client is dead.
    fn drop_connection(&mut self, connection: RunConnectionId) {
        let number = self.connections.remove(&connection);
        let Some(number) = number.and_then(|state| state.client) else {
            return;
        };
        if let Some(client) = self.clients.get_mut(&number) {
            client.connection = None;
        }
        self.add_failure(&format!("client {number} is gone"));
    }

    /// Ends the clients that have not reported in time. Adds failures for the clients that never
    /// connected: at most [`MAX_SENT_FAILURES`] are named, and the others are only counted. None is
    /// named if their numbers are not certain. The numbers are certain if no client has a number
    /// above the expected count: then the clients that never connected have the unused numbers up
    /// to this count.
    fn end_unreported_clients(&mut self, effects: &mut Vec<RunEffect>) {
        let did_not_report = format!("did not report within {} s", self.wait.as_secs_f64());
        for (number, client) in &mut self.clients {
            if client.has_reported_or_is_dead() {
                continue;
            }
            if let Some(connection) = client.connection.take() {
                let line = TextLine::new(&format!("client {number} {did_not_report}"));
                self.connections.remove(&connection);
                let failures = vec![line.clone()];
                effects.push(RunEffect::Send(connection, RunNotice::End { failures }));
                effects.push(RunEffect::Close(connection));
                self.failures.push(line);
            }
        }
        let expected = self.expected.get();
        let mut missing =
            expected.saturating_sub(u32::try_from(self.clients.len()).unwrap_or(expected));
        let numbers_are_certain = self.clients.keys().all(|number| number.get() <= expected);
        let absent = (1..=expected).filter_map(NonZeroU32::new);
        let absent = absent.filter(|number| !self.clients.contains_key(number));
        let max_named = if numbers_are_certain {
            MAX_SENT_FAILURES
        } else {
            0
        };
        for number in absent.take(max_named) {
            self.failures
                .push(TextLine::new(&format!("client {number} {did_not_report}")));
            missing = missing.saturating_sub(1);
        }
        if missing > 0 {
            let more = if numbers_are_certain { "more " } else { "" };
            let noun = if missing == 1 { "client" } else { "clients" };
            self.add_failure(&format!("{missing} {more}{noun} {did_not_report}"));
        }
    }

    /// Releases or ends the run if it no longer waits for a client.
    fn advance(&mut self, effects: &mut Vec<RunEffect>) {
        let all_came = self.clients.len() as u64 >= u64::from(self.expected.get());
        let mut clients = self.clients.values();
        if self.phase == Phase::Gathering
            && all_came
            && clients.all(Client::has_reported_or_is_dead)
        {
            self.release(effects);
        }
        let ended = match self.phase {
            Phase::Gathering => false,
            Phase::Released => self.clients.values().all(Client::has_finished_or_is_dead),
            // If there is no outcome yet, a conflict has ended the run just now.
            Phase::Ended => true,
        };
        if ended && self.outcome.is_none() {
            self.end(effects);
        }
    }

    fn release(&mut self, effects: &mut Vec<RunEffect>) {
        self.phase = Phase::Released;
        for client in self.clients.values() {
            if let Some(connection) = client.connection {
                effects.push(RunEffect::Send(connection, RunNotice::Release));
            }
        }
    }

    fn end(&mut self, effects: &mut Vec<RunEffect>) {
        self.phase = Phase::Ended;
        let shown = self.failures.iter().take(MAX_SENT_FAILURES);
        let mut lines: Vec<TextLine> = shown.cloned().collect();
        let more = self.failures.len().saturating_sub(MAX_SENT_FAILURES);
        if more > 0 {
            lines.push(TextLine::new(&format!("and {more} more")));
        }
        let mut connections: Vec<_> = self.connections.drain().collect();
        connections.sort_unstable_by_key(|(connection, _)| *connection);
        for (connection, state) in connections {
            if state.client.is_some() {
                let failures = lines.clone();
                effects.push(RunEffect::Send(connection, RunNotice::End { failures }));
            }
            effects.push(RunEffect::Close(connection));
        }
        self.outcome = Some(RunOutcome {
            failures: std::mem::take(&mut self.failures),
        });
    }
}

impl Connection {
    fn deadline(&self) -> Duration {
        self.last_request + self.client.map_or(HELLO_TIMEOUT, |_| CLIENT_TIMEOUT)
    }
}

#[cfg(test)]
mod tests;
