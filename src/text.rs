//! Every text of the program, in plain here and coded in the image.
//!
//! A text is written with directives in braces, which [`crate::print`] fills in:
//!
//! | directive | what it becomes |
//! | --- | --- |
//! | `{d}` `{x}` `{o}` | the next number in decimal, hexadecimal, octal |
//! | `{.3}` | the same in decimal, with a point before the last three digits |
//! | `{14}` `{14.6}` | the same, or with a point before the last six, blanks before it up to 14 places |
//! | `{p}` | the name of the process that speaks |
//! | `{s}` | the string, its control bytes escaped |
//! | `{t}` | the next number as a [`Text`] |
//! | `{e}` | the next number as an errno's text; it stays the next number for one that has none |
//! | `{+}` | at the end: the next text follows |
//! | `{=}` | at the beginning: printed so often that its longer stretches are not coded, but runs, for speed |
//!
//! The table is coded at compile time, by byte pairs: the most frequent pair of codes becomes one
//! code of its own, again and again, while a byte has values left for that (Gage, "A New Algorithm
//! for Data Compression", 1994).

use crate::sys::{Codes, Table};

/// A text: where it begins in the coded table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text(pub u32);

/// The text that is empty: the end of another.
pub const NOTHING: Text = Text(TRACER.0 - 1);

/// In the place of what is wrong: nothing. No text of that kind begins here.
pub const FINE: Text = Text(0);

impl Text {
    const fn at(place: usize) -> Self {
        Self(STARTS[place] as u32)
    }

