//! Magnet links, peers named by peers, web seeds, files chosen out of a share: the real binary against itself and against
//! scripted peers and servers.

#[path = "../hostile/peers.rs"]
mod peers;
#[path = "../hostile/script.rs"]
mod script;
#[path = "../swarm/support.rs"]
#[allow(unreachable_pub)]
mod support;
#[path = "../hostile/torrent.rs"]
mod torrent;

mod chosen;
mod contacts;
mod extension;
mod link;
mod server;
mod web;
mod widened;
