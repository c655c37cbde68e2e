//! Circles of imports (import cycles): sets of files in which each file imports every other,
//! directly or through files of the set.

use crate::imports::Import;
use std::collections::{BTreeMap, BTreeSet};

/// Each circle as lines of text: its files, and the imports between them.
pub(crate) fn of(imports: &[Import]) -> Vec<String> {
    let mut imports_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for import in imports {
        imports_of
            .entry(&import.from)
            .or_default()
            .insert(&import.to);
    }
    let reachable_from: BTreeMap<_, _> = imports_of
        .keys()
        .map(|from| (*from, reachable(&imports_of, from)))
        .collect();
    let reaches =
        |from: &str, to: &str| reachable_from.get(from).is_some_and(|all| all.contains(to));
    let mut already_reported = BTreeSet::new();
    let mut circles = Vec::new();
    for &file in imports_of.keys().filter(|file| reaches(file, file)) {
        if already_reported.contains(file) {
            continue;
        }
        let is_in_circle = |other: &&str| reaches(file, other) && reaches(other, file);
        let circle: BTreeSet<&str> = imports_of.keys().copied().filter(is_in_circle).collect();
        let within = imports.iter().filter(|import| {
            circle.contains(import.from.as_str()) && circle.contains(import.to.as_str())
        });
        let lines: Vec<_> = within.map(|import| format!("    {import}")).collect();
        circles.push(format!(
            "circle of {} files:\n{}",
            circle.len(),
            lines.join("\n")
        ));
        already_reported.extend(circle);
    }
    circles
}

/// All files that `from` imports, directly or through other files.
fn reachable<'a>(
    imports_of: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    from: &str,
) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut unvisited = vec![from];
    while let Some(file) = unvisited.pop() {
        for to in imports_of.get(file).into_iter().flatten() {
            if found.insert(*to) {
                unvisited.push(to);
            }
        }
    }
    found
}
