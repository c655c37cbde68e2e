//! Fields that are changed in a file other than the one that declares them.
//!
//! A field is recognized by its name alone. If a file assigns to `x.name` or uses `&mut x.name`,
//! and no type of that file has a field `name`, then the file writes a field of another file. Calls
//! of methods that change a field are not detected.

use crate::source::Source;
use std::collections::BTreeSet;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, ExprAssign, ExprBinary, ExprReference, Field, Member};

/// The writes to fields of other files, in the files of a top module. Each is `FILE: .FIELD`.
pub(crate) fn elsewhere(source: &Source, top_module: &str) -> Vec<String> {
    let folder = format!("{top_module}/");
    let modules = source.modules.values();
    let mut found = Vec::new();
    for module in modules.filter(|module| module.file.starts_with(&folder)) {
        let mut fields = Fields::default();
        module.items.iter().for_each(|item| fields.visit_item(item));
        let written = fields.written.difference(&fields.declared);
        found.extend(written.map(|name| format!("{}: .{name}", module.file)));
    }
    found
}

#[derive(Default)]
struct Fields {
    declared: BTreeSet<String>,
    written: BTreeSet<String>,
}

impl Fields {
    /// Records a write to the last field in a place expression: `b` in `a.b`, `*a.b` and `a.b[0]`.
    fn record_write(&mut self, place: &Expr) {
        match place {
            Expr::Field(field) => {
                if let Member::Named(name) = &field.member {
                    self.written.insert(name.to_string());
                }
            }
            Expr::Paren(inner) => self.record_write(&inner.expr),
            Expr::Unary(inner) => self.record_write(&inner.expr),
            Expr::Index(inner) => self.record_write(&inner.expr),
            Expr::Tuple(all) => all.elems.iter().for_each(|place| self.record_write(place)),
            _ => {}
        }
    }
}

impl<'a> Visit<'a> for Fields {
    fn visit_field(&mut self, field: &'a Field) {
        self.declared
            .extend(field.ident.as_ref().map(ToString::to_string));
        visit::visit_field(self, field);
    }

    fn visit_expr_assign(&mut self, assign: &'a ExprAssign) {
        self.record_write(&assign.left);
        visit::visit_expr_assign(self, assign);
    }

    fn visit_expr_binary(&mut self, binary: &'a ExprBinary) {
        let assigns = matches!(
            binary.op,
            BinOp::AddAssign(_)
                | BinOp::SubAssign(_)
                | BinOp::MulAssign(_)
                | BinOp::BitOrAssign(_)
                | BinOp::BitAndAssign(_)
        );
        if assigns {
            self.record_write(&binary.left);
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_reference(&mut self, reference: &'a ExprReference) {
        if reference.mutability.is_some() {
            self.record_write(&reference.expr);
        }
        visit::visit_expr_reference(self, reference);
    }
}
