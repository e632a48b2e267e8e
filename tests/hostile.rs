//! Hostile paths: whatever a path looks like and wherever it lies in memory, nothing is made outside
//! the real /tmp, the target gets the true answer, and the tracer lives on. Where the walk could be led
//! astray while it happens, somebody tries. Every path is made by each of the two ways to its parent directory.

mod common;

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{self, JoinHandle};

use common::sweep;
use common::transcript::{EEXIST, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, Fate, Script, shown};
use common::{
    Beneath, Capture, Ended, LIMIT, Packet, Run, Stream, close_all_but, fork, install_filter,
    program, sandbox, skipped, wait_within,
};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use proptest::prelude::*;
use seccomp_notify_min::filter::{Action, program as filter};
use seccomp_notify_min::memory::Memory;
use seccomp_notify_min::options::Options;
use seccomp_notify_min::policy::Tmp;
use seccomp_notify_min::sys::{self, Fd, Pid};
use seccomp_notify_min::tracer;

/// A directory outside /tmp, where nothing may ever be made.
fn outside() -> tempfile::TempDir {
    let outside = tempfile::Builder::new().prefix("seccomp-notify-min.").tempdir_in("/var/tmp");
    outside.expect("a directory can be made in /var/tmp")
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).expect("a directory can be read").count() == 0
}

// ---- The two ways to a parent directory

/// How the tracer opens the parent of a directory that it makes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// By `openat2(2)`, where the kernel has it (Linux 5.6).
    InOneCall,
    /// One component after the other: a filter answers to `openat2(2)` as an older kernel does.
    EachComponent,
}

const WAYS: [Way; 2] = [Way::InOneCall, Way::EachComponent];

impl Way {
    /// A filter without `openat2(2)`.
    fn older_kernel() -> impl FnMut() -> std::io::Result<()> + Send + Sync {
        sandbox(&[(libc::SYS_openat2, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32)])
    }

    /// A run of the program.
    fn program<S: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = S>) -> Run {
        // Shown if the test fails.
        println!("{self:?}");
        match self {
            Self::InOneCall => program(arguments),
            Self::EachComponent => program(arguments).before(Self::older_kernel()),
        }
    }

    /// The library's /tmp.
    fn tmp(self) -> Tmp {
        let mut tmp = Tmp::default();
        if self == Self::InOneCall {
            return tmp;
        }
        // The filter is only this thread's, but `tmp` remembers what it found there.
        let in_thread = move || {
            Self::older_kernel()().expect("the filter can be installed");
            let errno = tmp.make(&mut b"no such directory/x\0"[..].to_vec(), 0o700).unwrap_err();
            assert_eq!(errno.number() as i32, libc::ENOENT);
            tmp
        };
        thread::spawn(in_thread).join().expect("it does not fail")
    }
}

// ---- Paths on the command line

/// Runs the program with each path alone, by each way, and checks what becomes of it; what was made is removed.
fn each_alone(beneath: &Beneath, paths: &[(OsString, Fate)]) {
    for ((path, fate), way) in paths.iter().flat_map(|path| WAYS.map(|way| (path, way))) {
        let before = beneath.contents();
        let outcome = way.program([OsStr::new("--"), path]).finish();
        Script::new().directory(path, *fate).check(&outcome);
        let after = beneath.contents();
        let made: Vec<_> = after.iter().filter(|name| !before.contains(name)).collect();
        assert_eq!(made.len(), usize::from(*fate == Fate::Created), "{path:?}: {made:?}");
        if *fate == Fate::Created {
            fs::remove_dir(path).unwrap();
        }
        assert_eq!(beneath.contents(), before, "{path:?}");
    }
}

#[test]
fn two_dots_are_refused_in_every_position() {
    let beneath = Beneath::new();
    fs::create_dir(beneath.join("dir")).unwrap();
    let mut paths: Vec<OsString> = ["/tmp/..", "/tmp/../", "/tmp/../etc/x", "/tmp/../tmp/x"]
        .into_iter()
        .chain(["/tmp/./../x", "/tmp//../x", "/tmp/../../x", "/tmp/nosuch/../../etc/x"])
        .map(OsString::from)
        .collect();
    for name in ["..", "../", "../x", "dir/..", "dir/../x", "x/..", "x/../", "x/../y", "dir/./../y"]
        .into_iter()
        .chain(["./..", ".//..//", "dir/../../x", "dir//..//..//x", "nosuch/../x", "../dir"])
    {
        paths.push(beneath.join(name));
    }
    let paths: Vec<_> = paths.into_iter().map(|path| (path, EPERM)).collect();
    each_alone(&beneath, &paths);
}

#[test]
fn names_that_only_look_like_two_dots_are_names() {
    let beneath = Beneath::new();
    let names = ["...", "..x", "x..", ".x", "..\n", ". .", "....", "..\\"];
    each_alone(&beneath, &names.map(|name| (beneath.join(name), Fate::Created)));
}

