//! What several test binaries use: running processes, clients and peers whose every byte a test
//! chooses, and waiting with a time limit.

// Each test binary contains all of these files and uses some of them.
#![allow(dead_code)]

pub(crate) mod account_tracker;
pub(crate) mod control_connection;
pub(crate) mod extensions;
pub(crate) mod fake_peer;
pub(crate) mod fake_tracker;
pub(crate) mod group_info;
pub(crate) mod handmade_torrent;
pub(crate) mod http_client;
pub(crate) mod log;
pub(crate) mod network_namespace;
pub(crate) mod odd_disk;
pub(crate) mod open_swarm;
pub(crate) mod peer;
pub(crate) mod process;
pub(crate) mod recorder;
pub(crate) mod sandbox;
pub(crate) mod small_disk;
pub(crate) mod terminal;
pub(crate) mod udp_client;
pub(crate) mod waiting;
pub(crate) mod web_server;
