//! Reads the text of a file `inR.txt`.
//!
//! The format: the number of owned files; for each a line `NAME SEGMENTS`, and then one line per
//! segment with its identifier; the number of wanted files; for each a line with its name. A
//! segment is one piece, and its content is its identifier with a newline. So all identifiers of a
//! file must have the same length. White space at the end of a line is ignored, and so are blank
//! lines at the end of the file.
//!
//! Each error has its line number. A number in the file never decides how much memory is allocated.
//!
//! Out of scope: files on disk, and the client's part in the run.

use super::owned_file::OwnedFile;
use crate::torrent::{FileName, MAX_METAINFO, MAX_PIECE_LENGTH, NameError};
use std::collections::HashSet;

/// The largest number of segments of a file: their hashes fit into the largest metainfo.
pub const MAX_SEGMENTS: u32 = ((MAX_METAINFO - 4096) / 20) as u32;

/// What one client of a closed run owns and wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The files that it owns completely.
    pub owned: Vec<OwnedFile>,
    /// The names of the files that it wants.
    pub wanted: Vec<FileName>,
}

/// A defect of a file `inR.txt`, with its line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {defect}")]
pub struct ScenarioError {
    /// The line, counted from 1.
    pub line: usize,
    /// The defect in that line.
    pub defect: ScenarioDefect,
}

/// The defects of a file `inR.txt`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioDefect {
    /// The file has fewer lines than its numbers say.
    #[error("the file ends, but {0} is missing")]
    Ends(String),
    /// Not a decimal number, or one with more than 32 bits.
    #[error("expected the number of {of} (0 to 4294967295), found {found:?}")]
    Count {
        /// The things that are counted.
        of: &'static str,
        /// The text in the file.
        found: String,
    },
    /// No blank between a name and a number.
    #[error("expected a file name and its number of segments, found {0:?}")]
    Header(String),
    /// Not a valid file name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A wanted name too long to be written as `clientR_NAME`.
    #[error("the wanted name has {0} bytes, more than {MAX_WANTED_NAME}")]
    LongName(usize),
    /// Two owned files have this name.
    #[error("{0} is owned twice")]
    OwnedTwice(FileName),
    /// Two wanted files have this name.
    #[error("{0} is wanted twice")]
    WantedTwice(FileName),
    /// More than [`MAX_SEGMENTS`].
    #[error("the file has {0} segments, more than {MAX_SEGMENTS}")]
    TooManySegments(u32),
    /// A blank line instead of an identifier.
    #[error("the identifier is empty")]
    EmptyIdentifier,
    /// An identifier that, with its newline, is longer than a piece may be.
    #[error("the identifier has {0} bytes, which is too long")]
    LongIdentifier(usize),
    /// An identifier whose length is not that of the first one of its file.
    #[error("the identifier has {found} bytes, but the first one of this file has {first}")]
    OtherLength {
        /// The length of this identifier in bytes.
        found: usize,
        /// The length of the first one in bytes.
        first: usize,
    },
    /// Text after the last wanted file.
    #[error("unexpected text after the last wanted file: {0:?}")]
    Trailing(String),
}

/// The longest name for which `client4294967295_NAME` has at most 255 bytes.
const MAX_WANTED_NAME: usize = 255 - "client4294967295_".len();

impl Scenario {
    /// Reads the text of an `inR.txt`.
    ///
    /// # Errors
    /// See [`ScenarioError`].
    pub fn parse(text: &[u8]) -> Result<Self, ScenarioError> {
        let mut lines = ScenarioLines {
            rest: Some(text).filter(|text| !text.is_empty()),
            line_number: 0,
        };
        let count = lines.count("owned files")?;
        let (mut owned, mut names) = (Vec::new(), HashSet::new());
        for number in 1..=count {
            let file = lines.owned_file(number, count, &mut names)?;
            owned.push(file);
        }
        let count = lines.count("wanted files")?;
        let (mut wanted, mut names) = (Vec::new(), HashSet::new());
        for number in 1..=count {
            let line = lines.expect(|| format!("wanted file {number} of {count}"))?;
            let name = lines.name(line)?;
            if name.as_str().len() > MAX_WANTED_NAME {
                return Err(lines.error(ScenarioDefect::LongName(name.as_str().len())));
            }
            if !names.insert(name.clone()) {
                return Err(lines.error(ScenarioDefect::WantedTwice(name)));
            }
            wanted.push(name);
        }
        while let Some(line) = lines.next() {
            if !line.is_empty() {
                return Err(lines.error(ScenarioDefect::Trailing(excerpt(line))));
            }
        }
        Ok(Self { owned, wanted })
    }
}

