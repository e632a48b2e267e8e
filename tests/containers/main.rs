//! The program in real containers: podman builds an image from Containerfile and runs it with its default seccomp profile and
//! with others. Each case is a trial.
//!
//! `cargo test --test containers -- --ignored` installs podman if it can, builds the image and runs it. Without `--ignored`
//! nothing is installed or run. Images and containers are in a temporary directory, which is removed afterwards.
//! `CONTAINERS_README=write` writes the table in docs/tested-on.md.
//!
//! If podman cannot run, the cases are reported as ignored, with podman's message.

// Only parts of these modules are used here.
#[allow(dead_code)]
#[path = "../common/document.rs"]
mod document;
#[allow(dead_code)]
#[path = "../kernels/host.rs"]
mod host;
#[path = "../kernels/matrix.rs"]
mod matrix;
#[allow(dead_code)]
#[path = "../common/probe.rs"]
mod probe;
#[allow(dead_code)]
#[path = "../kernels/transcript.rs"]
mod transcript;

use std::env;
use std::fs;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Trial};
use tempfile::TempDir;

use host::Ran;
use matrix::{Cell, Matrix};
use probe::{Lines, Said, THINGS};

const LIMIT: Duration = Duration::from_secs(60);
/// The image of Containerfile.
const IMAGE: &str = "localhost/seccomp-notify-min";
/// The released one, which has a program for each platform.
const RELEASED: &str = concat!("localhost/seccomp-notify-min:", env!("CARGO_PKG_VERSION"));

type Outcome = Result<(), String>;

struct Case {
    name: &'static str,
    image: &'static str,
    /// Options of `podman run`. PROFILE is replaced by the directory with the profiles.
    options: &'static [&'static str],
    arguments: &'static [&'static str],
    check: fn(i32, &str, &str) -> Outcome,
}

const MAIN_JOB: &[&str] = &["-K", "/tmp/x", "/bye"];

