//! The constants of `src/` and the fields of its struct literals, with their values.

use crate::source::Source;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, ExprCall, ExprMethodCall, ExprStruct, Item, ItemImpl, Lit, Member, Type};

/// A constant, a static or a field, and its value.
pub(crate) struct Constant<'a> {
    /// Its module, or the type of its struct: `["peer", "link", "constants"]`, `["Deadlines"]`.
    pub(crate) path: Vec<String>,
    pub(crate) name: String,
    value: &'a Expr,
}

impl Constant<'_> {
    /// Whether `reference`, such as `constants::MAX_WINDOW`, is the end of the path and the name.
    pub(crate) fn is_called(&self, reference: &str) -> bool {
        let wanted: Vec<_> = reference.rsplit("::").collect();
        let mut own = std::iter::once(&self.name).chain(self.path.iter().rev());
        wanted
            .iter()
            .all(|part| own.next().is_some_and(|own| own == part))
    }
}

/// All constants and fields of the source.
pub(crate) struct Constants<'a> {
    source: &'a Source,
    pub(crate) all: Vec<Constant<'a>>,
}

impl<'a> Constants<'a> {
    /// Reads them from the modules in `source`.
    pub(crate) fn of(source: &'a Source) -> Self {
        let mut found = Vec::new();
        for (path, module) in &source.modules {
            for item in &module.items {
                let (name, value) = match item {
                    Item::Const(item) => (&item.ident, &item.expr),
                    Item::Static(item) => (&item.ident, &item.expr),
                    _ => continue,
                };
                let (path, name) = (path.clone(), name.to_string());
                found.push(Constant { path, name, value });
            }
            let mut fields = Fields::default();
            module.items.iter().for_each(|item| fields.visit_item(item));
            found.append(&mut fields.found);
        }
        Self { source, all: found }
    }

    /// The values of a constant in bytes, in seconds or as plain numbers. A tuple has several. None
    /// if this test cannot compute them.
    pub(crate) fn values(&self, constant: &Constant) -> Option<Vec<f64>> {
        let value = |expression| self.value(&constant.path, expression);
        match constant.value {
            Expr::Tuple(tuple) => tuple.elems.iter().map(value).collect(),
            single => Some(vec![value(single)?]),
        }
    }

    /// The value of an expression in this module.
    fn value(&self, module: &[String], expression: &Expr) -> Option<f64> {
        let value = |expression: &Expr| self.value(module, expression);
        match expression {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Int(number) => number.base10_parse().ok(),
                Lit::Float(number) => number.base10_parse().ok(),
                _ => None,
            },
            Expr::Paren(inner) => value(&inner.expr),
            Expr::Cast(cast) => value(&cast.expr),
            Expr::Binary(binary) => {
                let (left, right) = (value(&binary.left)?, value(&binary.right)?);
                match binary.op {
                    BinOp::Add(_) => Some(left + right),
                    BinOp::Sub(_) => Some(left - right),
                    BinOp::Mul(_) => Some(left * right),
                    BinOp::Div(_) => Some(left / right),
                    BinOp::Shl(_) => Some(left * right.exp2()),
                    _ => None,
                }
            }
            Expr::Path(path) => {
                let name = path.path.segments.last()?.ident.to_string();
                // Parts of the places of a tracker: the whole is 1.
                if name == "total" {
                    return Some(1.0);
                }
                let named = self.named(module, &name)?;
                self.value(&named.path, named.value)
            }
            Expr::Call(call) => duration(call, value(call.args.first()?)?),
            Expr::MethodCall(call) => {
                let arguments = (value(&call.receiver)?, value(call.args.first()?)?);
                method(call, arguments)
            }
            _ => None,
        }
    }

    /// The constant that has this name in this module: its own, or the one that it imports.
    fn named(&self, module: &[String], name: &str) -> Option<&Constant<'a>> {
        let imported = self.source.modules.get(module)?.uses.get(name);
        let parts: Vec<_> = imported.into_iter().flatten().collect();
        let is_imported = |constant: &Constant| {
            let mut parts = parts.iter().filter(|part| part.as_str() != name);
            parts.all(|part| {
                matches!(part.as_str(), "crate" | "super") || constant.path.contains(*part)
            })
        };
        let named = self.all.iter().filter(|constant| constant.name == name);
        match parts.is_empty() {
            true => named.into_iter().find(|constant| constant.path == module),
            false => named.into_iter().find(|constant| is_imported(constant)),
        }
    }
}

/// `Duration::from_secs(10)`, in seconds.
fn duration(call: &ExprCall, number: f64) -> Option<f64> {
    let Expr::Path(function) = &*call.func else {
        return None;
    };
    match function.path.segments.last()?.ident.to_string().as_str() {
        "from_secs" => Some(number),
        "from_millis" => Some(number / 1e3),
        "from_micros" => Some(number / 1e6),
        _ => None,
    }
}

fn method(call: &ExprMethodCall, (receiver, argument): (f64, f64)) -> Option<f64> {
    match call.method.to_string().as_str() {
        "saturating_mul" => Some(receiver * argument),
        "saturating_sub" => Some(receiver - argument),
        // `(total / 4).max(1)`: the least is not what a document names.
        "max" => Some(receiver),
        _ => None,
    }
}

/// The fields of struct literals: `Self { .. }` in an `impl`, or `Name { .. }` anywhere.
#[derive(Default)]
struct Fields<'a> {
    /// The type of the `impl` that is being visited.
    own_type: Option<String>,
    found: Vec<Constant<'a>>,
}

impl<'a> Visit<'a> for Fields<'a> {
    fn visit_item_impl(&mut self, item: &'a ItemImpl) {
        if let Type::Path(own) = &*item.self_ty {
            self.own_type = own.path.segments.last().map(|last| last.ident.to_string());
        }
        visit::visit_item_impl(self, item);
        self.own_type = None;
    }

    fn visit_expr_struct(&mut self, literal: &'a ExprStruct) {
        let name = literal
            .path
            .segments
            .last()
            .map(|last| last.ident.to_string());
        let name = match name.as_deref() {
            Some("Self") => self.own_type.clone(),
            _ => name,
        };
        let fields = literal
            .fields
            .iter()
            .filter_map(|field| match &field.member {
                Member::Named(member) => Some(Constant {
                    path: name.iter().cloned().collect(),
                    name: member.to_string(),
                    value: &field.expr,
                }),
                Member::Unnamed(_) => None,
            });
        self.found.extend(fields);
        visit::visit_expr_struct(self, literal);
    }
}
