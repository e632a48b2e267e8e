//! The boot script of docs/deployment: in the initramfs of the real initramfs-tools and dracut, with Debian's kernel, under qemu.
//! The initramfs is made in a throwaway copy of this machine, by the commands of docs/initramfs.md.

use std::fs;
use std::path::Path;

use crate::common::document::read;
use crate::common::probe::Lines;
use crate::common::{self, skipped};
use crate::document::{INITRAMFS, recipe};
use crate::guests::AMD64;
use crate::machine::Emulator;
use crate::throwaway::Throwaway;
use crate::{host, shell};

/// What the last line says if all is well.
const PASSED: &str = "seccomp-notify-min: passed, status 0";

/// Parameters of dracut: a machine that finds no root file system ends soon.
const NO_WAITING: &str = "rd.shell=0 rd.emergency=poweroff rd.timeout=30";

/// The init of the root file system: shows the report again, and ends the machine.
const INIT: &str = "#!/bin/busybox sh
echo '@@report'
cat /run/seccomp-notify-min.log 2>&1
echo '@@end'
/bin/busybox poweroff -f
";

#[test]
#[ignore = "installs packages in a copy of the machine, and boots: cargo test --test packaging -- --ignored"]
fn initramfs_tools_run_the_smoke_test_at_boot() {
    boots(
        "initramfs-tools",
        &["initramfs-tools", "busybox-static", "linux-image-cloud-amd64", "e2fsprogs"],
        &recipe(INITRAMFS, "initramfs-tools"),
        "/usr/local",
    );
}

#[test]
#[ignore = "installs packages in a copy of the machine, and boots: cargo test --test packaging -- --ignored"]
fn dracut_runs_the_smoke_test_at_boot() {
    // Not the package dracut: when a kernel is installed, that makes an initramfs, and the test needs only the last one.
    // The machine that boots is not this one: hostonly=no brings the drivers for all.
    let script = format!(
        "echo hostonly=no >/etc/dracut.conf.d/drivers.conf\n{}",
        recipe(INITRAMFS, "dracut")
    );
    let packages = ["dracut-core", "busybox-static", "linux-image-cloud-amd64", "e2fsprogs"];
    boots("dracut", &packages, &script, "/usr");
}

/// Makes an initramfs by `script`, with the program in `prefix`/bin, and boots it.
fn boots(what: &str, packages: &[&str], script: &str, prefix: &str) {
    if !cfg!(target_arch = "x86_64") {
        return skipped(what, "it is tried with Debian's kernel for x86-64");
    }
    let shared = tempfile::tempdir().expect("a folder");
    let root = shared.path().join("root");
    for folder in ["bin", "dev", "etc", "proc", "run", "sbin", "sys", "tmp", "usr"] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    // systemd wants to see that it is a root file system.
    fs::write(root.join("etc/os-release"), "ID=test\n").expect("a file");
    fs::write(root.join("sbin/init"), INIT).expect("a file");
    fs::copy(common::image(), shared.path().join("program")).expect("a copy");
    fs::create_dir(shared.path().join("docs")).expect("a folder");
    let deployment = host::project().join("docs/deployment");
    common::copy(&deployment, &shared.path().join("docs/deployment"));

    let script = format!(
        "exec >log 2>&1
        install program {prefix}/bin/seccomp-notify-min
        {script}
        cp /boot/vmlinuz-* kernel
        cp /boot/initrd.img-* initrd
        cp /bin/busybox root/bin
        chmod 755 root/sbin/init
        mke2fs -q -t ext4 -d root disk 32M"
    );
    let ran =
        std::panic::catch_unwind(|| Throwaway::new(what, packages).run(shared.path(), &script));
    let log = fs::read_to_string(shared.path().join("log")).unwrap_or_default();
    let Ok(ran) = ran else { panic!("{what}: {log}") };
    if ran.is_none() {
        return;
    }
    let bare = match Emulator::find(&AMD64) {
        Ok(bare) => bare,
        Err(why) => return skipped(what, why),
    };
    let file = |name: &str| fs::read(shared.path().join(name)).expect("the script made it");
    let (kernel, initrd) = (file("kernel"), file("initrd"));
    let disk = format!("file={},if=virtio,format=raw", shared.path().join("disk").display());
    let with_disk = bare.with(&["-drive", &disk]);

    // Without a root file system: the report, and then the end.
    let parameters = format!("seccomp-notify-min=poweroff {NO_WAITING}");
    let console = bare.boot(&kernel, &initrd, &parameters, "system: ");
    let console = console.unwrap_or_else(|why| panic!("{what}: {why}"));
    let first = report(&console).unwrap_or_else(|why| panic!("{what}: {why}:\n{console}"));
    check(&first).unwrap_or_else(|why| panic!("{what}: {why}:\n{first}"));
    assert!(!console.contains("@@report"), "{what}: it was to end: {console}");

    // With one: the report, then the boot continues, and the booted system has the report too.
    let booted = |parameters: &str| {
        let parameters = format!("root=/dev/vda rw {NO_WAITING} {parameters}");
        let console = with_disk.boot(&kernel, &initrd, &parameters, "@@report");
        let console = console.unwrap_or_else(|why| panic!("{what}: {why}"));
        let (before, after) = console.split_once("@@report\n").expect("the root's init ran");
        let (kept, _) = after.split_once("@@end").expect("to its end");
        (before.to_owned(), kept.to_owned())
    };
    let (before, kept) = booted("");
    let second = report(&before).unwrap_or_else(|why| panic!("{what}: {why}:\n{before}"));
    check(&second).unwrap_or_else(|why| panic!("{what}: {why}:\n{second}"));
    assert_eq!(second, kept, "{what}: console and file");

    let (before, kept) = booted("seccomp-notify-min=off");
    assert!(report(&before).is_err(), "{what}: it was to do nothing: {before}");
    assert!(kept.contains("No such file or directory"), "{what}: {kept}");

    if what == "initramfs-tools" {
        check_the_recipe(shared.path());
    }
}

