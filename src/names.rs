//! The names of system calls and the texts of errors, by number, each list in one array of bytes.

use crate::abi::nr;
use crate::arch::{self, SystemCall};
use crate::sys::{CStrRef, Errno};

/// The name of a system call that can fail.
#[must_use]
pub fn call(number: u32) -> CStrRef<'static> {
    find(&CALLS, number as u16).unwrap_or(CStrRef::new(c"system call"))
}

/// The text of an error; `None` if it has none here.
#[must_use]
pub fn error(errno: Errno) -> Option<CStrRef<'static>> {
    find(&ERRORS, errno.number() as u16)
}

/// Names by number, in a list: each is a number of two bytes, the lower one first, and a C string. (A table
/// of addresses would be as large again as the names.)
fn find(mut list: &'static [u8], number: u16) -> Option<CStrRef<'static>> {
    while let [low, high, rest @ ..] = list {
        let (name, next) = CStrRef::split_from(rest)?;
        if u16::from_le_bytes([*low, *high]) == number {
            return Some(name);
        }
        list = next;
    }
    None
}

/// The length of the list of `names`, in bytes.
const fn list_length(names: &[(u16, &str)]) -> usize {
    let (mut length, mut i) = (0, 0);
    while i < names.len() {
        length += size_of::<u16>() + names[i].1.len() + 1;
        i += 1;
    }
    length
}

/// The list of `names`, for [`find`].
const fn list<const LENGTH: usize>(names: &[(u16, &str)]) -> [u8; LENGTH] {
    let mut list = [0; LENGTH];
    let (mut at, mut i) = (0, 0);
    while i < names.len() {
        let (number, name) = names[i];
        [list[at], list[at + 1]] = number.to_le_bytes();
        at += size_of::<u16>();
        let mut j = 0;
        while j < name.len() {
            list[at + j] = name.as_bytes()[j];
            j += 1;
        }
        // The NUL is there already.
        at += name.len() + 1;
        i += 1;
    }
    list
}

macro_rules! call_names {
    ($($name:literal $number:ident)*) => { &[
        of(arch::FORK), of(arch::NOTIFIED), of(arch::CLOCK_GETTIME), of(arch::MMAP), of(arch::NANOSLEEP), of(arch::PPOLL),
        $(entry(nr::$number, $name)),*
    ] };
}

/// The name of a call of this architecture.
const fn of(call: SystemCall) -> (u16, &'static str) {
    entry(call.number, call.name)
}

/// The name of the call with this number.
const fn entry(number: u32, name: &'static str) -> (u16, &'static str) {
    assert!(number < 1 << 15, "an error has 15 bits for the call");
    (number as u16, name)
}

/// Those of the calls whose failure is told.
#[rustfmt::skip]
pub const CALL_NAMES: &[(u16, &str)] = call_names! {
    "close" __NR_close
    "getpid" __NR_getpid
    "getppid" __NR_getppid
    "ioctl" __NR_ioctl
    "kill" __NR_kill
    "openat" __NR_openat
    "pidfd_getfd" __NR_pidfd_getfd
    "pidfd_open" __NR_pidfd_open
    "prctl" __NR_prctl
    "pread64" __NR_pread64
    "process_vm_readv" __NR_process_vm_readv
    "readlinkat" __NR_readlinkat
    "recvmsg" __NR_recvmsg
    "rt_sigaction" __NR_rt_sigaction
    "rt_sigprocmask" __NR_rt_sigprocmask
    "seccomp" __NR_seccomp
    "sendmsg" __NR_sendmsg
    "setitimer" __NR_setitimer
    "socketpair" __NR_socketpair
    "uname" __NR_uname
    "wait4" __NR_wait4
    "write" __NR_write
};
static CALLS: [u8; list_length(CALL_NAMES)] = list(CALL_NAMES);

/// Those of the errors that the program's calls can return by their manual pages, and those of mkdir on
/// network, FUSE, encrypted and damaged file systems. The texts are glibc's (`strerror(3)`).
pub const ERROR_TEXTS: &[(u16, &str)] = &[
    (1, "Operation not permitted"),
    (2, "No such file or directory"),
    (3, "No such process"),
    (4, "Interrupted system call"),
    (5, "Input/output error"),
    (6, "No such device or address"),
    (7, "Argument list too long"),
    (9, "Bad file descriptor"),
    (10, "No child processes"),
    (11, "Resource temporarily unavailable"),
    (12, "Cannot allocate memory"),
    (13, "Permission denied"),
    (14, "Bad address"),
    (16, "Device or resource busy"),
    (17, "File exists"),
    (19, "No such device"),
    (20, "Not a directory"),
    (21, "Is a directory"),
    (22, "Invalid argument"),
    (23, "Too many open files in system"),
    (24, "Too many open files"),
    (25, "Inappropriate ioctl for device"),
    (26, "Text file busy"),
    (27, "File too large"),
    (28, "No space left on device"),
    (29, "Illegal seek"),
    (30, "Read-only file system"),
    (31, "Too many links"),
    (32, "Broken pipe"),
    (36, "File name too long"),
    (37, "No locks available"),
    (38, "Function not implemented"),
    (40, "Too many levels of symbolic links"),
    (74, "Bad message"),
    (75, "Value too large for defined data type"),
    (84, "Invalid or incomplete multibyte or wide character"),
    (88, "Socket operation on non-socket"),
    (89, "Destination address required"),
    (90, "Message too long"),
    (91, "Protocol wrong type for socket"),
    (93, "Protocol not supported"),
    (95, "Operation not supported"),
    (97, "Address family not supported by protocol"),
    (100, "Network is down"),
    (101, "Network is unreachable"),
    (103, "Software caused connection abort"),
    (104, "Connection reset by peer"),
    (105, "No buffer space available"),
    (106, "Transport endpoint is already connected"),
    (107, "Transport endpoint is not connected"),
    (109, "Too many references: cannot splice"),
    (110, "Connection timed out"),
    (111, "Connection refused"),
    (112, "Host is down"),
    (113, "No route to host"),
    (115, "Operation now in progress"),
    (116, "Stale file handle"),
    (117, "Structure needs cleaning"),
    (121, "Remote I/O error"),
    (122, "Disk quota exceeded"),
    (125, "Operation canceled"),
    (126, "Required key not available"),
    (127, "Key has expired"),
    (128, "Key has been revoked"),
    (129, "Key was rejected by service"),
];
static ERRORS: [u8; list_length(ERROR_TEXTS)] = list(ERROR_TEXTS);
