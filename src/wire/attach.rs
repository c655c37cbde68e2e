//! Messages between a running process and a command that is attached to it.
//!
//! In scope: the messages and their exact encoding, which is that of [`crate::wire::control`], each
//! in a frame of at most [`MAX_ATTACH_FRAME`] bytes. The first message of each side carries the
//! version of its sender, and other versions can read that part of it. Out of scope: sockets, and
//! what the lines mean.
//!
//! The client sends [`AttachRequest::Hello`], then lines one by one. The process answers a line
//! with any number of outputs and questions, then with [`AttachReply::Done`]. The client answers
//! each question.

mod reply;
mod request;
mod version;

pub use reply::{AttachReply, Ending};
pub use request::{AttachRequest, AttachedAnswer, Caller, LineSource};
pub use version::{ATTACH_PROTOCOL, AttachVersion, MAX_ATTACH_FRAME, MAX_TEXT};

/// The fuzz function of attached frames: each message has one encoding.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    super::frame::fuzz(bytes, MAX_ATTACH_FRAME, |body| {
        let version = AttachVersion::of_first_message(body);
        match AttachRequest::decode(body) {
            Ok(AttachRequest::Hello(caller)) => {
                assert_eq!(version.as_ref(), Ok(&caller.version));
                assert_eq!(AttachRequest::Hello(caller).encode(), body);
            }
            Ok(request) => assert_eq!(request.encode(), body),
            Err(_) => {}
        }
        if let Ok(reply) = AttachReply::decode(body) {
            assert_eq!(reply.encode(), body);
        }
    });
}

#[cfg(test)]
mod tests;