const CASES: &[Case] = &[
    Case {
        name: "root",
        image: IMAGE,
        options: &["--tmpfs=/tmp"],
        arguments: MAIN_JOB,
        check: main_job,
    },
    Case {
        name: "ordinary_user",
        image: IMAGE,
        options: &["--tmpfs=/tmp", "--user=1000:1000"],
        arguments: MAIN_JOB,
        check: main_job,
    },
    Case {
        name: "read_only_with_a_tmpfs_on_tmp",
        image: IMAGE,
        options: &["--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp"],
        arguments: MAIN_JOB,
        check: main_job,
    },
    Case {
        name: "no_tmp",
        image: IMAGE,
        options: &[],
        arguments: MAIN_JOB,
        check: |status, stdout, stderr| {
            ended(status, 0)?;
            transcript::beneath_tmp_fails(stdout, stderr, "No such file or directory")
        },
    },
    Case {
        name: "read_only_without_tmp",
        image: IMAGE,
        options: &["--read-only", "--read-only-tmpfs=false"],
        arguments: MAIN_JOB,
        check: |status, stdout, stderr| {
            ended(status, 0)?;
            transcript::beneath_tmp_fails(stdout, stderr, "No such file or directory")
        },
    },
    Case {
        name: "all_capabilities_dropped",
        image: IMAGE,
        options: &["--tmpfs=/tmp", "--cap-drop=all"],
        arguments: MAIN_JOB,
        check: main_job,
    },
    Case {
        name: "ordinary_user_all_capabilities_dropped_no_new_privileges",
        image: IMAGE,
        options: &[
            "--tmpfs=/tmp",
            "--user=1000:1000",
            "--cap-drop=all",
            "--security-opt=no-new-privileges",
        ],
        arguments: MAIN_JOB,
        check: main_job,
    },
    Case {
        name: "own_pid_namespace",
        image: IMAGE,
        options: &["--tmpfs=/tmp", "--pid=private"],
        arguments: MAIN_JOB,
        check: |status, stdout, stderr| {
            main_job(status, stdout, stderr)?;
            // Only the runtime's own processes were in the namespace before.
            let target =
                stdout.lines().find_map(|line| line.strip_prefix("Target process: PID = "));
            match target.and_then(|number| number.parse::<u32>().ok()) {
                Some(number) if number < 32 => Ok(()),
                _ => Err("the target should be one of its namespace's first processes".into()),
            }
        },
    },
    Case {
        name: "hosts_pid_namespace",
        image: IMAGE,
        options: &["--tmpfs=/tmp", "--pid=host"],
        arguments: MAIN_JOB,
        check: main_job,
    },
    Case {
        name: "no_seccomp_profile",
        image: IMAGE,
        options: &["--tmpfs=/tmp", "--security-opt=seccomp=unconfined"],
        arguments: MAIN_JOB,
        check: main_job,
    },
    Case {
        name: "profile_that_refuses_seccomp",
        image: IMAGE,
        options: &["--tmpfs=/tmp", "--security-opt=seccomp=PROFILE/refuse.json"],
        arguments: MAIN_JOB,
        check: refused,
    },
    Case {
        name: "profile_that_does_not_know_seccomp",
        image: IMAGE,
        options: &["--tmpfs=/tmp", "--security-opt=seccomp=PROFILE/unknown.json"],
        arguments: MAIN_JOB,
        check: unknown,
    },
    Case {
        name: "probe",
        image: IMAGE,
        options: &["--tmpfs=/tmp", "--user=1000:1000", "--cap-drop=all"],
        arguments: &["-p"],
        check: |status, stdout, _| {
            let lines = Lines::read(stdout)?;
            lines.are_consistent()?;
            ended(status, lines.status())?;
            // What podman's profile allows: this kernel's features, by its version.
            let release = nix::sys::utsname::uname().map_err(|errno| errno.to_string())?;
            let release = release.release().to_string_lossy().into_owned();
            let numbers: Vec<u32> =
                release.split(['.', '-']).map_while(|it| it.parse().ok()).collect();
            for (thing, said) in THINGS.iter().zip(&lines.said) {
                let is_known = numbers[..2] >= [thing.since.0, thing.since.1][..];
                if (*said == Said::Yes) != is_known {
                    return Err(format!("{}: {said:?}", thing.name));
                }
            }
            Ok(())
        },
    },
    Case {
        name: "released_image_by_its_defaults",
        image: RELEASED,
        options: &[],
        arguments: &[],
        check: main_job,
    },
    Case {
        name: "probe_where_the_profile_refuses_seccomp",
        image: IMAGE,
        options: &["--tmpfs=/tmp", "--security-opt=seccomp=PROFILE/refuse.json"],
        arguments: &["-p"],
        check: |status, stdout, _| {
            let lines = Lines::read(stdout)?;
            lines.are_consistent()?;
            ended(status, 77)?;
            match lines.of("listener") {
                Some(Said::No { call, error, .. })
                    if call == "seccomp" && error == "Operation not permitted" =>
                {
                    Ok(())
                }
                other => Err(format!("listener: {other:?}")),
            }
        },
    },
];

