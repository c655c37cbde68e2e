//! Tests of the tests: faults planted in small source trees are found.

use crate::imports::{self, Import};
use crate::source::Source;
use crate::{LAYERS, circles, sizes, writes};

fn source(files: &'static [(&'static str, &'static str)]) -> Source {
    Source::from(&|file| {
        let found = files.iter().find(|(name, _)| *name == file);
        found.map(|(_, text)| (*text).to_owned())
    })
}

fn circles_of(files: &'static [(&'static str, &'static str)]) -> Vec<String> {
    circles::of(&imports::of(&source(files)))
}

#[test]
fn a_circle_is_found() {
    let circles = circles_of(&[
        ("lib.rs", "mod net;"),
        ("net/mod.rs", "mod a; mod b; pub use a::A;"),
        ("net/a.rs", "use super::b::B; pub struct A(B);"),
        (
            "net/b.rs",
            "pub struct B; fn f() { log::info!(\"{}\", super::a::A::new()) }",
        ),
    ]);
    assert_eq!(circles.len(), 1, "{circles:?}");
    assert!(
        circles[0].contains("net/b.rs -> net/a.rs: A"),
        "{circles:?}"
    );
}

#[test]
fn an_import_through_a_reexport_leads_to_the_file_that_defines_the_item() {
    let files = &[
        ("lib.rs", "mod net; mod peer;"),
        (
            "net/mod.rs",
            "mod a; mod b; pub use a::A; pub use b::B as C;",
        ),
        ("net/a.rs", "pub struct A;"),
        ("net/b.rs", "pub struct B; fn f(_: super::A) {}"),
        ("peer.rs", "use crate::net::{self, C}; fn f(_: net::A) {}"),
    ];
    assert!(circles_of(files).is_empty());
    let found: Vec<_> = imports::of(&source(files))
        .iter()
        .map(Import::to_string)
        .collect();
    let expected = [
        "net/b.rs -> net/a.rs: A",
        "net/mod.rs -> net/a.rs: A",
        "net/mod.rs -> net/b.rs: B",
        "peer.rs -> net/a.rs: A",
        "peer.rs -> net/b.rs: B",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_parent_and_its_child_can_form_a_circle() {
    let circles = circles_of(&[
        ("lib.rs", "mod net;"),
        ("net.rs", "mod a; pub struct Net(a::A);"),
        (
            "net/a.rs",
            "pub struct A; impl A { fn f(_: &super::Net) {} }",
        ),
    ]);
    assert_eq!(circles.len(), 1, "{circles:?}");
}

#[test]
fn an_import_up_the_layers_is_found() {
    let source = source(&[
        ("lib.rs", "mod net; mod peer; mod storage;"),
        ("net.rs", "fn f() { crate::peer::start() }"),
        ("peer.rs", "pub fn start() { crate::storage::open() }"),
        ("storage.rs", "pub fn open() { let _: crate::net::Net; }"),
    ]);
    let imports = imports::of(&source);
    let upward = imports.iter().filter(|import| import.goes_up(&LAYERS));
    let upward: Vec<_> = upward.map(Import::to_string).collect();
    assert_eq!(
        upward,
        ["net.rs -> peer.rs: start", "storage.rs -> net.rs: Net"]
    );
}

#[test]
fn imports_in_tests_comments_and_strings_do_not_count() {
    let files = &[
        ("lib.rs", "mod net; mod peer;"),
        (
            "net.rs",
            "#[cfg(test)] mod tests { use crate::peer::A; }\n// crate::peer::A\npub struct N;",
        ),
        (
            "peer.rs",
            "pub struct A(crate::net::N); const A: &str = \"crate::cli::B\";",
        ),
    ];
    assert!(circles_of(files).is_empty());
}

#[test]
fn an_import_up_inside_a_top_module_is_found() {
    let files = &[
        ("lib.rs", "mod peer;"),
        (
            "peer/mod.rs",
            "mod link; mod transfer; use link::Link; use transfer::Transfer;",
        ),
        ("peer/link.rs", "use super::Transfer; pub struct Link;"),
        (
            "peer/transfer.rs",
            "pub struct Transfer; fn f(_: super::Link) {}",
        ),
    ];
    let imports = imports::of(&source(files));
    let upward = imports
        .iter()
        .filter(|import| import.goes_up_inside("peer", &["transfer", "link"]));
    let upward: Vec<_> = upward.map(Import::to_string).collect();
    assert_eq!(upward, ["peer/link.rs -> peer/transfer.rs: Transfer"]);
}

#[test]
fn methods_in_another_file_are_found() {
    let source = source(&[
        ("lib.rs", "mod net;"),
        ("net.rs", "mod a; pub struct Net;"),
        (
            "net/a.rs",
            "use super::Net; impl Net {} impl Drop for Net {}",
        ),
    ]);
    let found = imports::impls_elsewhere(&source, &["net"]);
    assert_eq!(found, ["net/a.rs: impl Net, which is in net.rs"]);
}

#[test]
fn a_long_function_and_a_wide_type_are_found() {
    let source = Source::from(&|file| {
        let lines = "\n".repeat(70);
        let fields: String = (0..13).map(|field| format!("f{field}: u8,")).collect();
        let text = format!("fn f() {{{lines}}} struct S {{ {fields} }} fn g() {{}}");
        (file == "lib.rs").then_some(text)
    });
    let found: Vec<_> = sizes::too_large(&source)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, ["lib.rs f: 71 lines", "lib.rs S: 13 fields"]);
}

#[test]
fn a_write_to_a_field_of_another_file_is_found() {
    let files = &[
        ("lib.rs", "mod peer;"),
        ("peer/mod.rs", "mod a; mod b;"),
        (
            "peer/a.rs",
            "pub struct A { pub x: u32, pub y: u32 } fn f(a: &mut A) { a.x = 1; a.y += 1; }",
        ),
        (
            "peer/b.rs",
            "fn g(a: &mut super::a::A) { a.x += 1; h(&mut a.y); let _ = a.x == 2; }",
        ),
    ];
    let found = writes::elsewhere(&source(files), "peer");
    assert_eq!(found, ["peer/b.rs: .x", "peer/b.rs: .y"]);
}
