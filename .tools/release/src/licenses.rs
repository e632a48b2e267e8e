//! The licence texts of the code that is linked into the program: its crates, and Rust's `core`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, Metadata, Package, PackageId};

use crate::image::Toolchain;

/// The beginnings of the names of files with a licence or a notice, in lower case.
const BEGINNINGS: &[&str] = &["licen", "copyright", "copying", "notice", "unlicense"];

/// Where a toolchain has the licence of Rust's core: the toolchains of rustup, older and newer ones, and those of Debian.
/// Of rustup's two licences the one of Apache is taken.
const CORE: &[&str] = &[
    "rust/licenses/Apache-2.0.txt",
    "rust/LICENSE-APACHE",
    "rustc/copyright",
    "rustc-web/copyright",
];

/// The packages that are linked into `package`, without `package` itself.
pub fn packages<'a>(metadata: &'a Metadata, package: &Package) -> Result<Vec<&'a Package>> {
    let resolve = metadata.resolve.as_ref().context("cargo resolves dependencies")?;
    let mut seen: BTreeSet<&PackageId> = BTreeSet::new();
    let mut waiting = vec![&package.id];
    while let Some(id) = waiting.pop() {
        let node = resolve.nodes.iter().find(|node| node.id == *id);
        for dependency in &node.context("cargo resolves each package")?.deps {
            let is_linked = dependency.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal);
            if is_linked && seen.insert(&dependency.pkg) {
                waiting.push(&dependency.pkg);
            }
        }
    }
    Ok(metadata.packages.iter().filter(|known| seen.contains(&known.id)).collect())
}

/// The licence texts, each with its name PACKAGE-VERSION/FILE.
pub fn linked_in(
    metadata: &Metadata,
    package: &Package,
    toolchain: &Toolchain,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut texts = BTreeMap::new();
    for linked in packages(metadata, package)? {
        let folder = linked.manifest_path.parent().context("a manifest is in a folder")?;
        let found = collect(folder.as_std_path())?;
        if found.is_empty() {
            bail!("{} {} comes without a licence text", linked.name, linked.version);
        }
        for (name, text) in found {
            texts.insert(format!("{}-{}/{name}", linked.name, linked.version), text);
        }
    }
    // Parts of core are compiled into the program.
    let documents = toolchain.sysroot.join("share/doc");
    let found = CORE.iter().filter_map(|name| Some((name, fs::read(documents.join(name)).ok()?)));
    let mut any = false;
    for (name, text) in found {
        let name = name.rsplit('/').next().unwrap_or(name);
        texts.insert(format!("rust-{}/{name}", toolchain.release), text);
        any = true;
    }
    if !any {
        eprintln!("skipped: the licence of Rust's core: not in {}", documents.display());
    }
    Ok(texts)
}

/// The files in a folder whose names are those of licences.
fn collect(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for name in names(folder)? {
        let lower = name.to_lowercase();
        let path = folder.join(&name);
        if BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning)) && path.is_file() {
            let text = fs::read(&path).with_context(|| path.display().to_string())?;
            found.insert(name, text);
        }
    }
    Ok(found)
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let name = entry?.file_name();
        names.insert(name.to_str().context("a name that is text")?.to_owned());
    }
    Ok(names)
}
