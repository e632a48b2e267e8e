//! The command line, by the grammar of `getopt_long(3)`: options may be clustered, take their value attached
//! or as the next argument, and stand before, between or after the directories; `--` ends them.

use core::num::NonZero;

use crate::filter::Action;
use crate::fmt::Arg;
use crate::messages::{self, Text};
use crate::sys::CStrRef;

/// What the options ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `-d`: how long the tracer waits before it looks into the target, in seconds.
    pub delay: u32,
    /// `-f`: what the second filter does with the notified call.
    pub second: Option<Action>,
    /// `-b`: measure, and make each directory's call that often.
    pub count: Option<NonZero<u32>>,
    /// `-K`: wait for the tracer instead of killing it.
    pub keep: bool,
    /// `-w`: once received, a call is only interrupted by a fatal signal.
    pub killable: bool,
    /// `-c`: let paths outside /tmp through to the kernel.
    pub let_through: bool,
}

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Command<'a> {
    /// Run the demonstration or the measurement, with at least one directory.
    Run(&'a [CStrRef<'a>]),
    /// Try what this system offers a supervisor.
    Probe,
    /// Print the usage.
    Help,
    /// Print the version.
    Version,
}

/// What is wrong with the command line.
pub struct UsageError<'a> {
    /// The message.
    pub text: Text,
    /// What the message is about.
    pub about: Option<Arg<'a>>,
}

impl<'a> UsageError<'a> {
    fn new(text: Text, about: Arg<'a>) -> Self {
        Self { text, about: Some(about) }
    }
}

/// Reads the program's arguments, its name first, and sets the options. The directories are gathered at the
/// front of `arguments`, over the name and the options.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse<'a>(
    arguments: &'a mut [CStrRef<'a>],
    options: &mut Options,
) -> Result<Command<'a>, UsageError<'a>> {
    let mut directories = 0;
    let mut ended = false;
    let mut probe = false;
    // The first option that makes no sense for a probe.
    let mut other = None;
    // The name may be missing (`execve(2)` with an empty argv, before Linux 5.18).
    let mut next = 1;
    while let Some(&argument) = arguments.get(next) {
        next += 1;
        let mut cluster = match argument.strip_prefix(CStrRef::new(c"-")) {
            Some(letters) if !ended && !letters.is_empty() => letters,
            _ => {
                if let Some(place) = arguments.get_mut(directories) {
                    *place = argument;
                }
                directories += 1;
                continue;
            }
        };
        if let Some(long) = cluster.strip_prefix(CStrRef::new(c"-")) {
            // Like getopt, this takes the first letters of a long option for the whole.
            if long.is_empty() {
                ended = true;
                continue;
            } else if CStrRef::new(c"help").strip_prefix(long).is_some() {
                return Ok(Command::Help);
            } else if CStrRef::new(c"version").strip_prefix(long).is_some() {
                return Ok(Command::Version);
            }
            return Err(UsageError::new(messages::UNKNOWN_OPTION, Arg::Quoted(argument)));
        }
        while let Some((letter, attached)) = cluster.split_first() {
            cluster = attached;
            if letter == b'p' {
                probe = true;
                continue;
            }
            other = other.or(Some(letter));
            match letter {
                b'c' => options.let_through = true,
                b'K' => options.keep = true,
                b'w' => options.killable = true,
                b'h' => return Ok(Command::Help),
                b'V' => return Ok(Command::Version),
                b'b' | b'd' | b'f' => {
                    let mut value = attached;
                    if value.is_empty() {
                        let Some(&argument_after) = arguments.get(next) else {
                            return Err(UsageError::new(
                                messages::MISSING_VALUE,
                                Arg::Byte(letter),
                            ));
                        };
                        value = argument_after;
                        next += 1;
                    }
                    options
                        .set(letter, value)
                        .map_err(|text| UsageError::new(text, Arg::Quoted(value)))?;
                    break;
                }
                _ => return Err(UsageError::new(messages::INVALID_OPTION, Arg::Byte(letter))),
            }
        }
    }
    if probe && let Some(letter) = other {
        return Err(UsageError::new(messages::NOT_WITH_PROBE, Arg::Byte(letter)));
    }
    match arguments.get(..directories) {
        Some([]) if probe => Ok(Command::Probe),
        Some([directory, ..]) if probe => {
            Err(UsageError::new(messages::EXTRA_OPERAND, Arg::Quoted(*directory)))
        }
        Some(directories) if !directories.is_empty() => Ok(Command::Run(directories)),
        _ => Err(UsageError { text: messages::MISSING_OPERAND, about: None }),
    }
}

impl Options {
    /// Sets an option that takes a value.
    ///
    /// # Errors
    /// What is wrong with the value.
    #[inline(never)] // inlined, the program would be 104 bytes larger
    fn set(&mut self, letter: u8, value: CStrRef) -> Result<(), Text> {
        match letter {
            b'b' => {
                let count = number(value).and_then(NonZero::new);
                self.count = Some(count.ok_or(messages::INVALID_COUNT)?);
            }
            b'd' => self.delay = number(value).ok_or(messages::INVALID_DELAY)?,
            b'f' if value == CStrRef::new(c"e") => self.second = Some(Action::Errno),
            b'f' if value == CStrRef::new(c"t") => self.second = Some(Action::Trace),
            _ => return Err(messages::INVALID_FILTER),
        }
        Ok(())
    }
}

/// A decimal number of 32 bits with nothing before or after it.
fn number(string: CStrRef) -> Option<u32> {
    if string.is_empty() {
        return None;
    }
    let mut number = 0_u32;
    for byte in string {
        let digit = if byte.is_ascii_digit() { byte - b'0' } else { return None };
        number = number.checked_mul(10)?.checked_add(digit.into())?;
    }
    Some(number)
}
