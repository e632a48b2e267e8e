//! The Debian package: built by debhelper as docs/packaging.md says, checked by lintian, blhc, gdb and autopkgtest.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::document::read;
use crate::common::{self, skipped};
use crate::document::{PACKAGING, recipe};
use crate::throwaway::Throwaway;
use crate::{copy_of_the_project, has, shell};

const TEMPLATE: &str = "docs/packaging/debian";

#[test]
fn the_template_has_the_version_the_rust_and_the_architectures_of_the_program() {
    let control = read(&format!("{TEMPLATE}/control"));
    let rust = env!("CARGO_PKG_RUST_VERSION");
    for tool in ["cargo", "rustc"] {
        assert!(control.contains(&format!(" {tool} (>= {rust}),\n")), "{tool}: {control}");
    }
    let debian: Vec<_> = crate::images::ARCHITECTURES.iter().map(|a| a.debian).collect();
    assert!(control.contains(&format!("Architecture: {}\n", debian.join(" "))), "{control}");
    let changelog = read(&format!("{TEMPLATE}/changelog"));
    let version = env!("CARGO_PKG_VERSION");
    assert!(changelog.starts_with(&format!("seccomp-notify-min ({version}-1) ")), "{changelog}");
    assert!(read(PACKAGING).contains(&format!("Rust {rust} or later")));
}

/// A package that was built.
struct Package {
    /// The folder with the packages.
    folder: PathBuf,
    /// The sources.
    project: PathBuf,
    /// What dpkg-buildpackage and lintian printed.
    log: String,
}

impl Package {
    /// The only file in the folder whose name begins and ends so.
    fn file(&self, beginning: &str, end: &str) -> PathBuf {
        let files = fs::read_dir(&self.folder).expect("a folder").map(|e| e.expect("it").path());
        let mut files: Vec<_> = files
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(beginning) && name.ends_with(end)
            })
            .collect();
        assert_eq!(files.len(), 1, "{beginning}*{end}: {files:?}");
        files.remove(0)
    }

    fn program(&self) -> PathBuf {
        self.file("seccomp-notify-min_", ".deb")
    }

    fn symbols(&self) -> PathBuf {
        self.file("seccomp-notify-min-dbgsym_", ".deb")
    }
}

