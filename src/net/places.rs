//! Which connections a server may hold open. A newcomer is a connection that has neither
//! authenticated nor got a thread of its own. If all places are taken, the newcomer that has been
//! silent longest gives its place to a new connection.
//!
//! In scope: the decisions. Out of scope: sockets, threads, and what an account is.
//!
//! | class | counts against | gives way |
//! |---|---|---|
//! | newcomer | its address; all places | to newcomers, longest silence first |
//! | kept (has a thread) | its address; all places | never |
//! | authenticated | its account; all places except those for newcomers | never |
//! | reserved | reserved places; its account, if known | never, but it must authenticate in time |

use crate::base::AddressPrefix;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Time in which a connection in a reserved place must authenticate.
const RESERVED_LIMIT: Duration = Duration::from_secs(3);
/// The shortest and the longest time after which a caller that found no place tries again. The time
/// is random, so that callers do not come back together.
const RETRY_SECONDS: (u32, u32) = (5, 15);

/// The most connections that a server holds open at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceLimits {
    /// All connections, except those in reserved places.
    pub total: usize,
    /// Connections from one [`AddressPrefix`] that have not authenticated.
    pub per_address: usize,
    /// Places among `total` that authenticated connections cannot take.
    pub for_newcomers: usize,
    /// Authenticated connections of one account.
    pub per_account: usize,
    /// Places in addition to `total`, for trusted addresses.
    pub reserved: usize,
    /// Whether a silent newcomer gives way to a new one. Otherwise the new one is refused.
    pub replaces_silent: bool,
}

impl PlaceLimits {
    /// Limits of a server where no connection authenticates and none gives way.
    pub fn fixed(total: usize, per_address: usize) -> Self {
        Self {
            total,
            per_address,
            for_newcomers: 0,
            per_account: 0,
            reserved: 0,
            replaces_silent: false,
        }
    }
}

/// To whom an authenticated connection belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// The account with this id.
    Account([u8; 16]),
    /// Somebody who holds the key of the cluster.
    Cluster,
}

/// All places that this connection could have are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("full, try again in {retry_seconds} s")]
pub struct Full {
    /// When to try again.
    pub retry_seconds: u32,
}

/// The connections of a server by their numbers.
#[derive(Debug)]
pub(super) struct Places {
    limits: PlaceLimits,
    connections: HashMap<u64, Connection>,
    /// Newcomers by the time at which they were heard last. The time of an entry may be too early:
    /// it is corrected when the entry has become the first one.
    silence: BTreeSet<(Instant, u64)>,
    addresses: HashMap<AddressPrefix, Address>,
    accounts: HashMap<Holder, usize>,
    authenticated: usize,
    reserved: usize,
}

#[derive(Debug)]
struct Connection {
    prefix: AddressPrefix,
    is_trusted: bool,
    class: Class,
    last_heard: Instant,
    /// The time of its entries in `Places::silence` and `Address::silence`; in a reserved place,
    /// when it got the place.
    listed: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Newcomer,
    Kept,
    Authenticated(Holder),
    /// In a reserved place. The holder is `None` until the connection authenticates.
    Reserved(Option<Holder>),
}

/// The connections of one address that have not authenticated.
#[derive(Debug, Default)]
struct Address {
    count: usize,
    silence: BTreeSet<(Instant, u64)>,
}

impl Places {
    pub(super) fn new(limits: PlaceLimits) -> Self {
        Self {
            limits,
            connections: HashMap::new(),
            silence: BTreeSet::new(),
            addresses: HashMap::new(),
            accounts: HashMap::new(),
            authenticated: 0,
            reserved: 0,
        }
    }