#[test]
fn doubled_and_trailing_slashes_and_single_dots_name_nothing() {
    let beneath = Beneath::new();
    fs::create_dir(beneath.join("dir")).unwrap();
    let with = |name: &str, fate| (beneath.join(name), fate);
    let name = beneath.path().file_name().unwrap().to_str().unwrap();
    each_alone(
        &beneath,
        &[
            with("x/", Fate::Created),
            with("x///", Fate::Created),
            with("/x", Fate::Created),
            with("./x", Fate::Created),
            with(".//././//x//", Fate::Created),
            with("dir//x", Fate::Created),
            with("dir/./x/", Fate::Created),
            (format!("/tmp//{name}/x").into(), Fate::Created),
            (format!("/tmp/./{name}/./x").into(), Fate::Created),
            (format!("/tmp///.//{name}///x").into(), Fate::Created),
            with("dir/", EEXIST),
            with("dir//", EEXIST),
            with("dir/.", EEXIST),
            with("dir/./", EEXIST),
            with(".", EEXIST),
            with("nosuch/.", ENOENT),
            with("nosuch/x/", ENOENT),
        ],
    );
}

#[test]
fn tmp_itself_and_what_is_not_beneath_it() {
    let beneath = Beneath::new();
    let name = beneath.path().file_name().unwrap().to_str().unwrap();
    let mut paths: Vec<(OsString, Fate)> = ["/tmp/", "/tmp//", "/tmp/.", "/tmp/./"]
        .into_iter()
        .map(|path| (path.into(), EEXIST))
        .collect();
    for path in ["/tmp", "/tmpx", "/TMP/x", "/etc/x", "/", "//", "", ".", "..", "tmp/x", "./tmp/x"]
        .into_iter()
        .chain([
            "/proc/self/root/tmp/x",
            "/proc/self/cwd/x",
            "/var/../tmp/x",
            "\n/tmp/x",
            " /tmp/x",
        ])
        .chain(["/bye/", "//bye", "/bye/.", "bye", "/bye/x", "/by", "/byee"])
    {
        paths.push((path.into(), EPERM));
    }
    // Another path to the same place is not the path that was agreed on.
    for path in [format!("//tmp/{name}/x"), format!("/./tmp/{name}/x"), format!("///tmp/{name}/x")]
    {
        paths.push((path.into(), EPERM));
    }
    each_alone(&beneath, &paths);
}

#[test]
fn links_are_refused_wherever_they_stand_and_lead() {
    let (beneath, outside) = (Beneath::new(), outside());
    let link = |to: &Path, name: &str| symlink(to, beneath.join(name)).unwrap();
    fs::create_dir(beneath.join("dir")).unwrap();
    fs::write(beneath.join("file"), "").unwrap();
    link(outside.path(), "absolute");
    link(&Path::new("../..").join(outside.path().strip_prefix("/").unwrap()), "relative");
    link(Path::new("/tmp"), "to-tmp");
    link(Path::new("dir"), "inner");
    link(Path::new("nowhere"), "dangling");
    link(&outside.path().join("x"), "dangling-outside");
    link(Path::new("loop"), "loop");
    link(Path::new("pong"), "ping");
    link(Path::new("ping"), "pong");
    link(Path::new(".."), "up");
    link(Path::new("."), "here");
    link(Path::new("file"), "to-file");
    link(&outside.path().join("x"), "dir/link");
    link(Path::new("/proc/self/cwd"), "magic");

    let links = ["absolute", "relative", "to-tmp", "inner", "dangling", "dangling-outside", "loop"]
        .into_iter()
        .chain(["ping", "up", "here", "to-file", "dir/link", "magic"]);
    let mut paths = Vec::new();
    for link in links {
        for after in ["", "/", "/.", "/x", "//x/", "/x/y"] {
            paths.push((beneath.join(format!("{link}{after}")), EPERM));
        }
    }
    each_alone(&beneath, &paths);
    assert!(is_empty(outside.path()));
}

#[test]
fn what_is_no_directory_is_told() {
    let beneath = Beneath::new();
    fs::write(beneath.join("file"), "").unwrap();
    nix::unistd::mkfifo(&beneath.join("fifo")[..], nix::sys::stat::Mode::S_IRWXU).unwrap();
    let with = |name: &str, fate| (beneath.join(name), fate);
    // A FIFO must not be waited for, either.
    each_alone(
        &beneath,
        &[
            with("file", EEXIST),
            with("file/x", ENOTDIR),
            with("file/.", ENOTDIR),
            with("fifo", EEXIST),
            with("fifo/x", ENOTDIR),
        ],
    );
}

#[test]
fn long_names_and_long_paths_are_taken_up_to_the_kernels_limits() {
    let beneath = Beneath::new();
    let (name, too_long) = ("n".repeat(255), "n".repeat(256));
    fs::create_dir(beneath.join("d".repeat(255))).unwrap();
    // Padded with components that name nothing.
    let padded = |length: usize| {
        let mut path = beneath.join("").into_vec();
        while path.len() < length - 3 {
            path.extend(b"./");
        }
        path.resize(length, b'x');
        OsString::from_vec(path)
    };
    let too_long_to_read = Fate::Unreadable("File name too long");
    let mut paths = vec![
        (beneath.join(&name), Fate::Created),
        (beneath.join(&too_long), ENAMETOOLONG),
        (beneath.join(format!("{too_long}/x")), ENAMETOOLONG),
        (beneath.join(format!("{}/x", "d".repeat(255))), Fate::Created),
        (beneath.join(format!("{}/{name}", "d".repeat(255))), Fate::Created),
        (padded(4096), too_long_to_read),
        (padded(4097), too_long_to_read),
        (padded(100_000), too_long_to_read),
        (format!("/etc/{}", "x".repeat(4090)).into(), EPERM),
        (format!("/etc/{}", "x".repeat(4091)).into(), too_long_to_read),
    ];
    // Around the sizes of the buffers, and every length at the longer end.
    for length in (60..80).chain(250..260).chain(505..520).chain(4090..=4095) {
        paths.push((padded(length), Fate::Created));
    }
    each_alone(&beneath, &paths);
}

