//! Debian's package indices of other suites and architectures, and single packages from them. apt uses its own state
//! directory, so the host's sources, lists and packages do not change. apt checks the signatures of the indices and the size
//! and sha256 of each package. A package from the cache is checked against the index again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::host;

const QUICK: Duration = Duration::from_secs(120);

/// The package index of one suite for one architecture.
pub struct Index {
    state: PathBuf,
    packages: PathBuf,
    architecture: String,
}

/// The indices by suite and architecture, each updated once.
type Opened = BTreeMap<(String, String), Result<Arc<Index>, String>>;

impl Index {
    /// Updates the index, once in a run. If that fails, an older index is used, whose signature was checked when it was
    /// downloaded.
    pub fn open(suite: &str, architecture: &str) -> Result<Arc<Self>, String> {
        static OPENED: Mutex<Opened> = Mutex::new(Opened::new());
        let mut opened = OPENED.lock().map_err(|_| "an update panicked")?;
        let key = (suite.to_owned(), architecture.to_owned());
        opened.entry(key).or_insert_with(|| Self::update(suite, architecture).map(Arc::new)).clone()
    }

    fn update(suite: &str, architecture: &str) -> Result<Self, String> {
        let cache = host::cache()?;
        let index = Self {
            state: cache.join("apt").join(format!("{suite}-{architecture}")),
            packages: cache.join("packages"),
            architecture: architecture.into(),
        };
        let make = |directory: PathBuf| {
            fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))
        };
        make(index.packages.clone())?;
        make(index.state.join("lists/partial"))?;
        make(index.state.join("cache/archives/partial"))?;
        let keyring = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
        let signed_by = if keyring.exists() {
            format!("signed-by={}", keyring.display())
        } else {
            String::new()
        };
        let sources = format!("deb [arch={architecture} {signed_by}] {} {suite} main\n", mirror()?);
        let write = |name: &str, text: &str| {
            fs::write(index.state.join(name), text).map_err(|e| format!("{name}: {e}"))
        };
        write("status", "")?;
        write("sources.list", &sources)?;

        let updated = host::download(index.apt("apt-get").args(["-qq", "update"]));
        if index.names("").is_ok_and(|names| names.is_empty()) {
            let reason = updated.err().unwrap_or_else(|| "it is empty".into());
            let reason = reason.split_once("E: ").map_or(reason.as_str(), |(_, error)| error);
            let reason = reason.lines().next().unwrap_or_default();
            return Err(format!("no package index of {suite} for {architecture}: {reason}"));
        }
        Ok(index)
    }

    /// One of apt's tools, with the options that make it use only this index.
    fn apt(&self, tool: &str) -> Command {
        let state = self.state.display();
        let architecture = &self.architecture;
        let mut command = Command::new(tool);
        for option in [
            format!("Dir::Etc::sourcelist={state}/sources.list"),
            "Dir::Etc::sourceparts=-".into(),
            format!("Dir::State={state}"),
            format!("Dir::State::status={state}/status"),
            format!("Dir::State::lists={state}/lists"),
            format!("Dir::Cache={state}/cache"),
            format!("APT::Architecture={architecture}"),
            format!("APT::Architectures={architecture}"),
            "Acquire::Languages=none".into(),
            "Acquire::Retries=2".into(),
            format!("Acquire::http::Timeout={}", host::STANDSTILL),
            format!("Acquire::https::Timeout={}", host::STANDSTILL),
            // apt's own user for downloads could not write to the cache.
            "APT::Sandbox::User=root".into(),
            // No data for graphical package managers: it is as large as the index.
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }

    /// The names of the packages that begin like this.
    pub fn names(&self, beginning: &str) -> Result<Vec<String>, String> {
        let found = host::checked(self.apt("apt-cache").args(["pkgnames", beginning]), QUICK)?;
        Ok(String::from_utf8_lossy(&found).lines().map(str::to_owned).collect())
    }

    /// The package's file, from the cache or downloaded. Its size and sha256 are those in the index.
    pub fn fetch(&self, package: &str) -> Result<PathBuf, String> {
        let shown = host::checked(
            self.apt("apt-cache").args(["show", "--no-all-versions", package]),
            QUICK,
        )?;
        let shown = String::from_utf8_lossy(&shown).into_owned();
        let wanted = shown
            .lines()
            .find_map(|line| line.strip_prefix("SHA256: "))
            .ok_or_else(|| format!("{package}: the index has no sha256"))?;

        let kept = self.packages.join(format!("{package}_{}_{wanted}.deb", self.architecture));
        if kept.exists() && sha256(&kept)? == wanted {
            return Ok(kept);
        }
        let partial = tempfile::tempdir_in(&self.packages).map_err(|e| e.to_string())?;
        host::download(
            self.apt("apt-get").args(["-qq", "download", package]).current_dir(&partial),
        )?;
        let downloaded = fs::read_dir(&partial)
            .map_err(|e| e.to_string())?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .ok_or_else(|| format!("{package}: apt downloaded nothing"))?;
        let got = sha256(&downloaded)?;
        if got != wanted {
            return Err(format!("{package}: sha256 {got}, not {wanted} as in the index"));
        }
        fs::rename(&downloaded, &kept).map_err(|e| e.to_string())?;
        Ok(kept)
    }
}

