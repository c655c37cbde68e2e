//! Names of users and groups, and labels. Two users, or two groups, can have the same name. A label
//! says which of them is meant.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The maximum number of characters in a name.
pub const MAX_NAME: usize = 64;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or longer than [`MAX_NAME`].
    #[error("a name must have 1 to {MAX_NAME} characters, not {0}")]
    Length(usize),
    /// A character that is not allowed in a name.
    #[error("a name may contain letters a to z and A to Z, digits, '.', '_' and '-', not {0:?}")]
    Character(char),
    /// A new name that looks like an option.
    #[error("a name must not begin with '-'")]
    Dash,
}

macro_rules! name {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Checks that a new user or group may get this name. It must not begin with `-`.
            /// Earlier versions allowed that, so users and groups with such names may exist.
            ///
            /// # Errors
            /// [`NameError::Dash`].
            pub fn check_new(&self) -> Result<(), NameError> {
                match self.0.starts_with('-') {
                    true => Err(NameError::Dash),
                    false => Ok(()),
                }
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                compare_names(&self.0, &other.0)
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check_name(text).map(|text| Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl From<&$name> for Label {
            fn from(name: &$name) -> Self {
                Self { name: name.0.clone(), tag: None }
            }
        }
    };
}

name! {
    /// The name of a user: 1 to 64 ASCII letters, digits, `.`, `_`, `-`. Two names that differ only
    /// in case are different values, but sorting puts them next to each other, and a registry
    /// refuses the second of them.
    UserName
}

name! {
    /// The name of a group: 1 to 64 ASCII letters, digits, `.`, `_`, `-`. Case and sorting
    /// are as for [`UserName`].
    GroupName
}

name! {
    /// The name of a machine or of a token: 1 to 64 ASCII letters, digits, `.`, `_`, `-`. Two
    /// machines of one user may have the same name, also in another case: see
    /// [`MachineLabel`](super::machine::MachineLabel).
    MachineName
}

impl MachineName {
    /// The name that is nearest to a text, such as the name of a host: other characters become `-`,
    /// and a long name is cut.
    pub fn nearest(text: &str) -> Self {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let plain = text.chars().map(|c| if is_allowed(c) { c } else { '-' });
        let plain: String = plain.skip_while(|c| *c == '-').take(MAX_NAME).collect();
        match plain.is_empty() {
            true => Self("machine".to_owned()),
            false => Self(plain),
        }
    }
}

/// Compares the names first without regard to case, then exactly.
fn compare_names(one: &str, other: &str) -> Ordering {
    let [one_folded, other_folded] =
        [one, other].map(|name| name.bytes().map(|letter| letter.to_ascii_lowercase()));
    one_folded.cmp(other_folded).then_with(|| one.cmp(other))
}

fn check_name(text: &str) -> Result<&str, NameError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(other) = text.chars().find(|c| !is_allowed(*c)) {
        return Err(NameError::Character(other));
    }
    match text.len() {
        1..=MAX_NAME => Ok(text),
        length => Err(NameError::Length(length)),
    }
}

/// The text by which people identify an account or a group. It is `NAME` if the account or group
/// owns its name. Another account or group with the same name has the label `NAME~TAG`, where TAG
/// is 8 hex digits. This happens if two trackers each created one while they were not connected.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    name: String,
    tag: Option<[u8; 4]>,
}

impl Label {
    /// The same name with a tag, for an account or group that does not own its name.
    #[must_use]
    pub fn tagged(self, tag: [u8; 4]) -> Self {
        Self {
            tag: Some(tag),
            ..self
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tag, if the account or group does not own its name.
    pub fn tag(&self) -> Option<[u8; 4]> {
        self.tag
    }
}

/// Why a text is not a label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The part before the `~` is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The part after the `~` is not a tag.
    #[error("after '~' there must be 8 hex digits in lower case, as the lists show them")]
    Tag,
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let (name, tag) = match text.split_once('~') {
            None => (text, None),
            Some((name, tag)) => {
                let is_digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
                if tag.len() != 8 || !tag.bytes().all(is_digit) {
                    return Err(LabelError::Tag);
                }
                let tag = u32::from_str_radix(tag, 16).map_err(|_| LabelError::Tag)?;
                (name, Some(tag.to_be_bytes()))
            }
        };
        Ok(Self {
            name: check_name(name)?.to_owned(),
            tag,
        })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.tag {
            None => Ok(()),
            Some(tag) => write!(f, "~{:08x}", u32::from_be_bytes(tag)),
        }
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_names_are_accepted_and_others_get_their_error() {
        let longest = "x".repeat(64);
        for good in ["a", "nik", "Ab.c_d-9", "..", &longest] {
            assert_eq!(good.parse::<UserName>().unwrap().as_str(), good);
        }
        let table: &[(&str, NameError)] = &[
            ("", NameError::Length(0)),
            (&"x".repeat(65), NameError::Length(65)),
            ("a b", NameError::Character(' ')),
            ("a\u{1b}[2J", NameError::Character('\u{1b}')),
            ("a/b", NameError::Character('/')),
            ("a~b", NameError::Character('~')),
            ("ü", NameError::Character('ü')),
            ("a\0", NameError::Character('\0')),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<GroupName>().as_ref(), Err(error));
        }
    }

    #[test]
    fn names_that_differ_only_in_case_are_sorted_next_to_each_other() {
        let mut names = ["bob", "Ada", "boc", "BOB", "ada", "Bob", "bo"].map(|name| {
            let name: UserName = name.parse().unwrap();
            name
        });
        names.sort();
        let names = names.each_ref().map(UserName::as_str);
        assert_eq!(names, ["Ada", "ada", "bo", "BOB", "Bob", "bob", "boc"]);
    }

    #[test]
    fn a_new_name_that_looks_like_an_option_is_refused() {
        for (text, allowed) in [("a-", true), ("-", false), ("-h", false), ("--help", false)] {
            let name: UserName = text.parse().unwrap();
            assert_eq!(name.check_new().is_ok(), allowed, "{text}");
        }
    }

    #[test]
    fn a_machine_gets_a_name_from_any_text() {
        let long = "x".repeat(99);
        for (text, name) in [
            ("gpu1.lab.example", "gpu1.lab.example"),
            ("Lab 3/\u{fc}", "Lab-3--"),
            ("--x", "x"),
            ("-", "machine"),
            ("", "machine"),
            (&long, &long[..MAX_NAME]),
        ] {
            let found = MachineName::nearest(text);
            assert_eq!(found.as_str(), name, "{text}");
            assert_eq!(found.as_str().parse(), Ok(found));
        }
    }

    #[test]
    fn labels_are_formatted_and_parsed() {
        for text in ["nik", "nik~00ab12ff"] {
            assert_eq!(text.parse::<Label>().unwrap().to_string(), text);
        }
        for bad in ["nik~", "nik~00AB12FF", "nik~+0ab12ff", "~00ab12ff", "n~1~2"] {
            assert!(bad.parse::<Label>().is_err(), "{bad}");
        }
        let name: UserName = "nik".parse().unwrap();
        let tagged = Label::from(&name).tagged([0xab; 4]);
        assert_eq!(tagged.to_string(), "nik~abababab");
    }
}