/// The lines of the file.
struct ScenarioLines<'a> {
    /// The text after the line that was read last; `None` at the end.
    rest: Option<&'a [u8]>,
    /// The number of the line that was read last, from 1; 0 before the first line.
    line_number: usize,
}

impl<'a> ScenarioLines<'a> {
    /// The next line without the white space at its end.
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let (line, after) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(at) => (rest.get(..at)?, rest.get(at + 1..)),
            None => (rest, None),
        };
        self.rest = after.filter(|after| !after.is_empty());
        self.line_number += 1;
        Some(line.trim_ascii_end())
    }

    /// The next line; at the end of the file, an error that says what is `missing`.
    fn expect(&mut self, missing: impl FnOnce() -> String) -> Result<&'a [u8], ScenarioError> {
        self.next().ok_or_else(|| ScenarioError {
            line: self.line_number + 1,
            defect: ScenarioDefect::Ends(missing()),
        })
    }

    fn error(&self, defect: ScenarioDefect) -> ScenarioError {
        ScenarioError {
            line: self.line_number,
            defect,
        }
    }

    fn count(&mut self, of: &'static str) -> Result<u32, ScenarioError> {
        let line = self.expect(|| format!("the number of {of}"))?;
        self.number(line, of)
    }

    fn number(&self, field: &[u8], of: &'static str) -> Result<u32, ScenarioError> {
        let digits = field.trim_ascii_start();
        std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| {
                self.error(ScenarioDefect::Count {
                    of,
                    found: excerpt(field),
                })
            })
    }

    fn name(&self, field: &[u8]) -> Result<FileName, ScenarioError> {
        std::str::from_utf8(field.trim_ascii())
            .map_err(|_| NameError::NotText)
            .and_then(FileName::new)
            .map_err(|error| self.error(error.into()))
    }

    fn owned_file(
        &mut self,
        number: u32,
        count: u32,
        names: &mut HashSet<FileName>,
    ) -> Result<OwnedFile, ScenarioError> {
        let line = self.expect(|| format!("owned file {number} of {count}"))?;
        let blank = line.iter().rposition(u8::is_ascii_whitespace);
        let (name, segments) = blank
            .and_then(|at| line.split_at_checked(at))
            .ok_or_else(|| self.error(ScenarioDefect::Header(excerpt(line))))?;
        let name = self.name(name)?;
        let segments = self.number(segments, "segments")?;
        if segments > MAX_SEGMENTS {
            return Err(self.error(ScenarioDefect::TooManySegments(segments)));
        }
        if !names.insert(name.clone()) {
            return Err(self.error(ScenarioDefect::OwnedTwice(name)));
        }
        let (mut content, mut first_length) = (Vec::new(), None);
        for segment in 1..=segments {
            let line = self.expect(|| format!("identifier {segment} of {segments} of {name}"))?;
            let first = *first_length.get_or_insert(line.len());
            if line.is_empty() {
                return Err(self.error(ScenarioDefect::EmptyIdentifier));
            }
            if line.len() != first {
                let found = line.len();
                return Err(self.error(ScenarioDefect::OtherLength { found, first }));
            }
            if line.len() >= MAX_PIECE_LENGTH as usize {
                return Err(self.error(ScenarioDefect::LongIdentifier(line.len())));
            }
            content.extend_from_slice(line);
            content.push(b'\n');
        }
        let segment_length = first_length.map_or(0, |length| length + 1);
        // At most `MAX_PIECE_LENGTH`: each identifier is shorter, as checked above.
        let segment_length = u32::try_from(segment_length).unwrap_or(MAX_PIECE_LENGTH);
        Ok(OwnedFile {
            name,
            content,
            segment_length,
        })
    }
}

/// At most 60 characters of a line, for a message.
fn excerpt(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().take(60).collect()
}