#[test]
fn a_deep_tree_costs_no_descriptors() {
    let beneath = Beneath::new();
    let deep = "d/".repeat(1000);
    fs::create_dir_all(beneath.join(&deep)).unwrap();
    let place = || {
        nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 16, 16)?;
        Ok(())
    };
    let paths = [beneath.join(format!("{deep}x")), beneath.join(format!("{deep}nosuch/y"))];
    let script = Script::new().directory(&paths[0], Fate::Created).directory(&paths[1], ENOENT);
    for way in WAYS {
        let run = || way.program(&paths).before(place);
        script.verify_as(run, &mut || fs::remove_dir(&paths[0]).unwrap());
    }
}

#[test]
fn many_paths_cost_no_descriptors() {
    let beneath = Beneath::new();
    fs::create_dir(beneath.join("dir")).unwrap();
    fs::write(beneath.join("file"), "").unwrap();
    symlink("dir", beneath.join("link")).unwrap();
    // Each kind of path more often than there may be descriptors.
    let mut script = Script::new();
    let mut paths = Vec::new();
    let mut made = Vec::new();
    for i in 0..20 {
        let created = beneath.join(format!("dir/{i}"));
        made.push(created.clone());
        for (path, fate) in [
            (created.clone(), Fate::Created),
            (created, EEXIST),
            (beneath.join("dir/nosuch/x"), ENOENT),
            (beneath.join("file/x"), ENOTDIR),
            (beneath.join("link/x"), EPERM),
            (beneath.join("dir/../x"), EPERM),
        ] {
            script = script.directory(&path, fate);
            paths.push(path);
        }
    }
    let place = || {
        nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 16, 16)?;
        Ok(())
    };
    for way in WAYS {
        script.check(&way.program(&paths).before(place).finish());
        made.iter().for_each(|path| fs::remove_dir(path).unwrap());
    }
}

#[test]
fn whatever_bytes_a_name_has_it_is_made_and_shown_escaped() {
    let beneath = Beneath::new();
    let all: Vec<u8> = (1..=255).filter(|&byte| byte != b'/').collect();
    let names = [
        &b"\x80\xff\xfe"[..],
        b"\xc3\x28",
        b"\x1b[31mred",
        b"x\", 600)\nTracer: mkdir(\"passwd",
        b"\\x0a",
        b"\r",
        b"\x7f",
        &all,
    ];
    let paths = names.map(|name| (beneath.join(OsStr::from_bytes(name)), Fate::Created));
    each_alone(&beneath, &paths);
    for (path, _) in paths {
        let shown = shown(path.as_bytes());
        assert!(!shown.iter().any(|&byte| byte < b' ' || byte == 0x7f), "{}", shown.escape_ascii());
    }
}

#[test]
fn a_file_system_mounted_below_tmp_is_part_of_it() {
    let beneath = Beneath::new();
    fs::create_dir(beneath.join("mounted")).unwrap();
    let on = beneath.path().join("mounted");
    let place = move || {
        use nix::mount::{MsFlags, mount};
        let none = None::<&std::ffi::CStr>;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(none, c"/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        mount(Some(c"none"), &on, Some(c"tmpfs"), MsFlags::empty(), none)?;
        Ok(())
    };
    if !common::is_root() {
        return skipped("a file system below /tmp", "only root can mount one");
    }
    let path = beneath.join("mounted/x");
    let script = Script::new().directory(&path, Fate::Created).directory(&path, EEXIST);
    for way in WAYS {
        let run = || way.program([&path, &path]).before(place.clone());
        script.verify_as(run, &mut || {
            assert_eq!(beneath.contents(), ["mounted"], "it was made in what is mounted");
        });
    }
}

// ---- Paths anywhere in memory: a target of this test's own

/// What became of a target and its tracer.
#[derive(Debug)]
struct Traced {
    /// What the target's calls returned: a value, or an errno, negative.
    results: Vec<i64>,
    target: i32,
    ended: Ended,
    packets: Vec<Packet>,
    tracer: Ended,
}

impl Traced {
    /// How many packets begin with `beginning` and end with `end`.
    fn count(&self, beginning: &str, end: &str) -> usize {
        let fits = |packet: &&Packet| {
            packet.bytes.starts_with(beginning.as_bytes()) && packet.bytes.ends_with(end.as_bytes())
        };
        self.packets.iter().filter(fits).count()
    }
}

/// Forks a target, which installs the filter, hands over the listener and acts, and a tracer for it,
/// and waits for both. `act` returns what the target's calls returned; the farewell follows.
fn trace(act: impl FnOnce() -> Vec<i64>) -> Traced {
    let (mut results, results_out) = std::io::pipe().unwrap();
    let keep = results_out.as_raw_fd();
    let mut traced = trace_process(&[keep], || {
        let mut results = act();
        results.push(mkdir(c"/bye".as_ptr() as usize, 0o600));
        let bytes: Vec<u8> = results.into_iter().flat_map(i64::to_ne_bytes).collect();
        i32::from(nix::unistd::write(&results_out, &bytes) != Ok(bytes.len()))
    });
    drop(results_out);
    let mut bytes = Vec::new();
    results.read_to_end(&mut bytes).unwrap();
    let results = bytes.chunks(8).map(|word| i64::from_ne_bytes(word.try_into().unwrap()));
    traced.results = results.collect();
    assert_eq!(traced.ended, Ended::Status(0), "the target: {traced:#?}");
    traced
}

/// The same for a target that acts as it likes, its results included, and ends with the status that
/// `act` returns; it keeps these descriptors. The farewell is its own business.
fn trace_process(keep: &[i32], act: impl FnOnce() -> i32) -> Traced {
    let mut capture = Capture::default();
    let (out, err) = (capture.socket(Stream::Out), capture.socket(Stream::Err));
    let (targets_end, tracers_end) =
        socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).unwrap();

    let target = fork(|| {
        close_all_but(&[keep, &[targets_end.as_raw_fd()]].concat());
        hand_over_listener(&targets_end);
        act()
    });
    let tracer =
        fork(|| run_tracer(&Options::default(), target.as_raw(), &tracers_end, &[&out, &err]));
    drop((out, err, targets_end, tracers_end));

    let ended = wait_within(target, LIMIT);
    let tracer = wait_within(tracer, LIMIT);
    let (target, packets) = (target.as_raw(), capture.finish());
    let traced = Traced { results: Vec::new(), target, ended, packets, tracer };
    assert_eq!(traced.tracer, Ended::Status(1), "the farewell: {traced:#?}");
    traced
}

