//! Functions and types that are too large to be read in one go.

use crate::source::{Source, is_test};
use std::fmt;
use syn::visit::{self, Visit};
use syn::{Block, Fields, ImplItemFn, ItemEnum, ItemFn, ItemStruct, Signature};

const MAX_LINES: usize = 70;
const MAX_FIELDS: usize = 12;

/// A function or type that is too large.
pub(crate) struct Large {
    /// `FILE NAME`
    pub(crate) place: String,
    size: usize,
    unit: &'static str,
}

impl fmt::Display for Large {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.place, self.size, self.unit)
    }
}

/// All functions and types that are too large.
pub(crate) fn too_large(source: &Source) -> Vec<Large> {
    let mut found = Vec::new();
    for module in source.modules.values() {
        let mut sizes = Sizes {
            file: &module.file,
            found: Vec::new(),
        };
        for item in &module.items {
            sizes.visit_item(item);
        }
        found.append(&mut sizes.found);
    }
    found
}

struct Sizes<'a> {
    file: &'a str,
    found: Vec<Large>,
}

impl Sizes<'_> {
    fn measure(&mut self, name: &syn::Ident, size: usize, limit: usize, unit: &'static str) {
        if size > limit {
            let place = format!("{} {name}", self.file);
            self.found.push(Large { place, size, unit });
        }
    }

    fn measure_function(&mut self, signature: &Signature, block: &Block) {
        let start = signature.ident.span().start().line;
        let lines = block.brace_token.span.close().end().line + 1 - start;
        self.measure(&signature.ident, lines, MAX_LINES, "lines");
    }

    fn measure_fields(&mut self, name: &syn::Ident, fields: &Fields) {
        self.measure(name, fields.len(), MAX_FIELDS, "fields");
    }
}

impl<'a> Visit<'a> for Sizes<'_> {
    fn visit_item_fn(&mut self, item: &'a ItemFn) {
        self.measure_function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a ImplItemFn) {
        if !is_test(&item.attrs) {
            self.measure_function(&item.sig, &item.block);
        }
    }

    fn visit_item_struct(&mut self, item: &'a ItemStruct) {
        self.measure_fields(&item.ident, &item.fields);
    }

    fn visit_item_enum(&mut self, item: &'a ItemEnum) {
        for variant in &item.variants {
            self.measure_fields(&variant.ident, &variant.fields);
        }
    }
}
