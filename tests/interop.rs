//! The real binary against programs that nobody here wrote, each as seed and as leech.
//!
//! A test whose program is not installed says so on standard error and passes; it fails if `PIECEFUL_INTEROP` names the
//! program (`libtorrent,rqbit,aria2,transmission,opentracker`) or is `required`, which means all. `PIECEFUL_INTEROP_PYTHON`
//! names an interpreter that has libtorrent (`pip install libtorrent`), `PIECEFUL_INTEROP_RQBIT` an rqbit (`cargo install
//! rqbit`). The others are Debian's `aria2`, `transmission-cli` with `transmission-daemon`, and `opentracker`.

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
    mod transmission;
}
