//! pieceful gets large files to everyone in a team, and to no one else: a private BitTorrent in one binary.
//!
//! Modules by floors; a module uses only the floors below its own:
//!
//! | floor | modules |
//! |---|---|
//! | 7 | [`cli`]: what a person sees: arguments, prompt, commands, tables, progress, JSON |
//! | 6 | [`scenario`]: a closed run from `inR.txt` files |
//! | 5 | [`peer`]: a running peer; [`tracker`]: a running tracker |
//! | 4 | [`storage`]: bytes that last; [`net`]: sockets and threads |
//! | 3 | [`swarm`]: which piece next, from whom, how much in flight |
//! | 2 | [`wire`]: bytes to messages and back |
//! | 1 | [`torrent`]: what is shared: hashes, lengths, metainfo, magnet links; [`certificate`]: certificates made and signed |
//! | 0 | [`bencode`]: the one encoding; [`base`]: hexadecimal text, `%`-escapes, address prefixes; [`system`]: locks, the wall clock, processors |
//!
//! `base`, `bencode`, `certificate`, `torrent`, `wire` and `swarm` hold no socket, file, thread, lock or clock: bytes and
//! the time are handed in. They do not use `system`.
//!
//! `docs/overview.md` beside the sources tells the way of a piece, the threads, the locks and what is assumed.
#![warn(unreachable_pub)]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod base;
pub mod bencode;
pub mod certificate;
pub mod cli;
pub mod net;
pub mod peer;
pub mod scenario;
pub mod storage;
pub mod swarm;
pub mod system;
pub mod torrent;
pub mod tracker;
pub mod wire;