/// The command of the page for a virtual machine.
fn check_the_recipe(folder: &Path) {
    let command = recipe(INITRAMFS, "machine");
    let console = shell(folder, &command, &[("KERNEL", "kernel"), ("INITRD", "initrd")]);
    let console = console.expect("the machine ends").replace('\r', "");
    let report = report(&console).unwrap_or_else(|why| panic!("{why}:\n{console}"));
    check(&report).unwrap_or_else(|why| panic!("{why}:\n{report}"));
}

/// The report on a console: from the probe's first line to the line with the status.
fn report(console: &str) -> Result<String, String> {
    let start = console.find("system: Linux ").ok_or("no report")?;
    let end = console[start..].find("\nseccomp-notify-min: ").ok_or("no line with the status")?;
    let end = start + end + 1;
    let end = end + console[end..].find('\n').ok_or("a torn line")? + 1;
    Ok(console[start..end].to_owned())
}

/// Checks a report: the probe says that a supervisor works, the demonstration has its transcript, and the last line the status.
fn check(report: &str) -> Result<(), String> {
    let at = report.find("Target process: PID = ").ok_or("no target")?;
    let at = at.min(report.find("Tracer: PID = ").ok_or("no tracer")?);
    let (probe, rest) = report.split_at(at);
    let probe = Lines::read(probe)?;
    probe.are_consistent()?;
    if !probe.is_whole() || probe.status() != 0 {
        return Err("the probe says that a supervisor cannot work".into());
    }
    let mut lines: Vec<_> = rest.lines().filter(|line| !line.is_empty()).collect();
    if lines.pop() != Some(PASSED) {
        return Err(format!("the last line is not '{PASSED}'"));
    }
    for of in ["Target process: ", "Tracer: ", "Parent: "] {
        let said: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix(of)).collect();
        let expected: &[&str] = match of {
            "Target process: " => &[
                "PID = ",
                "about to make directory \"/tmp/seccomp-notify-min\"",
                "SUCCESS: mkdir(2) returned = 23",
                "about to make directory \"/bye\"",
                "mkdir: Operation not permitted",
                "terminating",
            ],
            "Tracer: " => &[
                "PID = ",
                "got notification for PID ",
                "mkdir(\"/tmp/seccomp-notify-min\", 600)",
                "got notification for PID ",
                "mkdir(\"/bye\", 600)",
                "terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<",
            ],
            _ => &["target process has terminated"],
        };
        let is_right = |(said, expected): (&&str, &&str)| match expected.ends_with(' ') {
            true => said.starts_with(expected),
            false => said == expected,
        };
        if said.len() != expected.len() || !said.iter().zip(expected).all(is_right) {
            return Err(format!("{of}{said:#?}"));
        }
    }
    Ok(())
}

#[test]
#[ignore = "runs the boot script as root: cargo test --test packaging -- --ignored"]
fn the_boot_script_tells_each_status() {
    // The page shows the last lines; the boot script prints them.
    let page = read(INITRAMFS);
    let (_, shown) = page.split_once("\n```\n").expect("the last lines");
    let (shown, _) = shown.split_once("\n```\n").expect("their end");
    let shown: Vec<_> = shown.lines().collect();
    assert_eq!(shown[0], PASSED);

    let shared = tempfile::tempdir().expect("a folder");
    let name = "docs/deployment/initramfs-tools/scripts/init-premount/seccomp-notify-min";
    fs::copy(host::project().join(name), shared.path().join("script")).expect("a copy");
    // Programs that end with a status, with and without a directory.
    let script = "touch console
        mount --bind console /dev/console
        mkdir bin
        export PATH=$PWD/bin:$PATH
        for case in '0 made' '0 -' '1 made' '77 -'; do
            rm -rf /tmp/seccomp-notify-min
            set -- $case
            printf '#!/bin/sh\\n[ \"$1\" != -p ] || exit 0\\n[ %s = - ] || mkdir \"$2\"\\nexit %s\\n' $2 $1 >bin/seccomp-notify-min
            chmod 755 bin/seccomp-notify-min
            sh ./script
            tail -n 1 console
            cmp console /run/seccomp-notify-min.log
        done
        sh ./script prereqs";
    let Some(said) = Throwaway::new("the boot script", &[]).run(shared.path(), script) else {
        return;
    };
    assert_eq!(said.lines().collect::<Vec<_>>(), [shown[0], shown[2], shown[2], shown[1]]);
}
