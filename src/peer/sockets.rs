//! The open sockets of calls, and of connections that fetch metadata. No `Link` owns these sockets,
//! so they are registered here, where a stop of the peer can shut them down.

use crate::system::lock;
use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

/// The registered sockets. [`Sockets::shut`] shuts them down.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: HashMap<u64, Arc<TcpStream>>,
    is_shut: bool,
}

/// Keeps a socket registered until this guard is dropped.
pub(super) struct RegisteredSocket<'a> {
    sockets: &'a Sockets,
    number: u64,
}

impl Sockets {
    /// Registers a socket until the guard is dropped. After [`Sockets::shut`] the socket is shut
    /// down at once.
    pub(super) fn register(&self, stream: &Arc<TcpStream>) -> RegisteredSocket<'_> {
        let mut state = lock(&self.state);
        let number = state.next;
        state.next += 1;
        state.open.insert(number, Arc::clone(stream));
        if state.is_shut {
            let _ = stream.shutdown(Shutdown::Both);
        }
        RegisteredSocket {
            sockets: self,
            number,
        }
    }

    /// Shuts down all registered sockets, and all that are registered later.
    pub(super) fn shut(&self) {
        let mut state = lock(&self.state);
        state.is_shut = true;
        for stream in state.open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for RegisteredSocket<'_> {
    fn drop(&mut self) {
        lock(&self.sockets.state).open.remove(&self.number);
    }
}
