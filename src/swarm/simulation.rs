//! Whole swarms, simulated: honest peers are real [`Core`]s, everything around them is made up.
//!
//! A world has a virtual clock and a queue of events (`events`); nothing in it takes real time. Its
//! peers are joined by connections with a rate and a delay in each direction (`network`, `line`),
//! so that messages and blocks take time and keep their order. An honest peer (`honest`) carries
//! out the effects of its core as `peer` does: requests and blocks over the link, a queue of
//! uploads for each link, hashing on a worker that takes its time, a tick each 100 ms, a budget of
//! buffers. Blocks have no bytes: they are good or bad (`data`). Other peers lie, keep silent,
//! reject, leave, choke, tell late of what they have, or ask and never read (`rogue`).
//!
//! `plan` says what a world is made of; equal plans make equal schedules. While a world runs, each
//! honest peer is watched (`watch`, with the table of properties). At the end every honest peer has
//! every piece that it needs, within a bound of virtual time, and nothing is left over.
//!
//! | tests | what they run |
//! |---|---|
//! | `schedules` | worlds drawn from a seed: many small ones, some of 200 peers |
//! | `scenarios` | worlds of one kind, with what is expected of that kind |
//! | `mutations` | small worlds with a fault planted in the program: each is caught |
//!
//! [`Core`]: super::Core

mod data;
mod environment;
mod events;
mod honest;
mod line;
mod mutations;
mod network;
mod plan;
mod rogue;
mod scenarios;
mod schedules;
mod watch;
mod world;
