//! The text form of an Argon2id hash (PHC string format), as the reference implementation writes
//! it: `$argon2id$v=19$m=KIB,t=PASSES,p=LANES$SALT$OUTPUT`. Salt and output are base64 without
//! padding (RFC 4648, section 4).

use argon2::Params;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The maximum costs of a hash that is read. A hash with higher costs could block the tracker.
const MAX_KIB: u32 = 256 << 10;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;

/// A hash with its costs and its salt.
#[derive(Clone)]
pub(super) struct PhcHash {
    pub(super) params: Params,
    pub(super) salt: Vec<u8>,
    pub(super) output: Vec<u8>,
}

impl PhcHash {
    pub(super) fn to_text(&self) -> String {
        let params = &self.params;
        format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            params.m_cost(),
            params.t_cost(),
            params.p_cost(),
            encode(&self.salt),
            encode(&self.output)
        )
    }

    /// Reads a hash. Returns `None` if the text is malformed or the costs are too high.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let mut fields = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let mut costs = fields.next()?.split(',');
        let mut cost = |name: &str, max: u32| -> Option<u32> {
            let cost = costs.next()?.strip_prefix(name)?.strip_prefix('=')?;
            cost.parse().ok().filter(|cost| *cost <= max)
        };
        let (kib, passes) = (cost("m", MAX_KIB)?, cost("t", MAX_PASSES)?);
        let lanes = cost("p", MAX_LANES)?;
        let (salt, output) = (decode(fields.next()?)?, decode(fields.next()?)?);
        if costs.next().is_some() || fields.next().is_some() {
            return None;
        }
        let are_lengths_valid = (8..=64).contains(&salt.len()) && (16..=64).contains(&output.len());
        let params = Params::new(kib, passes, lanes, Some(output.len())).ok();
        params.filter(|_| are_lengths_valid).map(|params| Self {
            params,
            salt,
            output,
        })
    }
}

fn encode(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

/// Accepts only text that `encode` produces.
fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_canonical() {
        for (bytes, text) in [
            (b"".as_slice(), ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (&[0xff, 0xef], "/+8"),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).unwrap(), bytes);
        }
        for bad in ["Z", "Zh", "Zg==", "Zm9", "Z!", "Zm9vY"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn malformed_hashes_and_excessive_costs_are_refused() {
        let text = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let parts = PhcHash::from_text(text).unwrap();
        assert_eq!(
            (parts.params.m_cost(), parts.salt.as_slice()),
            (65_536, b"somesalt".as_slice())
        );
        assert_eq!(parts.to_text(), text);
        let with = |from: &str, to: &str| text.replace(from, to);
        for bad in [
            String::new(),
            "x".into(),
            with("argon2id", "argon2i"),
            with("v=19", "v=16"),
            with("m=65536", "m=4294967295"),
            with("m=65536", "m=1"),
            with("t=2", "t=1000"),
            with("t=2", "t=0"),
            with("p=1", "p=17"),
            with("p=1", "p=1,x=2"),
            with("c29tZXNhbHQ", "c29t"),
            with("$c29tZXNhbHQ", ""),
            format!("{text}$"),
            format!("{text}="),
        ] {
            assert!(PhcHash::from_text(&bad).is_none(), "{bad}");
        }
    }
}
