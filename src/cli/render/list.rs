//! Lists as text.

/// One line per item, or a line that says that there is none.
pub(super) fn lines_of<T>(items: &[T], line: fn(&T) -> String, none: &str) -> Vec<String> {
    match items {
        [] => vec![none.to_owned()],
        items => items.iter().map(line).collect(),
    }
}
