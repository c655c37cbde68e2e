//! A proxy in front of a tracker. A test can cut, hold or slow down the connections through it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The number of bytes that pass at a time through a slow proxy.
const SLICE: usize = 512;

/// Accepts connections and forwards them to a tracker.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<SharedState>,
    accepting: Option<JoinHandle<()>>,
}

struct SharedState {
    state: Mutex<ProxyState>,
    changed: Condvar,
}

struct ProxyState {
    target: Option<SocketAddr>,
    mode: Mode,
    /// The sockets of open connections, to shut them down.
    open: Vec<TcpStream>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Open,
    /// All connections are closed, and each new one at once.
    Cut,
    /// Connections stay open and nothing passes.
    Held,
    /// Connections stay open. This number of answers still passes. All bytes that one read from the
    /// tracker returns count as one answer.
    Silent(usize),
    /// This number of bytes passes in a second, in each direction of each connection.
    Slow(u32),
    Ended,
}

impl Proxy {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(SharedState {
            state: Mutex::new(ProxyState {
                target: None,
                mode: Mode::Open,
                open: Vec::new(),
            }),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        let accepting = thread::spawn(move || accept(&listener, &accepting));
        Self {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    /// Forwards new connections to `target`.
    pub(crate) fn forward_to(&self, target: SocketAddr) {
        self.shared.state.lock().unwrap().target = Some(target);
    }

    /// Closes every connection, and each new one at once.
    pub(crate) fn cut(&self) {
        self.set(Mode::Cut);
    }

    /// Holds all bytes in both directions. They pass after [`Proxy::mend`].
    pub(crate) fn hold(&self) {
        self.set(Mode::Held);
    }

    /// Lets requests pass, and this number of answers.
    pub(crate) fn hold_answers_after(&self, answers: usize) {
        self.set(Mode::Silent(answers));
    }

    /// Lets `rate` bytes pass in a second, in each direction of each connection.
    pub(crate) fn slow_down(&self, rate: u32) {
        self.set(Mode::Slow(rate));
    }

    /// Lets everything pass again.
    pub(crate) fn mend(&self) {
        self.set(Mode::Open);
    }

    fn set(&self, mode: Mode) {
        let mut state = self.shared.state.lock().unwrap();
        state.mode = mode;
        if matches!(mode, Mode::Cut | Mode::Ended) {
            for socket in state.open.drain(..) {
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Mode::Ended);
        // Wakes the accept loop.
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().unwrap().join();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<SharedState>) {
    loop {
        let (near, _) = listener.accept().unwrap();
        let (mode, target) = {
            let state = shared.state.lock().unwrap();
            (state.mode, state.target)
        };
        match mode {
            Mode::Ended => return,
            Mode::Cut => continue,
            Mode::Open | Mode::Held | Mode::Silent(_) | Mode::Slow(_) => {}
        }
        let Some(Ok(far)) = target.map(TcpStream::connect) else {
            continue;
        };
        for socket in [&near, &far] {
            let _ = socket.set_nodelay(true);
        }
        let ends = [(&near, &far, false), (&far, &near, true)].map(|(from, to, are_answers)| {
            let ends = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let shared = Arc::clone(shared);
            (ends, shared, are_answers)
        });
        let mut state = shared.state.lock().unwrap();
        if matches!(state.mode, Mode::Cut | Mode::Ended) {
            continue;
        }
        state.open.extend([near, far]);
        drop(state);
        for ((from, to), shared, are_answers) in ends {
            thread::spawn(move || copy(from, to, &shared, are_answers));
        }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, shared: &SharedState, are_answers: bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let held = |state: &mut ProxyState| match &mut state.mode {
            Mode::Held => true,
            Mode::Silent(0) => are_answers,
            Mode::Silent(left) => {
                *left -= usize::from(are_answers);
                false
            }
            Mode::Open | Mode::Cut | Mode::Slow(_) | Mode::Ended => false,
        };
        let state = shared.state.lock().unwrap();
        let state = shared.changed.wait_while(state, held).unwrap();
        if matches!(state.mode, Mode::Cut | Mode::Ended) {
            break;
        }
        let mode = state.mode;
        drop(state);
        let result = match mode {
            Mode::Slow(rate) => buffer[..read].chunks(SLICE).try_for_each(|slice| {
                thread::sleep(Duration::from_secs_f64(
                    slice.len() as f64 / f64::from(rate),
                ));
                to.write_all(slice)
            }),
            _ => to.write_all(&buffer[..read]),
        };
        if result.is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
