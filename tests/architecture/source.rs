//! The files below `src/`, parsed, as a tree of modules. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use syn::{Attribute, Item, ItemUse, UseTree};

/// One module: the file that it is in, and what it declares outside tests.
pub(crate) struct Module {
    /// The path below `src/`. For an inline module it is the path of its parent's file.
    pub(crate) file: String,
    pub(crate) items: Vec<Item>,
    /// What it imports: names, and their paths.
    pub(crate) uses: BTreeMap<String, Vec<String>>,
    /// The names of its own items.
    pub(crate) names: BTreeSet<String>,
}

/// All modules by their path in the crate: `["peer", "link"]`; the crate itself is `[]`.
pub(crate) struct Source {
    pub(crate) modules: BTreeMap<Vec<String>, Module>,
}

impl Source {
    /// The modules of this checkout.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        Self::from(&|file| fs::read_to_string(root.join(file)).ok())
    }

    /// The modules in the files below `src/`. `read` returns the text of the file at a path.
    pub(crate) fn from(read: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut source = Self {
            modules: BTreeMap::new(),
        };
        for root in ["lib.rs", "main.rs"] {
            if let Some(text) = read(root) {
                // `main.rs` is a crate of its own; its path here is one that no module has.
                let path = match root {
                    "main.rs" => vec!["main.rs".to_owned()],
                    _ => Vec::new(),
                };
                source.add(read, path, root, "", parse(root, &text));
            }
        }
        source
    }

    /// Adds a module and its children. Children that have their own files are below `folder`.
    fn add(
        &mut self,
        read: &dyn Fn(&str) -> Option<String>,
        path: Vec<String>,
        file: &str,
        folder: &str,
        mut items: Vec<Item>,
    ) {
        items.retain(|item| !is_test(attributes(item)));
        for item in &mut items {
            let Item::Mod(child) = item else { continue };
            let name = child.ident.to_string();
            let child_path = [path.as_slice(), std::slice::from_ref(&name)].concat();
            let below = format!("{folder}{name}/");
            match child.content.take() {
                Some((_, items)) => self.add(read, child_path, file, &below, items),
                None => {
                    let files = [format!("{folder}{name}.rs"), format!("{below}mod.rs")];
                    let found = files
                        .iter()
                        .find_map(|file| Some((file, read(file)?)))
                        .unwrap_or_else(|| panic!("{file}: no file for mod {name}"));
                    let items = parse(found.0, &found.1);
                    self.add(read, child_path, found.0, &below, items);
                }
            }
        }
        let uses = items.iter().filter_map(|item| match item {
            Item::Use(item) => Some(imports_of(item)),
            _ => None,
        });
        let module = Module {
            file: file.to_owned(),
            uses: uses.flatten().collect(),
            names: items.iter().filter_map(name).collect(),
            items,
        };
        self.modules.insert(path, module);
    }
}

fn parse(file: &str, text: &str) -> Vec<Item> {
    let parsed = syn::parse_file(text);
    parsed
        .unwrap_or_else(|error| panic!("{file}: {error}"))
        .items
}

/// Whether an item is compiled for tests, and perhaps for the fuzzer, alone.
pub(crate) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        let is_cfg_test = || {
            let list = attribute.meta.require_list();
            let tokens = list.map_or_else(|_| String::new(), |list| list.tokens.to_string());
            matches!(&*tokens, "test" | "any (test , fuzzing)")
        };
        path.is_ident("test") || path.is_ident("cfg") && is_cfg_test()
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name of an item that others can import.
fn name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// What a `use` imports: names, and their paths.
pub(crate) fn imports_of(item: &ItemUse) -> Vec<(String, Vec<String>)> {
    fn walk(tree: &UseTree, path: &[String], found: &mut Vec<(String, Vec<String>)>) {
        let with = |name: String| [path, &[name]].concat();
        match tree {
            UseTree::Path(tree) => walk(&tree.tree, &with(tree.ident.to_string()), found),
            UseTree::Name(tree) if tree.ident == "self" => {
                found.push((path.last().cloned().unwrap_or_default(), path.to_vec()));
            }
            UseTree::Name(tree) => {
                let name = tree.ident.to_string();
                found.push((name.clone(), with(name)));
            }
            UseTree::Rename(tree) => {
                found.push((tree.rename.to_string(), with(tree.ident.to_string())));
            }
            UseTree::Glob(_) => found.push(("*".to_owned(), with("*".to_owned()))),
            UseTree::Group(tree) => tree.items.iter().for_each(|tree| walk(tree, path, found)),
        }
    }
    let mut found = Vec::new();
    walk(&item.tree, &[], &mut found);
    found
}
