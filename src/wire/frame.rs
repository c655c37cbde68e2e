//! Frames of control, replica and operator connections: a length of 4 bytes, big-endian, then a
//! body of that length.
//!
//! In scope: splitting a frame off the front of the received bytes, and writing a frame. The caller
//! passes `cap`, the most bytes of a body; a larger length is refused before anything is allocated.
//! Out of scope: the meaning of a body (see [`crate::wire::control`]), reading from a socket, and
//! the messages between peers, which have their own framing (BEP 3).

/// Bytes of the length field before each body.
pub const HEADER_LENGTH: usize = 4;

/// The body of a frame, and the bytes after the frame.
pub type BodyAndRest<'a> = (&'a [u8], &'a [u8]);

/// Why a frame is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The body is larger than the cap.
    #[error("a frame of {length} bytes is larger than the limit of {cap} bytes")]
    TooLarge {
        /// Length of the body in bytes.
        length: usize,
        /// The most bytes of a body.
        cap: u32,
    },
    /// The body is empty. No message has an empty body.
    #[error("the frame is empty")]
    Empty,
}

/// The body of the first frame in `input`, and the bytes after it. `None` if the frame has not
/// arrived completely.
///
/// # Errors
/// See [`FrameError`]. An error is returned as soon as the length has arrived.
pub fn decode(input: &[u8], cap: u32) -> Result<Option<BodyAndRest<'_>>, FrameError> {
    let Some((header, rest)) = input.split_first_chunk::<HEADER_LENGTH>() else {
        return Ok(None);
    };
    let prefix = u32::from_be_bytes(*header);
    let length = usize::try_from(prefix).unwrap_or(usize::MAX);
    match prefix {
        0 => Err(FrameError::Empty),
        _ if prefix > cap => Err(FrameError::TooLarge { length, cap }),
        _ => Ok(rest.split_at_checked(length)),
    }
}

/// Appends `body` as a frame to `out`.
///
/// # Errors
/// See [`FrameError`]. `out` is then unchanged.
pub fn encode(body: &[u8], cap: u32, out: &mut Vec<u8>) -> Result<(), FrameError> {
    match u32::try_from(body.len()) {
        Ok(0) => Err(FrameError::Empty),
        Ok(length) if length <= cap => {
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(body);
            Ok(())
        }
        _ => Err(FrameError::TooLarge {
            length: body.len(),
            cap,
        }),
    }
}

/// The fuzz function of the decoder: passes the body of each frame to `read`, and the whole input,
/// as if it were a body.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(input: &[u8], cap: u32, read: impl Fn(&[u8])) {
    read(input);
    let mut rest = input;
    while let Ok(Some((body, after))) = decode(rest, cap) {
        let mut frame = Vec::new();
        encode(body, cap, &mut frame).expect("it was decoded");
        assert_eq!([&frame, after].concat(), rest);
        read(body);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAP: u32 = 1000;

    #[test]
    fn bodies_up_to_the_cap_are_encoded_and_decoded_again() {
        for length in [1, 2, 255, 256, 1000] {
            let body = vec![7; length];
            let mut bytes = Vec::new();
            encode(&body, CAP, &mut bytes).unwrap();
            assert_eq!(bytes.len(), length + HEADER_LENGTH);
            assert_eq!(decode(&bytes, CAP), Ok(Some((&body[..], &b""[..]))));
        }
    }

    #[test]
    fn bad_lengths_are_refused_before_the_body_arrives() {
        let too_large = |length| Err(FrameError::TooLarge { length, cap: CAP });
        let table: &[(&[u8], _)] = &[
            (b"\xff\xff\xff\xff", too_large(0xffff_ffff)),
            (b"\x80\x00\x00\x00", too_large(0x8000_0000)),
            (b"\x00\x00\x03\xe9", too_large(1001)),
            (b"GET / HTTP", too_large(0x4745_5420)),
            (b"\x00\x00\x00\x00", Err(FrameError::Empty)),
            (b"\x00\x00\x03\xe8", Ok(None)),
            (b"\xff\xff\xff", Ok(None)),
            (b"", Ok(None)),
        ];
        for (bytes, expected) in table {
            assert_eq!(decode(bytes, CAP), *expected, "{bytes:?}");
        }
        let mut out = vec![1];
        assert!(encode(&[0; 1001], CAP, &mut out).is_err());
        assert!(encode(&[], CAP, &mut out).is_err());
        assert_eq!(out, [1]);
    }

    proptest! {
        #[test]
        fn frames_are_decoded_wherever_the_bytes_are_cut(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..6),
            cuts in prop::collection::vec(1usize..50, 1..60),
        ) {
            let mut bytes = Vec::new();
            for body in &bodies {
                encode(body, CAP, &mut bytes).unwrap();
            }
            let mut found = Vec::new();
            let mut buffer = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                let (arrived, later) = rest.split_at(rest.len().min(*cut));
                buffer.extend_from_slice(arrived);
                while let Some((body, after)) = decode(&buffer, CAP).unwrap() {
                    found.push(body.to_vec());
                    buffer = after.to_vec();
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert!(buffer.is_empty());
            prop_assert_eq!(found, bodies);
        }
    }
}