/// In a target: installs the filter and sends its listener away.
fn hand_over_listener(socket: &OwnedFd) {
    let program: Vec<_> = filter(Action::Notify)
        .iter()
        .map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k })
        .collect();
    // SAFETY: touches no memory. Yama: whoever descends from this process's parent may look.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::getppid(), 0, 0, 0) };
    let listener = install_filter(&program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    assert!(listener >= 0, "the filter can be installed");
    sys::sendmsg(Fd(socket.as_raw_fd()), Fd(listener as i32)).expect("the listener can be sent");
    nix::unistd::close(listener as i32).unwrap();
    nix::unistd::close(socket.as_raw_fd()).unwrap();
}

/// In a tracer: becomes the program's own.
fn run_tracer(options: &Options, target: i32, socket: &OwnedFd, outputs: &[&OwnedFd; 2]) -> i32 {
    for (output, fd) in outputs.iter().zip(1..) {
        // SAFETY: touches no memory.
        unsafe { libc::dup2(output.as_raw_fd(), fd) };
    }
    close_all_but(&[socket.as_raw_fd()]);
    tracer::run(options, Pid(target as u32), Fd(socket.as_raw_fd())) as i32
}

/// The notified call, with its path at any address. Returns its value, or its errno, negative.
fn mkdir(address: usize, mode: u32) -> i64 {
    // SAFETY: the call reads the path, if there is one; if not, it fails.
    #[cfg(target_arch = "x86_64")]
    let value = unsafe { libc::syscall(libc::SYS_mkdir, address, mode) };
    #[cfg(not(target_arch = "x86_64"))]
    let value = unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, address, mode) };
    if value == -1 { -i64::from(nix::errno::Errno::last_raw()) } else { value }
}

/// The address of `bytes` as the last ones before memory that is not there.
fn before_a_hole(bytes: &[u8]) -> usize {
    let page = 4096 * 16; // no architecture's is larger
    let pages = bytes.len().div_ceil(page);
    // SAFETY: the kernel chooses the address; what is unmapped and written to is within.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let length = (pages + 1) * page;
        let mapping = libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0);
        assert_ne!(mapping, libc::MAP_FAILED);
        let hole = mapping.add(pages * page);
        assert_eq!(libc::munmap(hole, page), 0);
        let address = hole.sub(bytes.len());
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), address.cast(), bytes.len());
        address as usize
    }
}

fn negative(errno: i32) -> i64 {
    -i64::from(errno)
}

/// The farewell's answer, which ends each target's results.
const FAREWELL: i64 = -(libc::EPERM as i64);

#[test]
fn addresses_where_nothing_is_are_answered_and_the_tracer_lives_on() {
    let addresses = [
        0,
        1,
        4095,
        0xffff_8000_0000_0000, // where x86-64's kernel is
        0xffff_ffff_8100_0000,
        0x8000_0000_0000_0000,
        0x7fff_ffff_ffff_ffff,
        0x0000_7fff_ffff_ffff,
        usize::MAX,
        usize::MAX - 4095,
    ];
    let beneath = Beneath::new();
    let good = CString::new(beneath.join("x").into_vec()).unwrap();
    let length = good.as_bytes().len() as i64;
    let traced = trace(|| {
        // What the kernel says of them without a filter is what it would have said.
        let mut results: Vec<_> = addresses.iter().map(|&address| mkdir(address, 0o600)).collect();
        results.push(mkdir(good.as_ptr() as usize, 0o600));
        results
    });
    let mut expected = vec![negative(libc::EFAULT); addresses.len()];
    expected.extend([length, FAREWELL]);
    assert_eq!(traced.results, expected, "{traced:#?}");
    assert_eq!(beneath.contents(), ["x"]);
    assert_eq!(traced.count("Tracer: path: Bad address\n", ""), addresses.len(), "{traced:#?}");
    let got = format!("Tracer: got notification for PID {}; ID is ", traced.target);
    assert_eq!(traced.count(&got, ""), addresses.len() + 2, "{traced:#?}");
}

