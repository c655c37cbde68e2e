//! Reads the headings and lists of `docs/cli.md`.

const TEXT: &str = include_str!("../../../docs/cli.md");

/// A list item: ``- `NAME`, `NAME` (type): text``.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) names: Vec<String>,
    /// The words in parentheses after the name; empty if there are none.
    pub(super) value_type: String,
    /// The words after the colon, on one line.
    pub(super) text: String,
}

/// The items of the list below this heading, up to the next heading.
pub(super) fn items(heading: &str) -> Vec<Item> {
    let mut items: Vec<String> = Vec::new();
    let mut in_item = false;
    for line in section(heading).take_while(|line| !line.starts_with('#')) {
        if let Some(item) = line.strip_prefix("- ") {
            items.push(item.to_owned());
            in_item = true;
        } else if let Some(more) = line.strip_prefix("  ").filter(|_| in_item) {
            let item = items.last_mut().unwrap();
            item.push_str(&format!(" {more}"));
        } else {
            in_item = false;
        }
    }
    items.iter().map(|item| parse(item)).collect()
}

/// The names in backticks of the `###` headings below this `##` heading.
pub(super) fn headings(heading: &str) -> Vec<String> {
    let lines = section(heading).take_while(|line| !line.starts_with("## "));
    let names = lines.filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    names.map(str::to_owned).collect()
}

/// The lines after a heading. Fails if the document does not have this heading exactly once.
fn section(heading: &str) -> impl Iterator<Item = &'static str> {
    let count = TEXT.lines().filter(|line| *line == heading).count();
    assert_eq!(
        count, 1,
        "docs/cli.md must have the heading {heading:?} once"
    );
    TEXT.lines()
        .skip_while(move |line| *line != heading)
        .skip(1)
}

fn parse(item: &str) -> Item {
    let mut names = Vec::new();
    let mut rest = item;
    while let Some((name, after)) = rest.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
        names.push(name.to_owned());
        rest = after.strip_prefix(", ").unwrap_or(after);
    }
    let typed = rest
        .strip_prefix(" (")
        .and_then(|rest| rest.split_once("):"));
    let (value_type, text) = typed.unwrap_or_else(|| {
        let text = rest.strip_prefix(':');
        (
            "",
            text.unwrap_or_else(|| panic!("no colon after the name: {item}")),
        )
    });
    Item {
        names,
        value_type: value_type.to_owned(),
        text: text.trim().to_owned(),
    }
}

#[test]
fn no_line_of_the_document_is_wider_than_100_columns() {
    let wide = TEXT.lines().find(|line| line.chars().count() > 100);
    assert_eq!(wide, None);
}