/// The fuzz function of the parser. Each owned file has an info dictionary, as
/// [`OwnedFile::info`] says.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(text: &[u8]) {
    match Scenario::parse(text) {
        Err(error) => assert!(error.line <= text.split(|byte| *byte == b'\n').count() + 1),
        Ok(scenario) => scenario.owned.iter().for_each(|owned| {
            owned.info().expect("an info dictionary");
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owned(name: FileName, content: Vec<u8>, segment_length: u32) -> OwnedFile {
        OwnedFile {
            name,
            content,
            segment_length,
        }
    }

    fn name(name: &str) -> FileName {
        FileName::new(name).unwrap()
    }

    #[test]
    fn line_endings_and_trailing_blanks_make_no_difference() {
        let text = "2\nfile1 3\naaa\nbbb\naaa\nmy file 0\n1\nfile2\n";
        let expected = Scenario {
            owned: vec![
                owned(name("file1"), b"aaa\nbbb\naaa\n".to_vec(), 4),
                owned(name("my file"), Vec::new(), 0),
            ],
            wanted: vec![name("file2")],
        };
        for text in [
            text.to_owned(),
            text.trim_end().to_owned(),
            text.replace('\n', "\r\n"),
            text.replace('\n', " \t\r\n"),
            format!("{text}\n \n\r\n"),
        ] {
            assert_eq!(Scenario::parse(text.as_bytes()), Ok(expected.clone()));
        }
        let nothing = Scenario {
            owned: Vec::new(),
            wanted: Vec::new(),
        };
        assert_eq!(Scenario::parse(b"0\n0"), Ok(nothing));
    }

    #[test]
    fn every_defect_is_reported_with_its_line() {
        let ends = |what: &str| ScenarioDefect::Ends(what.to_owned());
        let count = |of, found: &str| ScenarioDefect::Count {
            of,
            found: found.to_owned(),
        };
        let long = "x".repeat(239);
        let long = format!("0\n1\n{long}\n");
        let table: Vec<(&[u8], usize, ScenarioDefect)> = vec![
            (b"", 1, ends("the number of owned files")),
            (b"\n", 1, count("owned files", "")),
            (b"one\n", 1, count("owned files", "one")),
            (b"-1\n", 1, count("owned files", "-1")),
            (b"+1\n", 1, count("owned files", "+1")),
            (b"4294967296\n", 1, count("owned files", "4294967296")),
            (b"1\n", 2, ends("owned file 1 of 1")),
            (b"4294967295\na 0\n", 3, ends("owned file 2 of 4294967295")),
            (b"1\nfile1\n", 2, ScenarioDefect::Header("file1".into())),
            (b"1\n\n", 2, ScenarioDefect::Header(String::new())),
            (b"1\nfile1 x\n", 2, count("segments", " x")),
            (
                b"1\nf 4294967295\n",
                2,
                ScenarioDefect::TooManySegments(u32::MAX),
            ),
            (
                b"1\n../f 1\n",
                2,
                NameError::Separator("../f".into()).into(),
            ),
            (b"1\n\xff 1\n", 2, NameError::NotText.into()),
            (b"1\n 1\n", 2, NameError::Empty.into()),
            (b"1\nf 2\naa\n", 4, ends("identifier 2 of 2 of f")),
            (b"1\nf 2\naa\n\n0\n", 4, ScenarioDefect::EmptyIdentifier),
            (b"1\nf 1\n  \n0\n", 3, ScenarioDefect::EmptyIdentifier),
            (
                b"1\nf 2\naa\naaa\n0\n",
                4,
                ScenarioDefect::OtherLength { found: 3, first: 2 },
            ),
            (
                b"2\nf 0\nf 0\n0\n",
                3,
                ScenarioDefect::OwnedTwice(name("f")),
            ),
            (b"0\n", 2, ends("the number of wanted files")),
            (b"0\nx\n", 2, count("wanted files", "x")),
            (b"0\n2\na\n", 4, ends("wanted file 2 of 2")),
            (b"0\n1\n..\n", 3, NameError::Dots("..".into()).into()),
            (b"0\n1\n\n", 3, NameError::Empty.into()),
            (b"0\n2\na\na\n", 4, ScenarioDefect::WantedTwice(name("a"))),
            (long.as_bytes(), 3, ScenarioDefect::LongName(239)),
            (b"0\n1\na\n\nb\n", 5, ScenarioDefect::Trailing("b".into())),
        ];
        for (text, line, defect) in table {
            let shown = String::from_utf8_lossy(text);
            assert_eq!(
                Scenario::parse(text),
                Err(ScenarioError { line, defect }),
                "{shown:?}"
            );
        }
    }

    #[test]
    fn too_many_segments_are_refused_before_they_are_read() {
        let text = format!("1\nf {}\n", MAX_SEGMENTS + 1);
        let error = Scenario::parse(text.as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2: the file has 838657 segments, more than 838656"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_scenario_or_an_error_with_a_valid_line_number(text in "[0-3ab ./\r\n]{0,60}") {
            if let Err(error) = Scenario::parse(text.as_bytes()) {
                prop_assert!((1..=text.lines().count() + 1).contains(&error.line));
            }
        }
    }
}
