//! Cuts the output of a hook into lines for the log. Pure.

/// The longest line in the log, in bytes. The rest of a longer line is left out.
const MAX_LINE: usize = 500;
/// The most lines of one hook in the log. Further lines are only counted.
const MAX_LINES: u64 = 200;

/// The output of one hook.
#[derive(Debug, Default)]
pub(super) struct HookOutput {
    line: Vec<u8>,
    /// Whether bytes of the present line were left out.
    is_cut: bool,
    lines: u64,
}

impl HookOutput {
    /// Takes bytes of the output. Calls `log` with each line that has ended.
    pub(super) fn add(&mut self, bytes: &[u8], mut log: impl FnMut(&str)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            if self.lines < MAX_LINES {
                let room = MAX_LINE.saturating_sub(self.line.len());
                self.is_cut |= text.len() > room;
                self.line.extend(text.iter().take(room));
            } else {
                // So that a last line without an end is counted.
                self.is_cut |= !text.is_empty();
            }
            if ends {
                self.end_line(&mut log);
            }
        }
    }

    /// The output has ended. Calls `log` with a last line that has no end, and with the number of
    /// lines that were left out.
    pub(super) fn finish(mut self, mut log: impl FnMut(&str)) {
        if !self.line.is_empty() || self.is_cut {
            self.end_line(&mut log);
        }
        let left_out = self.lines.saturating_sub(MAX_LINES);
        if left_out > 0 {
            log(&format!("[{left_out} more lines of its output]"));
        }
    }

    fn end_line(&mut self, log: &mut impl FnMut(&str)) {
        if self.lines < MAX_LINES {
            let text = String::from_utf8_lossy(&self.line);
            match self.is_cut {
                true => log(&format!("{text}...")),
                false => log(&text),
            }
        }
        self.lines = self.lines.saturating_add(1);
        self.line.clear();
        self.is_cut = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines in the log for an output that arrives in these parts.
    fn logged(parts: &[&[u8]]) -> Vec<String> {
        let (mut output, mut lines) = (HookOutput::default(), Vec::new());
        for part in parts {
            output.add(part, |line| lines.push(line.to_owned()));
        }
        output.finish(|line| lines.push(line.to_owned()));
        lines
    }

    #[test]
    fn lines_are_put_together_and_a_last_line_needs_no_end() {
        assert_eq!(logged(&[b"a\nb", b"c\n\nd"]), ["a", "bc", "", "d"]);
        assert_eq!(logged(&[b"", b"x\n"]), ["x"]);
        assert_eq!(logged(&[b"\xff\n"]), ["\u{fffd}"]);
    }

    #[test]
    fn a_long_line_is_cut() {
        let long = "x".repeat(3 * MAX_LINE);
        let cut = format!("{}...", "x".repeat(MAX_LINE));
        assert_eq!(logged(&[long.as_bytes(), b"y\nz\n"]), [&*cut, "z"]);
        assert_eq!(logged(&["x".repeat(MAX_LINE).as_bytes()]).len(), 1);
    }

    #[test]
    fn a_flood_of_lines_is_counted() {
        let flood = "y\n".repeat(1_000_000);
        let lines = logged(&[flood.as_bytes(), b"last"]);
        assert_eq!(lines.len() as u64, MAX_LINES + 1);
        let left_out = 1_000_001 - MAX_LINES;
        let expected = format!("[{left_out} more lines of its output]");
        assert_eq!(lines.last(), Some(&expected));
    }
}
