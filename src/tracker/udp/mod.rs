//! Announces and scrapes over UDP (BEP 15, BEP 48), from the same swarms as over HTTP.
//!
//! In scope: datagram in, datagram out, and the threads that do it. Out of scope: the encoding of
//! datagrams (see [`crate::wire::udp_tracker`]).
//!
//! Invariant: a client that has not proved that it receives packets at its address gets no more
//! bytes than it sent: a connection id, or nothing.

mod connection_ids;
mod server;
mod service;

pub(super) use server::UdpServer;