#[test]
#[ignore = "builds Debian packages: cargo test --test packaging -- --ignored"]
fn the_debian_package_is_what_lintian_gdb_and_autopkgtest_want() {
    let what = "the Debian package";
    let tools = ["dpkg-buildpackage", "dh", "lintian", "make", "objcopy", "dwz", "gcc"];
    if !has(what, &tools) {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let project = copy_of_the_project(dir.path(), "project");
    if let Err(why) = shell(&project, "cargo vendor --quiet --locked vendor", &[]) {
        return skipped(what, why);
    }
    fs::remove_dir_all(project.join("vendor")).expect("it can be removed");
    let log = shell(&project, &recipe(PACKAGING, "debian"), &[]).unwrap_or_else(|e| panic!("{e}"));
    let package = Package { folder: dir.path().to_owned(), project, log };

    check_the_log(&package);
    check_the_files(&package);
    check_the_symbols(&package);
    check_another_build(&package);
    check_autopkgtest(&package);
}

/// debhelper's tools have nothing to say, and lintian has nothing but what is overridden.
fn check_the_log(package: &Package) {
    let log = &package.log;
    for tool in ["dh_strip", "dh_dwz", "dh_shlibdeps"] {
        assert!(log.contains(&format!("\n   {tool} ")), "{tool} did not run: {log}");
    }
    // lintian says that it should not be run by root.
    let is_warning = |line: &&str| {
        let line = line.to_lowercase();
        line.contains("warning:") && !line.contains("the authors of lintian do not recommend")
    };
    assert_eq!(log.lines().filter(is_warning).collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(
        log.contains("Target process: SUCCESS: mkdir(2) returned"),
        "the package's check: {log}"
    );
    let is_tag = |line: &&str| ["E: ", "W: ", "I: "].iter().any(|tag| line.starts_with(tag));
    assert_eq!(log.lines().filter(is_tag).collect::<Vec<_>>(), Vec::<&str>::new(), "lintian");

    // Without the overrides lintian finds these, and nothing else.
    let changes = package.file("seccomp-notify-min_", ".changes");
    let all = "lintian --display-info --pedantic --no-override --fail-on none \"$CHANGES\"";
    let found = shell(&package.folder, all, &[("CHANGES", changes.to_str().expect("text"))]);
    let found = found.expect("lintian ends well");
    let mut found: Vec<_> = found.lines().filter(is_tag).map(tag).collect();
    found.sort_unstable();
    let overrides = read(&format!("{TEMPLATE}/seccomp-notify-min.lintian-overrides"));
    let (mut reasons, mut overridden) = (false, Vec::new());
    for line in overrides.lines() {
        match line.strip_prefix("seccomp-notify-min: ") {
            Some(tag) => {
                assert!(reasons, "{tag} is overridden without a reason");
                reasons = false;
                overridden.push(tag);
            }
            None => reasons = line.starts_with("# "),
        }
    }
    overridden.sort_unstable();
    assert_eq!(found, overridden, "lintian's tags and the overrides");

    if !has("blhc", &["blhc"]) {
        return;
    }
    let file = package.folder.join("log");
    fs::write(&file, log).expect("a file can be written");
    let blhc = "blhc --all --debian log";
    assert_eq!(shell(&package.folder, blhc, &[]).as_deref(), Ok(""), "blhc");
    // The line of debian/rules for blhc is needed.
    let without = format!("sed -i '/^blhc: /d' log; {blhc}");
    assert!(shell(&package.folder, &without, &[]).is_err(), "blhc has nothing to say by itself");
}

/// The tag of a line of lintian: `E: package: tag [where]`.
fn tag(line: &str) -> &str {
    let tag = line.split(": ").nth(2).unwrap_or(line);
    tag.split(' ').next().unwrap_or(tag)
}

/// The package has these files, the program works, and the texts are the project's.
fn check_the_files(package: &Package) {
    let deb = package.program();
    let listed = shell(&package.folder, "dpkg-deb --contents \"$DEB\"", &[("DEB", text(&deb))]);
    let listed = listed.expect("a package");
    let is_file = |line: &&str| !line.starts_with('d');
    let files: Vec<_> = listed
        .lines()
        .filter(is_file)
        .map(|line| {
            let mut words = line.split_whitespace();
            let (mode, owner) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            assert_eq!(owner, "root/root", "{line}");
            (mode, words.nth(3).unwrap_or("").trim_start_matches("./usr/"))
        })
        .collect();
    let (program, plain) = ("-rwxr-xr-x", "-rw-r--r--");
    let doc = "share/doc/seccomp-notify-min";
    let dracut = format!("{doc}/examples/dracut/50seccomp-notify-min");
    let initramfs_tools = format!("{doc}/examples/initramfs-tools");
    let expected = [
        (program, "bin/seccomp-notify-min".to_owned()),
        (plain, "share/bash-completion/completions/seccomp-notify-min.bash".into()),
        (plain, format!("{doc}/README.md.gz")),
        (plain, format!("{doc}/changelog.Debian.gz")),
        (plain, format!("{doc}/changelog.gz")),
        (plain, format!("{doc}/copyright")),
        (program, format!("{dracut}/hook.sh")),
        (program, format!("{dracut}/module-setup.sh")),
        (program, format!("{initramfs_tools}/hooks/seccomp-notify-min")),
        (program, format!("{initramfs_tools}/scripts/init-premount/seccomp-notify-min")),
        (plain, "share/fish/vendor_completions.d/seccomp-notify-min.fish".into()),
        (plain, "share/lintian/overrides/seccomp-notify-min".into()),
        (plain, "share/man/man1/seccomp-notify-min.1.gz".into()),
        (plain, "share/zsh/vendor-completions/_seccomp-notify-min".into()),
    ];
    let expected: Vec<_> = expected.iter().map(|(mode, name)| (*mode, name.as_str())).collect();
    assert_eq!(files, expected);

    let root = package.folder.join("root");
    let unpack = "dpkg-deb --extract \"$DEB\" root; zcat root/usr/share/man/man1/*.gz";
    let manual = shell(&package.folder, unpack, &[("DEB", text(&deb))]).expect("a package");
    assert_eq!(manual, read("seccomp-notify-min.1"));
    crate::flags::works(&root.join("usr/bin/seccomp-notify-min"));
    let fields = shell(&package.folder, "dpkg-deb --field \"$DEB\"", &[("DEB", text(&deb))]);
    let fields = fields.expect("a package");
    assert!(!fields.contains("\nDepends:"), "it needs no other package: {fields}");
    // The binary contains parts of these crates, whose licences want their notices with it.
    let copyright = fs::read_to_string(root.join("usr/share/doc/seccomp-notify-min/copyright"));
    let copyright = copyright.expect("it is in the package");
    for (krate, notice) in [
        ("syscalls", "Redistributions in binary form must reproduce the above copyright notice"),
        ("linux-raw-sys", "shall be included in all copies or substantial portions"),
    ] {
        assert!(copyright.contains(&format!("vendor/{krate}/*")), "{krate}");
        let words: Vec<_> = copyright.split_whitespace().collect();
        assert!(words.join(" ").contains(notice), "{krate}");
    }
}

/// gdb finds the lines of the source in the package of symbols, by the build ID, and only there.
fn check_the_symbols(package: &Package) {
    let root = package.folder.join("root");
    let deb = package.symbols();
    let unpack = "dpkg-deb --extract \"$DEB\" symbols";
    shell(&package.folder, unpack, &[("DEB", text(&deb))]).expect("a package");
    if !has("the package of symbols", &["gdb"]) {
        return;
    }
    let program = root.join("usr/bin/seccomp-notify-min");
    let ask = |folder: &Path| {
        let gdb = "gdb -batch -iex \"set debug-file-directory $FOLDER\" -ex 'info functions tracer::run' \"$PROGRAM\"";
        let variables = [("FOLDER", text(folder)), ("PROGRAM", text(&program))];
        shell(&package.folder, gdb, &variables).expect("gdb ends well")
    };
    let found = ask(&package.folder.join("symbols/usr/lib/debug"));
    assert!(found.contains("File src/tracer.rs:\n"), "{found}");
    let found = ask(&package.folder.join("nothing"));
    assert!(!found.contains("tracer.rs"), "the program itself has no symbols: {found}");
    let folder = text(&package.project);
    for file in files_beneath(&package.folder.join("symbols")) {
        // objcopy has compressed the symbols.
        let plain = package.folder.join("plain");
        let objcopy = "objcopy --decompress-debug-sections \"$FILE\" \"$PLAIN\"";
        let variables = [("FILE", text(&file)), ("PLAIN", text(&plain))];
        shell(&package.folder, objcopy, &variables).expect("objcopy takes it");
        let bytes = fs::read(&plain).expect("a file");
        let has = |name: &str| bytes.windows(name.len()).any(|part| part == name.as_bytes());
        assert!(!has(folder), "{}: the build folder is in it", file.display());
        assert!(has("/usr/src/seccomp-notify-min"), "{}", file.display());
    }
}

/// The files, not the links, in a folder and its subfolders.
fn files_beneath(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            files.extend(files_beneath(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// In another folder, without a home directory, as on a build daemon: the packages have the same bytes.
fn check_another_build(package: &Package) {
    let dir = tempfile::tempdir().expect("a folder");
    let project = copy_of_the_project(dir.path(), "in-another-folder");
    // The crates as they are in the other folder: nothing is downloaded.
    common::copy(&package.project.join("vendor"), &project.join("vendor"));
    let home = std::env::var("HOME").unwrap_or_default();
    let rustup = std::env::var("RUSTUP_HOME").unwrap_or(format!("{home}/.rustup"));
    let script = "unset CARGO_HOME; cp -r docs/packaging/debian debian
        dpkg-buildpackage --build=binary --no-sign --no-check-builddeps";
    let variables =
        [("HOME", "/nonexistent"), ("RUSTUP_HOME", rustup.as_str()), ("TZ", "Asia/Tokyo")];
    let log = shell(&project, script, &variables).unwrap_or_else(|e| panic!("{e}"));
    let other = Package { folder: dir.path().to_owned(), project, log };
    for file in [Package::program, Package::symbols] {
        let (one, another) = (file(package), file(&other));
        assert_eq!(one.file_name(), another.file_name());
        let same = fs::read(&one).expect("a file") == fs::read(&another).expect("a file");
        assert!(same, "{} has other bytes in another folder", one.display());
    }
    // debian/rules clean leaves the vendored crates as they are.
    let clean = "debian/rules clean; test ! -e target; cargo build --offline --locked \
        --config 'source.crates-io.replace-with=\"vendor\"' --config 'source.vendor.directory=\"vendor\"'";
    shell(&other.project, clean, &[]).expect("it builds after debian/rules clean");
}

/// autopkgtest, in a throwaway copy of this machine, where it installs the package.
fn check_autopkgtest(package: &Package) {
    let shared = tempfile::tempdir().expect("a folder");
    let tree = shared.path().join("tree");
    fs::create_dir(&tree).expect("a folder");
    common::copy(&package.project.join("debian"), &tree.join("debian"));
    let deb = package.program();
    fs::copy(&deb, shared.path().join(deb.file_name().expect("a name"))).expect("a copy");
    let script = format!(
        "(cd tree; {}) >log 2>&1 || {{ status=$?; cat log; exit $status; }}; cat log",
        recipe(PACKAGING, "autopkgtest").trim()
    );
    let Some(said) =
        Throwaway::new("autopkgtest", &["autopkgtest", "dpkg-dev"]).run(shared.path(), &script)
    else {
        return;
    };
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for test in ["demonstration", "probe"] {
        let has = |result: &str| said.lines().any(|line| words(line) == [test, result]);
        assert!(has("PASS"), "{test}: {said}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}
