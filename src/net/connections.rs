//! The open connections of a server: counted, capped, and closed together.

use crate::base::AddressPrefix;
use crate::system::{lock, recover};
use std::collections::HashMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// The most connections that a server holds open at the same time.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionCaps {
    /// From all addresses together.
    pub total: usize,
    /// From one [`AddressPrefix`].
    pub per_address: usize,
}

/// The connections that are open now.
#[derive(Debug)]
pub(super) struct Connections {
    caps: ConnectionCaps,
    open: Mutex<OpenSockets>,
    removed: Condvar,
}

#[derive(Debug, Default)]
struct OpenSockets {
    last_number: u64,
    sockets: HashMap<u64, Arc<TcpStream>>,
    per_address: HashMap<AddressPrefix, usize>,
}

impl Connections {
    /// No connection yet.
    pub(super) fn new(caps: ConnectionCaps) -> Self {
        Self {
            caps,
            open: Mutex::default(),
            removed: Condvar::new(),
        }
    }

    /// Adds a connection. Returns its number, or `None` if a cap is reached. Numbers count up from
    /// 1.
    pub(super) fn add(&self, stream: &Arc<TcpStream>, ip: IpAddr) -> Option<u64> {
        let mut open = self.lock_open();
        let prefix = AddressPrefix::of(ip);
        let from_prefix = open.per_address.get(&prefix).copied().unwrap_or(0);
        if open.sockets.len() >= self.caps.total || from_prefix >= self.caps.per_address {
            return None;
        }
        open.last_number += 1;
        let number = open.last_number;
        open.sockets.insert(number, Arc::clone(stream));
        *open.per_address.entry(prefix).or_default() += 1;
        Some(number)
    }

    /// Removes a connection that came from `ip`.
    pub(super) fn remove(&self, number: u64, ip: IpAddr) {
        let mut open = self.lock_open();
        let socket = open.sockets.remove(&number);
        let prefix = AddressPrefix::of(ip);
        if let Some(count) = open.per_address.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                open.per_address.remove(&prefix);
            }
        }
        drop(open);
        // This may be the last handle, so the socket closes here, outside the lock.
        drop(socket);
        self.removed.notify_all();
    }

    /// The number of open connections.
    pub(super) fn count(&self) -> usize {
        self.lock_open().sockets.len()
    }

    /// Shuts all sockets down.
    pub(super) fn shut_down_all(&self) {
        for socket in self.lock_open().sockets.values() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Shuts all sockets down, then waits at most `limit` until the threads that serve them have
    /// removed them.
    pub(super) fn close_all(&self, limit: Duration) {
        self.shut_down_all();
        self.wait_until_none(limit);
    }

    /// Waits at most `limit` until no connection is open. Returns whether none is.
    pub(super) fn wait_until_none(&self, limit: Duration) -> bool {
        let waited = self
            .removed
            .wait_timeout_while(self.lock_open(), limit, |open| !open.sockets.is_empty());
        !recover(waited).1.timed_out()
    }

    fn lock_open(&self) -> MutexGuard<'_, OpenSockets> {
        lock(&self.open)
    }
}
