//! `watch PLAN`: runs the program according to the file PLAN and writes records of the run to standard output. The host checks
//! the records. A run is watched as by tests/common on the host: standard output and standard error are sockets that keep
//! packets apart and name the sender, so that one packet is one write; the program has its own process group, and this process
//! becomes the parent of orphans.
//!
//! A plan is a sequence of lists of strings. A NUL ends a string, an empty string ends a list. The first list has the directories
//! that are made before the runs. Then each run has one byte for the way of watching (`WAY_…`), the list of its arguments, with
//! the program's file as the first, and the list of the directories that it should make, which are recorded and removed. A NUL in
//! the place of the way ends the plan.
//!
//! A record is a letter for its kind, a number and a length, both with 32 bits and little-endian, and that many bytes.
//! tests/kernels/watched.rs parses them.
//!
//! Exit status 126: a system call failed that must not fail.
#![no_std]
#![no_main]

#[path = "../../raw.rs"]
mod raw;

use core::mem::MaybeUninit;
use core::ptr::{NonNull, null};

use linux_raw_sys::net::SO_PASSCRED;
use raw::{exit, is_error, named, raw};
use seccomp_notify_min::{arch, start};

start!(entry);

const WAY_TOGETHER: u8 = b't';
const WAY_INTERRUPTED: u8 = b'i';
const WAY_SLOW_PIPE: u8 = b's';
const WAY_SLOW_NON_BLOCKING_PIPE: u8 = b'n';
const WAY_PIPE: u8 = b'p';
const WAY_FULL_DEVICE: u8 = b'f';
const WAY_FULL_ERROR_DEVICE: u8 = b'F';
const WAY_CLOSED_PIPE: u8 = b'c';
const WAY_LEFT_PIPE: u8 = b'l';
const WAY_SHORT_FILE: u8 = b'x';

/// The program was started. The number is its PID.
const STARTED: u8 = b'S';
/// A write. The number is the writer's PID, or 0 if it is not known.
const OUT: u8 = b'o';
const ERR: u8 = b'e';
const BOTH_STREAMS: u8 = b'b';
/// Nothing happened for [`LIMIT`]. The processes were killed.
const HUNG: u8 = b'H';
/// The program has ended. The number is the status of wait4(2). The bytes are the time from start to exit in microseconds, as
/// a number with 64 bits.
const ENDED: u8 = b'X';
/// A process was left behind. The number is its PID if it has ended, and 0 if processes still run. They were killed.
const LEFT: u8 = b'L';
/// A directory that the run should make. The number is its mode, or minus the errno.
const MADE: u8 = b'M';
/// The end of the plan.
const DONE: u8 = b'D';

const AT_FDCWD: usize = -100_isize as usize;
const AT_REMOVEDIR: usize = 0x200;
const AF_UNIX: usize = 1;
const SOCK_SEQPACKET: usize = 5;
const SOL_SOCKET: usize = 1;
const SCM_CREDENTIALS: i32 = 2;
const CLOEXEC: usize = 0o2_000_000; // O_CLOEXEC and SOCK_CLOEXEC
const O_NONBLOCK: usize = 0o4000;
const O_WRONLY: usize = 1;
const F_SETFL: usize = 4;
const PR_SET_CHILD_SUBREAPER: usize = 36;
const CLOCK_MONOTONIC: usize = 1;
const WNOHANG: usize = 1;
const EINTR: isize = 4;
const ECHILD: isize = 10;
const SIGINT: usize = 2;
const SIGKILL: usize = 9;
const RLIMIT_FSIZE: usize = 1;
const MFD_CLOEXEC: usize = 1;
const POLLIN: i16 = 1;
const STATX_MODE: usize = 2;

/// If nothing happens for this time (seconds, nanoseconds), the program hangs.
const LIMIT: [i64; 2] = [20, 0];
/// The pause of a slow reader before each read (seconds, nanoseconds).
static PAUSE: [i64; 2] = [0, 5_000_000];
/// How many bytes a reader reads at once.
const SOME: usize = 7000;
/// How many bytes are read before the reader closes the pipe.
const FIRST_BYTES: usize = 10;
/// The limit of a short file, in bytes.
const SHORT: usize = 1000;

/// There is one thread, so the static variables need no lock.
static mut BUFFER: [u8; 1 << 20] = [0; 1 << 20];
static mut PLAN: [u8; 1 << 20] = [0; 1 << 20];
const ARGUMENTS: usize = 1000;
static mut ARGV: [usize; ARGUMENTS] = [0; ARGUMENTS];

