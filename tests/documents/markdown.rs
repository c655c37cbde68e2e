//! The code blocks of documents. The words after the three backticks say what a block is:
//! `sh TERMINAL` is typed into that terminal, and `text FILE` is the content of a file. `sh build`
//! builds the binary. It is not typed, because the binary was built before the tests.

use super::typist::{Typist, assert_is_copy};
use std::fs;
use std::path::Path;

/// The code blocks of a document in their order: the words after the backticks, and the lines.
fn blocks(document: &str) -> Vec<(String, Vec<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = fs::read_to_string(path).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(words) = line.strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| *line != "```");
            blocks.push((words.to_owned(), block.map(str::to_owned).collect()));
        }
    }
    blocks
}

fn type_blocks(typist: &mut Typist, blocks: &[(String, Vec<String>)]) {
    for (words, lines) in blocks {
        match words.split_once(' ') {
            Some(("sh", "build")) => {
                let build = [
                    "cargo build --release",
                    "export PATH=$PWD/target/release:$PATH",
                ];
                assert_eq!(*lines, build);
            }
            Some(("sh", terminal)) => {
                typist.type_lines(terminal, lines.iter().map(String::as_str));
            }
            Some(("text", file)) => typist.write(file, &(lines.join("\n") + "\n")),
            _ => panic!("the block {lines:?} does not say what it is: {words:?}"),
        }
    }
}

#[test]
fn the_examples_of_readme_work_from_top_to_bottom() {
    let mut typist = Typist::new();
    let blocks = blocks("README.md");
    assert!(blocks.len() > 10, "{blocks:?}");
    type_blocks(&mut typist, &blocks);
    let here = typist.folder("");
    assert_is_copy(&here.join("copy"), "Cargo.lock");
    assert_is_copy(&here.join("open/Cargo.lock"), "Cargo.lock");
    typist.end();
}

#[test]
fn the_example_of_two_trackers_works() {
    let mut typist = Typist::new();
    let mut blocks = blocks("docs/operations.md");
    blocks.retain(|(words, _)| !words.is_empty());
    assert_eq!(blocks.len(), 4, "{blocks:?}");
    type_blocks(&mut typist, &blocks);
    typist.end();
}
