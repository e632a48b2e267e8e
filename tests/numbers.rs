//! Numbers and words that others have fixed: call numbers by four witnesses, ioctl numbers and structures
//! by the C library's headers, error texts by the C library itself.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::{fs, path::Path};

use linux_raw_sys::general;
use seccomp_notify_min::fmt::Arg;
use seccomp_notify_min::report::Process;
use seccomp_notify_min::sys::Errno;
use seccomp_notify_min::{abi, messages, names};

mod line;
use line::composed;
use syscalls::Sysno;

/// Each call by name, with its number according to `syscalls`, `linux-raw-sys`, `sc` and `libc`.
macro_rules! witnesses {
    ($($name:ident $raw:ident $sc:ident $libc:ident;)*) => {
        &[$((
            stringify!($name),
            [Sysno::$name as usize, general::$raw as usize, sc::nr::$sc, libc::$libc as usize],
        )),*]
    };
}

type Witnesses = &'static [(&'static str, [usize; 4])];

/// The calls that every architecture has.
const CALLS: Witnesses = witnesses! {
    clock_gettime __NR_clock_gettime CLOCK_GETTIME SYS_clock_gettime;
    clone __NR_clone CLONE SYS_clone;
    close __NR_close CLOSE SYS_close;
    exit_group __NR_exit_group EXIT_GROUP SYS_exit_group;
    fcntl __NR_fcntl FCNTL SYS_fcntl;
    getpid __NR_getpid GETPID SYS_getpid;
    getppid __NR_getppid GETPPID SYS_getppid;
    ioctl __NR_ioctl IOCTL SYS_ioctl;
    kill __NR_kill KILL SYS_kill;
    mkdirat __NR_mkdirat MKDIRAT SYS_mkdirat;
    mmap __NR_mmap MMAP SYS_mmap;
    munmap __NR_munmap MUNMAP SYS_munmap;
    nanosleep __NR_nanosleep NANOSLEEP SYS_nanosleep;
    openat __NR_openat OPENAT SYS_openat;
    openat2 __NR_openat2 OPENAT2 SYS_openat2;
    pidfd_getfd __NR_pidfd_getfd PIDFD_GETFD SYS_pidfd_getfd;
    pidfd_open __NR_pidfd_open PIDFD_OPEN SYS_pidfd_open;
    ppoll __NR_ppoll PPOLL SYS_ppoll;
    prctl __NR_prctl PRCTL SYS_prctl;
    pread64 __NR_pread64 PREAD64 SYS_pread64;
    process_vm_readv __NR_process_vm_readv PROCESS_VM_READV SYS_process_vm_readv;
    readlinkat __NR_readlinkat READLINKAT SYS_readlinkat;
    recvmsg __NR_recvmsg RECVMSG SYS_recvmsg;
    rt_sigaction __NR_rt_sigaction RT_SIGACTION SYS_rt_sigaction;
    rt_sigprocmask __NR_rt_sigprocmask RT_SIGPROCMASK SYS_rt_sigprocmask;
    rt_sigreturn __NR_rt_sigreturn RT_SIGRETURN SYS_rt_sigreturn;
    seccomp __NR_seccomp SECCOMP SYS_seccomp;
    sendmsg __NR_sendmsg SENDMSG SYS_sendmsg;
    setitimer __NR_setitimer SETITIMER SYS_setitimer;
    socketpair __NR_socketpair SOCKETPAIR SYS_socketpair;
    uname __NR_uname UNAME SYS_uname;
    wait4 __NR_wait4 WAIT4 SYS_wait4;
    write __NR_write WRITE SYS_write;
};

/// The calls that only older architectures have.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: Witnesses = witnesses! {
    fork __NR_fork FORK SYS_fork;
    mkdir __NR_mkdir MKDIR SYS_mkdir;
};
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: Witnesses = &[];

#[test]
fn all_witnesses_agree_on_each_calls_number() {
    for (name, numbers) in CALLS.iter().chain(OLD_CALLS) {
        assert!(numbers.iter().all(|number| *number == numbers[0]), "{name}: {numbers:?}");
    }
}

