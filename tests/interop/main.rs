//! The real binary against programs that nobody here wrote, each as seed and as leech.
//!
//! A test whose program is not installed says so on standard error and passes; with `PIECEFUL_INTEROP=required` in the
//! environment it fails. `PIECEFUL_INTEROP_PYTHON` names an interpreter that has libtorrent (`pip install libtorrent`).
//! The others are Debian's `aria2`, `transmission-cli` with `transmission-daemon`, and `opentracker`.

mod aria2;
mod contents;
mod exchange;
mod libtorrent;
mod metainfo;
mod mixed;
mod opentracker;
mod others;
mod rqbit;
#[path = "../magnet/server.rs"]
#[allow(dead_code)]
mod server;
#[path = "../swarm/support.rs"]
#[allow(unreachable_pub)]
mod support;
mod transmission;