/// Profiles that make seccomp(2) fail with EPERM, as a strict sandbox does, and with ENOSYS, as an old one does.
const PROFILES: &[(&str, u32)] = &[("refuse.json", 1), ("unknown.json", 38)];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let is_asked = (arguments.ignored || arguments.include_ignored) && !arguments.list;
    if !is_asked {
        if !arguments.list {
            eprintln!(
                "\n{} cases in real containers do not run by themselves; this runs them: \
                 cargo test --test containers -- --ignored",
                CASES.len()
            );
        }
        let trials =
            CASES.iter().map(|case| Trial::test(case.name, || Ok(())).with_ignored_flag(true));
        return libtest_mimic::run(&arguments, trials.collect()).exit_code();
    }

    // From here on 'ignored' means that a case could not be run.
    arguments.ignored = false;
    arguments.include_ignored = false;
    let podman = Podman::prepare();
    if let Err(reason) = &podman {
        eprintln!("SKIPPED: {reason}");
    }
    let column = match &podman {
        Ok(podman) => podman.version.clone(),
        Err(_) => "podman".into(),
    };
    let rows = CASES.iter().map(|case| case.name.to_owned()).collect();
    let mut matrix = Matrix::new(vec![column.clone()], rows);
    if let Ok(podman) = &podman {
        matrix.size(format!(
            "{} bytes as podman counts a container's, its description included",
            podman.size
        ));
    }
    let matrix = Arc::new(Mutex::new(matrix));
    let podman = Arc::new(podman);
    let trials = CASES.iter().map(|case| {
        let (podman, matrix, column) = (Arc::clone(&podman), Arc::clone(&matrix), column.clone());
        Trial::ignorable_test(case.name, move || {
            let (cell, completion) = match podman.as_ref() {
                Err(reason) => (
                    Cell::Skipped(reason.clone()),
                    Ok(Completion::ignored_with(format!("skipped: {reason}"))),
                ),
                Ok(podman) => match podman.try_case(case) {
                    Ok(()) => (Cell::Passed, Ok(Completion::Completed)),
                    Err(reason) => (Cell::Failed, Err(reason.into())),
                },
            };
            matrix.lock().expect("no trial panics with it").note(&column, case.name, cell);
            completion
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let table = matrix.lock().expect("no trial panics with it").table();
    eprintln!("{table}");
    let is_whole = conclusion.num_filtered_out == 0 && conclusion.num_failed == 0;
    if !document::put_if_asked("containers", is_whole, &table) {
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// Podman with its own store, which contains the image.
struct Podman {
    dir: TempDir,
    version: String,
    /// The image's size in bytes, with all that podman adds to the program.
    size: String,
}

impl Podman {
    fn prepare() -> Result<Self, String> {
        host::install(&["podman", "runc"])?;
        host::checked(
            Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--release", "--target-dir", "target"])
                .current_dir(host::project()),
            Duration::from_secs(300),
        )
        .expect("the program can be built");
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        for (name, errno) in PROFILES {
            let profile = format!(
                r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                    {{"names": ["seccomp"], "action": "SCMP_ACT_ERRNO", "errnoRet": {errno}}}]}}"#
            );
            fs::write(dir.path().join(name), profile).map_err(|error| error.to_string())?;
        }
        let mut podman = Self { dir, version: String::new(), size: String::new() };
        let version = host::checked(podman.command().arg("--version"), LIMIT)?;
        podman.version = String::from_utf8_lossy(&version).trim().replace(" version", "");

        // If podman cannot build any image, the Containerfile is not at fault.
        let nothing = podman.dir.path().join("Containerfile");
        fs::write(&nothing, "FROM scratch\nLABEL nothing=else\n")
            .map_err(|error| error.to_string())?;
        host::checked(
            podman.command().args(["build", "--quiet", "-f"]).arg(&nothing).arg("."),
            LIMIT,
        )
        .map_err(|reason| format!("podman cannot build here: {reason}"))?;
        host::checked(podman.command().args(["build", "--quiet", "-t", IMAGE, "."]), LIMIT)
            .expect("the Containerfile can be built");
        podman.load_released();
        let format = "{{.Size}}";
        let size = podman.command().args(["image", "inspect", "--format", format, IMAGE]).output();
        let size = size.map_err(|error| error.to_string())?.stdout;
        podman.size = String::from_utf8_lossy(&size).trim().to_owned();
        // A failure of this run is podman's: the program only prints its version.
        let probe = podman.run(IMAGE, &[], &["-V"])?;
        match probe.status.code() {
            Some(0) => Ok(podman),
            _ => Err(format!(
                "podman cannot run here: {}: {}",
                probe.status,
                String::from_utf8_lossy(&probe.stderr).trim()
            )),
        }
    }

    /// Podman, with options that need little from the host: layers as plain files, no systemd.
    fn command(&self) -> Command {
        let dir = self.dir.path();
        let mut command = Command::new("podman");
        command.current_dir(host::project()).arg("--root").arg(dir.join("store"));
        command.arg("--runroot").arg(dir.join("run")).arg("--tmpdir").arg(dir.join("tmp"));
        command.args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--runtime=runc"]);
        command.arg("--events-backend=none");
        command
    }

    /// Makes the released image, as the release does for each platform that the toolchain builds for, and loads it.
    fn load_released(&self) {
        let out = self.dir.path().join("dist");
        let mut tool = Command::new(env!("CARGO"));
        tool.args(["run", "--quiet", "--locked", "--manifest-path", ".tools/release/Cargo.toml"])
            .arg("--")
            .arg("--out")
            .arg(&out)
            .current_dir(host::project());
        host::checked(&mut tool, Duration::from_secs(600)).expect("the release can be made");
        let name = concat!(env!("CARGO_PKG_NAME"), "-", env!("CARGO_PKG_VERSION"), ".oci.tar");
        // The page's commands are those that are made here, but for the options that this podman needs.
        let page = fs::read_to_string(host::project().join("docs/deployment.md")).expect("a page");
        let (_, recipe) = page.split_once("<!-- recipe: image-index -->").expect("the recipe");
        let shown: Vec<&str> = recipe.lines().skip(2).take_while(|line| *line != "```").collect();
        let run = format!("podman run --rm {RELEASED}");
        assert_eq!(shown, [format!("podman load --input {name}"), run], "docs/deployment.md");
        let mut load = self.command();
        host::checked(load.args(["load", "--quiet", "--input"]).arg(out.join(name)), LIMIT)
            .expect("podman loads the image");
    }

    fn run(&self, image: &str, options: &[String], arguments: &[&str]) -> Result<Ran, String> {
        let mut command = self.command();
        command.args(["run", "--rm", "--network=none", "--log-driver=none", "--attach=stdout"]);
        // Limits that an ordinary process may set.
        command.args(["--attach=stderr", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]);
        host::run(command.args(options).arg(image).args(arguments), LIMIT)
    }

    fn try_case(&self, case: &Case) -> Outcome {
        let folder = self.dir.path().display().to_string();
        let options: Vec<String> =
            case.options.iter().map(|option| option.replace("PROFILE", &folder)).collect();
        let ran = self.run(case.image, &options, case.arguments)?;
        let (stdout, stderr) =
            (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        let status = ran.status.code().ok_or("podman was killed")?;
        (case.check)(status, &stdout, &stderr).map_err(|reason| {
            format!(
                "{reason}\nstatus {status}\n--- standard output\n{stdout}--- standard error\n{stderr}"
            )
        })
    }
}

fn ended(status: i32, wanted: i32) -> Outcome {
    if status != wanted {
        return Err(format!("it should end with status {wanted}"));
    }
    Ok(())
}

fn main_job(status: i32, stdout: &str, stderr: &str) -> Outcome {
    ended(status, 0)?;
    transcript::main_job(stdout, stderr, "/tmp/x")
}

/// The program ended with status 77 and named the sandbox.
fn refused(status: i32, _: &str, stderr: &str) -> Outcome {
    gave_up(status, stderr, "a sandbox does not allow a call")
}

/// The same, and seccomp(2) is missing there.
fn unknown(status: i32, _: &str, stderr: &str) -> Outcome {
    gave_up(status, stderr, "no seccomp in this kernel, sandbox or emulator")
}

fn gave_up(status: i32, stderr: &str, reason: &str) -> Outcome {
    ended(status, 77)?;
    if !stderr.contains(reason) {
        return Err(format!("standard error should tell: {reason}"));
    }
    Ok(())
}
