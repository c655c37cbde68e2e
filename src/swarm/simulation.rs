//! Simulation of whole swarms: honest peers are real [`Core`]s, everything around them is
//! simulated.
//!
//! A simulation has a virtual clock and a queue of events (`events`); nothing in it takes real
//! time. Its peers have connections with a rate and a delay in each direction (`network`,
//! `direction`), so that messages and blocks take time and keep their order. An honest peer
//! (`honest`) carries out the effects of its core as `peer` does: requests and blocks over the
//! link, an upload queue for each link, hashing by a worker that takes time, a tick every 100 ms, a
//! buffer budget. Blocks have no bytes: they are good or bad (`content`). A peer may have an older
//! version of the share, of which some blocks are wrong or cannot be read (`local`). Rogue peers
//! (`rogue`) lie, trickle, keep silent, reject, leave, choke, announce their pieces late, or send
//! requests and never read.
//!
//! A plan (`plan`) describes a simulation. Equal plans give the same events in the same order. A
//! checker watches each honest peer (`checker`, with the table of properties). At the end every
//! honest peer has every piece that it needs, within a bound of virtual time. It has announced each
//! new piece, and has no requests and no reserved buffers.
//!
//! | tests | what they run |
//! |---|---|
//! | `schedules` | plans drawn from a seed: many small ones, some of 200 peers |
//! | `scenarios` | in each test, plans of one kind, and what is expected of that kind |
//! | `updates` | the same, with a downloader that has an older version of the share |
//! | `mutations` | for each fault planted in the tested code, small plans until one catches it |
//!
//! [`Core`]: super::Core

mod checker;
mod content;
mod direction;
mod environment;
mod events;
mod honest;
mod local;
mod mutations;
mod network;
mod plan;
mod rogue;
mod runner;
mod scenarios;
mod schedules;
mod updates;
