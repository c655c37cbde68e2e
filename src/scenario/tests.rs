//! Reads the scenarios in `testdata/`. The end-to-end tests run them.

use super::*;
use crate::torrent::FileName;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

fn testdata(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(folder);
    let entries = fs::read_dir(folder).unwrap();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(!paths.is_empty());
    paths
}

#[test]
fn every_scenario_is_valid_and_its_expected_files_equal_the_owned_files() {
    for folder in testdata("scenarios") {
        let (mut owned_files, mut wanted) = (HashMap::new(), Vec::new());
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let client = client_number(&path).unwrap();
            let scenario = Scenario::parse(&fs::read(&path).unwrap()).unwrap();
            for file in scenario.owned {
                assert_eq!(file.info().unwrap().name(), &file.name);
                let first: &mut OwnedFile = owned_files
                    .entry(file.name.clone())
                    .or_insert_with(|| file.clone());
                assert_eq!(*first, file, "{}", path.display());
            }
            let names = scenario.wanted.into_iter().map(|name| (client, name));
            wanted.extend(names);
        }
        let expected = fs::read_dir(folder.join("expected")).unwrap();
        assert_eq!(expected.count(), wanted.len(), "{}", folder.display());
        for (client, name) in wanted {
            let output: FileName = output_name(client, &name).unwrap();
            let expected = fs::read(folder.join("expected").join(&output)).unwrap();
            assert_eq!(owned_files[&name].content, expected, "{}", folder.display());
        }
    }
}

#[test]
fn every_malformed_file_is_refused_at_the_line_that_its_name_says() {
    for path in testdata("scenarios-malformed") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let line: usize = name.split('-').nth(1).unwrap().parse().unwrap();
        let error = Scenario::parse(&fs::read(&path).unwrap()).unwrap_err();
        assert_eq!(error.line, line, "{name}: {error}");
    }
}
