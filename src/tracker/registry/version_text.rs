//! The texts that name a version of a share: `SHARE@N` and `SHARE@N~TAG`.

/// The parts of a text that can name a version of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VersionText<'a> {
    /// The name of the share, perhaps with a tag.
    pub(super) share: &'a str,
    /// The number of the version, from 1.
    pub(super) number: u32,
    /// The tag of the row of the version.
    pub(super) tag: Option<&'a str>,
}

impl<'a> VersionText<'a> {
    /// Reads a text. Returns `None` if no version can have this name: each name of a version has
    /// one spelling.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (share, number) = text.rsplit_once('@')?;
        let (digits, tag) = match number.split_once('~') {
            Some((digits, tag)) => (digits, Some(tag)),
            None => (number, None),
        };
        let number: u32 = digits.parse().ok()?;
        let is_number = number > 0 && number.to_string() == digits;
        let is_name = !share.is_empty() && is_number && tag.is_none_or(is_tag);
        is_name.then_some(Self { share, number, tag })
    }
}

/// Whether the text has the form of a tag: 8 digits, as [`RowId`](super::RowId) writes them.
fn is_tag(text: &str) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 8 && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_of_a_version_has_one_spelling() {
        let parsed = |text| VersionText::parse(text).map(|it| (it.share, it.number, it.tag));
        assert_eq!(parsed("f@1"), Some(("f", 1, None)));
        assert_eq!(parsed("f@4294967295"), Some(("f", u32::MAX, None)));
        assert_eq!(parsed("a@b@12"), Some(("a@b", 12, None)));
        assert_eq!(parsed("f@2~0123abcd"), Some(("f", 2, Some("0123abcd"))));
        assert_eq!(parsed("f~01234567@2"), Some(("f~01234567", 2, None)));
        for text in [
            "",
            "f",
            "@3",
            "f@",
            "f@0",
            "f@07",
            "f@+7",
            "f@4294967296",
            "photo@2x.png",
            "f@2~",
            "f@2~0123ABCD",
            "f@2~0123abc",
            "f@2~0123abcde",
            "f@2~0123abcd~",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
