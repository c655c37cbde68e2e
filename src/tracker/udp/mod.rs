//! Announces and scrapes over UDP (BEP 15, BEP 48), from the same swarms as over HTTP.
//!
//! In scope: datagram in, datagram out, and the threads that do it. Out of scope: the encoding of
//! datagrams (see [`crate::wire::udp_tracker`]).
//!
//! Invariant: until a client has proved that it receives packets at its address, it gets only a
//! connection id or nothing. So it gets no more bytes than it sent.

mod connection_ids;
mod server;
mod service;

pub(super) use server::UdpServer;
