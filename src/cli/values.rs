//! Parses the values of options and arguments: times, sizes, counts, names.
//!
//! In scope: text becomes a value, or an error that says what was expected. Out of scope: addresses
//! ([`crate::wire`]).

use crate::swarm::{MAX_RATE_LIMIT, MIN_RATE_LIMIT};
use crate::torrent::MAX_PIECE_LENGTH;
use crate::wire::name::{MachineName, NameError};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest time that is accepted, in seconds: ten years.
const MAX_SECONDS: f64 = 10.0 * 365.0 * 86_400.0;
/// The values that `--memory` accepts, in bytes.
const MEMORY: RangeInclusive<u64> = 1 << 20..=64 << 30;
/// The values that `--log-size` accepts, in bytes.
const LOG_SIZE: RangeInclusive<u64> = 64 << 10..=1 << 40;
/// The values that `--max-metadata` accepts, in bytes.
const METADATA_SIZE: RangeInclusive<u64> = 1 << 10..=1 << 40;
/// The values that `--keep` accepts, in bytes.
const KEPT_SIZE: RangeInclusive<u64> = 1 << 20..=1 << 60;
/// The longest name of a peer, in bytes.
const MAX_NAME: usize = 64;

/// A time in seconds, fractions allowed: `20`, `0.5`.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let is_decimal = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse::<f64>()
        .ok()
        .filter(|seconds| is_decimal && *seconds <= MAX_SECONDS)
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected a time in seconds, such as 20 or 0.5".to_owned())
}

/// A time in whole seconds, from 1 to a day.
pub(super) fn whole_seconds(text: &str) -> Result<Duration, String> {
    let number = count(86_400)(text)?;
    Ok(Duration::from_secs(number as u64))
}

/// Splits a text into its digits and the number of bytes in its unit. `K`, `KB` and `KiB` are 1024
/// bytes. `M` and `G` can be written in the same three ways. Case does not matter. No unit, or `B`,
/// is one byte.
fn split_unit(text: &str) -> Option<(&str, u64)> {
    let split = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    Some((digits, unit))
}

/// The length of a piece: a number of bytes, or a number with a unit.
pub(super) fn piece_length(text: &str) -> Result<u32, String> {
    split_unit(text)
        .and_then(|(digits, unit)| digits.parse::<u64>().ok()?.checked_mul(unit))
        .and_then(|length| u32::try_from(length).ok())
        .filter(|length| (1..=MAX_PIECE_LENGTH).contains(length))
        .ok_or_else(|| {
            "expected a length in bytes, such as 524288, 512K or 1M, at most 1024M".to_owned()
        })
}

/// A size of memory: a number of bytes, or a number with a unit.
pub(super) fn memory(text: &str) -> Result<u64, String> {
    size(text, MEMORY).ok_or_else(|| {
        "expected a size from 1M to 64G, such as 64M or 1G (1K is 1024 bytes)".to_owned()
    })
}

fn size(text: &str, valid: RangeInclusive<u64>) -> Option<u64> {
    let (digits, unit) = split_unit(text)?;
    let size = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    valid.contains(&size).then_some(size)
}

/// The size of a file of the log: a number of bytes, or a number with a unit.
pub(super) fn log_size(text: &str) -> Result<u64, String> {
    size(text, LOG_SIZE).ok_or_else(|| {
        "expected a size from 64K to 1024G, such as 20M or 1G (1K is 1024 bytes)".to_owned()
    })
}

/// Bytes of metadata: a number of bytes, or a number with a unit.
pub(super) fn metadata_size(text: &str) -> Result<u64, String> {
    size(text, METADATA_SIZE).ok_or_else(|| {
        "expected a size from 1K to 1024G, such as 256M or 1G (1K is 1024 bytes)".to_owned()
    })
}

/// How many bytes a mirror keeps: a number of bytes, or a number with a unit.
pub(super) fn kept_size(text: &str) -> Result<u64, String> {
    size(text, KEPT_SIZE).ok_or_else(|| {
        "expected a size of at least 1M, such as 500M or 2000G (1K is 1024 bytes)".to_owned()
    })
}

/// A part in whole percent, from 0 to 99.
pub(super) fn percent(text: &str) -> Result<u8, String> {
    let number = text.parse().ok().filter(|percent| *percent <= 99);
    number.ok_or_else(|| "expected a whole number from 0 to 99".to_owned())
}

/// A rate in bytes per second: a number, which may have a fraction, then an optional unit, then an
/// optional `/s`.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    split_unit(text.strip_suffix("/s").unwrap_or(text))
        .and_then(|(digits, unit)| Some((digits.parse::<f64>().ok()?, unit)))
        // The cast of a float saturates, so long numbers are safe.
        .map(|(number, unit)| (number * unit as f64) as u64)
        .filter(|rate| (MIN_RATE_LIMIT..=MAX_RATE_LIMIT).contains(rate))
        .ok_or_else(|| {
            "expected bytes per second, at least 1K, such as 500K, 10MB/s or 1.5MiB (1K is 1024 bytes)"
                .to_owned()
        })
}

