//! Commands that attach to a running peer or tracker, and configuration files: the real binary,
//! real sockets, real terminals.

mod common;

/// The tests; their files are in `tests/attach/`.
mod attach {
    mod clients;
    mod commands;
    mod configuration;
    mod endings;
    mod foreign;
    mod refusals;
    mod terminals;
    mod tracker;
}
