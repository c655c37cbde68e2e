//! How a tracker stands with the others of its cluster: counts and times, which tell nobody's secrets.

use crate::bencode::{Item, Value};
use crate::wire::control::{ControlError, Fields, large};

/// How a tracker sees its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// Its number.
    pub number: u32,
    /// Whether it answers for accounts and groups.
    pub serving: bool,
    /// The other trackers listed, by number.
    pub twins: Vec<TwinView>,
}

/// How it stands with one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwinView {
    /// Its number.
    pub number: u32,
    /// Whether there is a line to it.
    pub up: bool,
    /// Writes that it lacks, as last told; none if it has not been heard of.
    pub it_lacks: Option<u64>,
    /// Writes it has told of that are not known here.
    pub we_lack: u64,
    /// How long ago it was last heard of, in milliseconds.
    pub silent: Option<u64>,
}

impl ClusterView {
    /// How many writes tracker `number` lacks, as far as this one knows: itself, or another.
    pub fn lag(&self, number: u32) -> Option<u64> {
        if number == self.number {
            return Some(
                self.twins
                    .iter()
                    .map(|twin| twin.we_lack)
                    .max()
                    .unwrap_or(0),
            );
        }
        let twin = self.twins.iter().find(|twin| twin.number == number);
        twin.and_then(|twin| twin.it_lacks)
    }

    pub(super) fn put<'a>(&'a self, entries: &mut Vec<(&'static str, Item<'a>)>) {
        entries.extend([
            ("number", Item::from(self.number)),
            ("serving", u32::from(self.serving).into()),
        ]);
        let twins = self.twins.iter().map(TwinView::item).collect();
        entries.push(("twins", Item::List(twins)));
    }

    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            number: fields.number("number")?,
            serving: fields.flag("serving")?,
            twins: fields.list("twins", TwinView::decode)?,
        })
    }
}

impl TwinView {
    fn item(&self) -> Item<'_> {
        let mut entries = vec![
            ("number", Item::from(self.number)),
            ("up", u32::from(self.up).into()),
            ("we lack", self.we_lack.into()),
        ];
        entries.extend(self.it_lacks.map(|lacks| ("it lacks", lacks.into())));
        entries.extend(self.silent.map(|silent| ("silent", silent.into())));
        Item::dictionary(entries)
    }

    fn decode(value: &Value<'_>) -> Result<Self, ControlError> {
        let mut fields = Fields::new(value)?;
        let twin = Self {
            number: fields.number("number")?,
            up: fields.flag("up")?,
            it_lacks: fields.optional("it lacks", large)?,
            we_lack: fields.large("we lack")?,
            silent: fields.optional("silent", large)?,
        };
        fields.end("twins")?;
        Ok(twin)
    }
}