    /// Its codes, up to its end or further, up to a NUL.
    #[inline(always)]
    #[must_use]
    pub fn codes(self) -> Codes {
        TABLE.codes(self.0 as usize)
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
    TARGET = "{=}Target process: ";
    /// Who speaks.
    TRACER = "{=}Tracer: ";
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
    UNKNOWN_ERRNO = "errno {d}";
    /// Before the two digits of a byte that is not shown as it is.
    ESCAPE = "\\x";
    /// The path cannot be read, or is longer than the kernel takes.
    PATH = "path";
    /// The notification is longer than the tracer's buffer.
    SIZES = "notification";
    /// The target's message came without its descriptor.
    NO_DESCRIPTOR = "descriptor";

    // Failures that the process tells of. When such a line cannot be printed, nothing can be.

    /// Why seccomp may not be had.
    HINT_SECCOMP = "needs Linux 5.0 with CONFIG_SECCOMP_FILTER, not forbidden by a sandbox\n";
    /// Why a second listener may not be had.
    HINT_LISTENER = "another supervisor already listens\n";
    /// Why `-w` may not be had.
    HINT_KILLABLE = "-w needs Linux 5.19\n";
    /// Why `-c` may not be had.
    HINT_CONTINUE = "-c needs Linux 5.5\n";
    /// Why the memory cannot be read.
    HINT_MEMORY = "forbidden by a sandbox or ptrace_scope\n";
    /// Why a child's parent is nowhere.
    HINT_NAMESPACE = "parent in another PID namespace\n";
    /// Why the memory can be read in no way.
    HINT_PROC = "needs /proc\n";
    /// A call failed: who, which, why; and a hint, or nothing.
    FAILED = "{p}{t}: {e}\n{t}";

    // The transcript.

    /// After one that failed.
    TARGET_FAILURE = "{=}{p}mkdir: {e}\n";
    /// A notification's ID is no longer valid.
    TRACER_DIED = "{p}notification ID check ({t}): target has died!!!!!!!!!!!\n";

    // Failures.

    /// A child did not end as it should.
    PARENT_FAILED = "{p}{t} failed with status {d}\n";
    /// A child did not end by itself.
    PARENT_KILLED = "{p}{t} was killed by signal {d}\n";
    /// Answers that should not have come.
    WRONG = "{p}{d} wrong answers\n";

    // The command line.

    /// What is wrong with an option.
    UNKNOWN_OPTION = "bad option in";
    /// See [`UNKNOWN_OPTION`].
    MISSING_VALUE = "no value after";
    /// See [`UNKNOWN_OPTION`].
    BAD_FILTER = "-f takes e or t, not";
    /// See [`UNKNOWN_OPTION`].
    BAD_DELAY = "-d takes seconds, not";
    /// See [`UNKNOWN_OPTION`].
    BAD_COUNT = "-b takes a count, not";
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
    PID = "{p}PID = {d}\n";
    /// Before each call.
    TARGET_ANNOUNCES = "{=}\n{p}about to make directory \"{s}\"\n";
    /// After a call that succeeded.
    TARGET_SUCCESS = "{p}SUCCESS: mkdir(2) returned = {d}\n";
    /// What came of a call and what comes next, texts both; the first may take a number of its own before the second.
    TARGET_GOES_ON = "{t}{t}";
    /// From the handler of SIGINT.
    TARGET_SIGNAL = "{p}received signal\n";
    /// The target's last line.
    TARGET_ENDS = "{p}terminating\n";
    /// A notification came. What comes next belongs to the same write.
    TRACER_GOT = "{=}{p}got notification for PID {d}; ID is {x}\n{t}";
    /// What the target asked.
    TRACER_MKDIR = "{=}{p}mkdir(\"{s}\", {o})\n";
    /// The delay line, as far as its first number.
    TRACER_DELAYS = "{p}delaying for {d} seconds:{+}";
    /// Each further number of it.
    TRACER_COUNTS = " {d}";
    /// Its end.
    TRACER_DELAYED = "\n";
    /// The call went away.
    TRACER_ENOENT = "{p}response failed with ENOENT; perhaps target process's syscall was interrupted by signal?\n";
    /// The farewell.
    TRACER_ENDS = "{p}terminating <<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<\n";
    /// The target has ended, and what comes next.
    PARENT_TARGET_ENDED = "{p}target process has terminated\n{t}";
    /// The tracer follows.
    PARENT_KILLS = "{p}killing tracer\n";

    // The measuring mode's report, in the form of `perf bench sched seccomp-notify`.

    /// The whole report: calls, seconds and milliseconds, microseconds and picoseconds an operation,
    /// operations a second.
    MEASURED = "# Executed {d} system calls\n\n     Total time: {.3} [sec]\n\n {14.6} usecs/op\n {14} ops/sec\n";

    ; calls:
        clock_gettime clone close fork getpid getppid ioctl kill mmap nanosleep openat ppoll prctl pread64
        process_vm_readv recvmsg rt_sigaction rt_sigprocmask seccomp sendmsg setitimer socketpair wait4 write
    ; untold:
        exit_group fcntl mkdir mkdirat munmap readlinkat

    // glibc's wording (strerror(3)) for every error that the calls above can return according to
    // their manual pages.
    ; errnos:
        1 "{=}Operation not permitted";
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
    /// The next number in decimal. What is added to this is a third of the number of digits behind a
    /// point, and whether it is [`WIDE`].
    pub const DECIMAL: u32 = 0;
    /// The bits that count those digits.
    pub const POINT: u32 = 3;
    /// Blanks stand before the number, up to [`WIDTH`].
    pub const WIDE: u32 = 4;
    /// The places of a number that is [`WIDE`], its point included.
    pub const WIDTH: u32 = 14;
    /// The next number in octal.
    pub const OCTAL: u32 = 8;
    /// The next number in hexadecimal.
    pub const HEXADECIMAL: u32 = 16;
    /// The next number is a text.
    pub const TEXT: u32 = 2;
    /// The next number is an errno.
    pub const ERRNO: u32 = 3;
    /// The string.
    pub const STRING: u32 = 5;
    /// The name of the process that speaks.
    pub const PROCESS: u32 = 7;
    /// A [`RUN`](super::RUN).
    pub const RUN: u32 = 9;
    /// The last one.
    pub const LAST: u32 = HEXADECIMAL;

    /// How they are written, and what they are.
    pub(super) const WRITTEN: [(&str, u32); 10] = [
        ("d}", DECIMAL),
        (".3}", DECIMAL + 1),
        ("14}", DECIMAL + WIDE),
        ("14.6}", DECIMAL + WIDE + 2),
        ("o}", OCTAL),
        ("x}", HEXADECIMAL),
        ("s}", STRING),
        ("t}", TEXT),
        ("e}", ERRNO),
        ("p}", PROCESS),
    ];
}

/// A run begins: its length, counted from [`RUN_LENGTH`] on, and its bytes, which stand for themselves.
pub const RUN: u8 = FIRST_DIRECTIVE + directive::RUN as u8;
/// What a run's length in bytes is added to: a multiple of [`RUN_ROOM`], so that the length is what is left of it by
/// that, and far from the codes that end a text, lest who looks for these take it for one.
pub const RUN_LENGTH: u8 = b' ';
/// A run is shorter than this, in bytes.
pub const RUN_ROOM: usize = 32;
/// What is shorter than this is no run, in bytes: a run begins with two more.
const RUN_LEAST: usize = 3;

/// The codes that stand for pairs begin here, behind all that is printed.
pub const FIRST_PAIR: u8 = b'z' + 1;
const MAX_PAIRS: usize = 256 - FIRST_PAIR as usize;
/// A text ends at a code up to this one, at which it ends with a newline. The codes between it and 0
/// say besides, at the end of an error's text, by how much the next error's number is greater. No
/// pair contains any of them.
pub const LAST_END: u8 = b'\n' - 1;
/// This one of them is followed by no text, but by another: the numbers are further apart.
pub const FILLER: u8 = LAST_END - 1;
const END: u16 = 0;
/// Stands where no pair may be, until the table is done.
const GAP: u16 = 256;
/// The same between two texts.
const BREAK: u16 = 257;
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

