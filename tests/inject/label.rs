//! Names system calls in such detail that the nth call of a name is the same call in every run.

use std::fs;
use std::io::IoSliceMut;

use nix::libc;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use syscalls::Sysno;

/// The name of a call, with the detail that distinguishes it from other calls of its number.
pub fn label(pid: Pid, number: i64, arguments: &[u64; 6]) -> String {
    let Some(call) = usize::try_from(number).ok().and_then(Sysno::new) else {
        return format!("number {number}");
    };
    let [first, second, third, ..] = *arguments;
    let detail = match call {
        Sysno::openat => path(pid, second),
        Sysno::openat2 => format!("{}, resolve {:#x}", path(pid, second), resolve(pid, third)),
        Sysno::mkdirat | Sysno::readlinkat => path(pid, second),
        Sysno::write => first.to_string(),
        Sysno::close | Sysno::pread64 => descriptor(pid, first),
        Sysno::kill => second.to_string(),
        Sysno::rt_sigaction => match first as i32 {
            libc::SIGALRM => "SIGALRM".into(),
            libc::SIGCHLD => "SIGCHLD".into(),
            libc::SIGINT => "SIGINT".into(),
            libc::SIGTERM => "SIGTERM".into(),
            other => other.to_string(),
        },
        Sysno::prctl => match first as i32 {
            libc::PR_SET_DUMPABLE => "DUMPABLE".into(),
            libc::PR_SET_NO_NEW_PRIVS => "NO_NEW_PRIVS".into(),
            libc::PR_SET_PDEATHSIG => "PDEATHSIG".into(),
            libc::PR_SET_PTRACER => "PTRACER".into(),
            other => other.to_string(),
        },
        Sysno::seccomp => match (first, second) {
            (1, 0) => "SET_MODE_FILTER".into(),
            (1, _) => "NEW_LISTENER".into(),
            (3, _) => "GET_NOTIF_SIZES".into(),
            other => format!("{other:?}"),
        },
        Sysno::ioctl => match second as u32 {
            0xc050_2100 => "RECV".into(),
            0xc018_2101 => "SEND".into(),
            0x4008_2102 => "ID_VALID".into(),
            0x8008_2102 => "ID_VALID of old".into(),
            0x4018_2103 => "ADDFD".into(),
            0x4008_2104 => "SET_FLAGS".into(),
            other => format!("{other:#x}"),
        },
        Sysno::wait4 if third != 0 => "WNOHANG".into(),
        _ => return call.name().to_owned(),
    };
    format!("{}({detail})", call.name())
}

/// A path in the process's memory. The parts that differ from run to run are replaced.
fn path(pid: Pid, address: u64) -> String {
    let mut bytes = [0; 64];
    let remote = [RemoteIoVec { base: address as usize, len: bytes.len() }];
    let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &remote).unwrap_or(0);
    let path = bytes[..read].split(|&byte| byte == 0).next().unwrap_or_default();
    stable(&String::from_utf8_lossy(path))
}

/// How `openat2(2)` may resolve the path: the last of three words of `struct open_how` in the process's memory.
fn resolve(pid: Pid, address: u64) -> u64 {
    let mut bytes = [0; 24];
    let remote = [RemoteIoVec { base: address as usize, len: bytes.len() }];
    let _ = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &remote);
    u64::from_ne_bytes(bytes[16..].try_into().expect("eight bytes"))
}

/// The file that a descriptor refers to.
fn descriptor(pid: Pid, number: u64) -> String {
    match fs::read_link(format!("/proc/{pid}/fd/{number}")) {
        Ok(file) => match file.to_string_lossy().as_ref() {
            socket if socket.starts_with("socket:") => "socket".into(),
            "anon_inode:seccomp notify" => "listener".into(),
            path => stable(path),
        },
        Err(_) => number.to_string(),
    }
}

/// Replaces the parts of a path that differ from run to run.
fn stable(path: &str) -> String {
    if path.starts_with("/proc/") && path.ends_with("/mem") {
        "/proc/PID/mem".into()
    } else if let Some(at) = path.find(super::cases::DIRECTORY) {
        // Random letters follow the directory's name. The path beneath the directory stays.
        match path[at..].split_once('/') {
            Some((_, beneath)) => format!("DIRECTORY/{beneath}"),
            None => "DIRECTORY".into(),
        }
    } else {
        path.into()
    }
}
