//! A closed run as the tracker sees it: who has reported, who owns what, who is done, who is gone.
//!
//! The rules: everyone is held until all expected clients have reported what they own, then all are released; when all
//! have finished, all are told to end. A client that does not report in time or dies counts as ended and is named, and so
//! is one that cannot get a file; the others go on. Two owners with different content under one name end the run; clients
//! that come only then are told why.
//!
//! In scope: these decisions. Events go in with the time they happen at, as a [`Duration`] since the run's start; what
//! is to be done comes out as [`Effect`]s, in order. Out of scope: sockets, threads and clocks (see `running`).

use super::{Client, ConnectionId, Effect, Files, Outcome, Refused, not_wanted, out_of_order};
use crate::torrent::{FileName, InfoHash};
use crate::wire::control::{
    Answer, Ask, ClientNumber, ErrorKind, InfoPart, Line, MAX_PAGE, Notice, Request,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

/// How long clients may take to report, counted from the run's start, unless told otherwise.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(60);
/// How long a connection may be silent before its client counts as dead.
pub const SILENCE: Duration = Duration::from_secs(20);
/// How long a connection may take to say whose it is.
pub const HELLO: Duration = Duration::from_secs(10);
/// Why a file cannot be had whose owners are dead or never were.
pub const NO_LIVING_OWNER: &str = "no living owner";

/// The most failures told to the clients; the outcome holds all.
const MAX_TOLD: usize = 100;

/// The state of a closed run.
#[derive(Debug)]
pub struct ClosedRun {
    expected: NonZeroU32,
    wait: Duration,
    phase: Phase,
    connections: HashMap<ConnectionId, Connection>,
    clients: BTreeMap<ClientNumber, Client>,
    files: Files,
    failures: Vec<Line>,
    outcome: Option<Outcome>,
    /// Ended by a conflict: who came only then; none otherwise.
    late: Option<BTreeSet<ClientNumber>>,
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
    heard: Duration,
    client: Option<ClientNumber>,
}

impl ClosedRun {
    /// A run of `expected` clients that have `wait` to report.
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
            late: None,
        }
    }

    /// Whether a run that a conflict ended has clients that have not come yet, to be told so.
    pub fn awaits_the_late(&self) -> bool {
        let late = self.late.as_ref();
        late.is_some_and(|late| {
            let came = self.clients.len().saturating_add(late.len());
            (came as u64) < u64::from(self.expected.get())
        })
    }

    /// How the run ended, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// When [`ClosedRun::tick`] has something to do, if nothing else happens before.
    pub fn next_tick(&self) -> Option<Duration> {
        let silences = self.connections.values().map(Connection::deadline);
        let report = (self.phase == Phase::Gathering).then_some(self.wait);
        silences.chain(report).min()
    }

    /// Somebody connected from `ip`.
    pub fn connected(
        &mut self,
        connection: ConnectionId,
        ip: IpAddr,
        now: Duration,
    ) -> Vec<Effect> {
        if self.phase == Phase::Ended && !self.awaits_the_late() {
            return vec![Effect::Close(connection)];
        }
        let state = Connection {
            ip: ip.to_canonical(),
            heard: now,
            client: None,
        };
        self.connections.insert(connection, state);
        Vec::new()
    }

    /// A request arrived.
    pub fn request(
        &mut self,
        connection: ConnectionId,
        request: Request,
        now: Duration,
    ) -> Vec<Effect> {
        let Some(state) = self.connections.get_mut(&connection) else {
            return Vec::new();
        };
        state.heard = now;
        let (ip, client) = (state.ip, state.client);
        let answer = match (client, request.ask) {
            (None, Ask::Hello { client, port }) => {
                self.hello(connection, client, SocketAddr::new(ip, port.get()))
            }
            (None, _) => Err((ErrorKind::OutOfOrder, "the first message is hello".into())),
            (Some(client), ask) => self.ask(client, ask),
        };
        let refused = answer.is_err() && client.is_none();
        let answer = answer.unwrap_or_else(|(kind, message)| Answer::Error {
            kind,
            message: Line::new(&message),
        });
        let id = request.id;
        let answer = Notice::Answer { id, answer };
        let mut effects = Vec::new();
        if self.connections.contains_key(&connection) {
            effects.push(Effect::Send(connection, answer));
        }
        if refused {
            self.connections.remove(&connection);
            effects.push(Effect::Close(connection));
        }
        self.advance(&mut effects);
        effects
    }

    /// A connection ended by itself.
    pub fn gone(&mut self, connection: ConnectionId) -> Vec<Effect> {
        self.lose(connection);
        let mut effects = Vec::new();
        self.advance(&mut effects);
        effects
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) -> Vec<Effect> {
        let mut effects = Vec::new();
        let silent = self.connections.iter();
        let silent = silent.filter(|(_, state)| state.deadline() <= now);
        let mut silent: Vec<ConnectionId> = silent.map(|(id, _)| *id).collect();
        silent.sort_unstable();
        for connection in silent {
            self.lose(connection);
            effects.push(Effect::Close(connection));
        }
        if self.phase == Phase::Gathering && now >= self.wait {
            self.end_the_late(&mut effects);
            self.release(&mut effects);
        }
        self.advance(&mut effects);
        effects
    }

    /// Ends the run before its time, as a failure for that reason.
    pub fn abort(&mut self, reason: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.late = None;
        if self.phase != Phase::Ended {
            self.failures.push(Line::new(reason));
            self.end(&mut effects);
        }
        effects
    }

    fn hello(
        &mut self,
        connection: ConnectionId,
        number: ClientNumber,
        address: SocketAddr,
    ) -> Result<Answer, Refused> {
        if let Some(late) = &mut self.late {
            late.insert(number);
            let outcome = self.outcome.iter().flat_map(|outcome| &outcome.failures);
            let why = outcome.map(Line::as_str).collect::<Vec<_>>().join("; ");
            return Err((ErrorKind::RunStarted, format!("the run has failed: {why}")));
        }
        if self.clients.contains_key(&number) {
            let message = format!("there is a client {number} already");
            return Err((ErrorKind::NumberTaken, message));
        }
        if self.phase != Phase::Gathering {
            let message = format!("the run has started without client {number}");
            return Err((ErrorKind::RunStarted, message));
        }
        if self.clients.len() as u64 >= u64::from(self.expected.get()) {
            let message = format!("the run is for {} clients and all have come", self.expected);
            return Err((ErrorKind::RunFull, message));
        }
        self.clients
            .insert(number, Client::new(connection, address));
        if let Some(state) = self.connections.get_mut(&connection) {
            state.client = Some(number);
        }
        Ok(Answer::Ok)
    }

    fn ask(&mut self, number: ClientNumber, ask: Ask) -> Result<Answer, Refused> {
        match ask {
            Ask::Hello { .. } => Err(out_of_order(&ask)),
            Ask::Ping => Ok(Answer::Ok),
            Ask::Own { .. } | Ask::Want { .. } | Ask::Reported
                if self.phase != Phase::Gathering =>
            {
                let message = "the run has started; nothing more can be reported".into();
                Err((ErrorKind::RunStarted, message))
            }
            Ask::Own { parts } => self.own(number, &parts),
            Ask::Want { names } => {
                self.client(number)?.want(names)?;
                Ok(Answer::Ok)
            }
            Ask::Reported => {
                self.client(number)?.end_report()?;
                Ok(Answer::Ok)
            }
            _ if self.phase != Phase::Released => Err(out_of_order(&ask)),
            Ask::Lookup { name, offset } => self.lookup(number, &name, offset),
            Ask::Owners { info_hash } => Ok(self.owners(number, info_hash)),
            Ask::Complete { name } => {
                let info_hash = self.files.info_hash(&name);
                let client = self.client(number)?;
                let info_hash = info_hash.ok_or_else(|| not_wanted(&name))?;
                client.complete(&name, info_hash)?;
                Ok(Answer::Ok)
            }
            Ask::Failed { name, reason } => {
                self.client(number)?.give_up(&name)?;
                self.fail(&format!("client {number}: {name}: {reason}"));
                Ok(Answer::Ok)
            }
            Ask::Finished => match self.client(number)?.finish() {
                true => Ok(Answer::Ok),
                false => Err(out_of_order(&ask)),
            },
        }
    }

    fn own(&mut self, number: ClientNumber, parts: &[InfoPart]) -> Result<Answer, Refused> {
        for part in parts {
            let Some(raw) = self.client(number)?.report_part(part)? else {
                continue;
            };
            let added = self.files.add(&raw, number)?;
            self.client(number)?.owned.insert(added.info_hash);
            if let Some((name, first)) = added.conflict {
                let (low, high) = (first.min(number), first.max(number));
                self.fail(&format!(
                    "clients {low} and {high} own different content under the name {name}"
                ));
                self.phase = Phase::Ended;
                self.late = Some(BTreeSet::new());
                return Ok(Answer::Ok);
            }
        }
        Ok(Answer::Ok)
    }

    fn lookup(
        &mut self,
        number: ClientNumber,
        name: &FileName,
        offset: u32,
    ) -> Result<Answer, Refused> {
        let no_owner = || (ErrorKind::NoOwner, NO_LIVING_OWNER.to_owned());
        let info_hash = self.files.info_hash(name).ok_or_else(no_owner)?;
        if !self.clients.values().any(|client| client.has(&info_hash)) {
            return Err(no_owner());
        }
        let info = self.files.info(&info_hash).ok_or_else(no_owner)?;
        let part = InfoPart::of(info, offset);
        let part = part.map_err(|error| (ErrorKind::BadInfo, error.to_string()))?;
        self.client(number)?.fetching.insert(info_hash);
        Ok(Answer::Info { part })
    }

    /// Owners of the whole file first; among equals each client's list starts behind itself, so that the first are not
    /// the same for all.
    fn owners(&self, number: ClientNumber, info_hash: InfoHash) -> Answer {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = self.clients.range((Excluded(number), Unbounded));
        let others = after.chain(self.clients.range(..number));
        let living = others
            .map(|(_, client)| client)
            .filter(|client| client.has(&info_hash));
        let (whole, partial): (Vec<&Client>, Vec<&Client>) =
            living.partition(|client| client.owned.contains(&info_hash));
        let addresses = whole.iter().chain(&partial).take(MAX_PAGE);
        Answer::Owners {
            addresses: addresses.map(|client| client.address).collect(),
            whole: u32::try_from(whole.len()).unwrap_or(u32::MAX),
        }
    }

    fn client(&mut self, number: ClientNumber) -> Result<&mut Client, Refused> {
        let client = self.clients.get_mut(&number);
        client.ok_or_else(|| {
            (
                ErrorKind::OutOfOrder,
                format!("there is no client {number}"),
            )
        })
    }

    fn fail(&mut self, line: &str) {
        self.failures.push(Line::new(line));
    }

    /// Forgets a connection; its client, if it is one's, is dead.
    fn lose(&mut self, connection: ConnectionId) {
        let number = self.connections.remove(&connection);
        let Some(number) = number.and_then(|state| state.client) else {
            return;
        };
        if let Some(client) = self.clients.get_mut(&number) {
            client.connection = None;
        }
        self.fail(&format!("client {number} is gone"));
    }

    /// Ends the clients that have not reported in time, and names those that never came as far as their numbers are
    /// clear: when all that came have numbers up to the expected one, the others are the numbers that are left.
    fn end_the_late(&mut self, effects: &mut Vec<Effect>) {
        let late = format!("did not report within {} s", self.wait.as_secs_f64());
        for (number, client) in &mut self.clients {
            if client.is_reported_or_ended() {
                continue;
            }
            if let Some(connection) = client.connection.take() {
                let line = Line::new(&format!("client {number} {late}"));
                self.connections.remove(&connection);
                let failures = vec![line.clone()];
                effects.push(Effect::Send(connection, Notice::End { failures }));
                effects.push(Effect::Close(connection));
                self.failures.push(line);
            }
        }
        let expected = self.expected.get();
        let mut missing =
            expected.saturating_sub(u32::try_from(self.clients.len()).unwrap_or(expected));
        let clear = self.clients.keys().all(|number| number.get() <= expected);
        let absent = (1..=expected).filter_map(NonZeroU32::new);
        let absent = absent.filter(|number| !self.clients.contains_key(number));
        let named = if clear { MAX_TOLD } else { 0 };
        for number in absent.take(named) {
            self.failures
                .push(Line::new(&format!("client {number} {late}")));
            missing = missing.saturating_sub(1);
        }
        if missing > 0 {
            let more = if clear { "more " } else { "" };
            let noun = if missing == 1 { "client" } else { "clients" };
            self.fail(&format!("{missing} {more}{noun} {late}"));
        }
    }

    /// Moves on if nothing holds the run any more.
    fn advance(&mut self, effects: &mut Vec<Effect>) {
        let all_came = self.clients.len() as u64 >= u64::from(self.expected.get());
        let mut settled = self.clients.values();
        if self.phase == Phase::Gathering && all_came && settled.all(Client::is_reported_or_ended) {
            self.release(effects);
        }
        let ended = match self.phase {
            Phase::Gathering => false,
            Phase::Released => self.clients.values().all(Client::is_ended),
            // A conflict was found.
            Phase::Ended => true,
        };
        if ended && self.outcome.is_none() {
            self.end(effects);
        }
    }

    fn release(&mut self, effects: &mut Vec<Effect>) {
        self.phase = Phase::Released;
        for client in self.clients.values() {
            if let Some(connection) = client.connection {
                effects.push(Effect::Send(connection, Notice::Release));
            }
        }
    }

    fn end(&mut self, effects: &mut Vec<Effect>) {
        self.phase = Phase::Ended;
        let mut told: Vec<Line> = self.failures.iter().take(MAX_TOLD).cloned().collect();
        if let Some(more) = self.failures.len().checked_sub(MAX_TOLD + 1) {
            told.push(Line::new(&format!("and {} more", more + 1)));
        }
        let mut connections: Vec<_> = self.connections.drain().collect();
        connections.sort_unstable_by_key(|(connection, _)| *connection);
        for (connection, state) in connections {
            if state.client.is_some() {
                let failures = told.clone();
                effects.push(Effect::Send(connection, Notice::End { failures }));
            }
            effects.push(Effect::Close(connection));
        }
        self.outcome = Some(Outcome {
            failures: std::mem::take(&mut self.failures),
        });
    }
}

impl Connection {
    fn deadline(&self) -> Duration {
        self.heard + self.client.map_or(HELLO, |_| SILENCE)
    }
}

#[cfg(test)]
mod tests;
