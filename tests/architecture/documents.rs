//! The documents: paths and links that they name exist, no line is too wide, and the tables of
//! threads have the thread names of the source.

use crate::source::Source;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Expr, ExprCall, ExprLit, ExprMethodCall, Lit};

/// The widest line, in characters.
const WIDTH: usize = 100;
/// The document and the heading with the tables of threads.
const THREADS: (&str, &str) = ("docs/overview.md", "## Threads");
/// Folders at the top of the repository that a path in a document may begin with.
const TOP: [&str; 7] = ["src", "tests", "docs", "benches", "testdata", "fuzz", ".ci"];

/// One document.
struct Document {
    /// Its path in the repository.
    path: String,
    text: String,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Markdown files at the top of the repository, in `docs/` and in `fuzz/`.
fn read() -> Vec<Document> {
    let folders = ["", "docs/", "fuzz/"];
    let paths = folders.iter().flat_map(|folder| {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        entries.map(move |entry| format!("{folder}{}", entry.unwrap().file_name().display()))
    });
    let document = |path: String| Document {
        text: fs::read_to_string(root().join(&path)).unwrap(),
        path,
    };
    let paths = paths.filter(|path| path.ends_with(".md"));
    paths.map(document).collect()
}

/// Lines that are too wide.
fn wide_lines(documents: &[Document]) -> Vec<String> {
    let lines = documents.iter().flat_map(|document| {
        let lines = document.text.lines().zip(1..);
        lines.map(|(line, number)| (&document.path, line, number))
    });
    lines
        .filter(|(_, line, _)| line.chars().count() > WIDTH)
        .map(|(path, _, number)| format!("{path}:{number} is wider than {WIDTH} characters"))
        .collect()
}

/// Links and paths that lead nowhere. `exists` returns whether a path in the repository exists.
fn broken(documents: &[Document], exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    for document in documents {
        let folder = Path::new(&document.path).parent().unwrap_or(Path::new(""));
        for link in links(&document.text) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => document.path.clone(),
                file => joined(folder, file),
            };
            let has_heading = || {
                let found = documents.iter().find(|document| document.path == target);
                found.is_some_and(|document| headings(&document.text).contains(heading))
            };
            if !exists(&target) || !heading.is_empty() && !has_heading() {
                broken.push(format!("{}: the link {link}", document.path));
            }
        }
        let paths = code_spans(&document.text)
            .into_iter()
            .filter(|text| is_path(text));
        for path in paths {
            let places = [
                path.clone(),
                format!("src/{path}"),
                format!("src/{path}.rs"),
            ];
            if !places
                .iter()
                .any(|place| exists(place.trim_end_matches('/')))
            {
                broken.push(format!("{}: the path {path}", document.path));
            }
        }
    }
    broken
}

/// Whether a path in the repository exists.
fn exists(path: &str) -> bool {
    root().join(path).exists()
}

/// The relative links of a document.
fn links(text: &str) -> Vec<String> {
    let after = text.split("](").skip(1);
    let links = after.filter_map(|rest| rest.split_once(')'));
    let links = links.map(|(link, _)| link.to_owned());
    links.filter(|link| !link.contains("://")).collect()
}

/// Headings in the form in which links name them.
fn headings(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let characters = title
            .chars()
            .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
        characters
            .map(|char| if char == ' ' { '-' } else { char })
            .collect()
    };
    headings.map(anchor).collect()
}

/// The texts between backticks, line by line, outside of code blocks.
fn code_spans(text: &str) -> Vec<String> {
    let outside = text.split("```").step_by(2);
    let lines = outside.flat_map(str::lines);
    let spans = lines.flat_map(|line| line.split('`').skip(1).step_by(2));
    spans.map(str::to_owned).collect()
}

/// Whether a piece of code names a file or folder of the repository: it begins with a folder at the
/// top or a module of `src/`, and has a slash.
fn is_path(text: &str) -> bool {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "._-/".contains(char);
    let Some((first, _)) = text.split_once('/') else {
        return false;
    };
    let is_module = crate::LAYERS.iter().any(|(module, _)| *module == first);
    text.chars().all(is_plain) && (TOP.contains(&first) || is_module)
}

/// A path relative to a folder of the repository, without `..`.
fn joined(folder: &Path, path: &str) -> String {
    let mut joined = PathBuf::from(folder);
    for part in path.split('/') {
        match part {
            ".." => drop(joined.pop()),
            part => joined.push(part),
        }
    }
    joined.display().to_string()
}

/// The names in the first column of the tables of threads.
fn listed_threads(documents: &[Document]) -> BTreeSet<String> {
    let (path, heading) = THREADS;
    let document = documents.iter().find(|document| document.path == path);
    let lines = document.unwrap().text.lines();
    let section = lines
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "));
    let cells = section.filter_map(|line| line.strip_prefix('|')?.split('|').next());
    cells.flat_map(code_spans).collect()
}

/// The names of threads in the source. A number in a name is `N`.
fn named_threads(source: &Source) -> BTreeSet<String> {
    let mut names = ThreadNames(BTreeSet::new());
    for module in source.modules.values() {
        module.items.iter().for_each(|item| names.visit_item(item));
    }
    names.0
}

