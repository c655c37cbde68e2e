//! Open swarms end to end: the binary, real sockets, real files, real kills.

mod downloads;
mod endings;
mod kills;
mod processes;
mod run_local;
mod scenarios;
mod support;
mod torrents;
