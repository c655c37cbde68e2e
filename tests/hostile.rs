//! Bad input from outside: the real binary against scripted peers, lying trackers and failing
//! disks.
//!
//! The program's messages about downloads say *owner* for a peer that has the share.

mod common;

/// The tests; their files are in `tests/hostile/`.
mod hostile {
    mod bad_data;
    mod bytes_together;
    mod calling;
    mod crash;
    mod crowd;
    mod crowded_tracker;
    mod disk;
    mod foreign;
    mod full_disk;
    mod full_disk_of_peer;
    mod handshakes;
    mod late;
    mod liars;
    mod log_ins;
    mod logs;
    mod lying_tracker;
    mod metainfo;
    mod odd_disks;
    mod places;
    mod shown;
    mod wire_table;
}