/// Returns a parser of counts from 1 to `most`.
pub(super) fn count(most: usize) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync {
    move |text| {
        let number = text.parse().ok().filter(|count| (1..=most).contains(count));
        number.ok_or_else(|| format!("expected a number from 1 to {most}"))
    }
}

/// The name of a peer. Other peers show it in their terminals.
pub(super) fn peer_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_NAME || crate::base::escape(text) != text {
        return Err(format!(
            "expected a name of 1 to {MAX_NAME} bytes without control characters"
        ));
    }
    Ok(text.to_owned())
}

/// The name of a new machine.
pub(super) fn machine_name(text: &str) -> Result<MachineName, String> {
    let name: MachineName = text.parse().map_err(|error: NameError| error.to_string())?;
    name.check_new().map_err(|error| error.to_string())?;
    Ok(name)
}

/// An announce URL.
pub(super) fn announce_url(text: &str) -> Result<String, String> {
    let after_scheme = ["http://", "https://", "udp://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let plain = !text.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    if after_scheme.is_some_and(|text| !text.is_empty()) && plain {
        return Ok(text.to_owned());
    }
    Err("expected an announce URL, such as http://127.0.0.1:5000/announce".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        assert_eq!(seconds("1.25"), Ok(Duration::from_millis(1250)));
        for bad in [
            "",
            ".",
            "-1",
            "1e3",
            "inf",
            "NaN",
            "+1",
            "5s",
            "1.2.3",
            "99999999999",
            "٣",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert_eq!(whole_seconds("20"), Ok(Duration::from_secs(20)));
        assert!(
            ["0", "0.5", "86401"]
                .iter()
                .all(|text| whole_seconds(text).is_err())
        );
    }

    #[test]
    fn piece_lengths_are_read() {
        for (text, length) in [
            ("524288", 512 << 10),
            ("512K", 512 << 10),
            ("1m", 1 << 20),
            ("1024MiB", 1 << 30),
            ("64kb", 64 << 10),
            ("7", 7),
        ] {
            assert_eq!(piece_length(text), Ok(length), "{text}");
        }
        for bad in [
            "",
            "0",
            "K",
            "1025M",
            "4294967295M",
            "-1",
            "2G",
            "1.5M",
            "1 M",
        ] {
            assert!(piece_length(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_of_memory_are_read() {
        for (text, size) in [
            ("1048576", 1 << 20),
            ("1024K", 1 << 20),
            ("64m", 64 << 20),
            ("256MiB", 256 << 20),
            ("64GB", 64 << 30),
        ] {
            assert_eq!(memory(text), Ok(size), "{text}");
        }
        for bad in [
            "",
            "0",
            "M",
            "1048575",
            "65G",
            "68719476737",
            "18446744073709551615G",
            "-1M",
            "1.5M",
            "1 M",
            "1M/s",
            "10%",
        ] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_are_read() {
        for (text, rate) in [
            ("1024", 1 << 10),
            ("500K", 500 << 10),
            ("10M", 10 << 20),
            ("1.5MiB", 3 << 19),
            ("1.5mb", 3 << 19),
            ("2kB", 2 << 10),
            ("5M/s", 5 << 20),
            ("500KB/s", 500 << 10),
            ("2048/s", 2 << 10),
            ("1GB", 1 << 30),
            (".5g", 1 << 29),
            ("1024G", 1 << 40),
        ] {
            assert_eq!(super::rate(text), Ok(rate), "{text}");
        }
        for bad in [
            "",
            "0",
            "0M",
            "K",
            ".",
            "1.2.3M",
            "1023",
            "-1M",
            "+1M",
            "1e9",
            "inf",
            "NaN",
            "1 M",
            "M1",
            "1M/h",
            "1M/s/s",
            "8Mbit",
            "1025G",
            "99999999999999999999999G",
            "٣M",
            "1T",
        ] {
            assert!(super::rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn counts_names_and_announce_urls_are_checked() {
        assert_eq!(count(4)("4"), Ok(4));
        assert!(
            ["0", "5", "-1", "x", ""]
                .iter()
                .all(|text| count(4)(text).is_err())
        );
        assert!(peer_name("Lab 3 ü").is_ok());
        assert!(
            ["", "a\nb", "\u{202e}", &"x".repeat(65)]
                .iter()
                .all(|text| peer_name(text).is_err())
        );
        assert!(announce_url("http://[::1]:5000/announce").is_ok());
        assert!(
            ["http://", "127.0.0.1:5000", "ftp://x/", "http://a b/"]
                .iter()
                .all(|text| announce_url(text).is_err())
        );
    }
}
