//! SHA-1, and the hashes made with it.
//!
//! BEP 3 prescribes SHA-1. The publisher of a torrent can make two contents with the same SHA-1. A
//! peer that only downloads and uploads cannot make another content with a given SHA-1.

use crate::base::hex::{self, Hex};
use sha1::Digest;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// A SHA-1 hash: of a piece, of a file, of an info dictionary.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha1(pub [u8; 20]);

impl Sha1 {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }
}

impl fmt::Display for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not 40 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a SHA-1 of 40 hex digits")]
pub struct ParseHashError(String);

impl FromStr for Sha1 {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, ParseHashError> {
        let error = || ParseHashError(text.chars().take(60).collect());
        hex::read(text).map(Self).ok_or_else(error)
    }
}

/// The info-hash, which identifies a swarm: SHA-1 over the raw bytes of `info` (BEP 3, "metainfo
/// files").
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InfoHash(pub [u8; 20]);

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Sha1(self.0), f)
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InfoHash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, ParseHashError> {
        text.parse().map(|Sha1(bytes)| Self(bytes))
    }
}

/// SHA-1 over bytes that arrive in parts. Uses the SHA instructions of the processor if it has
/// them.
#[derive(Clone)]
pub struct Hasher(Engine);

#[derive(Clone)]
enum Engine {
    Hardware(sha1::Sha1),
    Portable(sha1_smol::Sha1),
}

impl Hasher {
    /// A hasher without bytes so far.
    pub fn new() -> Self {
        Self(if has_sha_instructions() {
            Engine::Hardware(sha1::Sha1::new())
        } else {
            Engine::Portable(sha1_smol::Sha1::new())
        })
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Engine::Hardware(engine) => engine.update(bytes),
            Engine::Portable(engine) => engine.update(bytes),
        }
    }

    /// The hash of all bytes added.
    pub fn finish(self) -> Sha1 {
        Sha1(match self.0 {
            Engine::Hardware(engine) => engine.finalize().into(),
            Engine::Portable(engine) => engine.digest().bytes(),
        })
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

fn has_sha_instructions() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        return std::is_x86_feature_detected!("sha");
        #[cfg(target_arch = "aarch64")]
        return std::arch::is_aarch64_feature_detected!("sha2");
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
        return false;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_agree_with_the_standard() {
        let expected = "a9993e364706816aba3e25717850c26c9cd0d89d";
        for engine in [
            Engine::Hardware(sha1::Sha1::new()),
            Engine::Portable(sha1_smol::Sha1::new()),
        ] {
            let mut hasher = Hasher(engine);
            hasher.update(b"a");
            hasher.update(b"bc");
            assert_eq!(hasher.finish().to_string(), expected);
        }
        assert_eq!(expected.parse(), Ok(Sha1::of(b"abc")));
    }

    #[test]
    fn text_that_is_not_a_hash_is_refused() {
        for text in [
            "",
            "a9993e",
            "g9993e364706816aba3e25717850c26c9cd0d89d",
            "a9993e364706816aba3e25717850c26c9cd0d89d0",
        ] {
            assert!(text.parse::<InfoHash>().is_err(), "{text}");
        }
    }
}