    /// Gives a place to a new connection. Returns the connection that gives way and must be closed.
    /// `server_waits_for` returns whether the server waits for the remote side of a connection: for
    /// its bytes, or for it to read. A connection does not give way while a thread works for it, or
    /// while its request waits for a turn. But it may give way before the remote side has read the
    /// answers to earlier requests, even if later ones have arrived.
    ///
    /// # Errors
    /// All places for the connection are taken, and no other connection can give way.
    pub(super) fn admit(
        &mut self,
        number: u64,
        ip: IpAddr,
        is_trusted: bool,
        now: Instant,
        server_waits_for: &dyn Fn(u64) -> bool,
    ) -> Result<Option<u64>, Full> {
        let prefix = AddressPrefix::of(ip);
        let of_address = self.addresses.get(&prefix).map_or(0, |it| it.count);
        let is_crowded = of_address >= self.limits.per_address;
        let is_full = self.connections.len() - self.reserved >= self.limits.total;
        let (mut class, mut gives_way) = (Class::Newcomer, None);
        if is_crowded || is_full {
            if is_trusted && self.reserved < self.limits.reserved {
                class = Class::Reserved(None);
            } else {
                let scope = is_crowded.then_some(prefix);
                let found = self.longest_silent(scope, now, server_waits_for);
                gives_way = Some(found.ok_or_else(full)?);
            }
        }
        if let Some(other) = gives_way {
            self.remove(other);
        }
        let connection = Connection {
            prefix,
            is_trusted,
            class,
            last_heard: now,
            listed: now,
        };
        match class {
            Class::Newcomer => {
                let address = self.addresses.entry(prefix).or_default();
                address.count += 1;
                address.silence.insert((now, number));
                self.silence.insert((now, number));
            }
            _ => self.reserved += 1,
        }
        self.connections.insert(number, connection);
        Ok(gives_way)
    }

    /// Frees the place of the newcomer that has been silent longest. Returns the number of this
    /// newcomer.
    pub(super) fn evict(
        &mut self,
        now: Instant,
        server_waits_for: &dyn Fn(u64) -> bool,
    ) -> Option<u64> {
        let found = self.longest_silent(None, now, server_waits_for)?;
        self.remove(found);
        Some(found)
    }