/// The words that follow `before` in the sources of the program.
fn in_sources(before: &str) -> BTreeSet<String> {
    fn walk(folder: &Path, before: &str, words: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("the sources are there") {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, before, words);
                continue;
            }
            // The other architectures' calls are their builds' business.
            let architecture = path.parent().is_some_and(|folder| folder.ends_with("arch"));
            if architecture
                && path
                    .file_stem()
                    .is_some_and(|stem| stem != "mod" && stem != std::env::consts::ARCH)
            {
                continue;
            }
            let source = fs::read_to_string(&path).expect("a source is text");
            for part in source.split(before).skip(1) {
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                words.insert(part.chars().take_while(|&c| word(c)).collect());
            }
        }
    }
    let mut words = BTreeSet::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), before, &mut words);
    words.remove("");
    words
}

#[test]
fn no_call_is_used_that_has_no_witness() {
    let known: BTreeSet<String> =
        CALLS.iter().chain(OLD_CALLS).map(|(name, _)| (*name).to_owned()).collect();
    let used = in_sources("__NR_");
    assert!(used.len() > 20, "the search finds what it looks for: {used:?}");
    let unknown: Vec<_> = used.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn each_call_has_its_name() {
    for (name, numbers) in CALLS.iter().chain(OLD_CALLS) {
        let known = names::CALL_NAMES.iter().find(|(number, _)| usize::from(*number) == numbers[0]);
        if let Some((_, known)) = known {
            assert_eq!(known, name);
            let found = names::call(numbers[0] as u32);
            assert!(found.eq(name.bytes()), "{name}");
        }
    }
}

#[test]
fn the_listeners_numbers_are_those_of_the_header() {
    // linux/seccomp.h: SECCOMP_IOWR(0, struct seccomp_notif) and so on, with the letter '!'.
    let number = |direction: u32, number: u32, size: usize| {
        direction << 30 | u32::try_from(size).unwrap() << 16 | u32::from(b'!') << 8 | number
    };
    let (write, read) = (1, 2);
    let notif = size_of::<libc::seccomp_notif>();
    let response = size_of::<libc::seccomp_notif_resp>();
    assert_eq!(abi::SECCOMP_IOCTL_NOTIF_RECV, number(read | write, 0, notif));
    assert_eq!(abi::SECCOMP_IOCTL_NOTIF_SEND, number(read | write, 1, response));
    assert_eq!(abi::SECCOMP_IOCTL_NOTIF_ID_VALID, number(write, 2, 8));
    assert_eq!(abi::SECCOMP_IOCTL_NOTIF_ID_VALID_WRONG_DIR, number(read, 2, 8));
    assert_eq!(
        abi::SECCOMP_IOCTL_NOTIF_ADDFD,
        number(write, 3, size_of::<libc::seccomp_notif_addfd>())
    );
    assert_eq!(abi::SECCOMP_IOCTL_NOTIF_SET_FLAGS, number(write, 4, 8));
    // As kernels have been answering to them.
    assert_eq!(
        [
            abi::SECCOMP_IOCTL_NOTIF_RECV,
            abi::SECCOMP_IOCTL_NOTIF_SEND,
            abi::SECCOMP_IOCTL_NOTIF_ID_VALID,
            abi::SECCOMP_IOCTL_NOTIF_ID_VALID_WRONG_DIR,
            abi::SECCOMP_IOCTL_NOTIF_ADDFD,
            abi::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
        ],
        [0xc050_2100, 0xc018_2101, 0x4008_2102, 0x8008_2102, 0x4018_2103, 0x4008_2104]
    );
}

#[test]
fn the_structures_are_those_of_the_c_library() {
    use std::mem::{align_of, offset_of};
    macro_rules! alike {
        ($ours:ty, $theirs:ty $(, $field:ident $size:ty)*) => {
            assert_eq!(size_of::<$ours>(), size_of::<$theirs>());
            assert_eq!(align_of::<$ours>(), align_of::<$theirs>());
            $(assert_eq!(offset_of!($ours, $field), offset_of!($theirs, $field));)*
        };
    }
    alike!(abi::seccomp_notif, libc::seccomp_notif, id u64, pid u32, flags u32, data u64);
    alike!(abi::seccomp_notif_resp, libc::seccomp_notif_resp, id u64, val i64, error i32, flags u32);
    alike!(abi::seccomp_notif_addfd, libc::seccomp_notif_addfd, id u64, flags u32, srcfd u32, newfd u32, newfd_flags u32);
    alike!(abi::Utsname, libc::utsname, sysname u8, release u8, machine u8);
    alike!(abi::seccomp_data, libc::seccomp_data, nr i32, arch u32, instruction_pointer u64, args u64);
    alike!(abi::sock_filter, libc::sock_filter, code u16, jt u8, jf u8, k u32);
    alike!(abi::sock_fprog, libc::sock_fprog, len u16, filter u64);
    alike!(abi::msghdr, libc::msghdr, msg_iov u64, msg_control u64, msg_controllen u64, msg_flags u32);
    alike!(abi::cmsghdr, libc::cmsghdr, cmsg_len u64, cmsg_level i32, cmsg_type i32);
    alike!(abi::pollfd, libc::pollfd, fd i32, events i16, revents i16);
    alike!(abi::iovec, libc::iovec, iov_base u64, iov_len u64);
}

// ---- Error texts

/// What the program says for an error.
fn said(errno: u32) -> String {
    let errno = Arg::Errno(Errno::new(errno));
    let line = composed(Process::Target, messages::TARGET_FAILED, &[errno]);
    let line = String::from_utf8(line).expect("text");
    let text =
        line.strip_prefix("Target process: mkdir: ").and_then(|text| text.strip_suffix('\n'));
    text.expect("the line has this form").to_owned()
}

/// The errors that the program has a text for.
fn known() -> impl Iterator<Item = u32> {
    (0..=4095).filter(|&errno| said(errno) != format!("errno {errno}"))
}

/// What the C library says, in the C locale, which a program has unless it asks for another.
fn strerror(errno: u32) -> String {
    let mut buffer = [0; 200];
    // SAFETY: writes within the buffer, a NUL behind the text.
    unsafe {
        assert_eq!(libc::strerror_r(errno as i32, buffer.as_mut_ptr(), buffer.len()), 0);
        CStr::from_ptr(buffer.as_ptr()).to_str().expect("text").to_owned()
    }
}

#[test]
#[cfg(target_env = "gnu")]
fn each_errors_text_is_the_c_librarys() {
    assert!(known().count() >= 60, "{}", known().count());
    for errno in known() {
        assert_eq!(said(errno), strerror(errno), "{errno}");
    }
}

#[test]
fn what_is_no_error_has_no_text() {
    assert_eq!(said(0), "errno 0");
    assert!(known().all(|errno| (1..=133).contains(&errno)));
}

/// The errors that section 2 of the manual lists for each call (man-pages 6.03), but those that are
/// told of uses that this program does not make.
#[rustfmt::skip]
const DOCUMENTED: &[(&str, &[i32])] = {
    use libc::*;
    &[
        ("clock_gettime", &[EACCES, EFAULT, EINVAL, ENODEV, ENOTSUP, EPERM]),
        ("clone", &[EACCES, EAGAIN, EBUSY, EEXIST, EINVAL, ENOMEM, ENOSPC, EOPNOTSUPP, EPERM]), // not EUSERS: namespaces
        ("close", &[EBADF, EDQUOT, EINTR, EIO, ENOSPC]),
        ("fork", &[EAGAIN, ENOMEM, ENOSYS]),
        ("ioctl", &[EBADF, EFAULT, EINVAL, ENOTTY]),
        ("ioctl of a listener", &[EBADF, EBUSY, EINPROGRESS, EINTR, EINVAL, EMFILE, ENOENT]),
        ("kill", &[EINVAL, EPERM, ESRCH]),
        ("mkdir and mkdirat", &[EACCES, EBADF, EDQUOT, EEXIST, EFAULT, EINVAL, ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EPERM, EROFS]),
        ("mmap and munmap", &[EACCES, EAGAIN, EBADF, EEXIST, EINVAL, ENFILE, ENODEV, ENOMEM, EOVERFLOW, EPERM, ETXTBSY]), // not ENOEXEC: execution
        ("nanosleep", &[EFAULT, EINTR, EINVAL]),
        ("openat", &[EACCES, EBADF, EBUSY, EDQUOT, EEXIST, EFAULT, EFBIG, EINTR, EINVAL, EISDIR, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOTDIR, ENXIO, EOPNOTSUPP, EOVERFLOW, EPERM, EROFS, ETXTBSY, EWOULDBLOCK]),
        ("pidfd_getfd", &[EBADF, EINVAL, EMFILE, ENFILE, EPERM, ESRCH]),
        ("pidfd_open", &[EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM, ESRCH]),
        ("ppoll", &[EFAULT, EINTR, EINVAL, ENOMEM]),
        ("prctl", &[EACCES, EBADF, EBUSY, EFAULT, EINVAL, ENODEV, ENXIO, EOPNOTSUPP, EPERM]), // not ERANGE: vector lengths
        ("pread64", &[EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, EISDIR, ENXIO, EOVERFLOW, ESPIPE]),
        ("process_vm_readv", &[EFAULT, EINVAL, ENOMEM, EPERM, ESRCH]),
        ("readlinkat", &[EACCES, EBADF, EFAULT, EINVAL, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR]),
        ("recvmsg", &[EAGAIN, EBADF, ECONNREFUSED, EFAULT, EINTR, EINVAL, ENOMEM, ENOTCONN, ENOTSOCK]),
        ("rt_sigaction", &[EFAULT, EINVAL]),
        ("rt_sigprocmask", &[EFAULT, EINVAL]),
        ("seccomp", &[EACCES, EBUSY, ECANCELED, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP, ESRCH]),
        ("sendmsg", &[EACCES, EAGAIN, EBADF, ECONNRESET, EDESTADDRREQ, EFAULT, EINTR, EINVAL, EISCONN, EMSGSIZE, ENOBUFS, ENOMEM, ENOTCONN, ENOTSOCK, EOPNOTSUPP, EPIPE]), // not EALREADY: TCP
        ("sendmsg, unix(7)", &[EBADF, ETOOMANYREFS, EPERM]),
        ("setitimer", &[EFAULT, EINVAL]),
        ("socketpair", &[EAFNOSUPPORT, EFAULT, EMFILE, ENFILE, EOPNOTSUPP, EPROTONOSUPPORT]),
        ("uname", &[EFAULT]),
        ("wait4", &[EAGAIN, ECHILD, EINTR, EINVAL, ESRCH]),
        ("write", &[EAGAIN, EBADF, EDESTADDRREQ, EDQUOT, EFAULT, EFBIG, EINTR, EINVAL, EIO, ENOSPC, EPERM, EPIPE]),
    ]
};

#[test]
fn each_documented_error_of_each_call_has_a_text() {
    for (call, errnos) in DOCUMENTED {
        for errno in *errnos {
            let known = known().any(|known| known == *errno as u32);
            assert!(known, "{call}: {errno}, {}", strerror(*errno as u32));
        }
    }
}

/// The errors that mkdir gives on other file systems than a machine's own (NFS, CIFS, FUSE, 9p, fscrypt, a damaged
/// XFS or ext4), which no manual page lists.
const OTHER_FILE_SYSTEMS: [i32; 16] = {
    use libc::*;
    [
        EBADMSG,
        ECONNABORTED,
        EHOSTDOWN,
        EHOSTUNREACH,
        EILSEQ,
        EKEYEXPIRED,
        EKEYREJECTED,
        EKEYREVOKED,
        ENETDOWN,
        ENETUNREACH,
        ENOKEY,
        ENOLCK,
        EREMOTEIO,
        ESTALE,
        ETIMEDOUT,
        EUCLEAN,
    ]
};

#[test]
fn each_error_of_mkdir_on_other_file_systems_has_a_text() {
    for errno in OTHER_FILE_SYSTEMS {
        assert!(known().any(|known| known == errno as u32), "{errno}, {}", strerror(errno as u32));
    }
}
