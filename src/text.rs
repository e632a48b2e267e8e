//! Every text of the program, in plain here and coded in the image.
//!
//! A text is written with directives in braces, which [`crate::print`] fills in:
//!
//! | directive | what it becomes |
//! | --- | --- |
//! | `{d}` `{x}` `{o}` | the next number in decimal, hexadecimal, octal |
//! | `{03}` `{06}` `{7}` `{14}` | the same in decimal, to that width, with zeroes or blanks before it |
//! | `{s}` | the string, its control bytes escaped |
//! | `{t}` | the next number as a [`Text`] |
//! | `{e}` | the next number as an errno's text |
//!
//! The table is coded at compile time, by byte pairs: the most frequent pair of bytes becomes one
//! byte from 0x80 on, again and again (Gage, "A New Algorithm for Data Compression", 1994). This is
//! the program's one trick with texts; README.md tells what it saves.

/// A text: where it begins in the coded table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text(pub u16);

/// Names each text once, and gives it a constant.
macro_rules! texts {
    (output: $($(#[$out_doc:meta])* $out:ident = $out_text:expr;)*; errors: $($(#[$doc:meta])* $name:ident = $text:expr;)*; calls: $($call:ident)*; errnos: $($errno:literal $meaning:expr;)*) => {
        /// The texts' places in [`PLAIN`].
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, clippy::enum_variant_names)]
        enum Place { $($out,)* FirstError, $($name,)* $($call,)* Errnos }

        /// All texts, in the order in which they stand in the coded table.
        const PLAIN: &[&str] = &[$($out_text,)* "", $($text,)* $(stringify!($call),)* $($meaning,)*];

        /// The errors with a text of their own, in the order of their texts.
        pub static ERRNOS: &[u8] = &[$($errno),*];

        $($(#[$out_doc])* pub const $out: Text = CODED.text(Place::$out as usize);)*

        /// The texts from here on belong on the standard error output, those before it on the
        /// standard output.
        pub const FIRST_ERROR: Text = CODED.text(Place::FirstError as usize);

        $($(#[$doc])* pub const $name: Text = CODED.text(Place::$name as usize);)*

        /// The texts of [`ERRNOS`] follow one another from here.
        pub const ERRORS: Text = CODED.text(Place::Errnos as usize);

        /// The names of the system calls, for error lines.
        #[allow(non_upper_case_globals, missing_docs)]
        pub mod name {
            use super::{CODED, Place, Text};
            $(pub const $call: Text = CODED.text(Place::$call as usize);)*
        }
    };
}

texts! {
    output:

    // The transcript.

    /// A child's first line: who, and its PID.
    PID = "{t}PID = {d}\n";
    /// Before each call.
    TARGET_ANNOUNCES = "\nTarget process: about to make directory \"{s}\"\n";
    /// After a call that succeeded; what comes next belongs to the same write.
    TARGET_SUCCESS = "Target process: SUCCESS: mkdir(2) returned = {d}\n{t}";
    /// From the handler of SIGINT.
    TARGET_SIGNAL = "Target process: received signal\n";
    /// The target's last line.
    TARGET_ENDS = "Target process: terminating\n";
    /// A notification came.
    TRACER_GOT = "Tracer: got notification for PID {d}; ID is {x}\n";
    /// The delay line, as far as its first number.
    TRACER_DELAYS = "Tracer: delaying for {d} seconds: {d}";
    /// Each further number of it.
    TRACER_COUNTS = " {d}";
    /// Its end.
    TRACER_DELAYED = "\n";
    /// What the target asked.
    TRACER_MKDIR = "Tracer: mkdir(\"{s}\", {o})\n";
    /// Both in one.
    TRACER_GOT_MKDIR = "Tracer: got notification for PID {d}; ID is {x}\nTracer: mkdir(\"{s}\", {o})\n";
    /// The call went away.
    TRACER_ENOENT = "Tracer: response failed with ENOENT; perhaps target process's syscall was interrupted by signal?\n";
    /// The farewell.
    TRACER_ENDS = "Tracer: terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<\n";
    /// The target has ended.
    PARENT_TARGET_ENDED = "Parent: target process has terminated\n";
    /// The same, and the tracer follows.
    PARENT_KILLS = "Parent: target process has terminated\nParent: killing tracer\n";

    // The measuring mode's report, in the form of `perf bench sched seccomp-notify`.

    /// The whole report: calls, seconds and milliseconds, microseconds and picoseconds an operation,
    /// operations a second.
    MEASURED = "# Executed {d} system calls\n\n     Total time: {d}.{03} [sec]\n\n {7}.{06} usecs/op\n {14} ops/sec\n";

    // About the program.

    /// How to use it.
    USAGE = "\
usage: seccomp-notify-min [options] <dir> <dir>...
  -d <secs>   the tracer waits before it looks into the target
  -f e|t      second filter for mkdir: e errno, t trace
  -K          wait for the tracer instead of killing it
  -w          once received, only a fatal signal ends a call
  -c          let paths outside /tmp through
  -b <count>  make each call count times and measure
  -h, --help  -V, --version
";
    /// Which it is.
    VERSION = concat!("seccomp-notify-min ", env!("CARGO_PKG_VERSION"), "\n");

    ; errors:

    // The transcript.

    /// After one that failed.
    TARGET_FAILURE = "Target process: mkdir: {e}\n";
    /// A notification's ID is no longer valid.
    TRACER_DIED = "Tracer: notification ID check ({t}): target has died!!!!!!!!!!!\n";

    // Failures.

    /// A call failed: who, which, why.
    FAILED = "{t}{t}: {e}\n";
    /// A child did not end as it should.
    PARENT_FAILED = "Parent: {t} failed with status {d}\n";
    /// A child did not end by itself.
    PARENT_KILLED = "Parent: {t} was killed by signal {d}\n";
    /// Answers that should not have come.
    WRONG = "Target process: {d} wrong answers\n";
    /// Why seccomp may not be had.
    HINT_SECCOMP = "user notification needs Linux 5.0 with CONFIG_SECCOMP_FILTER, and a sandbox that allows it\n";
    /// Why a second listener may not be had.
    HINT_LISTENER = "another supervisor already listens to this process\n";
    /// Why `-w` may not be had.
    HINT_KILLABLE = "-w needs Linux 5.19\n";
    /// Why `-c` may not be had.
    HINT_CONTINUE = "-c needs Linux 5.5\n";
    /// Why the memory cannot be read.
    HINT_MEMORY = "Yama's ptrace_scope or a sandbox keeps the tracer from the target's memory\n";
    /// Why it can be read in no way.
    HINT_PROC = "/proc is not mounted, and needed here\n";

    // The command line.

    /// A usage error: what is wrong, and how to do it right.
    USAGE_ERROR = "seccomp-notify-min: {t}\n{t}";
    /// What is wrong with an option.
    UNKNOWN_OPTION = "unknown option in \"{s}\"";
    /// See [`UNKNOWN_OPTION`].
    MISSING_VALUE = "no value after \"{s}\"";
    /// What is wrong with a value.
    BAD_DELAY = "-d takes a whole number of seconds, not \"{s}\"";
    /// See [`BAD_DELAY`].
    BAD_SECOND = "-f takes e or t, not \"{s}\"";
    /// See [`BAD_DELAY`].
    BAD_COUNT = "-b takes a number of calls, at least 1, not \"{s}\"";
    /// What is wrong with the operands.
    NO_DIRECTORY = "no directory given";

    // Parts of other texts.

    /// Who speaks.
    TARGET = "Target process: ";
    /// Who speaks.
    TRACER = "Tracer: ";
    /// Who speaks.
    PARENT = "Parent: ";
    /// Whom the parent speaks about.
    THE_TARGET = "target process";
    /// Whom the parent speaks about.
    THE_TRACER = "tracer";
    /// When it was found out.
    PRE_DELAY = "pre-delay";
    /// When it was found out.
    POST_DELAY = "post-delay";
    /// When it was found out.
    POST_OPEN = "post-open";
    /// An error without a text of its own.
    ERRNO = "errno {d}";
    /// The path is longer than the kernel takes.
    PATH = "path";
    /// The notification is longer than the tracer's buffer.
    SIZES = "notification";
    /// The target's message came without its descriptor.
    NO_DESCRIPTOR = "descriptor";
    /// Where the memory is.
    MEMORY_FILE = "/proc/{d}/mem";

    ; calls:
        clock_gettime clone close exit_group fork getpid getppid ioctl kill mkdir mkdirat mmap munmap
        nanosleep openat ppoll prctl pread64 process_vm_readv readlinkat recvmsg rt_sigaction
        rt_sigprocmask seccomp sendmsg setitimer socketpair wait4 write
    ;

    // glibc's wording (strerror(3)) for every error that the calls above can return according to
    // their manual pages.
    errnos:
        1 "Operation not permitted";
        2 "No such file or directory";
        3 "No such process";
        4 "Interrupted system call";
        5 "Input/output error";
        6 "No such device or address";
        7 "Argument list too long";
        9 "Bad file descriptor";
        10 "No child processes";
        11 "Resource temporarily unavailable";
        12 "Cannot allocate memory";
        13 "Permission denied";
        14 "Bad address";
        16 "Device or resource busy";
        17 "File exists";
        19 "No such device";
        20 "Not a directory";
        21 "Is a directory";
        22 "Invalid argument";
        23 "Too many open files in system";
        24 "Too many open files";
        25 "Inappropriate ioctl for device";
        26 "Text file busy";
        27 "File too large";
        28 "No space left on device";
        29 "Illegal seek";
        30 "Read-only file system";
        31 "Too many links";
        32 "Broken pipe";
        36 "File name too long";
        38 "Function not implemented";
        40 "Too many levels of symbolic links";
        75 "Value too large for defined data type";
        88 "Socket operation on non-socket";
        89 "Destination address required";
        90 "Message too long";
        91 "Protocol wrong type for socket";
        93 "Protocol not supported";
        95 "Operation not supported";
        97 "Address family not supported by protocol";
        104 "Connection reset by peer";
        105 "No buffer space available";
        106 "Transport endpoint is already connected";
        107 "Transport endpoint is not connected";
        109 "Too many references: cannot splice";
        111 "Connection refused";
        115 "Operation now in progress";
        122 "Disk quota exceeded";
        125 "Operation canceled";
}

/// The directives' codes. `\n` (10) is none of them.
pub mod directive {
    /// The formats of a number, from 1 on: base as bits a digit (0: ten), width, what fills it.
    pub static NUMBERS: [(u8, u8, u8); 7] = [
        (0, 1, b' '),
        (4, 1, b' '),
        (3, 1, b' '),
        (0, 3, b'0'),
        (0, 6, b'0'),
        (0, 7, b' '),
        (0, 14, b' '),
    ];
    /// The string.
    pub const STRING: u8 = 8;
    /// A text.
    pub const TEXT: u8 = 9;
    /// An errno's text.
    pub const ERRNO: u8 = 11;
    /// As they are written, from code 1 on.
    pub(super) const WRITTEN: [&str; 11] =
        ["d}", "x}", "o}", "03}", "06}", "7}", "14}", "s}", "t}", "\n", "e}"];
}

/// The bytes that stand for pairs begin here.
pub const FIRST_PAIR: u8 = 0x80;
const MAX_PAIRS: usize = 128;
/// Room for all texts before they are coded.
const ROOM: usize = 4096;

/// The texts on their way into the table: at first one byte a character or directive, each text with
/// a NUL behind it; then, pair by pair, shorter.
struct Coding {
    bytes: [u8; ROOM],
    length: usize,
    pairs: [[u8; 2]; MAX_PAIRS],
    count: usize,
}

impl Coding {
    const fn push(mut self, byte: u8) -> Self {
        self.bytes[self.length] = byte;
        self.length += 1;
        self
    }

    /// Puts in all texts, their directives as codes.
    const fn of(texts: &[&str]) -> Self {
        let mut coding = Self { bytes: [0; ROOM], length: 0, pairs: [[0; 2]; MAX_PAIRS], count: 0 };
        let mut t = 0;
        while t < texts.len() {
            let text = texts[t].as_bytes();
            let mut i = 0;
            while i < text.len() {
                if text[i] == b'{' {
                    let code = directive_at(text, i + 1);
                    coding = coding.push(code);
                    i += directive::WRITTEN[code as usize - 1].len();
                } else {
                    assert!(text[i] == b'\n' || text[i] >= b' ' && text[i] < FIRST_PAIR);
                    coding = coding.push(text[i]);
                }
                i += 1;
            }
            coding = coding.push(0);
            t += 1;
        }
        coding
    }

    /// Replaces the most frequent pair by a byte of its own, until none is frequent enough to pay
    /// for its two bytes in the table of pairs.
    const fn pair_up(mut self) -> Self {
        let mut counts = [[0_u8; 256]; 256];
        while self.count < MAX_PAIRS {
            // Count every pair, the best one on the way.
            let (mut best, mut pair) = (0, [0; 2]);
            let mut i = 1;
            while i < self.length {
                let [left, right] = [self.bytes[i - 1], self.bytes[i]];
                if left != 0 && right != 0 {
                    let count = &mut counts[left as usize][right as usize];
                    *count = count.saturating_add(1);
                    if *count > best {
                        (best, pair) = (*count, [left, right]);
                    }
                }
                i += 1;
            }
            if best < 4 {
                break;
            }
            // Forget the counts, for the next round.
            i = 1;
            while i < self.length {
                counts[self.bytes[i - 1] as usize][self.bytes[i] as usize] = 0;
                i += 1;
            }
            // Replace.
            let (mut from, mut to) = (0, 0);
            while from < self.length {
                if self.bytes[from] == pair[0] && self.bytes[from + 1] == pair[1] {
                    self.bytes[to] = FIRST_PAIR + self.count as u8;
                    from += 2;
                } else {
                    self.bytes[to] = self.bytes[from];
                    from += 1;
                }
                to += 1;
            }
            self.length = to;
            self.pairs[self.count] = pair;
            self.count += 1;
        }
        self
    }

    /// The text at `place`: behind that many NULs.
    const fn text(&self, place: usize) -> Text {
        let (mut at, mut nuls) = (0, 0);
        while nuls < place {
            nuls += (self.bytes[at] == 0) as usize;
            at += 1;
        }
        Text(at as u16)
    }
}

/// The code of the directive that is written in `text` from `at` on, behind the brace.
const fn directive_at(text: &[u8], at: usize) -> u8 {
    let mut code = 1;
    while code <= directive::WRITTEN.len() {
        let written = directive::WRITTEN[code - 1].as_bytes();
        let mut i = 0;
        while i < written.len() && text[at + i] == written[i] {
            i += 1;
        }
        if i == written.len() {
            return code as u8;
        }
        code += 1;
    }
    panic!("no such directive")
}

#[allow(long_running_const_eval)] // a second or so, once a build
const CODED: &Coding = &Coding::of(PLAIN).pair_up();

/// The first `N` elements of `all`.
const fn first<T: Copy, const N: usize>(all: &[T]) -> [T; N] {
    let mut these = [all[0]; N];
    let mut i = 0;
    while i < N {
        these[i] = all[i];
        i += 1;
    }
    these
}

/// The coded texts, a NUL behind each.
pub static TABLE: [u8; CODED.length] = first(&CODED.bytes);
/// What the bytes from [`FIRST_PAIR`] on stand for.
pub static PAIRS: [[u8; 2]; CODED.count] = first(&CODED.pairs);
