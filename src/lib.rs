//! pieceful shares large files with all members of a team, and with nobody else: a private
//! BitTorrent in one binary.
//!
//! The modules are in layers. A module uses only modules in lower layers:
//!
//! | layer | module | what is in it |
//! |---|---|---|
//! | 7 | [`cli`] | arguments, prompt, commands, tables, progress bars, JSON |
//! | 6 | [`scenario`] | one client of a closed run: its `inR.txt`, and what it does in the run |
//! | 5 | [`peer`] | a running peer |
//! | 5 | [`tracker`] | a running tracker |
//! | 4 | [`storage`] | files of shares, records, state folders, the tracker's database |
//! | 4 | [`net`] | servers, the worker pool, deadlines, TLS, frames, the stop flag |
//! | 3 | [`swarm`] | decisions: which piece to fetch from whom, whom to serve, whom to call |
//! | 2 | [`wire`] | converts bytes to messages, and messages to bytes |
//! | 1 | [`torrent`] | hashes, lengths, metainfo, magnet links |
//! | 1 | [`certificate`] | making and signing certificates |
//! | 0 | [`bencode`] | the encoding of BEP 3 |
//! | 0 | [`base`] | hexadecimal text, `%`-escapes, URLs, address prefixes, texts of commands |
//! | 0 | [`system`] | locks, clocks, number of processors, size of memory, texts of system errors |
//!
//! `base`, `bencode`, `certificate`, `torrent`, `wire` and `swarm` hold no socket, file, thread,
//! lock or clock, and do not use `system`. Their callers pass bytes and the time.
//!
//! `docs/overview.md`, beside the sources, describes how a piece is fetched, the threads and the
//! locks.
#![warn(unreachable_pub)]
#![cfg_attr(
    not(any(test, fuzzing)),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod base;
pub mod bencode;
pub mod certificate;
pub mod cli;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod net;
pub mod peer;
pub mod scenario;
pub mod storage;
pub mod swarm;
pub mod system;
pub mod torrent;
pub mod tracker;
pub mod wire;