#[test]
fn a_path_may_end_with_the_memory() {
    let beneath = Beneath::new();
    let lengths: Vec<usize> = (1..40).chain(180..255).collect();
    let traced = trace(|| {
        let path = |length: &usize| {
            let name = "n".repeat(*length);
            let path = CString::new(beneath.join(name).into_vec()).unwrap();
            mkdir(before_a_hole(path.as_bytes_with_nul()), 0o700)
        };
        lengths.iter().map(path).collect()
    });
    let prefix = beneath.join("").len() as i64;
    let mut expected: Vec<_> = lengths.iter().map(|&length| prefix + length as i64).collect();
    expected.push(FAREWELL);
    assert_eq!(traced.results, expected, "{traced:#?}");
    assert_eq!(beneath.contents().len(), lengths.len());
}

#[test]
fn a_path_without_an_end_is_answered_as_the_kernel_would_and_the_tracer_lives_on() {
    // The kernel's own answers, without a filter; nothing can be made there.
    let path = |length: usize| {
        let mut path = b"/nosuch/".to_vec();
        path.resize(length, b'/');
        before_a_hole(&path)
    };
    let lengths = [8, 9, 255, 256, 257, 300, 4094, 4095, 4096, 4097, 5000, 100_000];
    let kernels = |lengths: &[usize]| -> Vec<i64> {
        lengths.iter().map(|&length| mkdir(path(length), 0o600)).collect()
    };
    let expected = kernels(&lengths);
    assert!(expected.contains(&negative(libc::EFAULT)), "{expected:?}");
    assert!(expected.contains(&negative(libc::ENAMETOOLONG)), "{expected:?}");
    let traced = trace(|| kernels(&lengths));
    assert_eq!(traced.results, [expected, vec![FAREWELL]].concat(), "{traced:#?}");
}

#[test]
fn the_mode_is_the_targets() {
    let beneath = Beneath::new();
    let modes = [0, 0o1, 0o600, 0o755, 0o777, 0o1777, 0o2750, 0o7777, 0o177_777, 1 << 16, u32::MAX];
    let traced = trace(|| {
        let make = |mode: &u32| {
            let path = CString::new(beneath.join(format!("{mode:o}")).into_vec()).unwrap();
            mkdir(path.as_ptr() as usize, *mode)
        };
        modes.iter().map(make).collect()
    });
    assert!(traced.results[..modes.len()].iter().all(|&result| result > 0), "{traced:#?}");
    // What the kernel makes of such modes itself, with the same umask.
    let twin = Beneath::new();
    for mode in modes {
        let name = format!("{mode:o}");
        let announced = format!("/{name}\", {name})\n");
        assert_eq!(traced.count("", &announced), 1, "{announced}: {traced:#?}");

        let path = CString::new(twin.join(&name).into_vec()).unwrap();
        assert_eq!(mkdir(path.as_ptr() as usize, mode), 0);
        let mode_of = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode_of(beneath.join(&name)), mode_of(twin.join(&name)), "{mode:o}");
    }
}

#[test]
fn each_thread_and_each_child_of_a_target_is_read_as_itself() {
    let beneath = Beneath::new();
    let path = |name: &str| CString::new(beneath.join(name).into_vec()).unwrap();
    let make = |name: &str| mkdir(path(name).as_ptr() as usize, 0o700);
    let traced = trace(|| {
        let mut results = vec![make("first")];
        // A thread: another PID, the same memory.
        results.push(thread::scope(|scope| scope.spawn(|| make("thread")).join().unwrap()));
        // A child: another PID, a copy of the memory, changed at the same address.
        let mut name = path("before").into_bytes_with_nul();
        results.push(mkdir(name.as_ptr() as usize, 0o700));
        for child in ["child1", "child2"] {
            let at = name.len() - 7;
            let (address, in_child) = (name.as_mut_ptr(), child);
            let child = fork(|| {
                // SAFETY: within the vector; six bytes replace six.
                unsafe { address.add(at).copy_from(in_child.as_ptr(), 6) };
                i32::from(mkdir(address as usize, 0o700) <= 0)
            });
            results.push(i64::from(wait_within(child, LIMIT) == Ended::Status(0)));
        }
        // And the first again.
        results.push(make("last"));
        results
    });
    let length = |name: &str| path(name).as_bytes().len() as i64;
    let expected =
        [length("first"), length("thread"), length("before"), 1, 1, length("last"), FAREWELL];
    assert_eq!(traced.results, expected, "{traced:#?}");
    assert_eq!(beneath.contents(), ["before", "child1", "child2", "first", "last", "thread"]);
    let own = format!("Tracer: got notification for PID {};", traced.target);
    assert_eq!(traced.count(&own, ""), 4, "three by others: {traced:#?}");
}

#[test]
fn a_vforked_child_is_read_as_itself() {
    let beneath = Beneath::new();
    let path = |name: &str| CString::new(beneath.join(name).into_vec()).unwrap();
    let names = [path("first"), path("child"), path("last")];
    let traced = trace(|| {
        let make = |i: usize| mkdir(names[i].as_ptr() as usize, 0o700);
        let mut results = vec![make(0)];
        let mut stack = vec![0; 1 << 16];
        let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
        let act = Box::new(|| isize::from(make(1) <= 0));
        // SAFETY: the child runs on a stack of its own while this process waits for its end.
        let child = unsafe { nix::sched::clone(act, &mut stack, flags, Some(libc::SIGCHLD)) };
        results.push(i64::from(wait_within(child.unwrap(), LIMIT) == Ended::Status(0)));
        results.push(make(2));
        results
    });
    let length = |i: usize| names[i].as_bytes().len() as i64;
    assert_eq!(traced.results, [length(0), 1, length(2), FAREWELL], "{traced:#?}");
    assert_eq!(beneath.contents(), ["child", "first", "last"]);
}

