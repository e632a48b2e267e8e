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

/// Why there is nothing to run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stop<'a> {
    /// The usage, the version, or what is wrong.
    pub text: Text,
    /// The letter of the option that is wrong, or 0.
    pub letter: u8,
    /// The argument or value that is wrong.
    pub argument: Option<ZStr<'a>>,
}

/// One item of the command line.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// An option's letter, and the argument it stands in or its value.
    Option(u8, ZStr<'a>),
    /// An option that lacks its value: its letter, and the argument it stands in.
    Valueless(u8, ZStr<'a>),
    /// A directory.
    Operand(ZStr<'a>),
}

/// The items of a command line, in their order.
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
            if let Item::Operand(directory) = self.next()? {
                return Some(directory);
            }
        }
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            if let Some((letter, rest)) = self.cluster.split_first() {
                self.cluster = rest;
                if !matches!(letter, b'd' | b'f' | b'b') {
                    return Some(Item::Option(letter, self.argument));
                }
                self.cluster = ZStr::from(c"");
                let value = if rest.is_empty() { self.next_argument() } else { Some(rest) };
                return Some(match value {
                    Some(value) => Item::Option(letter, value),
                    None => Item::Valueless(letter, self.argument),
                });
            }

            let argument = self.next_argument()?;
            self.argument = argument;
            match argument.split_first() {
                Some((b'-', rest)) if !self.ended && !rest.is_empty() => {
                    if argument == ZStr::from(c"--") {
                        self.ended = true;
                    } else if argument == ZStr::from(c"--help") {
                        self.cluster = ZStr::from(c"h");
                    } else if argument == ZStr::from(c"--version") {
                        self.cluster = ZStr::from(c"V");
                    } else {
                        self.cluster = rest;
                    }
                }
                _ => return Some(Item::Operand(argument)),
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
    for item in Scan::new(arguments) {
        let (letter, value) = match item {
            Item::Operand(_) => {
                directories = true;
                continue;
            }
            Item::Valueless(letter, argument) => {
                return Err(Stop { text: text::MISSING_VALUE, letter, argument: Some(argument) });
            }
            Item::Option(letter, value) => (letter, value),
        };
        let text = match letter {
            b'K' => {
                options.keep = true;
                continue;
            }
            b'V' => text::VERSION,
            b'b' => {
                options.count = number(value).unwrap_or(0);
                if options.count > 0 {
                    continue;
                }
                text::BAD_COUNT
            }
            b'c' => {
                options.let_through = true;
                continue;
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
                } else if value == ZStr::from(c"t") {
                    options.second = Some(Action::TRACE);
                    continue;
                }
                text::BAD_SECOND
            }
            b'h' => text::USAGE,
            b'w' => {
                options.killable = true;
                continue;
            }
            _ => text::UNKNOWN_OPTION,
        };
        return Err(Stop { text, letter, argument: Some(value) });
    }
    if directories {
        Ok(())
    } else {
        Err(Stop { text: text::NO_DIRECTORY, letter: 0, argument: None })
    }
}

/// A decimal number with nothing before or after it; none if it is not one or does not fit.
fn number(mut string: ZStr) -> Option<u32> {
    string.split_first()?;
    string.try_fold(0_u32, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(digit.into()) }
    })
}
