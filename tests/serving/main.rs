//! Choking and serving, limits on rates, and what peers tell of themselves: the real binary against scripted peers and
//! against itself.

#[path = "../hostile/peers.rs"]
mod peers;
#[path = "../hostile/script.rs"]
mod script;
#[path = "../swarm/support.rs"]
#[allow(unreachable_pub)]
mod support;
#[path = "../hostile/torrent.rs"]
mod torrent;

mod choking;
mod extension;
mod limits;
mod owners;