#[test]
fn a_process_whose_memory_cannot_be_opened_does_not_stand_in_the_targets_way() {
    let path = c"/tmp/x";
    let target = fork(|| {
        close_all_but(&[]);
        thread::sleep(LIMIT);
        0
    });
    let known = Pid(target.as_raw().cast_unsigned());
    // No process has a number like this (`PID_MAX_LIMIT`, `linux/threads.h`).
    let nobody = Pid(1 << 30);
    let mut memory = Memory::new(known);
    let reads = [known, nobody, known, known].map(|pid| {
        let mut bytes = [0; 7];
        memory.read(pid, path.as_ptr() as u64, &mut bytes).ok().map(|read| bytes[..read].to_vec())
    });
    kill(target, Signal::SIGKILL).unwrap();
    assert_eq!(wait_within(target, LIMIT), Ended::Signal(libc::SIGKILL));

    let whole = Some(path.to_bytes_with_nul().to_vec());
    assert_eq!(reads, [whole.clone(), None, whole.clone(), whole]);
}

/// The program that a target executes: it makes the directories that it is told to.
const MKDIR: &std::ffi::CStr = c"/bin/mkdir";

#[test]
fn a_target_that_executes_another_program_is_read_anew() {
    if !Path::new(OsStr::from_bytes(MKDIR.to_bytes())).exists() {
        return skipped("a target that executes another program", "/bin/mkdir is not there");
    }
    let beneath = Beneath::new();
    let path = |name: &str| CString::new(beneath.join(name).into_vec()).unwrap();
    // A descriptor of its memory is kept from the second read on.
    for (before, after) in [(1, "a"), (3, "b"), (0, "c"), (2, "d")] {
        let names: Vec<_> = (0..before).map(|i| path(&format!("{after}{i}"))).collect();
        let traced = trace_process(&[], || {
            for name in &names {
                mkdir(name.as_ptr() as usize, 0o700);
            }
            // What it says of such answers is of no interest.
            let _ = nix::unistd::close(2);
            let arguments = [c"mkdir", &path(after), c"/bye"];
            match nix::unistd::execv(MKDIR, &arguments) {
                Ok(never) => match never {},
                Err(_) => 100,
            }
        });
        // It did not expect such a value from its call, or to be refused; it may say so.
        assert!(matches!(traced.ended, Ended::Status(0 | 1)), "{traced:#?}");
        let own = format!("Tracer: got notification for PID {};", traced.target);
        assert_eq!(traced.count(&own, ""), before + 2, "{traced:#?}");
        let made = beneath.contents();
        assert!(made.contains(&after.to_owned()), "{made:?}: {traced:#?}");
        for i in 0..before {
            assert!(made.contains(&format!("{after}{i}")), "{made:?}: {traced:#?}");
        }
        assert_eq!(traced.count("Tracer: path:", ""), 0, "{traced:#?}");
    }
}

#[test]
fn a_pid_that_was_used_again_is_read_as_its_new_process() {
    if !common::is_root() {
        return skipped("a PID that is used again", "only root can choose the next PID");
    }
    let beneath = Beneath::new();
    let path = |name: &str| CString::new(beneath.join(name).into_vec()).unwrap();
    let (old, new) = (path("old"), path("new"));
    // PIDs are chosen in a namespace of the test's own.
    let mut capture = Capture::default();
    let (out, err) = (capture.socket(Stream::Out), capture.socket(Stream::Err));
    let alone = fork(|| {
        unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS).unwrap();
        let first = fork(|| {
            let none = None::<&std::ffi::CStr>;
            let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
            nix::mount::mount(none, c"/", none, private, none).unwrap();
            let flags = nix::mount::MsFlags::empty();
            nix::mount::mount(Some(c"proc"), c"/proc", Some(c"proc"), flags, none).unwrap();
            let (targets_end, tracers_end) =
                socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::empty()).unwrap();
            // The target makes its directory, and ends after its child has made the next process
            // possible: this one, which waits for the target and then makes a process of the same PID.
            let target = fork(|| {
                close_all_but(&[targets_end.as_raw_fd()]);
                hand_over_listener(&targets_end);
                let target = nix::unistd::getpid();
                let made = mkdir(old.as_ptr() as usize, 0o700);
                // A descriptor of its memory is kept from the second read on.
                for _ in 0..2 {
                    mkdir(old.as_ptr() as usize, 0o700);
                }
                // Under the filter, and so is its child.
                fork(|| {
                    while kill(target, None).is_ok() {
                        thread::sleep(std::time::Duration::from_millis(1));
                    }
                    let last = (target.as_raw() - 1).to_string();
                    fs::write("/proc/sys/kernel/ns_last_pid", last).unwrap();
                    let again = fork(|| {
                        assert_eq!(nix::unistd::getpid(), target);
                        i32::from(mkdir(new.as_ptr() as usize, 0o700) <= 0)
                    });
                    assert_eq!(wait_within(again, LIMIT), Ended::Status(0));
                    mkdir(c"/bye".as_ptr() as usize, 0o700);
                    0
                });
                i32::from(made <= 0)
            });
            let tracer = fork(|| {
                run_tracer(&Options::default(), target.as_raw(), &tracers_end, &[&out, &err])
            });
            drop((targets_end, tracers_end));
            assert_eq!(wait_within(target, LIMIT), Ended::Status(0));
            assert_eq!(wait_within(tracer, LIMIT), Ended::Status(1));
            0
        });
        i32::from(wait_within(first, LIMIT) != Ended::Status(0))
    });
    drop((out, err));
    let ended = wait_within(alone, LIMIT * 3);
    let packets = capture.finish();
    assert_eq!(ended, Ended::Status(0), "{packets:#?}");
    assert_eq!(beneath.contents(), ["new", "old"], "{packets:#?}");
    // Both under one number.
    let numbers: Vec<_> = packets
        .iter()
        .filter_map(|packet| {
            let text = std::str::from_utf8(&packet.bytes).unwrap();
            text.strip_prefix("Tracer: got notification for PID ")?.split(';').next()
        })
        .collect();
    assert_eq!(numbers[0], numbers[1], "{packets:#?}");
}

