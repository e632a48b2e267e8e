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
//! | `{?}` | nothing, and the text ends here, if there is no string |
//! | `{+}` | at the end: the next text follows |
//!
//! The table is coded at compile time, by byte pairs: the most frequent pair of codes becomes one
//! code of its own, again and again, while a byte has values left for that (Gage, "A New Algorithm
//! for Data Compression", 1994). This is the program's one trick with texts; README.md tells what it
//! saves.

/// A text: where it begins in the coded table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text(pub u16);

impl Text {
    const fn at(place: usize) -> Self {
        Self(STARTS[place] as u16)
    }
}

/// Names each text once, and gives it a constant.
macro_rules! texts {
    (errors: $($(#[$doc:meta])* $name:ident = $text:expr;)*; output: $($(#[$out_doc:meta])* $out:ident = $out_text:expr;)*; calls: $($call:ident)*; untold: $($untold:ident)*; errnos: $($errno:literal $meaning:expr;)*) => {
        /// The texts' places in [`PLAIN`].
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, clippy::enum_variant_names)]
        enum Place { $($name,)* $($out,)* $($call,)* Errnos }

        /// All texts, in the order in which they stand in the coded table.
        pub const PLAIN: &[&str] = &[$($text,)* $($out_text,)* $(stringify!($call),)* $($meaning,)*];

        /// The errors with a text of their own, in the order of their texts.
        pub const ERRNOS: &[u16] = &[$($errno),*];

        $($(#[$doc])* pub const $name: Text = Text::at(Place::$name as usize);)*
        $($(#[$out_doc])* pub const $out: Text = Text::at(Place::$out as usize);)*

        /// The names of the system calls, for error lines.
        #[allow(non_upper_case_globals, missing_docs)]
        pub mod name {
            use super::{Place, Text};
            $(pub const $call: Text = Text::at(Place::$call as usize);)*
            // Calls whose failure makes no difference, or is told in other words.
            $(pub const $untold: Text = Text(0);)*
        }
    };
}

texts! {
    errors:

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
    ERRNO = "errno ";
    /// The path is longer than the kernel takes.
    PATH = "path";
    /// The notification is longer than the tracer's buffer.
    SIZES = "notification";
    /// The target's message came without its descriptor.
    NO_DESCRIPTOR = "descriptor";
    /// Where the memory is.
    MEMORY_FILE = "/proc/{d}/mem";

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
    HINT_SECCOMP = "needs Linux 5.0 with CONFIG_SECCOMP_FILTER, not forbidden by a sandbox\n";
    /// Why a second listener may not be had.
    HINT_LISTENER = "another supervisor already listens\n";
    /// Why `-w` may not be had.
    HINT_KILLABLE = "-w needs Linux 5.19\n";
    /// Why `-c` may not be had.
    HINT_CONTINUE = "-c needs Linux 5.5\n";
    /// Why the memory cannot be read.
    HINT_MEMORY = "forbidden by ptrace_scope or a sandbox\n";
    /// Why it can be read in no way.
    HINT_PROC = "needs /proc\n";

    // The command line.

    /// What is wrong with an option.
    UNKNOWN_OPTION = "bad option in";
    /// See [`UNKNOWN_OPTION`].
    MISSING_VALUE = "no value after";
    /// See [`UNKNOWN_OPTION`].
    BAD_VALUE = "bad value";
    /// What is wrong with the operands.
    NO_DIRECTORY = "no directory after";
    /// A usage error: what is wrong, and how to do it right.
    USAGE_ERROR = "seccomp-notify-min: {t} \"{s}\"\n{+}";

    ; output:

    // About the program.

    /// How to use it.
    USAGE = "\
usage: seccomp-notify-min [options] dir...
 -d secs: delay in the tracer
 -f e, -f t: second filter, errno or trace
 -K: tracer is not killed
 -w: only a fatal signal interrupts a call
 -c: permit paths outside /tmp
 -b count: make each call count times, measure
 -h, --help, -V, --version
";
    /// Which it is.
    VERSION = concat!("seccomp-notify-min ", env!("CARGO_PKG_VERSION"), "\n");

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
    /// A notification came; where there is a string, also what the target asked.
    TRACER_GOT = "Tracer: got notification for PID {d}; ID is {x}\n{?}{+}";
    /// What the target asked.
    TRACER_MKDIR = "Tracer: mkdir(\"{s}\", {o})\n";
    /// The delay line, as far as its first number.
    TRACER_DELAYS = "Tracer: delaying for {d} seconds:{+}";
    /// Each further number of it.
    TRACER_COUNTS = " {d}";
    /// Its end.
    TRACER_DELAYED = "\n";
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

    ; calls:
        clock_gettime clone close fork getpid getppid ioctl kill mmap nanosleep openat ppoll prctl pread64
        process_vm_readv recvmsg rt_sigaction rt_sigprocmask seccomp sendmsg setitimer socketpair wait4 write
    ; untold:
        exit_group mkdir mkdirat munmap readlinkat

    // glibc's wording (strerror(3)) for every error that the calls above can return according to
    // their manual pages.
    ; errnos:
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

/// The texts from here on belong on the standard output, those before it on the standard error output.
pub const FIRST_OUTPUT: Text = USAGE;

/// The directives' codes begin here. The newline and all that is printed stay clear of them.
pub const FIRST_DIRECTIVE: u8 = b'\n' + 1;

/// The directives, counted from [`FIRST_DIRECTIVE`] on.
pub mod directive {
    /// The string.
    pub const STRING: u32 = 0;
    /// The text ends. The code is no errno.
    pub const END: u32 = 4;
    /// The next number, in decimal.
    pub const DECIMAL: u32 = 1;
    /// The next number is a text.
    pub const TEXT: u32 = 2;
    /// The next number is an errno.
    pub const ERRNO: u32 = 5;
    /// From here on, numbers whose base is a power of two: so many bits a digit. Those before this
    /// that are nothing else are numbers in decimal, at least so wide.
    pub const POWERS: u32 = 16;
    /// The text ends here unless there is a string.
    pub const IF_STRING: u32 = 8;
    /// The last one.
    pub const LAST: u8 = POWERS as u8 + 4;

    /// How they are written, and what they are.
    pub(super) const WRITTEN: [(&str, u8); 11] = [
        ("d}", DECIMAL as u8),
        ("03}", 3),
        ("06}", 6),
        ("7}", 7),
        ("14}", 14),
        ("o}", POWERS as u8 + 3),
        ("x}", POWERS as u8 + 4),
        ("s}", STRING as u8),
        ("t}", TEXT as u8),
        ("e}", ERRNO as u8),
        ("?}", IF_STRING as u8),
    ];
}

/// The codes that stand for pairs begin here, behind all that is printed. They go on after 255 with 0,
/// up to the newline.
pub const FIRST_PAIR: u8 = b'z' + 1;
const MAX_PAIRS: usize = 256 - FIRST_PAIR as usize + b'\n' as usize;
/// The code at the end of a text, which no pair contains where errnos are.
pub const END: u8 = FIRST_DIRECTIVE + directive::END as u8;
/// Stands where no pair may be, until the table is done.
const BREAK: u16 = 256;
/// Room for all texts before they are coded.
const ROOM: usize = 4096;

/// The texts on their way into the table: at first one code a character or directive, then, pair by
/// pair, shorter.
struct Coding {
    codes: [u16; ROOM],
    length: usize,
    pairs: [[u16; 2]; MAX_PAIRS],
    count: usize,
}

impl Coding {
    const fn push(&mut self, code: u16) {
        self.codes[self.length] = code;
        self.length += 1;
    }

    /// Puts in all texts, their directives as codes, each with its end and a break. The last ones
    /// belong to `errnos`, which stand before them; that place is found by the ends, so no pair may
    /// contain them.
    const fn of(texts: &[&str], errnos: &[u16]) -> Self {
        let mut coding = Self { codes: [0; ROOM], length: 0, pairs: [[0; 2]; MAX_PAIRS], count: 0 };
        let others = texts.len() - errnos.len();
        let mut t = 0;
        while t < texts.len() {
            if t >= others {
                assert!(errnos[t - others] != END as u16);
                coding.push(errnos[t - others]);
                coding.push(BREAK);
            }
            let text = texts[t].as_bytes();
            let (mut i, mut goes_on) = (0, false);
            while i < text.len() {
                if text[i] == b'{' && text[i + 1] == b'+' {
                    goes_on = true;
                    i += 2;
                } else if text[i] == b'{' {
                    let (written, directive) = directive_at(text, i + 1);
                    coding.push((FIRST_DIRECTIVE + directive) as u16);
                    i += written.len();
                } else {
                    assert!(text[i] == b'\n' || text[i] >= b' ' && text[i] < FIRST_PAIR);
                    coding.push(text[i] as u16);
                }
                i += 1;
            }
            if t + 1 >= others {
                coding.push(BREAK);
            }
            if !goes_on {
                coding.push(END as u16);
            }
            coding.push(BREAK);
            t += 1;
        }
        coding
    }

    /// Replaces the most frequent pair by a code of its own, until none is frequent enough to pay
    /// for its two bytes in the table of pairs.
    #[allow(clippy::large_stack_arrays)] // the compiler's
    const fn pair_up(mut self) -> Self {
        let mut counts = [[0_u8; 256]; 256];
        while self.count < MAX_PAIRS {
            // Count every pair, the best one on the way.
            let (mut best, mut pair) = (0, [0; 2]);
            let mut i = 1;
            while i < self.length {
                let [left, right] = [self.codes[i - 1], self.codes[i]];
                if left != BREAK && right != BREAK {
                    let count = &mut counts[left as usize][right as usize];
                    *count = count.saturating_add(1);
                    if *count > best {
                        (best, pair) = (*count, [left, right]);
                    }
                }
                i += 1;
            }
            if best < 3 {
                break;
            }
            // Forget the counts, for the next round.
            counts = [[0; 256]; 256];
            // Replace.
            let code = FIRST_PAIR.wrapping_add(self.count as u8) as u16;
            let (mut from, mut to) = (0, 0);
            while from < self.length {
                let found = self.codes[from] == pair[0] && self.codes[from + 1] == pair[1];
                self.codes[to] = if found { code } else { self.codes[from] };
                from += 1 + found as usize;
                to += 1;
            }
            self.length = to;
            self.pairs[self.count] = pair;
            self.count += 1;
        }
        self
    }

    /// Where the texts begin in the table, which has no breaks any more.
    const fn starts<const N: usize>(&self) -> [usize; N] {
        let mut starts = [0; N];
        let mut text = 0;
        let mut i = 0;
        let mut at = 0;
        while text + 1 < N {
            if self.codes[i] == BREAK {
                text += 1;
                starts[text] = at;
            } else {
                at += 1;
            }
            i += 1;
        }
        starts
    }

    const fn table_length(&self) -> usize {
        let mut length = 0;
        let mut i = 0;
        while i < self.length {
            length += (self.codes[i] != BREAK) as usize;
            i += 1;
        }
        length
    }

    const fn table<const N: usize>(&self) -> [u8; N] {
        let mut table = [0; N];
        let (mut from, mut to) = (0, 0);
        while to < N {
            if self.codes[from] != BREAK {
                table[to] = self.codes[from] as u8;
                to += 1;
            }
            from += 1;
        }
        table
    }

    const fn pairs<const N: usize>(&self) -> [[u8; 2]; N] {
        let mut pairs = [[0; 2]; N];
        let mut i = 0;
        while i < N {
            let [left, right] = self.pairs[i];
            pairs[i] = [left as u8, right as u8];
            i += 1;
        }
        pairs
    }
}

/// The directive that is written in `text` from `at` on, behind the brace.
const fn directive_at(text: &[u8], at: usize) -> (&'static str, u8) {
    let mut i = 0;
    while i < directive::WRITTEN.len() {
        let (written, code) = directive::WRITTEN[i];
        let bytes = written.as_bytes();
        let mut j = 0;
        while j < bytes.len() && text[at + j] == bytes[j] {
            j += 1;
        }
        if j == bytes.len() {
            return (written, code);
        }
        i += 1;
    }
    panic!("no such directive")
}

#[allow(long_running_const_eval)] // a second or so, once a build
const CODED: &Coding = &Coding::of(PLAIN, ERRNOS).pair_up();
const STARTS: [usize; Place::Errnos as usize + 1] = CODED.starts();

/// Where the texts begin in [`TABLE`], in the order of [`PLAIN`]; the last is where the first error's
/// text does.
#[must_use]
pub fn starts() -> &'static [usize] {
    &STARTS
}

/// The coded texts.
pub static TABLE: [u8; CODED.table_length()] = CODED.table();
/// What the codes from [`FIRST_PAIR`] on stand for.
pub static PAIRS: [[u8; 2]; CODED.count] = CODED.pairs();
/// The end of the table, where the errnos and their texts are, from the end before the first one on.
pub static ERRORS: &[u8] = TABLE.split_at(STARTS[Place::Errnos as usize] - 1).1;