    /// A connection has sent something.
    pub(super) fn on_heard(&mut self, number: u64, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.last_heard = now;
        }
    }

    /// A connection gets a thread of its own, so it no longer gives way.
    pub(super) fn keep(&mut self, number: u64) {
        if let Some(connection) = self.connections.get_mut(&number)
            && connection.class == Class::Newcomer
        {
            connection.class = Class::Kept;
            unlist(&mut self.silence, &mut self.addresses, number, connection);
        }
    }

    /// A connection has proved that it belongs to `holder`.
    ///
    /// # Errors
    /// The places for authenticated connections, or those of the account, are taken.
    pub(super) fn authenticate(&mut self, number: u64, holder: Holder) -> Result<(), Full> {
        let Some(connection) = self.connections.get_mut(&number) else {
            return Err(full());
        };
        if let Class::Authenticated(_) | Class::Reserved(Some(_)) = connection.class {
            return Ok(());
        }
        let of_account = self.accounts.get(&holder).copied().unwrap_or_default();
        if holder != Holder::Cluster && of_account >= self.limits.per_account {
            return Err(full());
        }
        let for_authenticated = self.limits.total.saturating_sub(self.limits.for_newcomers);
        let may_reserve = connection.is_trusted || holder == Holder::Cluster;
        if connection.class == Class::Reserved(None) {
            connection.class = Class::Reserved(Some(holder));
        } else if self.authenticated < for_authenticated {
            leave_address(&mut self.silence, &mut self.addresses, number, connection);
            connection.class = Class::Authenticated(holder);
            self.authenticated += 1;
        } else if may_reserve && self.reserved < self.limits.reserved {
            leave_address(&mut self.silence, &mut self.addresses, number, connection);
            connection.class = Class::Reserved(Some(holder));
            self.reserved += 1;
        } else {
            return Err(full());
        }
        *self.accounts.entry(holder).or_default() += 1;
        Ok(())
    }

    /// A connection has ended.
    pub(super) fn remove(&mut self, number: u64) {
        let Some(connection) = self.connections.remove(&number) else {
            return;
        };
        let holder = match connection.class {
            Class::Newcomer | Class::Kept => {
                leave_address(&mut self.silence, &mut self.addresses, number, &connection);
                None
            }
            Class::Authenticated(holder) => {
                self.authenticated -= 1;
                Some(holder)
            }
            Class::Reserved(holder) => {
                self.reserved -= 1;
                holder
            }
        };
        if let Some(holder) = holder
            && let Some(count) = self.accounts.get_mut(&holder)
        {
            *count -= 1;
            if *count == 0 {
                self.accounts.remove(&holder);
            }
        }
    }

    /// Whether a connection holds a reserved place and has not authenticated in time.
    pub(super) fn is_overdue(&self, number: u64, now: Instant) -> bool {
        self.connections.get(&number).is_some_and(|connection| {
            connection.class == Class::Reserved(None) && now >= connection.listed + RESERVED_LIMIT
        })
    }

    /// The time by which a connection in a reserved place must authenticate. `None` if it has done
    /// so, and for a connection in another place.
    pub(super) fn due(&self, number: u64) -> Option<Instant> {
        let connection = self.connections.get(&number)?;
        let must_authenticate = connection.class == Class::Reserved(None);
        must_authenticate.then(|| connection.listed + RESERVED_LIMIT)
    }

    /// The newcomer that has been silent longest, of one address or of all.
    fn longest_silent(
        &mut self,
        scope: Option<AddressPrefix>,
        now: Instant,
        server_waits_for: &dyn Fn(u64) -> bool,
    ) -> Option<u64> {
        if !self.limits.replaces_silent {
            return None;
        }
        loop {
            let first = match scope {
                None => self.silence.first(),
                Some(prefix) => self.addresses.get(&prefix)?.silence.first(),
            };
            let (listed, number) = *first?;
            let connection = self.connections.get_mut(&number)?;
            let silent_since = if server_waits_for(number) {
                connection.last_heard
            } else {
                now
            };
            if silent_since <= listed {
                // The entry is right, and it is the earliest one. If the server owes this
                // connection an answer, the right time is `now`. Then all later entries have at
                // least this time: no newcomer has been silent, and none gives way.
                return server_waits_for(number).then_some(number);
            }
            // The connection was heard after `listed`, or the server owes it an answer: its entry
            // gets the right time.
            connection.listed = silent_since;
            if let Some(address) = self.addresses.get_mut(&connection.prefix) {
                address.silence.remove(&(listed, number));
                address.silence.insert((silent_since, number));
            }
            self.silence.remove(&(listed, number));
            self.silence.insert((silent_since, number));
        }
    }
}

/// A connection no longer counts for its address.
fn leave_address(
    silence: &mut BTreeSet<(Instant, u64)>,
    addresses: &mut HashMap<AddressPrefix, Address>,
    number: u64,
    connection: &Connection,
) {
    unlist(silence, addresses, number, connection);
    if let Some(address) = addresses.get_mut(&connection.prefix) {
        address.count -= 1;
        if address.count == 0 {
            addresses.remove(&connection.prefix);
        }
    }
}

/// A connection no longer gives way.
fn unlist(
    silence: &mut BTreeSet<(Instant, u64)>,
    addresses: &mut HashMap<AddressPrefix, Address>,
    number: u64,
    connection: &Connection,
) {
    silence.remove(&(connection.listed, number));
    if let Some(address) = addresses.get_mut(&connection.prefix) {
        address.silence.remove(&(connection.listed, number));
    }
}

fn full() -> Full {
    Full {
        retry_seconds: fastrand::u32(RETRY_SECONDS.0..=RETRY_SECONDS.1),
    }
}

#[cfg(test)]
mod tests;
