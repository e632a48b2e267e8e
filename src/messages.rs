//! Every text of the program, except the names of calls and the texts of errors. `{}` stands for the next
//! argument, `{p}` for the name of the process that prints the message.
#![allow(missing_docs)] // the texts say it

use crate::sys::CStrRef;

/// A text.
pub type Text = CStrRef<'static>;

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$doc])* pub const $name: Text = CStrRef::new($text);)*
    };
}

// The transcript: these lines are fixed.
texts! {
    CHILD_STARTED = c"{p}PID = {}\n";
    TARGET_ANNOUNCES = c"{}\n{p}about to make directory \"{}\"\n";
    TARGET_SUCCEEDED = c"{p}SUCCESS: mkdir(2) returned = {}\n";
    TARGET_FAILED = c"{p}mkdir: {}\n";
    TARGET_INTERRUPTED = c"{p}received signal\n";
    TARGET_ENDS = c"{}{p}terminating\n";
    TRACER_GOT = c"{p}got notification for PID {}; ID is {}\n{}";
    /// The delay line grows: its beginning with the first number, each further number, its end.
    TRACER_DELAYS = c"{p}delaying for {} seconds: {}";
    TRACER_COUNTS = c" {}";
    TRACER_DELAYED = c"\n";
    TRACER_MKDIR = c"{p}mkdir(\"{}\", {})\n";
    TRACER_WITHDRAWN = c"{p}notification ID check ({}): target has died!!!!!!!!!!!\n";
    TRACER_ENOENT = c"{p}response failed with ENOENT; perhaps target process's syscall was interrupted by signal?\n";
    TRACER_ENDS = c"{p}terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<\n";
    TARGET_HAS_ENDED = c"{p}target process has terminated\n{}";
    KILLING_TRACER = c"{p}killing tracer\n";
    /// When the ID was found to be no longer valid.
    PRE_DELAY = c"pre-delay";
    POST_DELAY = c"post-delay";
    POST_OPEN = c"post-open";
}

/// In the place of a text: none.
pub const EMPTY: Text = CStrRef::new(c"");

// Names.
texts! {
    PARENT = c"Parent: ";
    TARGET = c"Target process: ";
    TRACER = c"Tracer: ";
    THE_TARGET = c"target process";
    THE_TRACER = c"tracer";
    /// What failed, if it is no call.
    PATH = c"path";
}

// Failures.
texts! {
    FAILED = c"{p}{}: {}\n{}";
    CHILD_FAILED = c"{p}{} failed with status {}\n";
    CHILD_KILLED = c"{p}{} was killed by signal {}\n{}";
    OTHER_NAMESPACE = c"{p}parent in another PID namespace: unshare --pid needs --fork\n";
    ERRNO = c"errno {}";
    WRONG_ANSWERS = c"{p}{} wrong answers\n";
}

// Hints: why this system cannot do it.
texts! {
    HINT_CONTINUE = c"-c needs Linux 5.5\n";
    HINT_EMULATOR = c"no seccomp in this kernel, sandbox or emulator (qemu-user, valgrind)\n";
    HINT_KILLABLE = c"-w needs Linux 5.19\n";
    HINT_LISTENER = c"another supervisor already listens\n";
    HINT_MEMORY = c"forbidden by a sandbox or ptrace_scope\n";
    HINT_PROC = c"needs /proc\n";
    HINT_SANDBOX = c"a sandbox does not allow a call that this program needs\n";
    HINT_SECCOMP = c"needs Linux 5.0 with CONFIG_SECCOMP_FILTER\n";
    HINT_SIZES = c"this kernel's notifications are too long\n";
}

// The command line.
texts! {
    USAGE_ERROR = c"seccomp-notify-min: {}\nTry 'seccomp-notify-min --help' for more information.\n";
    INVALID_COUNT = c"invalid count: '{}' (1 to 4294967295)";
    INVALID_DELAY = c"invalid number of seconds: '{}' (0 to 4294967295)";
    INVALID_FILTER = c"invalid argument '{}' for -f (e or t)";
    INVALID_OPTION = c"invalid option -- '{}'";
    MISSING_OPERAND = c"missing operand";
    EXTRA_OPERAND = c"extra operand '{}'";
    MISSING_VALUE = c"option requires an argument -- '{}'";
    NOT_WITH_PROBE = c"option not allowed with -p -- '{}'";
    UNKNOWN_OPTION = c"unrecognized option '{}'";
    USAGE = c"\
usage: seccomp-notify-min [options] DIR...

Shows seccomp user notification: a target calls mkdir for each DIR, a tracer
answers, makes a DIR only below /tmp, and ends after /bye.

 -b COUNT       measure: make each call COUNT times
 -c             let a DIR elsewhere through to the kernel
 -d SECS        wait SECS seconds before each answer
 -f e, -f t     add a second filter: e fails the call, t traces it
 -K             wait for the tracer, do not kill it
 -p             probe what works here; takes no DIR
 -w             only a fatal signal interrupts the call
 -h, --help     print this help
 -V, --version  print the version

Exit status: 0 it ran, 1 an error, 77 not possible here
";
    VERSION = match core::ffi::CStr::from_bytes_with_nul(
        concat!("seccomp-notify-min ", env!("CARGO_PKG_VERSION"), "\n\0").as_bytes(),
    ) {
        Ok(text) => text,
        Err(_) => panic!("no NUL"),
    };
}

// The probe: these lines are fixed.
texts! {
    PROBE_SYSTEM = c"system:";
    PROBE_SYSTEM_NAME = c" {}";
    PROBE_YES = c"{}: yes\n";
    PROBE_NO = c"{}: no: {}: {}";
    PROBE_UNTRIED = c"{}: untried: {}\n";
    /// What is known of the reason ends the line, or nothing.
    PROBE_NEEDS_LINUX = c"; needs Linux {}.{}\n";
    PROBE_REASON = c"; {}";
    END_OF_LINE = c"\n";
    /// In the place of an error's text.
    PROBE_WRONG = c"wrong result";
    PROBE_KILLED = c"killed by signal 31";

    LISTENER = c"listener";
    RECEIVE = c"receive";
    ID_VALID = c"id-valid";
    SEND = c"send";
    CONTINUE = c"continue";
    ADD_FD = c"add-fd";
    ADD_FD_SEND = c"add-fd-send";
    THREAD_SYNC = c"thread-sync";
    WAIT_KILLABLE = c"wait-killable";
    SYNC_WAKE_UP = c"sync-wake-up";
    END_TOLD = c"end-told";
    PROCESS_VM_READV = c"process-vm-readv";
    PROC_MEM = c"proc-mem";
    PIDFD_GETFD = c"pidfd-getfd";
    PID_VISIBLE = c"pid-visible";
}

// The report of the measuring mode, as perf(1) prints its own.
texts! {
    MEASURED = c"# Executed {} system calls\n\n     Total time: {} [sec]\n\n {} usecs/op\n {} ops/sec\n";
}
