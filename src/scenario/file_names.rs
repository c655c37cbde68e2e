//! The names of input and output files: `inR.txt` and `clientR_NAME`.

use crate::torrent::{FileName, NameError};
use crate::wire::control::ClientNumber;
use std::path::{Path, PathBuf};

/// A path whose last component is not `inR.txt`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not named inR.txt with a client number R from 1 to 4294967295; rename it", .0.display())]
pub struct BadFileName(PathBuf);

/// The client number R in the file name `inR.txt`.
///
/// # Errors
/// [`BadFileName`] for any other name. R has no leading zeros, so that each client has one file.
pub fn client_number(path: &Path) -> Result<ClientNumber, BadFileName> {
    path.file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_prefix("in"))
        .and_then(|name| name.strip_suffix(".txt"))
        .filter(|number| number.starts_with(|digit: char| matches!(digit, '1'..='9')))
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| BadFileName(path.to_owned()))
}

/// The name `clientR_NAME` under which a wanted file is written.
///
/// # Errors
/// [`NameError::TooLong`]. The wanted names of a [`Scenario`](super::Scenario) are short enough, so
/// they never cause it.
pub fn output_name(client: ClientNumber, name: &FileName) -> Result<FileName, NameError> {
    FileName::new(&format!("client{client}_{name}"))
}

#[cfg(test)]
mod tests {
    use super::super::Scenario;
    use super::*;

    #[test]
    fn the_file_name_contains_the_client_number() {
        let number = |path: &str| client_number(Path::new(path)).ok().map(ClientNumber::get);
        assert_eq!(number("in1.txt"), Some(1));
        assert_eq!(number("/some/where/in12.txt"), Some(12));
        assert_eq!(number("in4294967295.txt"), Some(u32::MAX));
        for path in [
            "in0.txt",
            "in01.txt",
            "in+1.txt",
            "in.txt",
            "in4294967296.txt",
            "in1.txt.bak",
            "xin1.txt",
            "in1",
            "..",
            "",
        ] {
            assert_eq!(number(path), None, "{path}");
        }
        let name = |text: &str| FileName::new(text).unwrap();
        let client = ClientNumber::new(12).unwrap();
        assert_eq!(
            output_name(client, &name("file1")),
            Ok(name("client12_file1"))
        );
        let longest = Scenario::parse(format!("0\n1\n{}", "x".repeat(238)).as_bytes()).unwrap();
        assert!(output_name(ClientNumber::MAX, &longest.wanted[0]).is_ok());
    }
}
