//! The real binary against other BitTorrent programs, each as seed and as leech.
//!
//! If a program is not installed, its tests report that on standard error and pass. If the program
//! is required, they fail instead. The variable `PIECEFUL_INTEROP` lists the required programs,
//! separated by commas: `libtorrent`, `rqbit`, `aria2`, `transmission`, `opentracker`. Its value
//! `required` means all of them. `PIECEFUL_INTEROP_PYTHON` names a Python interpreter with
//! libtorrent (`pip install libtorrent`). `PIECEFUL_INTEROP_RQBIT` is the path of the rqbit binary
//! (`cargo install rqbit`). The other programs are Debian's `aria2`, `transmission-cli` with
//! `transmission-daemon`, and `opentracker`.

mod common;

/// The tests; their files are in `tests/interop/`.
mod interop {
    mod aria2;
    mod contents;
    mod exchange;
    mod hybrid;
    mod libtorrent;
    mod metainfo;
    mod mixed;
    mod opentracker;
    mod partial;
    mod programs;
    mod rqbit;
    mod ssl;
    mod transmission;
}