    /// Puts in a byte that stands for itself.
    const fn push_byte(&mut self, byte: u8) {
        assert!(byte == b'\n' || byte >= b' ' && byte < FIRST_PAIR);
        self.push(byte as u16);
    }

    /// Puts in a text, its directives as codes. Returns whether it goes on in the next one.
    const fn push_text(&mut self, text: &[u8]) -> bool {
        let (mut i, mut goes_on, mut is_plain) = (0, false, false);
        while i < text.len() {
            if text[i] == b'{' && text[i + 1] == b'+' {
                goes_on = true;
                i += 3;
            } else if text[i] == b'{' && text[i + 1] == b'=' {
                is_plain = true;
                i += 3;
            } else if text[i] == b'{' {
                let (written, directive) = directive_at(text, i + 1);
                self.push(FIRST_DIRECTIVE as u16 + directive as u16);
                i += written.len() + 1;
            } else {
                let length = if is_plain { run_at(text, i) } else { 0 };
                if length >= RUN_LEAST {
                    self.push_run(text, i, length);
                    i += length;
                } else {
                    self.push_byte(text[i]);
                    i += 1;
                }
            }
        }
        goes_on
    }

    /// Puts in the run of `length` bytes that begins at `at` in `text`; no pair contains any of it.
    const fn push_run(&mut self, text: &[u8], at: usize, length: usize) {
        assert!(length < RUN_ROOM && RUN_LENGTH > LAST_END);
        assert!((RUN_LENGTH as usize).is_multiple_of(RUN_ROOM));
        self.push(GAP);
        self.push(RUN as u16);
        self.push(GAP);
        self.push(RUN_LENGTH as u16 + length as u16);
        self.push(GAP);
        let mut i = at;
        while i < at + length {
            self.push_byte(text[i]);
            self.push(GAP);
            i += 1;
        }
    }

    /// Puts in all texts, their directives as codes, each with its end and a break. The last ones
    /// belong to `errnos`, which are counted up by the ends before them.
    const fn of(texts: &[&str], errnos: &[u16]) -> Self {
        let mut coding = Self { codes: [0; ROOM], length: 0, pairs: [[0; 2]; MAX_PAIRS], count: 0 };
        let others = texts.len() - errnos.len();
        let mut t = 0;
        while t < texts.len() {
            if t >= others {
                let mut step =
                    errnos[t - others] - if t > others { errnos[t - others - 1] } else { 0 };
                // Large gaps are filled.
                while step >= FILLER as u16 {
                    coding.push(FILLER as u16);
                    step -= FILLER as u16;
                }
                assert!(step > 0, "the errors are in the order of their numbers");
                coding.push(step);
            }
            let text = texts[t].as_bytes();
            let goes_on = coding.push_text(text);
            if t < others && !goes_on {
                if text[text.len() - 1] == b'\n' {
                    coding.length -= 1;
                    coding.push(LAST_END as u16);
                } else {
                    coding.push(END);
                }
            }
            coding.push(BREAK);
            t += 1;
        }
        coding.push(END);
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
            // In a run of one code, two pairs do not share one.
            let mut in_run = false;
            let mut i = 1;
            while i < self.length {
                let [left, right] = [self.codes[i - 1], self.codes[i]];
                in_run = !in_run && left == right && i > 1 && self.codes[i - 2] == left;
                let pairs =
                    left > LAST_END as u16 && left < GAP && right > LAST_END as u16 && right < GAP;
                if pairs && !in_run {
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
            let code = FIRST_PAIR as u16 + self.count as u16;
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
            } else if self.codes[i] != GAP {
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
            length += (self.codes[i] < GAP) as usize;
            i += 1;
        }
        length
    }

    const fn table<const N: usize>(&self) -> [u8; N] {
        let mut table = [0; N];
        let (mut from, mut to) = (0, 0);
        while to < N {
            if self.codes[from] < GAP {
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

/// How many bytes of `text` from `at` on no directive and no newline interrupts.
const fn run_at(text: &[u8], at: usize) -> usize {
    let mut end = at;
    while end < text.len() && text[end] != b'{' && text[end] != b'\n' {
        end += 1;
    }
    end - at
}

/// The directive that is written in `text` from `at` on, behind the brace.
const fn directive_at(text: &[u8], at: usize) -> (&'static str, u32) {
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
pub static TABLE: Table<{ CODED.table_length() }> = Table::new(CODED.table());
/// What the codes from [`FIRST_PAIR`] on stand for.
pub static PAIRS: [[u8; 2]; CODED.count] = CODED.pairs();
/// The end of the table: the errors' texts, before each the end of what stands before it.
pub const ERRORS: Text = Text::at(Place::Errnos as usize);
