//! Downloads that are to replace what stands at their destination: it stands untouched until they are whole.

use super::team::{refuses, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::bytes;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const LENGTH: usize = 1_500_000;

/// All files at a path by their place below it; the file itself has none.
fn contents(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    collect(path, String::new(), &mut found);
    found
}

fn collect(path: &Path, at: String, found: &mut BTreeMap<String, Vec<u8>>) {
    if !path.is_dir() {
        found.insert(at, fs::read(path).unwrap());
        return;
    }
    for entry in fs::read_dir(path).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        collect(&path.join(&name), format!("{at}/{name}"), found);
    }
}

/// A team in which nik shares `data`, a file or a folder, and is away; mayank has something else under that name.
struct Scene {
    service: AccountTracker,
    nik: Peer,
    mayank: Peer,
    share: BTreeMap<String, Vec<u8>>,
    before: BTreeMap<String, Vec<u8>>,
}

impl Scene {
    fn new(folder: bool) -> Self {
        let service = AccountTracker::with(&["--interval", "1"]);
        let [mut nik, mayank] = team(&service, ["nik", "mayank"]);
        let (shared, there) = ("nik/data", "mayank/data");
        if folder {
            service.sandbox.file("nik/data/a", 70_000, 1);
            service.sandbox.file("nik/data/sub/b", LENGTH, 2);
            service.sandbox.file("mayank/data/a", 70_000, 3);
            service.sandbox.file("mayank/data/own/notes", 30_000, 4);
        } else {
            service.sandbox.file(shared, LENGTH, 1);
            service.sandbox.file(there, LENGTH, 3);
        }
        let [share, before] = [shared, there].map(|path| contents(&service.sandbox.path(path)));
        let path = service.sandbox.path(shared);
        nik.run(&format!("upload_file lab {}", quoted(&path)));
        nik.run("logout");
        Self {
            service,
            nik,
            mayank,
            share,
            before,
        }
    }

    fn there(&self) -> BTreeMap<String, Vec<u8>> {
        contents(&self.service.sandbox.path("mayank/data"))
    }

    fn has_part(&self) -> bool {
        self.service.sandbox.path("mayank/data.part").exists()
    }

    /// Refused, given up, ended in the middle: nothing is touched. Then it comes, whole.
    fn play(mut self) {
        refuses(
            &mut self.mayank,
            "download_file lab data",
            "exists",
            "--force",
        );
        assert!(self.there() == self.before && !self.has_part());
        self.mayank.run("download_file lab data --force");
        assert!(self.there() == self.before && self.has_part());
        self.mayank.run("cancel data");
        assert!(self.there() == self.before && !self.has_part());
        self.mayank.run("download_file lab data --force");
        self.mayank.process.kill();
        let sandbox = &self.service.sandbox;
        self.mayank = sandbox.debug_peer("mayank", &[]);
        self.mayank.wait_for_state("data", "downloading");
        assert!(self.there() == self.before && self.has_part());
        self.nik.run("login nik\npw of nik");
        self.mayank.wait_for_state("data", "complete");
        assert!(self.there() == self.share && !self.has_part());
        // It is what counts from now on.
        self.mayank.process.kill();
        self.mayank = self.service.sandbox.debug_peer("mayank", &[]);
        self.mayank.wait_for_state("data", "complete");
        assert!(self.there() == self.share && !self.has_part());
    }
}

#[test]
fn a_file_is_replaced_by_a_whole_one() {
    Scene::new(false).play();
}

#[test]
fn a_folder_is_replaced_by_a_whole_one() {
    Scene::new(true).play();
}

#[test]
fn what_a_crash_left_of_a_replaced_folder_goes() {
    let mut scene = Scene::new(true);
    scene.mayank.run("download_file lab data --force");
    scene.mayank.process.kill();
    // As if it had ended between the exchange of the two and the removal of the old one.
    let path = |name: &str| scene.service.sandbox.path(name);
    fs::remove_dir_all(path("mayank/data.part")).unwrap();
    fs::rename(path("mayank/data"), path("mayank/data.part")).unwrap();
    for (at, content) in &scene.share {
        let file = path(&format!("mayank/data{at}"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    scene.mayank = scene.service.sandbox.debug_peer("mayank", &[]);
    scene.mayank.wait_for_state("data", "complete");
    assert!(scene.there() == scene.share && !scene.has_part());
}

#[test]
fn files_and_folders_never_replace_each_other() {
    for folder in [false, true] {
        let mut scene = Scene::new(folder);
        let there = scene.service.sandbox.path("mayank/data");
        if folder {
            fs::remove_dir_all(&there).unwrap();
            fs::write(&there, bytes(LENGTH, 9)).unwrap();
        } else {
            fs::remove_file(&there).unwrap();
            scene.service.sandbox.file("mayank/data/own", 1000, 9);
        }
        let before = scene.there();
        for command in ["download_file lab data", "download_file lab data --force"] {
            refuses(
                &mut scene.mayank,
                command,
                "exists",
                "neither replaces the other",
            );
            assert!(scene.there() == before && !scene.has_part());
        }
    }
}
