//! Fits text into the width of a terminal: lines are broken at blanks, and long paths after a
//! slash.

use console::measure_text_width;

// All widths and indentations are in columns of the terminal.

/// The widest left column of a table; wider entries have a line of their own.
const MAX_LEFT_WIDTH: usize = 26;
/// Indentation of an example or of an entry of a table.
const ENTRY_INDENT: usize = 2;
/// Indentation of the further lines of a broken entry.
const CONTINUATION_INDENT: usize = 4;
/// Indentation of the right column's text if the terminal is too narrow for two columns.
const NARROW_INDENT: usize = 6;
/// The smallest width of a right column.
const MIN_RIGHT_WIDTH: usize = 30;

/// A table with a left and a right column. Only a line with a very long word is wider than
/// `terminal_width`.
pub(super) fn table(rows: &[(String, &str)], terminal_width: usize) -> Vec<String> {
    let widths = rows.iter().map(|(left, _)| measure_text_width(left));
    let width = widths.filter(|width| *width <= MAX_LEFT_WIDTH).max();
    let width = width.unwrap_or_default();
    let lines = rows.iter().flat_map(|(left, right)| {
        if measure_text_width(left) <= width {
            fit(&format!("  {left:width$}  {right}"), terminal_width)
        } else {
            let indent = if terminal_width < width + 4 + MIN_RIGHT_WIDTH {
                NARROW_INDENT
            } else {
                width + 4
            };
            let mut lines = fit(&format!("  {left}"), terminal_width);
            lines.extend(fit(&format!("{:indent$}{right}", ""), terminal_width));
            lines
        }
    });
    lines.collect()
}

/// Fits each line of a text.
pub(super) fn fit_text(text: &str, terminal_width: usize) -> String {
    let lines = text.lines().flat_map(|line| fit(line, terminal_width));
    lines.collect::<Vec<_>>().join("\n")
}

/// Breaks a line that is wider than the terminal. In a line with two columns, the text that does
/// not fit continues in the right column, if there is room. An indented line may be the text of a
/// right column alone.
pub(super) fn fit(line: &str, terminal_width: usize) -> Vec<String> {
    if measure_text_width(line) <= terminal_width {
        return vec![line.to_owned()];
    }
    let leading = line.len() - line.trim_start_matches(' ').len();
    let (left, text) = split_columns(line, leading);
    let mut lines = Vec::new();
    let (mut line, indent) = match measure_text_width(left) {
        0 if leading == ENTRY_INDENT => (" ".repeat(ENTRY_INDENT), CONTINUATION_INDENT),
        0 => {
            let has_room = leading + MIN_RIGHT_WIDTH <= terminal_width;
            let indent = if has_room {
                leading
            } else {
                leading.min(NARROW_INDENT)
            };
            (" ".repeat(indent), indent)
        }
        width if width + MIN_RIGHT_WIDTH <= terminal_width => (left.to_owned(), width),
        _ => {
            lines.extend(fit(left.trim_end(), terminal_width));
            (" ".repeat(NARROW_INDENT), NARROW_INDENT)
        }
    };
    let indent = indent.min(terminal_width.saturating_sub(MIN_RIGHT_WIDTH / 2));
    // Whether `line` already contains words of `text`.
    let mut has_words = false;
    for word in text.split_whitespace() {
        let is_long = indent + measure_text_width(word) > terminal_width;
        let mut blank = " ";
        for part in word.split_inclusive(|letter| is_long && letter == '/') {
            let more = blank.len() + measure_text_width(part);
            if has_words && measure_text_width(&line) + more > terminal_width {
                lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
                has_words = false;
            }
            if has_words {
                line.push_str(blank);
            }
            line.push_str(part);
            (has_words, blank) = (true, "");
        }
    }
    lines.push(line);
    lines
}

/// The left column with the blanks after it, and the text after them. If the line has only one
/// column, the left part is empty. `leading` is the number of blanks at the start of the line.
fn split_columns(line: &str, leading: usize) -> (&str, &str) {
    let text = line.get(leading..).unwrap_or_default();
    let Some(gap) = text.find("  ") else {
        return ("", text);
    };
    let after = text.get(gap..).unwrap_or_default();
    let start = leading + gap + (after.len() - after.trim_start_matches(' ').len());
    line.split_at_checked(start).unwrap_or(("", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_broken_at_blanks_and_continues_below_its_text() {
        for (line, terminal_width, broken) in [
            ("fits", 4, &["fits"][..]),
            ("one two three", 7, &["one two", "three"]),
            (
                "  --up RATE  the upload limit of this peer and of all its shares",
                45,
                &[
                    "  --up RATE  the upload limit of this peer",
                    "             and of all its shares",
                ],
            ),
            (
                "  --up RATE  the upload limit of this peer",
                30,
                &[
                    "  --up RATE",
                    "      the upload limit of this",
                    "      peer",
                ],
            ),
            (
                "an-unbreakable-word after",
                10,
                &["an-unbreakable-word", "after"],
            ),
            ("界界 界界 界界", 9, &["界界 界界", "界界"]),
            (
                "  pieceful peer -c 'download disk.img.torrent' -c wait",
                48,
                &[
                    "  pieceful peer -c 'download disk.img.torrent'",
                    "    -c wait",
                ],
            ),
            (
                "                      the text of a right column alone",
                40,
                &["      the text of a right column alone"],
            ),
            (
                "[default: $XDG_DATA_HOME/pieceful/peer-PORT]",
                30,
                &["[default: $XDG_DATA_HOME/", "pieceful/peer-PORT]"],
            ),
        ] {
            assert_eq!(fit(line, terminal_width), broken, "{line}");
        }
    }

    #[test]
    fn a_wide_entry_of_a_table_has_a_line_of_its_own() {
        let long = "download FILE.torrent|MAGNET [DEST]".to_owned();
        let rows = [("send PATH".to_owned(), "share it"), (long, "get it")];
        assert_eq!(
            table(&rows, 80),
            [
                "  send PATH  share it",
                "  download FILE.torrent|MAGNET [DEST]",
                "             get it",
            ]
        );
    }
}
