//! Which file uses what another one defines.
//!
//! Every `use` and every path counts, in macros too. A name is followed through re-exports to the
//! file that defines it. A `pub use` is a use like any other: a parent that re-exports a name of
//! its child imports it from the child's file.

use crate::source::{Module, Source, imports_of, is_test};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use syn::visit::{self, Visit};
use syn::{ImplItemFn, Item, ItemImpl, ItemUse, Macro, Type, Visibility};

/// One file uses names of another.
pub(crate) struct Import {
    pub(crate) from: String,
    pub(crate) to: String,
    names: BTreeSet<String>,
}

impl Import {
    /// Whether the import leads to another top module in the same layer or a higher one.
    pub(crate) fn goes_up(&self, layers: &[(&str, u32)]) -> bool {
        let (from, to) = (first_part(&self.from), first_part(&self.to));
        let layer = |module: &str| {
            let found = layers.iter().find(|(name, _)| *name == module);
            found.unwrap_or_else(|| panic!("{module} has no layer")).1
        };
        from != to && layer(to) >= layer(from)
    }

    /// Whether the import leads to a higher part of the same top module. `parts` lists the parts of
    /// `module` from the top.
    pub(crate) fn goes_up_inside(&self, module: &str, parts: &[&str]) -> bool {
        let part = |file: &str| {
            let (inside, rest) = file.split_once('/')?;
            let part = first_part(rest).to_owned();
            (inside == module && part != "mod").then_some(part)
        };
        let at = |part: &str| {
            let found = parts.iter().position(|name| *name == part);
            found.unwrap_or_else(|| panic!("{module}/{part} is not in the list of parts"))
        };
        match (part(&self.from), part(&self.to)) {
            (Some(from), Some(to)) => at(&to) < at(&from),
            _ => false,
        }
    }
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.names.iter().map(String::as_str).collect();
        write!(f, "{} -> {}: {}", self.from, self.to, names.join(", "))
    }
}

/// The first part of a path, without `.rs`. For a path below `src/` it is the top module.
fn first_part(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// All imports that lead from one file to another.
pub(crate) fn of(source: &Source) -> Vec<Import> {
    let mut found: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for (path, module) in &source.modules {
        for used in paths(module) {
            let Some((file, name)) = definition(source, path, &used, 0) else {
                continue;
            };
            if file != module.file {
                found
                    .entry((module.file.clone(), file))
                    .or_default()
                    .insert(name);
            }
        }
    }
    let import = |((from, to), names)| Import { from, to, names };
    found.into_iter().map(import).collect()
}

/// Inherent `impl` blocks in these top modules that are not in the file of their type.
pub(crate) fn impls_elsewhere(source: &Source, top_modules: &[&str]) -> Vec<String> {
    let mut elsewhere = Vec::new();
    let modules = source.modules.iter();
    let inside = |module: &Module| top_modules.contains(&first_part(&module.file));
    for (path, module) in modules.filter(|(_, module)| inside(module)) {
        for item in &module.items {
            let Item::Impl(ItemImpl {
                trait_: None,
                self_ty,
                ..
            }) = item
            else {
                continue;
            };
            let Type::Path(named) = &**self_ty else {
                continue;
            };
            let named = segments(&named.path);
            match definition(source, path, &named, 0) {
                Some((file, name)) if file != module.file => {
                    elsewhere.push(format!("{}: impl {name}, which is in {file}", module.file));
                }
                _ => (),
            }
        }
    }
    elsewhere
}

/// The file with the definition of the item that a path names, and the item's name there. None if
/// the path names a module or leads out of the crate.
///
/// `at` is the module that contains the path. `depth` is the number of imports followed so far.
fn definition(
    source: &Source,
    at: &[String],
    path: &[String],
    depth: u32,
) -> Option<(String, String)> {
    assert!(
        depth < 20,
        "the imports that lead to {path:?} in {at:?} form a cycle"
    );
    let mut at = at.to_vec();
    let mut rest = path;
    let mut is_first = true;
    while let Some((name, later)) = rest.split_first() {
        match name.as_str() {
            "crate" | "pieceful" if is_first => at.clear(),
            "self" if is_first => (),
            "super" => drop(at.pop()),
            name => {
                let module = source.modules.get(&at)?;
                let child = [at.as_slice(), &[name.to_owned()]].concat();
                if source.modules.contains_key(&child) {
                    at = child;
                } else if let Some(used) = module.uses.get(name).filter(|path| **path != [name]) {
                    let path = [used.as_slice(), later].concat();
                    return definition(source, &at, &path, depth + 1);
                } else if is_first {
                    // An item of this module, or a crate.
                    let is_own = module.names.contains(name);
                    return is_own.then(|| (module.file.clone(), name.to_owned()));
                } else {
                    return Some((module.file.clone(), name.to_owned()));
                }
            }
        }
        is_first = false;
        rest = later;
    }
    None
}

/// All paths that a module's items name.
fn paths(module: &Module) -> Vec<Vec<String>> {
    let mut paths = Paths(Vec::new());
    for item in &module.items {
        paths.visit_item(item);
    }
    paths.0
}

struct Paths(Vec<Vec<String>>);

impl<'a> Visit<'a> for Paths {
    fn visit_item_use(&mut self, item: &'a ItemUse) {
        self.0
            .extend(imports_of(item).into_iter().map(|(_, path)| path));
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        self.0.push(segments(path));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'a Macro) {
        add_paths_in(item.tokens.clone(), &mut self.0);
        visit::visit_macro(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    /// `pub(super)` imports nothing.
    fn visit_visibility(&mut self, _: &'a Visibility) {}
}

fn segments(path: &syn::Path) -> Vec<String> {
    let segments = path.segments.iter();
    segments.map(|segment| segment.ident.to_string()).collect()
}

/// Adds the paths in the tokens of a macro: names with `::` between them.
fn add_paths_in(tokens: TokenStream, paths: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                if colons != 2 {
                    paths.push(std::mem::take(&mut path));
                }
                path.push(name.to_string());
                colons = 0;
            }
            TokenTree::Punct(sign) if sign.as_char() == ':' => colons += 1,
            other => {
                paths.push(std::mem::take(&mut path));
                colons = 0;
                if let TokenTree::Group(group) = other {
                    add_paths_in(group.stream(), paths);
                }
            }
        }
    }
    paths.push(path);
}
