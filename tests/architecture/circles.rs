//! Circles of imports: groups of files in which each file imports every other, directly or through
//! files of the group.

use crate::imports::Import;
use std::collections::{BTreeMap, BTreeSet};

/// Each circle as lines of text: its files, and the imports between them.
pub(crate) fn of(imports: &[Import]) -> Vec<String> {
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for import in imports {
        uses.entry(&import.from).or_default().insert(&import.to);
    }
    let reach: BTreeMap<_, _> = uses
        .keys()
        .map(|from| (*from, reached(&uses, from)))
        .collect();
    let reaches = |from: &str, to: &str| reach.get(from).is_some_and(|all| all.contains(to));
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for &file in uses.keys().filter(|file| reaches(file, file)) {
        if seen.contains(file) {
            continue;
        }
        let both = |other: &&str| reaches(file, other) && reaches(other, file);
        let circle: BTreeSet<&str> = uses.keys().copied().filter(both).collect();
        let within = imports.iter().filter(|import| {
            circle.contains(import.from.as_str()) && circle.contains(import.to.as_str())
        });
        let lines: Vec<_> = within.map(|import| format!("    {import}")).collect();
        circles.push(format!(
            "circle of {} files:\n{}",
            circle.len(),
            lines.join("\n")
        ));
        seen.extend(circle);
    }
    circles
}

/// All files that `from` imports, directly or through other files.
fn reached<'a>(uses: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        for to in uses.get(file).into_iter().flatten() {
            if reached.insert(*to) {
                next.push(to);
            }
        }
    }
    reached
}
