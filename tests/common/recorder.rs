//! A proxy that records what crosses a connection.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The bytes that crossed recorded connections: one entry for each direction of each connection.
#[derive(Clone, Default)]
pub(crate) struct Recording(Arc<Mutex<Vec<Vec<u8>>>>);

impl Recording {
    /// Accepts connections at `listener`, connects each to `target` and records both directions.
    pub(crate) fn record(&self, listener: TcpListener, target: SocketAddr) {
        let recording = self.clone();
        // The threads end with the process of the tests, or with their connections.
        thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(target)) else {
                    continue;
                };
                let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
                for (from, to) in [(near, far), back] {
                    let recording = recording.clone();
                    thread::spawn(move || recording.pass(from, to));
                }
            }
        });
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let at = {
            let mut recorded = self.0.lock().unwrap();
            recorded.push(Vec::new());
            recorded.len() - 1
        };
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            self.0.lock().unwrap()[at].extend_from_slice(&buffer[..read]);
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    /// What has been recorded so far.
    pub(crate) fn directions(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().clone()
    }
}