// ---- The policy against models

/// What stands in a directory of a random tree.
#[derive(Clone, Debug)]
enum Node {
    Directory(Vec<(&'static str, Node)>),
    File,
    Link(&'static str),
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn node() -> impl Strategy<Value = Node> {
    let link =
        proptest::sample::select(&["a", "b", "../a", "..", ".", "nowhere", "/etc", "OUTSIDE"][..]);
    let leaf = prop_oneof![
        2 => Just(Node::Directory(Vec::new())),
        1 => Just(Node::File),
        3 => link.prop_map(Node::Link),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        proptest::collection::vec(inner, 1..=3)
            .prop_map(|nodes| Node::Directory(NAMES.into_iter().zip(nodes).collect()))
    })
}

/// Makes a tree.
fn plant(node: &Node, at: &Path, outside: &Path) {
    match node {
        Node::Directory(entries) => {
            fs::create_dir(at).unwrap();
            for (name, node) in entries {
                plant(node, &at.join(name), outside);
            }
        }
        Node::File => fs::write(at, "").unwrap(),
        Node::Link("OUTSIDE") => symlink(outside, at).unwrap(),
        Node::Link(to) => symlink(to, at).unwrap(),
    }
}

/// What must become of a path in a tree, and the path in the tree where a directory is made.
fn model(tree: &Node, path: &str) -> Result<(), i32> {
    if path.split('/').any(|name| name == "..") {
        return Err(libc::EPERM);
    }
    let names: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
    let (last, middle) = names.split_last().unwrap_or((&".", &[]));
    let mut at = tree;
    for name in middle {
        let Node::Directory(entries) = at else { return Err(libc::ENOTDIR) };
        at = match entries.iter().find(|(entry, _)| entry == name) {
            _ if *name == "." => at,
            _ if name.len() > 255 => return Err(libc::ENAMETOOLONG),
            None => return Err(libc::ENOENT),
            Some((_, Node::Link(_))) => return Err(libc::EPERM),
            Some((_, Node::File)) => return Err(libc::ENOTDIR),
            Some((_, directory)) => directory,
        };
    }
    let Node::Directory(entries) = at else { return Err(libc::ENOTDIR) };
    match entries.iter().find(|(entry, _)| entry == last) {
        _ if *last == "." => Err(libc::EEXIST),
        _ if last.len() > 255 => Err(libc::ENAMETOOLONG),
        Some((_, Node::Link(_))) => Err(libc::EPERM),
        Some(_) => Err(libc::EEXIST),
        None => Ok(()),
    }
}

fn random_path() -> impl Strategy<Value = String> {
    let component = prop_oneof![
        8 => proptest::sample::select(&NAMES[..]).prop_map(str::to_owned),
        1 => Just(".".to_owned()),
        1 => Just(String::new()),
        1 => Just("..".to_owned()),
        1 => Just("...".to_owned()),
        1 => Just("new".to_owned()),
        1 => Just("n".repeat(255)),
        1 => Just("n".repeat(256)),
    ];
    proptest::collection::vec(component, 1..6).prop_map(|components| components.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: sweep::count(300) as u32, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_policy_agrees_with_a_plain_model_and_with_the_kernel(
        entries in proptest::collection::vec(node(), 3),
        paths in proptest::collection::vec(random_path(), 1..8),
    ) {
        let tree = Node::Directory(NAMES.into_iter().zip(entries).collect());
        let (beneath, outside) = (Beneath::new(), outside());
        let name = beneath.path().file_name().unwrap().to_str().unwrap();
        let root = beneath.path().join("tree");
        plant(&tree, &root, outside.path());
        let before = beneath.contents();

        for path in paths {
            let expected = model(&tree, &path);
            let full = root.join(path.trim_start_matches('/'));
            for (way, tmp) in WAYS.iter().zip(TMP.iter()) {
                let mut bytes = format!("{name}/tree/{path}\0").into_bytes();
                let made = tmp.lock().unwrap().make(&mut bytes, 0o700);
                let made = made.map_err(|errno| errno.number() as i32);
                prop_assert_eq!(made, expected, "{:?}: {:?}", way, path);

                // Just that directory, or nothing.
                if made.is_ok() {
                    fs::remove_dir(&full).unwrap();
                    prop_assert!(!bytes.contains(&b'/'), "{:?}: {:?}", way, path);
                }
                prop_assert_eq!(beneath.contents(), before.clone(), "{:?}: {:?}", way, path);
                prop_assert!(is_empty(outside.path()));
            }

            // Where nothing is refused, the kernel says the same.
            if expected != Err(libc::EPERM) {
                let string = CString::new(full.as_os_str().as_bytes()).unwrap();
                let kernels = match mkdir(string.as_ptr() as usize, 0o700) {
                    0 => Ok(()),
                    errno => Err(-errno as i32),
                };
                prop_assert_eq!(expected, kernels, "{:?}", path);
                if expected.is_ok() {
                    fs::remove_dir(&full).unwrap();
                }
            }
        }
    }
}

/// One of each way for all cases: it keeps a descriptor of /tmp, as in the program.
static TMP: LazyLock<[Mutex<Tmp>; 2]> = LazyLock::new(|| WAYS.map(|way| Mutex::new(way.tmp())));

// ---- Somebody who swaps components while the tracer walks

/// Exchanges two names, over and over, until the value is dropped.
struct Swapper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Swapper {
    fn new(a: OsString, b: OsString) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut times = 0;
            while !stopped.load(Ordering::Relaxed) {
                let exchange = RenameFlags::RENAME_EXCHANGE;
                renameat2(AT_FDCWD, &a[..], AT_FDCWD, &b[..], exchange).expect("both are there");
                times += 1;
                // The target and the tracer share a CPU: let them have it now and then.
                if times % 16 == 0 {
                    thread::yield_now();
                }
            }
            times
        });
        Self { stop, thread: Some(thread) }
    }

    /// Stops and returns how often it exchanged them.
    fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("not stopped yet").join().expect("it does not fail")
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The requests of one run with a swapper.
const REQUESTS: usize = 3_000;

/// Has directories made beneath `walked` while `a` and `b` are exchanged, until both answers have been
/// seen; checks that each is true and that `outside` stays empty.
fn swap(way: Way, beneath: &Beneath, a: &str, b: &str, walked: &str, outside: &Path) {
    let (mut made, mut refused, mut exchanged) = (0, 0, 0);
    for round in 0..10 {
        let paths: Vec<_> =
            (0..REQUESTS).map(|i| beneath.join(format!("{walked}/{round}.{i}"))).collect();
        let swapper = Swapper::new(beneath.join(a), beneath.join(b));
        let outcome = way.program(&paths).limit(LIMIT * 3).finish();
        exchanged += swapper.stop();
        assert_eq!(outcome.ended, Ended::Status(0));
        assert!(is_empty(outside), "something was made outside");

        let (out, err) = (outcome.out(), outcome.err());
        made += out.matches("Target process: SUCCESS").count();
        let eperm = err.matches("Target process: mkdir: Operation not permitted\n").count();
        let others: BTreeSet<_> =
            err.lines().filter(|line| !line.ends_with("not permitted")).collect();
        assert!(others.is_empty(), "an answer of another kind: {others:?}");
        refused += eperm;
        assert_eq!(made + refused, (round + 1) * REQUESTS);
        if made > 0 && refused > 0 {
            break;
        }
    }
    assert!(exchanged > 100, "{exchanged} times");
    assert!(made > 0 && refused > 0, "nobody raced: {made} made, {refused} refused");
    // Each that was told to be made was made, within.
    let names = beneath.contents();
    let is_request = |name: &&String| {
        let last = name.rsplit('/').next().unwrap();
        last.contains('.') && last.split('.').all(|part| part.parse::<usize>().is_ok())
    };
    assert_eq!(names.iter().filter(is_request).count(), made);
}

#[test]
fn a_directory_swapped_with_a_link_never_leads_outside() {
    for way in WAYS {
        let (beneath, outside) = (Beneath::new(), outside());
        fs::create_dir(beneath.join("a")).unwrap();
        symlink(outside.path(), beneath.join("b")).unwrap();
        swap(way, &beneath, "a", "b", "a", outside.path());
    }
}

#[test]
fn a_directory_on_the_way_swapped_with_a_link_never_leads_outside() {
    for way in WAYS {
        let (beneath, outside) = (Beneath::new(), outside());
        fs::create_dir_all(beneath.join("x/a/y/z")).unwrap();
        // What the link leads to looks the same.
        fs::create_dir_all(outside.path().join("y/z")).unwrap();
        symlink(outside.path(), beneath.join("x/b")).unwrap();
        swap(way, &beneath, "x/a", "x/b", "x/a/y/z", &outside.path().join("y/z"));
    }
}

#[test]
fn a_name_swapped_with_a_dangling_link_never_leads_outside() {
    for way in WAYS {
        let (beneath, outside) = (Beneath::new(), outside());
        fs::create_dir(beneath.join("a")).unwrap();
        symlink(outside.path().join("made"), beneath.join("b")).unwrap();
        let path = beneath.join("a");
        let paths = vec![path; REQUESTS];
        let swapper = Swapper::new(beneath.join("a"), beneath.join("b"));
        let outcome = way.program(&paths).limit(LIMIT * 3).finish();
        assert!(swapper.stop() > 100);
        assert_eq!(outcome.ended, Ended::Status(0));
        assert!(is_empty(outside.path()), "a link was followed");
        assert!(!outcome.out().contains("SUCCESS"), "it is always there");
        let err = outcome.err();
        let known = [
            "Target process: mkdir: File exists",
            "Target process: mkdir: Operation not permitted",
        ];
        let others: BTreeSet<_> = err.lines().filter(|line| !known.contains(line)).collect();
        assert!(others.is_empty(), "an answer of another kind: {others:?}");
    }
}
