//! The command line, by the grammar of `getopt_long(3)`: options may be clustered, take their value
//! attached or as the next argument, and stand before, between or after the directories; `--` ends
//! them. [`Scan`] is that grammar as an iterator: it is run once to read the options, and once
//! more to walk the directories.

use crate::filter::Action;
use crate::sys::ZStr;
use crate::text::{self, Text};

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// What to do.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    /// The demonstration, or the measurement.
    Run(Options),
    /// Print a text on standard output.
    Print(Text),
    /// Say what is wrong, with the letter of the option that is wrong and the argument it stands in.
    Refuse(Text, u8, Option<ZStr<'a>>),
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
    /// The argument in which a cluster of options is being read, and what is left of it.
    cluster: Option<(ZStr<'a>, ZStr<'a>)>,
    /// Whether `--` has been met.
    ended: bool,
}

impl<'a> Scan<'a> {
    /// Scans the arguments, the first of which is the program's name. There may be none at all
    /// (`execve(2)` with an empty argv, before Linux 5.18).
    #[must_use]
    pub fn new(arguments: &'a [ZStr<'a>]) -> Self {
        Self { arguments: arguments.get(1..).unwrap_or_default(), cluster: None, ended: false }
    }

    fn argument(&mut self) -> Option<ZStr<'a>> {
        let (&argument, rest) = self.arguments.split_first()?;
        self.arguments = rest;
        Some(argument)
    }

    /// The directories alone.
    pub fn directories(self) -> impl Iterator<Item = ZStr<'a>> {
        self.filter_map(|item| match item {
            Item::Operand(directory) => Some(directory),
            _ => None,
        })
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            if let Some((argument, rest)) = self.cluster.take()
                && let Some((letter, rest)) = rest.split_first()
            {
                if !matches!(letter, b'd' | b'f' | b'b') {
                    self.cluster = Some((argument, rest));
                    return Some(Item::Option(letter, argument));
                }
                let value = if rest.split_first().is_some() { Some(rest) } else { self.argument() };
                return Some(match value {
                    Some(value) => Item::Option(letter, value),
                    None => Item::Valueless(letter, argument),
                });
            }

            let argument = self.argument()?;
            let is = |long: &[u8]| argument.eq(long.iter().copied());
            match argument.split_first() {
                Some((b'-', rest)) if !self.ended && rest.split_first().is_some() => {
                    if is(b"--") {
                        self.ended = true;
                    } else if is(b"--help") {
                        return Some(Item::Option(b'h', argument));
                    } else if is(b"--version") {
                        return Some(Item::Option(b'V', argument));
                    } else {
                        self.cluster = Some((argument, rest));
                    }
                }
                _ => return Some(Item::Operand(argument)),
            }
        }
    }
}

/// Reads the whole command line.
#[must_use]
pub fn read<'a>(arguments: &'a [ZStr<'a>]) -> Command<'a> {
    let mut options = Options {
        delay: 0,
        second: None,
        keep: false,
        killable: false,
        let_through: false,
        count: 0,
    };
    let mut directories = false;
    for item in Scan::new(arguments) {
        match item {
            Item::Operand(_) => directories = true,
            Item::Valueless(letter, argument) => {
                return Command::Refuse(text::MISSING_VALUE, letter, Some(argument));
            }
            Item::Option(letter, value) => {
                let refuse = |text| Command::Refuse(text, letter, Some(value));
                match letter {
                    b'K' => options.keep = true,
                    b'V' => return Command::Print(text::VERSION),
                    b'b' => match number(value) {
                        Some(count @ 1..) => options.count = count,
                        _ => return refuse(text::BAD_COUNT),
                    },
                    b'c' => options.let_through = true,
                    b'd' => match number(value) {
                        Some(delay) => options.delay = delay,
                        None => return refuse(text::BAD_DELAY),
                    },
                    b'f' if value.eq(*b"e") => options.second = Some(Action::ERRNO),
                    b'f' if value.eq(*b"t") => options.second = Some(Action::TRACE),
                    b'f' => return refuse(text::BAD_SECOND),
                    b'h' => return Command::Print(text::USAGE),
                    b'w' => options.killable = true,
                    _ => return refuse(text::UNKNOWN_OPTION),
                }
            }
        }
    }
    if directories { Command::Run(options) } else { Command::Refuse(text::NO_DIRECTORY, 0, None) }
}

/// A decimal number with nothing before or after it; none if it is not one or does not fit.
fn number(string: ZStr) -> Option<u32> {
    string.split_first()?;
    string.into_iter().try_fold(0_u32, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(digit.into()) }
    })
}