/// # Safety
///
/// `stack` is the stack pointer with which the kernel entered the program.
unsafe extern "C" fn entry(stack: NonNull<usize>) -> ! {
    let stack = stack.as_ptr().cast_const();
    // SAFETY: the kernel enters with argc, the arguments' addresses and a null on the stack.
    unsafe {
        if *stack == 2 {
            follow(Plan::open(*stack.add(2)));
        }
        exit(126)
    }
}

/// The rest of a plan.
#[derive(Clone, Copy)]
struct Plan(*const u8);

// SAFETY, for all blocks: the buffer contains the whole plan, and its last NUL ends the reading.
impl Plan {
    unsafe fn open(path: usize) -> Self {
        unsafe {
            let file = must(raw!(__NR_openat, AT_FDCWD, path, CLOEXEC));
            let plan = &raw mut PLAN as *mut u8;
            let mut length = 0;
            loop {
                let rest = size_of_val(&*&raw const PLAN) - length;
                match must(raw!(__NR_read, file, plan.add(length) as usize, rest)) {
                    // The plan must end within the buffer.
                    0 if rest > 0 => return Self(plan),
                    0 => exit(126),
                    read => length += read,
                }
            }
        }
    }

    unsafe fn byte(&mut self) -> u8 {
        unsafe {
            // Volatile: otherwise the compiler turns the loop in `string` into a call of strlen, which does not exist here.
            let byte = self.0.read_volatile();
            self.0 = self.0.add(1);
            byte
        }
    }

    /// The next string of a list and its length; `None` at the end of the list.
    unsafe fn string(&mut self) -> Option<(*const u8, usize)> {
        unsafe {
            let (start, mut length) = (self.0, 0);
            while self.byte() != 0 {
                length += 1;
            }
            if length == 0 { None } else { Some((start, length)) }
        }
    }
}

