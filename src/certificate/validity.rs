//! When a certificate is valid (RFC 5280, section 4.1.2.5). Times are since 1970 in UTC, in whole
//! seconds.

use super::der::{self, value};
use std::fmt;
use std::time::Duration;

const SECONDS_PER_DAY: u64 = 86_400;
/// The first second of 2050. UTCTime cannot express it.
const YEAR_2050: Date = Date(2_524_608_000);
/// The first second of the year 10000. Certificates cannot express it.
const YEAR_10000: u64 = 253_402_300_800;

/// A second that a certificate can express. It is printed as `2030-01-31 23:59:59 UTC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(u64);

/// The first and the last second at which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: Date,
    /// The last second.
    pub not_after: Date,
}

impl Date {
    /// The second that contains this time since 1970. `None` after the year 9999.
    pub fn new(since_1970: Duration) -> Option<Self> {
        Some(Self(since_1970.as_secs())).filter(|date| date.0 < YEAR_10000)
    }

    /// The time since 1970.
    pub fn since_1970(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// Year, month and day of the Gregorian calendar. The calculation uses years that begin on the
    /// first of March, so that leap days come last.
    fn civil(self) -> (u64, u64, u64) {
        // Days since the first of March of the year 0. An era of 400 years has 146,097 days.
        let days = self.0 / SECONDS_PER_DAY + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let months_since_march = (5 * day + 2) / 153;
        let month = match months_since_march {
            0..10 => months_since_march + 3,
            _ => months_since_march - 9,
        };
        let year = era * 400 + year + u64::from(month <= 2);
        (year, month, day - (153 * months_since_march + 2) / 5 + 1)
    }

    fn from_civil(year: u64, month: u64, day: u64, second_of_day: u64) -> Option<Self> {
        let shifted = year.checked_sub(u64::from(month <= 2))?;
        let months_since_march = (month + 9) % 12;
        let (era, in_era) = (shifted / 400, shifted % 400);
        let days = in_era * 365 + in_era / 4 - in_era / 100;
        let days = days + (153 * months_since_march + 2) / 5 + day;
        let days = (era * 146_097 + days).checked_sub(719_469)?;
        let date = Self(days * SECONDS_PER_DAY + second_of_day);
        // A day that the month does not have, such as 31 April, has become a day of the next month.
        // It is refused.
        (date.civil() == (year, month, day)).then_some(date)
    }

    /// Hour, minute and second.
    fn time_of_day(self) -> (u64, u64, u64) {
        (self.0 / 3_600 % 24, self.0 / 60 % 60, self.0 % 60)
    }

    /// UTCTime before 2050, GeneralizedTime from 2050 on.
    fn to_der(self) -> Vec<u8> {
        let (year, month, day) = self.civil();
        let (hour, minute, second) = self.time_of_day();
        let after_year = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
        let (tag, year) = if self < YEAR_2050 {
            (der::UTC_TIME, format!("{:02}", year % 100))
        } else {
            (der::GENERALIZED_TIME, format!("{year:04}"))
        };
        value(tag, &[year.as_bytes(), after_year.as_bytes()])
    }

    /// Splits a date off the front. Dates before 1970 and leap seconds are refused.
    fn take(input: &[u8]) -> Option<(Self, &[u8])> {
        let (text, year_digits, rest) = match der::take(der::UTC_TIME, input) {
            Some((text, _, rest)) => (text, 2, rest),
            None => {
                let (text, _, rest) = der::take(der::GENERALIZED_TIME, input)?;
                (text, 4, rest)
            }
        };
        let digits = text.strip_suffix(b"Z")?;
        if digits.len() != year_digits + 10 || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number = |digits: &[u8]| {
            digits
                .iter()
                .fold(0, |n, digit| n * 10 + u64::from(digit - b'0'))
        };
        let (year, after_year) = digits.split_at_checked(year_digits)?;
        let year = match (year_digits, number(year)) {
            (2, year @ 0..50) => 2000 + year,
            (2, year) => 1900 + year,
            (_, year) => year,
        };
        let (pairs, _) = after_year.as_chunks::<2>();
        let [month, day, hour, minute, second] = *pairs else {
            return None;
        };
        let [month, day, hour, minute, second] =
            [month, day, hour, minute, second].map(|pair| number(&pair));
        let in_range = (1..=12).contains(&month) && hour < 24 && minute < 60 && second < 60;
        let second_of_day = hour * 3_600 + minute * 60 + second;
        let date = Self::from_civil(year, month, day, second_of_day).filter(|_| in_range)?;
        Some((date, rest))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((year, month, day), (hour, minute, second)) = (self.civil(), self.time_of_day());
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"
        )
    }
}

impl Validity {
    /// From 2000 to the date that RFC 5280 defines for certificates that do not expire. Used
    /// for certificates that are trusted by their fingerprint, whatever the clock says.
    pub(super) const ALWAYS: Self = Self {
        not_before: Date(946_684_800),
        not_after: Date(YEAR_10000 - 1),
    };

    pub(super) fn to_der(self) -> Vec<u8> {
        value(
            der::SEQUENCE,
            &[&self.not_before.to_der(), &self.not_after.to_der()],
        )
    }

    /// Reads the content of a certificate's validity.
    pub(super) fn parse(content: &[u8]) -> Option<Self> {
        let (not_before, rest) = Date::take(content)?;
        let (not_after, rest) = Date::take(rest)?;
        rest.is_empty().then_some(Self {
            not_before,
            not_after,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn date(text: &[u8]) -> Option<String> {
        let tag = [der::UTC_TIME, der::GENERALIZED_TIME][usize::from(text.len() > 13)];
        let der = value(tag, &[text]);
        Date::take(&der).map(|(date, _)| {
            assert_eq!(date.to_der(), der);
            date.to_string()
        })
    }

    #[test]
    fn dates_are_read_and_written_as_in_rfc_5280() {
        for (text, expected) in [
            (&b"700101000000Z"[..], "1970-01-01 00:00:00 UTC"),
            (b"000229235959Z", "2000-02-29 23:59:59 UTC"),
            (b"261121144604Z", "2026-11-21 14:46:04 UTC"),
            (b"491231235959Z", "2049-12-31 23:59:59 UTC"),
            (b"20500101000000Z", "2050-01-01 00:00:00 UTC"),
            (b"24000229000000Z", "2400-02-29 00:00:00 UTC"),
            (b"99991231235959Z", "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(date(text).as_deref(), Some(expected));
        }
        let from_seconds = Date::new(Duration::from_secs(1_795_272_364)).unwrap();
        assert_eq!(from_seconds.to_string(), "2026-11-21 14:46:04 UTC");
        assert_eq!(Date::new(Duration::from_secs(YEAR_10000)), None);
    }

    #[test]
    fn text_that_is_not_a_date_is_refused() {
        for text in [
            &b""[..],
            b"Z",
            b"261121144604",
            b"2611211446Z",
            b"261121144604+",
            b"261321144604Z",
            b"260021144604Z",
            b"261100144604Z",
            b"261131144604Z",
            b"260229144604Z",
            b"261121244604Z",
            b"261121146004Z",
            b"261121144660Z",
            b"26112114460 Z",
            b"690101000000Z",
            b"00000101000000Z",
            b"21000229000000Z",
            b"20261121144604.5Z",
        ] {
            assert_eq!(date(text), None, "{}", text.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn every_second_is_read_as_it_was_written(seconds in 0..YEAR_10000) {
            let date = Date(seconds);
            let der = date.to_der();
            prop_assert_eq!(Date::take(&der), Some((date, &[][..])));
        }
    }
}
