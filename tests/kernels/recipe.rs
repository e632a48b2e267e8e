//! Runs the initramfs recipe of docs/deployment.md, and checks the output of the machine.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::cases::check_as_init;
use crate::{Bootable, host};

const LIMIT: Duration = Duration::from_secs(120);

const PAGE: &str = "docs/deployment.md";

/// Runs the recipe's commands, with `kernel` as their KERNEL.
pub fn follow(kernel: &Bootable) -> Result<(), String> {
    host::install(&["cpio", "qemu-system-x86"])?;
    let page =
        fs::read_to_string(host::project().join(PAGE)).map_err(|e| format!("{PAGE}: {e}"))?;
    let commands = commands(&page)?;
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let image = dir.path().join("kernel");
    fs::write(&image, &kernel.vmlinuz).map_err(|e| e.to_string())?;
    let ran = host::run(
        Command::new("sh")
            .args(["-euc", &commands])
            .env("KERNEL", &image)
            .current_dir(host::project()),
        LIMIT,
    )?;
    let console = String::from_utf8_lossy(&ran.stdout).replace('\r', "");
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        return Err(format!("the recipe ended with {}:\n{console}{said}", ran.status));
    }
    check_as_init(&console, None, false)
}

/// The first block of shell commands after the recipe's comment.
fn commands(page: &str) -> Result<String, String> {
    let marker = "<!-- recipe: initramfs -->";
    let (_, rest) = page.split_once(marker).ok_or_else(|| format!("{PAGE} has no {marker}"))?;
    let (_, rest) = rest.split_once("```sh\n").ok_or("no shell commands after the comment")?;
    let (commands, _) = rest.split_once("```").ok_or("the commands do not end")?;
    Ok(commands.into())
}
