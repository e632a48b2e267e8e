//! The command line, by the grammar of `getopt_long(3)`: options may be clustered, take their value
//! attached or as the next argument, and stand before, between or after the directories; `--` ends
//! them. [`Scan`] is that grammar as an iterator: it is run once to read the options, and once
//! more to walk the directories.

use crate::filter::Action;
use crate::sys::ZStr;
use crate::text::{self, Text};

/// What the command line asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `-d`: how long the tracer waits before it looks into the target, in seconds.
    pub delay: u32,
    /// `-f`: what a second filter does with the notified call.
    pub second: Option<Action>,
    /// `-K`: wait for the tracer instead of killing it.
    pub keep: bool,
    /// `-w`: once received, only a fatal signal ends a call.
    pub killable: bool,
    /// `-c`: let paths outside /tmp through.
    pub let_through: bool,
    /// `-b`: how often each call is made in the measuring mode; 0 in the demonstration.
    pub count: u32,
}

/// Why there is nothing to run: the usage, the version, or what is wrong; with the argument or value
/// that is wrong.
pub type Stop<'a> = (Text, Option<ZStr<'a>>);

/// In the place of an option's letter: a directory, as `getopt(3)` returns it.
pub const OPERAND: u8 = 1;
/// In the place of an option's letter: an option without its value, as `getopt(3)` returns it.
pub const NO_VALUE: u8 = b':';

/// The items of a command line, in their order: an option's letter with its value, or with the
/// argument that it stands in; or [`OPERAND`] with the directory; or [`NO_VALUE`] with the
/// argument that lacks one.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    arguments: &'a [ZStr<'a>],
    /// The argument that is being read, and what is left of it if it is a cluster of options.
    argument: ZStr<'a>,
    cluster: ZStr<'a>,
    /// Whether `--` has been met.
    ended: bool,
}

impl<'a> Scan<'a> {
    /// Scans the arguments, the first of which is the program's name. There may be none at all
    /// (`execve(2)` with an empty argv, before Linux 5.18).
    #[must_use]
    pub fn new(arguments: &'a [ZStr<'a>]) -> Self {
        let none = ZStr::from(c"");
        let arguments = arguments.get(1..).unwrap_or_default();
        Self { arguments, argument: none, cluster: none, ended: false }
    }

    fn next_argument(&mut self) -> Option<ZStr<'a>> {
        let (&argument, rest) = self.arguments.split_first()?;
        self.arguments = rest;
        Some(argument)
    }

    /// The next directory.
    pub fn next_directory(&mut self) -> Option<ZStr<'a>> {
        loop {
            if let (OPERAND, directory) = self.next()? {
                return Some(directory);
            }
        }
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = (u8, ZStr<'a>);

    fn next(&mut self) -> Option<(u8, ZStr<'a>)> {
        loop {
            if let Some((letter, rest)) = self.cluster.split_first() {
                self.cluster = rest;
                if !matches!(letter, b'd' | b'f' | b'b') {
                    return Some((letter, self.argument));
                }
                self.cluster = ZStr::from(c"");
                if !rest.is_empty() {
                    return Some((letter, rest));
                }
                return Some(match self.next_argument() {
                    Some(value) => (letter, value),
                    None => (NO_VALUE, self.argument),
                });
            }

            let argument = self.next_argument()?;
            self.argument = argument;
            match argument.strip_prefix(ZStr::from(c"-")) {
                Some(rest) if !self.ended && !rest.is_empty() => {
                    self.cluster = rest;
                    if rest == ZStr::from(c"-") {
                        self.ended = true;
                        self.cluster = ZStr::from(c"");
                    } else if rest == ZStr::from(c"-help") {
                        self.cluster = ZStr::from(c"h");
                    } else if rest == ZStr::from(c"-version") {
                        self.cluster = ZStr::from(c"V");
                    }
                }
                _ => return Some((OPERAND, argument)),
            }
        }
    }
}

/// Reads the whole command line into `options`.
///
/// # Errors
/// [`Stop`]: what is wrong, or that something was asked for which needs no run.
#[inline(never)] // so that the options stay in one place in memory
pub fn read<'a>(arguments: &'a [ZStr<'a>], options: &mut Options) -> Result<(), Stop<'a>> {
    let mut directories = false;
    for (letter, value) in Scan::new(arguments) {
        let stop = match letter {
            OPERAND => {
                directories = true;
                continue;
            }
            b'K' => {
                options.keep = true;
                continue;
            }
            b'c' => {
                options.let_through = true;
                continue;
            }
            b'w' => {
                options.killable = true;
                continue;
            }
            b'b' => {
                options.count = number(value).unwrap_or(0);
                if options.count > 0 {
                    continue;
                }
                text::BAD_COUNT
            }
            b'd' => {
                if let Some(delay) = number(value) {
                    options.delay = delay;
                    continue;
                }
                text::BAD_DELAY
            }
            b'f' => {
                if value == ZStr::from(c"e") {
                    options.second = Some(Action::ERRNO);
                    continue;
                }
                if value == ZStr::from(c"t") {
                    options.second = Some(Action::TRACE);
                    continue;
                }
                text::BAD_SECOND
            }
            b'h' => text::USAGE,
            b'V' => text::VERSION,
            NO_VALUE => text::MISSING_VALUE,
            _ => text::UNKNOWN_OPTION,
        };
        return Err((stop, Some(value)));
    }
    if directories { Ok(()) } else { Err((text::NO_DIRECTORY, None)) }
}

/// A decimal number with nothing before or after it; none if it is not one or does not fit.
pub(crate) fn number(mut string: ZStr) -> Option<u32> {
    string.split_first()?;
    string.try_fold(0_u32, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(digit.into()) }
    })
}
