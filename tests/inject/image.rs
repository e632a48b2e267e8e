//! The image that is tested.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The release image, built once, with the features that this test was built with.
pub fn release() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| build("release"))
}

/// Builds an image with the named profile.
pub fn build(profile: &str) -> PathBuf {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["build", "--quiet", "--bin", "seccomp-notify-min", "--profile", profile]);
    if cfg!(feature = "backend-sc") {
        cargo.args(["--features", "backend-sc"]);
    }
    assert!(cargo.status().expect("cargo").success(), "the {profile} image was not built");
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    built.join(profile).join("seccomp-notify-min")
}
