//! The Rust files of this repository import each other in no circle, and neither do its folders: the files directly in them.
//!
//! A file imports another one if its code names something in a module of that one by its path, in a `use` or anywhere else.
//! A name that a module re-exports counts as an import of that module. A `mod` declaration imports nothing, tests are not
//! counted, and the root file of a crate is in no folder: it may name all of them, and none may name it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};

/// The root files of the crates, from the repository's root. Crates of a single file are left out.
const ROOTS: [&str; 5] = [
    "crates/core/src/lib.rs",
    "src/lib.rs",
    "tools/src/lib.rs",
    "web/host/src/lib.rs",
    "xtask/src/main.rs",
];

/// The path of a module, from the root of its crate; the same for a name in it.
type Names = Vec<String>;
/// What each file, or folder, imports.
type Graph = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// A crate: which file each module is in, and what each file contains.
#[derive(Default)]
struct Crate {
    modules: BTreeMap<Names, PathBuf>,
    files: Vec<(Names, PathBuf, syn::File)>,
}

impl Crate {
    /// Reads the files of a crate, from its root file on.
    fn read(root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut found = Self::default();
        let folder = root.parent().unwrap_or(root);
        found.add_file(Names::new(), root, folder, read);
        found
    }

    /// Adds a file and those that its modules are in: below `folder`, unless they say otherwise.
    fn add_file(
        &mut self,
        module: Names,
        file: &Path,
        folder: &Path,
        read: &dyn Fn(&Path) -> Option<String>,
    ) {
        let text = read(file).unwrap_or_else(|| panic!("{} is missing", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        self.add_modules(&module, &parsed.items, file, folder, read);
        self.files.push((module, file.to_owned(), parsed));
    }

    fn add_modules(
        &mut self,
        module: &Names,
        items: &[syn::Item],
        file: &Path,
        folder: &Path,
        read: &dyn Fn(&Path) -> Option<String>,
    ) {
        self.modules.insert(module.clone(), file.to_owned());
        for item in items {
            let syn::Item::Mod(inner) = item else {
                continue;
            };
            if is_test(&inner.attrs) {
                continue;
            }
            let name = inner.ident.to_string();
            let inner_module = child(module, &name);
            let below = folder.join(&name);
            match &inner.content {
                Some((_, items)) => self.add_modules(&inner_module, items, file, &below, read),
                None => {
                    let beside = folder.join(format!("{name}.rs"));
                    let inside = below.join("mod.rs");
                    let named = named_path(&inner.attrs).map(|path| file.with_file_name(path));
                    let exists = |file: &PathBuf| read(file).is_some();
                    let file = named.or_else(|| Some(inside).filter(exists));
                    self.add_file(inner_module, &file.unwrap_or(beside), &below, read);
                }
            }
        }
    }

    fn imports(&self) -> Graph {
        let mut graph = Graph::new();
        for (module, file, parsed) in &self.files {
            let mut paths = Paths::new(module.clone());
            paths.visit_file(parsed);
            let imported = paths.found.iter().filter_map(|(module, path)| {
                let of_use = paths.imported.get(&path[0]).map(|start| start.as_slice());
                let target = self.module_of(module, path).or_else(|| {
                    let whole: Names = of_use?.iter().chain(&path[1..]).cloned().collect();
                    self.module_of(module, &whole)
                });
                self.modules.get(&target?).cloned()
            });
            let imported = imported.filter(|other| other != file).collect();
            graph.insert(file.clone(), imported);
        }
        graph
    }

    /// The module that a path leads to, or that the name at its end is in; none for a path that leads out of the crate.
    fn module_of(&self, from: &Names, path: &[String]) -> Option<Names> {
        let (first, mut rest) = path.split_first()?;
        let mut module = match first.as_str() {
            "crate" => Names::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            name => Some(child(from, name)).filter(|module| self.modules.contains_key(module))?,
        };
        while let Some((name, after)) = rest.split_first() {
            if name == "super" {
                module.pop()?;
            } else if self.modules.contains_key(&child(&module, name)) {
                module.push(name.clone());
            } else {
                break;
            }
            rest = after;
        }
        Some(module)
    }
}

fn child(module: &Names, name: &str) -> Names {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// Whether an item is compiled for tests only.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    fn needs_test(condition: &syn::Meta) -> bool {
        let inner = |list: &syn::MetaList| {
            let parser = Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated;
            list.parse_args_with(parser).unwrap_or_default()
        };
        match condition {
            syn::Meta::Path(path) => path.is_ident("test"),
            syn::Meta::List(list) if list.path.is_ident("all") => {
                inner(list).iter().any(needs_test)
            }
            syn::Meta::List(list) if list.path.is_ident("any") => {
                inner(list).iter().all(needs_test)
            }
            _ => false,
        }
    }
    attributes.iter().any(|attribute| {
        let is_cfg = attribute.path().is_ident("cfg");
        let condition = attribute.parse_args::<syn::Meta>();
        attribute.path().is_ident("test") || is_cfg && condition.is_ok_and(|it| needs_test(&it))
    })
}

/// The file that `#[path = "…"]` names.
fn named_path(attributes: &[syn::Attribute]) -> Option<String> {
    let attribute = attributes.iter().find(|it| it.path().is_ident("path"))?;
    let syn::Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    match &pair.value {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(path),
            ..
        }) => Some(path.value()),
        _ => None,
    }
}

/// The paths that a file names outside of its tests, each with the module that names it.
struct Paths {
    module: Names,
    found: BTreeSet<(Names, Names)>,
    /// What the names that a `use` of this file brought stand for.
    imported: BTreeMap<String, Names>,
}