unsafe fn follow(mut plan: Plan) -> ! {
    unsafe {
        must(raw!(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
        while let Some((path, _)) = plan.string() {
            must(raw!(__NR_mkdirat, AT_FDCWD, path as usize, 0o755));
        }
        loop {
            let way = plan.byte();
            if way == 0 {
                record(DONE, 0, null(), 0);
                exit(0);
            }
            let argv = &raw mut ARGV as *mut usize;
            let mut count = 0;
            while let Some((argument, _)) = plan.string() {
                if count == ARGUMENTS - 1 {
                    exit(126);
                }
                argv.add(count).write(argument as usize);
                count += 1;
            }
            argv.add(count).write(0);
            run(way, argv);
            while let Some((path, length)) = plan.string() {
                let mode = mode(path);
                raw!(__NR_unlinkat, AT_FDCWD, path as usize, AT_REMOVEDIR);
                record(MADE, mode, path, length);
            }
        }
    }
}

unsafe fn run(way: u8, argv: *const usize) {
    unsafe {
        let is_one = matches!(way, WAY_TOGETHER | WAY_INTERRUPTED | WAY_PIPE);
        let is_slow = matches!(way, WAY_SLOW_PIPE | WAY_SLOW_NON_BLOCKING_PIPE);
        let is_pipe = is_slow || matches!(way, WAY_PIPE | WAY_CLOSED_PIPE | WAY_LEFT_PIPE);
        let out = match way {
            WAY_FULL_DEVICE => (NOTHING, device(c"/dev/full")),
            WAY_FULL_ERROR_DEVICE => (NOTHING, device(c"/dev/null")),
            WAY_SHORT_FILE => (NOTHING, file()),
            _ if is_pipe => pipe(),
            _ => socket(),
        };
        let err = match way {
            _ if is_one => out,
            WAY_FULL_ERROR_DEVICE => (NOTHING, device(c"/dev/full")),
            WAY_SHORT_FILE => (NOTHING, device(c"/dev/null")),
            _ if is_pipe => (NOTHING, device(c"/dev/null")),
            _ => socket(),
        };
        if way == WAY_SLOW_NON_BLOCKING_PIPE {
            must(raw!(__NR_fcntl, out.1, F_SETFL, O_NONBLOCK));
        }

        let out = if way == WAY_CLOSED_PIPE {
            raw!(__NR_close, out.0);
            (NOTHING, out.1)
        } else {
            out
        };

        let began = now();
        let program = must(named(arch::FORK, &arch::FORK_ARGS));
        if program == 0 {
            must(raw!(__NR_setpgid, 0, 0));
            must(raw!(__NR_dup3, out.1, 1, 0));
            must(raw!(__NR_dup3, err.1, 2, 0));
            if way == WAY_SHORT_FILE {
                let short = [SHORT as u64; 2];
                must(raw!(__NR_prlimit64, 0, RLIMIT_FSIZE, &raw const short as usize, 0));
            }
            let no_environment: usize = 0;
            let environment = &raw const no_environment as usize;
            raw!(__NR_execve, *argv, argv as usize, environment);
            exit(126);
        }
        record(STARTED, program as i32, null(), 0);
        if way != WAY_SHORT_FILE {
            raw!(__NR_close, out.1);
        }
        if !is_one {
            raw!(__NR_close, err.1);
        }

        let kind = if is_one { BOTH_STREAMS } else { OUT };
        let mut open = [(out.0, kind), (if is_one { NOTHING } else { err.0 }, ERR)];
        let mut target = 0;
        while let Some(index) = ready(&open) {
            let (from, kind) = open[index];
            if is_slow {
                pause();
            }
            let (length, writer) = if is_pipe {
                let most = if way == WAY_LEFT_PIPE { FIRST_BYTES } else { SOME };
                (raw!(__NR_read, from, &raw mut BUFFER as usize, most).cast_signed(), 0)
            } else {
                receive(from)
            };
            if length == 0 {
                raw!(__NR_close, from);
                open[index].0 = NOTHING;
            } else if length > 0 {
                let bytes = &raw const BUFFER as *const u8;
                record(kind, writer, bytes, length as usize);
                if way == WAY_INTERRUPTED && begins(bytes, length as usize, b"Target process: PID")
                {
                    target = writer;
                }
                if target > 0 && begins(bytes, length as usize, b"Tracer: delaying") {
                    raw!(__NR_kill, target as usize, SIGINT);
                    target = 0;
                }
                if way == WAY_LEFT_PIPE {
                    raw!(__NR_close, from);
                    open[index].0 = NOTHING;
                }
            } else if length != -EINTR {
                exit(126);
            }
        }
        if open[0].0 != NOTHING || open[1].0 != NOTHING {
            record(HUNG, 0, null(), 0);
            raw!(__NR_kill, program.wrapping_neg(), SIGKILL);
            raw!(__NR_close, open[0].0);
            raw!(__NR_close, open[1].0);
        }
        wait(program, began);
        if way == WAY_SHORT_FILE {
            let bytes = &raw mut BUFFER as usize;
            let length = must(raw!(__NR_pread64, out.1, bytes, 1 << 20));
            record(OUT, 0, bytes as *const u8, length);
            raw!(__NR_close, out.1);
        }
    }
}

/// No descriptor.
const NOTHING: usize = usize::MAX;

/// The stream that can be read; `None` if both have ended or nothing happens for [`LIMIT`].
unsafe fn ready(open: &[(usize, u8); 2]) -> Option<usize> {
    #[repr(C)]
    struct PollFd(i32, i16, i16);
    unsafe {
        // ppoll ignores negative descriptors.
        let mut polled = [PollFd(open[0].0 as i32, POLLIN, 0), PollFd(open[1].0 as i32, POLLIN, 0)];
        if open[0].0 == NOTHING && open[1].0 == NOTHING {
            return None;
        }
        // The kernel writes the remaining time into it, so it is a copy.
        let mut limit = LIMIT;
        let (polled_at, limit) = (&raw mut polled as usize, &raw mut limit as usize);
        if must(named(arch::PPOLL, &[polled_at, 2, limit, 0, 8])) == 0 {
            return None;
        }
        Some(if (&raw const polled[0].2).read_volatile() != 0 { 0 } else { 1 })
    }
}

/// Receives a packet into [`BUFFER`]. Returns its length, or minus the errno, and the sender's PID.
unsafe fn receive(socket: usize) -> (isize, i32) {
    #[repr(C)]
    struct Control {
        length: usize,
        level: i32,
        kind: i32,
        pid: i32,
        uid: u32,
        gid: u32,
        padding: u32,
    }
    #[repr(C)]
    struct Message {
        name: usize,
        name_length: usize,
        iov: *const [usize; 2],
        iov_length: usize,
        control: *mut Control,
        control_length: usize,
        flags: usize,
    }
    unsafe {
        let iov = [&raw mut BUFFER as usize, 1 << 20];
        let mut control =
            Control { length: 0, level: 0, kind: 0, pid: 0, uid: 0, gid: 0, padding: 0 };
        let mut message = Message {
            name: 0,
            name_length: 0,
            iov: &raw const iov,
            iov_length: 1,
            control: &raw mut control,
            control_length: size_of::<Control>(),
            flags: 0,
        };
        let length = raw!(__NR_recvmsg, socket, &raw mut message as usize, 0);
        let named = control.level == SOL_SOCKET as i32 && control.kind == SCM_CREDENTIALS;
        (length.cast_signed(), if named { control.pid } else { 0 })
    }
}

/// Waits for the program, and records the processes that it left behind.
unsafe fn wait(program: usize, began: i64) {
    unsafe {
        let mut status = 0_u32;
        while raw!(__NR_wait4, program, &raw mut status as usize, 0, 0) != program {}
        let took = (now() - began).to_le();
        record(ENDED, status as i32, &raw const took as *const u8, 8);
        loop {
            let any = usize::MAX;
            let left = raw!(__NR_wait4, any, 0, WNOHANG, 0).cast_signed();
            if left == -ECHILD {
                return;
            }
            record(LEFT, left as i32, null(), 0);
            raw!(__NR_kill, program.wrapping_neg(), SIGKILL);
            pause();
        }
    }
}

/// Opens a file for writing.
unsafe fn device(path: &core::ffi::CStr) -> usize {
    let path = path.as_ptr() as usize;
    unsafe { must(raw!(__NR_openat, AT_FDCWD, path, O_WRONLY | CLOEXEC)) }
}

/// Makes a file in memory.
unsafe fn file() -> usize {
    unsafe { must(raw!(__NR_memfd_create, c"".as_ptr() as usize, MFD_CLOEXEC)) }
}

/// Both ends of a pipe. The end to read from is the first.
unsafe fn pipe() -> (usize, usize) {
    unsafe {
        let mut ends = [0_i32; 2];
        must(raw!(__NR_pipe2, &raw mut ends as usize, CLOEXEC));
        (ends[0] as usize, ends[1] as usize)
    }
}

/// Both ends of a socket that keeps writes apart and names their writers. The end to read from is the first.
unsafe fn socket() -> (usize, usize) {
    unsafe {
        let mut ends = [0_i32; 2];
        let kind = SOCK_SEQPACKET | CLOEXEC;
        must(raw!(__NR_socketpair, AF_UNIX, kind, 0, &raw mut ends as usize));
        let (ours, one) = (ends[0] as usize, 1_i32);
        let one = &raw const one as usize;
        must(raw!(__NR_setsockopt, ours, SOL_SOCKET, SO_PASSCRED as usize, one, 4));
        (ours, ends[1] as usize)
    }
}

/// The mode of a file, or minus the errno.
unsafe fn mode(path: *const u8) -> i32 {
    unsafe {
        let mut found = MaybeUninit::<[u64; 32]>::uninit(); // struct statx
        let (path, into) = (path as usize, found.as_mut_ptr() as usize);
        match raw!(__NR_statx, AT_FDCWD, path, 0, STATX_MODE, into) as i32 {
            0 => i32::from(*(found.as_ptr() as *const u16).add(14)),
            error => error,
        }
    }
}

/// Sleeps for [`PAUSE`].
unsafe fn pause() {
    unsafe { named(arch::NANOSLEEP, &arch::nanosleep_args(&raw const PAUSE as usize, 0)) };
}

/// Microseconds of the monotonic clock.
unsafe fn now() -> i64 {
    unsafe {
        let mut now = [0_i64; 2];
        must(named(arch::CLOCK_GETTIME, &[CLOCK_MONOTONIC, &raw mut now as usize]));
        now[0] * 1_000_000 + now[1] / 1000
    }
}

unsafe fn begins(bytes: *const u8, length: usize, beginning: &[u8]) -> bool {
    let mut rest = beginning.iter().enumerate();
    length >= beginning.len() && rest.all(|(i, &byte)| unsafe { *bytes.add(i) } == byte)
}

/// Writes a record.
unsafe fn record(kind: u8, number: i32, bytes: *const u8, length: usize) {
    #[repr(C, packed)]
    struct Head(u8, i32, u32);
    unsafe {
        let head = Head(kind, number.to_le(), (length as u32).to_le());
        write_all(&raw const head as *const u8, size_of::<Head>());
        write_all(bytes, length);
    }
}

unsafe fn write_all(mut bytes: *const u8, mut length: usize) {
    unsafe {
        while length > 0 {
            let written = must(raw!(__NR_write, 1, bytes as usize, length));
            bytes = bytes.add(written);
            length -= written;
        }
    }
}

/// The return value of a system call that must not fail.
fn must(returned: usize) -> usize {
    if is_error(returned) { exit(126) } else { returned }
}
