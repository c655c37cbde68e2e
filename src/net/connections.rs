//! The connections that a server holds at once: counted, capped, and ended together.

use crate::base::AddressPrefix;
use crate::system::{lock, recover};
use std::collections::HashMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// How many connections a server holds at once.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// In all.
    pub total: usize,
    /// From one address prefix.
    pub per_address: usize,
}

/// Those that are open now.
#[derive(Debug)]
pub(super) struct Connections {
    caps: Caps,
    live: Mutex<Live>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Live {
    next: u64,
    sockets: HashMap<u64, Arc<TcpStream>>,
    per_address: HashMap<AddressPrefix, usize>,
}

impl Connections {
    /// None yet.
    pub(super) fn new(caps: Caps) -> Self {
        Self {
            caps,
            live: Mutex::default(),
            ended: Condvar::new(),
        }
    }

    /// Counts one in: its number, higher than all before and never 0, or `None` where the caps leave no room.
    pub(super) fn enter(&self, stream: &Arc<TcpStream>, ip: IpAddr) -> Option<u64> {
        let mut live = self.live();
        let prefix = AddressPrefix::of(ip);
        let from_there = live.per_address.get(&prefix).copied().unwrap_or(0);
        if live.sockets.len() >= self.caps.total || from_there >= self.caps.per_address {
            return None;
        }
        live.next += 1;
        let number = live.next;
        live.sockets.insert(number, Arc::clone(stream));
        *live.per_address.entry(prefix).or_default() += 1;
        Some(number)
    }

    /// Counts one out that came from `ip`.
    pub(super) fn leave(&self, number: u64, ip: IpAddr) {
        let mut live = self.live();
        let socket = live.sockets.remove(&number);
        let prefix = AddressPrefix::of(ip);
        if let Some(count) = live.per_address.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                live.per_address.remove(&prefix);
            }
        }
        drop(live);
        // Perhaps the last handle: it is closed outside the lock.
        drop(socket);
        self.ended.notify_all();
    }

    /// How many there are.
    pub(super) fn open(&self) -> usize {
        self.live().sockets.len()
    }

    /// Shuts all sockets and waits until those who hold them have counted them out, `limit` at most.
    pub(super) fn end(&self, limit: Duration) {
        for socket in self.live().sockets.values() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.wait_until_none(limit);
    }

    /// Waits until there is none, `limit` at most; says whether there is none.
    pub(super) fn wait_until_none(&self, limit: Duration) -> bool {
        let waited = self
            .ended
            .wait_timeout_while(self.live(), limit, |live| !live.sockets.is_empty());
        !recover(waited).1.timed_out()
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        lock(&self.live)
    }
}