impl Paths {
    const fn new(module: Names) -> Self {
        Self {
            module,
            found: BTreeSet::new(),
            imported: BTreeMap::new(),
        }
    }

    fn add(&mut self, path: Names) {
        if path.len() > 1 {
            self.found.insert((self.module.clone(), path));
        }
    }

    fn add_use(&mut self, start: &Names, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                self.add_use(&child(start, &path.ident.to_string()), &path.tree);
            }
            syn::UseTree::Name(name) => {
                self.add_name(start, &name.ident.to_string(), &name.ident.to_string());
            }
            syn::UseTree::Rename(name) => {
                self.add_name(start, &name.ident.to_string(), &name.rename.to_string());
            }
            syn::UseTree::Glob(_) => self.add(child(start, "*")),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(start, tree);
                }
            }
        }
    }

    fn add_name(&mut self, start: &Names, name: &str, known_as: &str) {
        // `use module::{self}` names the module.
        let path = if name == "self" && !start.is_empty() {
            start.clone()
        } else {
            child(start, name)
        };
        self.imported.insert(known_as.to_owned(), path.clone());
        self.add(path);
    }

    /// The paths in the unparsed text of a macro.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Names::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.add(std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                other => {
                    self.add(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
        }
        self.add(path);
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Const(item) => &item.attrs,
            syn::Item::Enum(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Macro(item) => &item.attrs,
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Static(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            syn::Item::Trait(item) => &item.attrs,
            syn::Item::Type(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_use(&Names::new(), &item.tree);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        self.add(names.collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.visit_path(&item.path);
        self.add_tokens(item.tokens.clone());
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {
        // `pub(super)` imports nothing.
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}

/// The imports between the folders of the files. The root file stands for itself.
fn folder_imports(graph: &Graph, root: &Path) -> Graph {
    let folder = |file: &Path| match file.parent() {
        Some(folder) if file != root => folder.to_owned(),
        _ => file.to_owned(),
    };
    let mut folders = Graph::new();
    for (file, imported) in graph {
        let from = folder(file);
        let to = imported.iter().map(|other| folder(other));
        let to: Vec<_> = to.filter(|other| *other != from).collect();
        folders.entry(from).or_default().extend(to);
    }
    folders
}

/// Groups of nodes that all reach each other: each is at least one circle, and a graph without groups has no circle.
fn circles(graph: &Graph) -> Vec<String> {
    let reach = |from: &PathBuf| {
        let (mut seen, mut left) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(node) = left.pop() {
            for next in graph.get(&node).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    left.push(next.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&PathBuf, _> = graph.keys().map(|node| (node, reach(node))).collect();
    let group = |node: &PathBuf| {
        let mutual = reached[node]
            .iter()
            .filter(|other| reached[other].contains(node));
        let names: Vec<_> = mutual.map(|other| other.display().to_string()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let groups: BTreeSet<String> = graph.keys().filter_map(group).collect();
    groups.into_iter().collect()
}

/// The circles between the files of a crate, and those between its folders.
fn circles_of(root: &str, read: &dyn Fn(&Path) -> Option<String>) -> [Vec<String>; 2] {
    let root = Path::new(root);
    let graph = Crate::read(root, read).imports();
    [circles(&graph), circles(&folder_imports(&graph, root))]
}

#[test]
fn import_circles_there_are_none_between_files_nor_between_folders() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |file: &Path| std::fs::read_to_string(repository.join(file)).ok();
    let found: Vec<String> = ROOTS
        .iter()
        .flat_map(|root| circles_of(root, &read).concat())
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The circles of a crate of these files.
fn circles_in(files: &[(&str, &str)]) -> Vec<String> {
    let read = |file: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == file)?;
        Some(found.1.to_owned())
    };
    circles_of("src/lib.rs", &read).concat()
}

#[test]
fn import_check_trips_on_circles_of_files_and_of_folders() {
    let uses = [
        "use crate::a::{A, self};",
        "fn f() -> super::super::a::A {}",
        "fn f() { assert!(crate::a::A::new() == 1) }",
        "mod inner { use super::super::super::a::*; }",
        "use crate::{a as it}; fn f(it: it::A) {}",
    ];
    let crate_with = |used| {
        let files = [
            ("src/lib.rs", "mod a; mod b; mod deep; pub use deep::c::f;"),
            ("src/a.rs", "use crate::b as other; fn f() { other::g() }"),
            ("src/b.rs", "pub fn g() { super::deep::c::f() }"),
            ("src/deep/mod.rs", "pub mod c; #[path = \"e.rs\"] mod d;"),
            ("src/deep/c.rs", used),
            ("src/deep/e.rs", ""),
        ];
        circles_in(&files)
    };
    let both = ["src, src/deep", "src/a.rs, src/b.rs, src/deep/c.rs"];
    for used in uses {
        let mut found = crate_with(used);
        found.sort();
        assert_eq!(found, both, "{used}");
    }
    let harmless = [
        "#[cfg(test)] mod tests { use crate::a::A; }",
        "#[cfg(all(test, not(loom)))] use crate::a::A;",
        "// use crate::a::A;",
        "use std::a::A; pub(super) fn f() {}",
        "use super::d::E;",
    ];
    for used in harmless {
        assert_eq!(crate_with(used), [""; 0], "{used}");
    }
    assert_eq!(
        crate_with("#[cfg(any(test, unix))] use crate::f;"),
        ["src/deep/c.rs, src/lib.rs", "src/deep, src/lib.rs"]
    );
}
