//! The state of a cluster as one tracker sees it: counts and times. It has no secrets, so anyone
//! may ask for it.

use crate::bencode::{Item, Value};
use crate::wire::control::{ControlError, MessageFields, read_u63};

/// The key of [`ClusterView::replicas`] in the protocol. It is an older word for replicas.
const REPLICAS_KEY: &str = "twins";

/// The cluster as one tracker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// The number of this tracker.
    pub number: u32,
    /// Whether this tracker answers requests about accounts and groups.
    pub serving: bool,
    /// The other listed trackers, sorted by number.
    pub replicas: Vec<ReplicaView>,
}

/// Another tracker of the cluster, as this tracker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaView {
    /// The number of the other tracker.
    pub number: u32,
    /// Whether the replica connection to it is open.
    pub up: bool,
    /// The number of writes that it lacks, by its last report. `None` if it has not reported.
    pub it_lacks: Option<u64>,
    /// The number of writes that it has reported and that this tracker lacks.
    pub we_lack: u64,
    /// Milliseconds since its last message. `None` if no message has arrived.
    pub silent_ms: Option<u64>,
}

impl ClusterView {
    /// The number of writes that tracker `number` (this one or another) lacks, as far as this
    /// tracker knows. `None` if it is not listed or has not reported.
    pub fn lag(&self, number: u32) -> Option<u64> {
        if number == self.number {
            return Some(
                self.replicas
                    .iter()
                    .map(|replica| replica.we_lack)
                    .max()
                    .unwrap_or(0),
            );
        }
        let mut replicas = self.replicas.iter();
        let replica = replicas.find(|replica| replica.number == number);
        replica.and_then(|replica| replica.it_lacks)
    }

    pub(super) fn put<'a>(&'a self, entries: &mut Vec<(&'static str, Item<'a>)>) {
        entries.extend([
            ("number", Item::from(self.number)),
            ("serving", u32::from(self.serving).into()),
        ]);
        let replicas = self.replicas.iter().map(ReplicaView::item).collect();
        entries.push((REPLICAS_KEY, Item::List(replicas)));
    }

    pub(super) fn read(fields: &mut MessageFields<'_>) -> Result<Self, ControlError> {
        Ok(Self {
            number: fields.number("number")?,
            serving: fields.flag("serving")?,
            replicas: fields.list(REPLICAS_KEY, ReplicaView::decode)?,
        })
    }
}

impl ReplicaView {
    fn item(&self) -> Item<'_> {
        let mut entries = vec![
            ("number", Item::from(self.number)),
            ("up", u32::from(self.up).into()),
            ("we lack", self.we_lack.into()),
        ];
        entries.extend(self.it_lacks.map(|lacks| ("it lacks", lacks.into())));
        entries.extend(self.silent_ms.map(|silent_ms| ("silent", silent_ms.into())));
        Item::dictionary(entries)
    }

    fn decode(value: &Value<'_>) -> Result<Self, ControlError> {
        let mut fields = MessageFields::new(value)?;
        let replica = Self {
            number: fields.number("number")?,
            up: fields.flag("up")?,
            it_lacks: fields.optional("it lacks", read_u63)?,
            we_lack: fields.u63("we lack")?,
            silent_ms: fields.optional("silent", read_u63)?,
        };
        fields.check_all_read(REPLICAS_KEY)?;
        Ok(replica)
    }
}