/// Names of threads that are only in the source or only in the tables.
fn differing_threads(listed: &BTreeSet<String>, named: &BTreeSet<String>) -> Vec<String> {
    let unlisted = named.difference(listed);
    let unlisted = unlisted.map(|name| format!("{name} is not in the table"));
    // The reading thread of a link starts the writing thread, whose name it derives from its own.
    let is_named = |name: &&String| {
        let reader = name.strip_suffix("-write");
        named.contains(*name) || reader.is_some_and(|reader| named.contains(reader))
    };
    let unnamed = listed.iter().filter(|name| !is_named(name));
    let unnamed = unnamed.map(|name| format!("{name} is not in the source"));
    unlisted.chain(unnamed).collect()
}

struct ThreadNames(BTreeSet<String>);

impl<'a> Visit<'a> for ThreadNames {
    /// `Builder::name("x".into())`, and `spawn("x", ..)` of types that start named threads.
    fn visit_expr_method_call(&mut self, call: &'a ExprMethodCall) {
        let first = call.args.first();
        let name = match (call.method.to_string().as_str(), first) {
            // The name of a thread is converted to a `String`. A call with a plain literal, such as
            // `fields.name("field")`, names no thread.
            ("name", Some(Expr::MethodCall(converted))) => literal(&converted.receiver),
            ("name", Some(Expr::Macro(made))) => format_of(made.mac.tokens.clone()),
            ("spawn", Some(first)) => literal(first),
            _ => None,
        };
        self.0.extend(name);
        visit::visit_expr_method_call(self, call);
    }

    /// `Server::start("x", ..)` and `WorkerPool::start("x", ..)`.
    fn visit_expr_call(&mut self, call: &'a ExprCall) {
        if let (Expr::Path(function), Some(first)) = (&*call.func, call.args.first()) {
            let path: Vec<_> = function.path.segments.iter().collect();
            let path: Vec<_> = path
                .iter()
                .map(|segment| segment.ident.to_string())
                .collect();
            let path: Vec<_> = path.iter().map(String::as_str).collect();
            match (path.as_slice(), literal(first)) {
                (["Server", "start"], Some(name)) => {
                    self.0.insert(format!("{name}-accept"));
                    self.0.insert(name);
                }
                (["WorkerPool", "start"], Some(name)) => drop(self.0.insert(format!("{name}-N"))),
                _ => {}
            }
        }
        visit::visit_expr_call(self, call);
    }
}

fn literal(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => Some(text.value()),
        _ => None,
    }
}

/// The text of a `format!` up to its first placeholder, and `N` in place of that. None if the text
/// has no placeholder or begins with one.
fn format_of(tokens: TokenStream) -> Option<String> {
    let TokenTree::Literal(text) = tokens.into_iter().next()? else {
        return None;
    };
    let text = text.to_string();
    let (name, _) = text.trim_matches('"').split_once('{')?;
    (!name.is_empty()).then(|| format!("{name}N"))
}

#[test]
fn documents_name_only_paths_and_links_that_exist() {
    let broken = broken(&read(), &exists);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_line_of_a_document_is_too_wide() {
    let wide = wide_lines(&read());
    assert!(wide.is_empty(), "{}", wide.join("\n"));
}

#[test]
fn the_tables_of_threads_have_the_names_of_the_source() {
    let named = named_threads(&Source::read());
    let differing = differing_threads(&listed_threads(&read()), &named);
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// Tests the checks of this file: they find faults in a small document.
#[test]
fn faults_of_a_document_are_found() {
    let text = "# A [b](c.md)\n## Threads\n| `tick`, `call-write` | x |\n| `gone` | `x` |\n\
        ## End\n`peer/no.rs` `src/yes.rs` `quit` `a/b` [d](c.md#no) [e](#end)\n\
        ```\n`peer/code.rs`\n```\n";
    let text = format!("{text}{}\n", "x".repeat(101));
    let path = "docs/overview.md".to_owned();
    let documents = [Document { path, text }];
    let exists = |path: &str| ["docs/overview.md", "docs/c.md", "src/yes.rs"].contains(&path);
    assert_eq!(
        broken(&documents, &exists),
        [
            "docs/overview.md: the link c.md#no",
            "docs/overview.md: the path peer/no.rs"
        ]
    );
    let wide = ["docs/overview.md:10 is wider than 100 characters"];
    assert_eq!(wide_lines(&documents), wide);
    let source = Source::from(&|file| {
        let text = "fn f() {
            Server::start(\"call\", x);
            thread.name(\"tick\".into());
            thread.name(format!(\"udp-{number}\"));
            thread.name(format!(\"{name}-accept\"));
            fields.name(\"field\");
            tasks.spawn(\"task\", run);
        }";
        (file == "lib.rs").then(|| text.to_owned())
    });
    let differing = differing_threads(&listed_threads(&documents), &named_threads(&source));
    assert_eq!(
        differing,
        [
            "call is not in the table",
            "call-accept is not in the table",
            "task is not in the table",
            "udp-N is not in the table",
            "gone is not in the source"
        ]
    );
}
