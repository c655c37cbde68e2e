//! What others may send, and what disks may do: the real binary against scripted peers, lying trackers and bad media.

#[path = "../swarm/support.rs"]
#[allow(unreachable_pub)]
mod support;

mod bad_data;
mod calling;
mod crash;
mod crowd;
mod disk;
mod handshakes;
mod late;
mod lying_tracker;
mod metainfo;
mod peers;
mod script;
mod torrent;
mod wire_table;
