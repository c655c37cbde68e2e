//! Versions and fields as bencode.

use crate::bencode::Item;
use crate::tracker::registry::{Register, RowId, Stamp, Version};

pub(super) fn version_item(version: Version) -> Item<'static> {
    let stamp = version.stamp;
    let mut bytes = stamp.origin().0.to_vec();
    bytes.extend(stamp.wall().to_be_bytes());
    bytes.extend(stamp.counter().to_be_bytes());
    bytes.extend(version.sequence.number().to_be_bytes());
    bytes.into()
}

/// A stamp: 28 bytes.
pub(super) fn stamp_item(stamp: Stamp) -> Item<'static> {
    let mut bytes = stamp.origin().0.to_vec();
    bytes.extend(stamp.wall().to_be_bytes());
    bytes.extend(stamp.counter().to_be_bytes());
    bytes.into()
}

pub(super) fn field<'a, T, const N: usize>(field: &Register<T>, values: [Item<'a>; N]) -> Item<'a> {
    let mut list = vec![version_item(field.version)];
    list.extend(values);
    Item::List(list)
}

/// A field whose value is the id of an account.
pub(super) fn account_field(register: &Register<RowId>) -> Item<'_> {
    field(register, [Item::from(&register.value.0[..])])
}