/// An error message of apt without the mirror's name: docs/tested-on.md may show the message, and the mirror is private to the host.
pub fn without_mirror(complaint: &str) -> String {
    let shown = complaint.split("[IP:").enumerate().map(|(i, part)| {
        let rest = if i == 0 { Some(part) } else { part.split_once(']').map(|(_, rest)| rest) };
        rest.unwrap_or_default()
    });
    let shown: String = shown.collect();
    let file = |word: &str| match word.split_once("://") {
        Some((_, path)) => path.rsplit('/').next().unwrap_or_default().to_owned(),
        None => word.to_owned(),
    };
    shown.split_whitespace().map(file).collect::<Vec<_>>().join(" ").replace(" ;", ";")
}

/// The mirror in apt's own configuration. The tests name no host.
fn mirror() -> Result<String, String> {
    let ask = || -> Result<Option<String>, String> {
        let format = "$(ORIGIN)|$(LABEL)|$(REPO_URI)";
        let targets = host::checked(
            Command::new("apt-get").args([
                "indextargets",
                "--format",
                format,
                "Created-By: Packages",
            ]),
            QUICK,
        )?;
        let targets = String::from_utf8_lossy(&targets).into_owned();
        let found = targets.lines().find_map(|line| line.strip_prefix("Debian|Debian|"));
        Ok(found.map(str::to_owned))
    };
    if let Some(mirror) = ask()? {
        return Ok(mirror);
    }
    // apt knows the name of an archive only from its lists.
    if rustix::process::geteuid().is_root() {
        host::download(Command::new("apt-get").args(["-qq", "update"]))?;
    }
    ask()?.ok_or_else(|| "apt is configured with no Debian mirror, or has no lists yet".into())
}

/// The content of the file in `package` whose path matches `pattern`, with tar's wildcards.
pub fn unpack(package: &Path, pattern: &str) -> Result<Vec<u8>, String> {
    let script = "set -o pipefail; dpkg-deb --fsys-tarfile \"$0\" | tar -xO --wildcards \"$1\"";
    let content =
        host::checked(Command::new("bash").args(["-c", script]).arg(package).arg(pattern), QUICK)?;
    if content.is_empty() {
        return Err(format!("{}: no {pattern} in it", package.display()));
    }
    Ok(content)
}

fn sha256(file: &Path) -> Result<String, String> {
    let sum = host::checked(Command::new("sha256sum").arg(file), QUICK)?;
    let sum = String::from_utf8_lossy(&sum).into_owned();
    Ok(sum.split_whitespace().next().unwrap_or_default().to_owned())
}
