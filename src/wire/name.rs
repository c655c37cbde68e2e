//! Names of users and groups, and the labels by which people name a row whose name is another's.

use std::fmt;
use std::str::FromStr;

/// The most characters a name may have.
pub const MAX_NAME: usize = 64;

/// Text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No character, or more than [`MAX_NAME`].
    #[error("a name has 1 to {MAX_NAME} characters, not {0}")]
    Length(usize),
    /// A character that names do not have.
    #[error("a name holds letters a to z and A to Z, digits, '.', '_' and '-', not {0:?}")]
    Character(char),
}

macro_rules! name {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                checked(text).map(|text| Self(text.to_owned()))
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
    /// The name of a user: 1 to 64 ASCII letters, digits, `.`, `_`, `-`; case counts.
    UserName
}

name! {
    /// The name of a group: 1 to 64 ASCII letters, digits, `.`, `_`, `-`; case counts.
    GroupName
}

fn checked(text: &str) -> Result<&str, NameError> {
    let is_named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(other) = text.chars().find(|c| !is_named(*c)) {
        return Err(NameError::Character(other));
    }
    match text.len() {
        1..=MAX_NAME => Ok(text),
        length => Err(NameError::Length(length)),
    }
}

/// How a person names an account or a group: `NAME` for the one that holds the name, `NAME~TAG` for another one that
/// bears the same name because two trackers gave it while apart; TAG is 8 hex digits of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    name: String,
    tag: Option<[u8; 4]>,
}

impl Label {
    /// The same name with a tag: for one that bears it without holding it.
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

    /// The tag, if it names one that does not hold the name.
    pub fn tag(&self) -> Option<[u8; 4]> {
        self.tag
    }
}

/// Text that is no label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// What stands before the `~` is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What follows the `~` is no tag.
    #[error("after '~' stand 8 hex digits in lower case, as the lists show them")]
    Tag,
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let (name, tag) = match text.split_once('~') {
            None => (text, None),
            Some((name, tag)) => {
                let digits = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
                if tag.len() != 8 || !tag.bytes().all(digits) {
                    return Err(LabelError::Tag);
                }
                let tag = u32::from_str_radix(tag, 16).map_err(|_| LabelError::Tag)?;
                (name, Some(tag.to_be_bytes()))
            }
        };
        Ok(Self {
            name: checked(name)?.to_owned(),
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
    fn names_of_the_rule_pass_and_others_get_their_error() {
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
    fn labels_are_written_and_read() {
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
