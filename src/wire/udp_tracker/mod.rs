//! The UDP tracker protocol (BEP 15), with the options that may follow an announce (BEP 41).
//!
//! In scope: parsing and encoding the datagrams of requests and responses. Out of scope: sockets,
//! the lifetime of a connection id, and retransmission.
//!
//! A datagram of a wrong length is refused as a whole. Only the options after an announce are read
//! leniently, as BEP 41 asks. The `ip` of an announce is ignored, like that of an HTTP announce.

mod fields;
mod ids;
mod request;
mod response;

#[cfg(any(test, fuzzing))]
pub(crate) use self::{request::fuzz as fuzz_request, response::fuzz as fuzz_response};
pub use ids::{AddressFamily, ConnectionId, NO_CONNECTION, TransactionId};
pub use request::{MAX_UDP_SCRAPE, UdpRequest, UdpRequestError, UdpRequestHeader};
pub use response::{MAX_DATAGRAM, UdpAnnounceResponse, UdpResponse, UdpResponseError};
