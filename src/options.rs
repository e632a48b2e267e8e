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
    /// `-f`: what a second filter does with the notified call; [`Action::NONE`] if there is none.
    pub second: Action,
    /// `-b`: how often each call is made in the measuring mode; 0 in the demonstration.
    pub count: u32,
    /// The letters met, each as the bit that the low five bits of its code count.
    pub letters: u32,
}

impl Options {
    /// `-K`: wait for the tracer instead of killing it.
    #[must_use]
    pub fn keep(&self) -> bool {
        self.has(b'K'.into())
    }

    /// `-w`: once received, only a fatal signal ends a call.
    #[must_use]
    pub fn killable(&self) -> bool {
        self.has(b'w'.into())
    }

    /// `-c`: let paths outside /tmp through.
    #[must_use]
    pub fn let_through(&self) -> bool {
        self.has(b'c'.into())
    }

    fn has(&self, letter: u32) -> bool {
        self.letters & bit(letter) != 0
    }
}

/// The bit of an option's letter, or of [`OPERAND`].
const fn bit(letter: u32) -> u32 {
    1 << (letter & 31)
}

/// Why there is nothing to run: the usage, the version, or what is wrong; with the argument or value
/// that is wrong.
pub type Stop<'a> = (Text, ZStr<'a>);

/// In the place of an option's letter: a directory.
pub const OPERAND: u32 = 0;
/// In the place of an option's letter: an option without its value.
pub const NO_VALUE: u32 = 256;

/// The items of a command line, in their order: an option's letter with its value, or with the
/// argument that it stands in; or [`OPERAND`] with the directory; or [`NO_VALUE`] with the
/// argument that lacks one. Neither of these two is a byte that could be a letter.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    /// The argument that was read last, at first the program's name, and those that follow it. There
    /// may be none at all (`execve(2)` with an empty argv, before Linux 5.18).
    arguments: &'a [ZStr<'a>],
    /// What is left of that argument if it is a cluster of options.
    cluster: ZStr<'a>,
    /// Whether `--` has been met.
    ended: bool,
}

impl<'a> Scan<'a> {
    /// Scans the arguments, the first of which is the program's name.
    #[must_use]
    pub fn new(arguments: &'a [ZStr<'a>]) -> Self {
        Self { arguments, cluster: ZStr::from(c""), ended: false }
    }

    /// The next argument.
    fn advance(&mut self) -> Option<ZStr<'a>> {
        let [_, rest @ ..] = self.arguments else { return None };
        let &argument = rest.first()?;
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
    type Item = (u32, ZStr<'a>);

    fn next(&mut self) -> Option<(u32, ZStr<'a>)> {
        loop {
            if let Some((letter, rest)) = self.cluster.split_first() {
                self.cluster = rest;
                let &argument = self.arguments.first()?;
                if !matches!(letter, b'b' | b'd' | b'f') {
                    return Some((letter.into(), argument));
                }
                self.cluster = ZStr::from(c"");
                if !rest.is_empty() {
                    return Some((letter.into(), rest));
                }
                return Some(match self.advance() {
                    Some(value) => (letter.into(), value),
                    None => (NO_VALUE, argument),
                });
            }

            let argument = self.advance()?;
            let cluster = match argument.split_first() {
                Some((b'-', cluster)) if !cluster.is_empty() && !self.ended => cluster,
                _ => return Some((OPERAND, argument)),
            };
            let Some((b'-', long)) = cluster.split_first() else {
                self.cluster = cluster;
                continue;
            };
            if long.is_empty() {
                self.ended = true;
                continue;
            }
            // Like getopt, this takes a long option's first letters for the whole.
            let letter = if ZStr::from(c"help").strip_prefix(long).is_some() {
                b'h'
            } else if ZStr::from(c"version").strip_prefix(long).is_some() {
                b'V'
            } else {
                b'-'
            };
            return Some((letter.into(), argument));
        }
    }
}

/// Reads the whole command line into `options`.
///
/// # Errors
/// [`Stop`]: what is wrong, or that something was asked for which needs no run.
#[inline(always)] // it is called once
pub fn read<'a>(arguments: &'a [ZStr<'a>], options: &mut Options) -> Result<(), Stop<'a>> {
    const B: u32 = b'b' as u32;
    const C: u32 = b'c' as u32;
    const D: u32 = b'd' as u32;
    const F: u32 = b'f' as u32;
    const H: u32 = b'h' as u32;
    const K: u32 = b'K' as u32;
    const V: u32 = b'V' as u32;
    const W: u32 = b'w' as u32;

    let mut scan = Scan::new(arguments);
    for (letter, value) in scan.by_ref() {
        let wrong = match letter {
            OPERAND | K | C | W => text::FINE,
            D | B => {
                let (place, wrong, least) = if letter == D {
                    (&mut options.delay, text::BAD_DELAY, 0)
                } else {
                    (&mut options.count, text::BAD_COUNT, 1)
                };
                let number = number(value);
                *place = number as u32;
                if (least..=u32::MAX.into()).contains(&number) { text::FINE } else { wrong }
            }
            F => {
                options.second = match value.split_first() {
                    Some((b'e', _)) => Action::ERRNO,
                    _ => Action::TRACE,
                };
                match value.split_first() {
                    Some((b'e' | b't', rest)) if rest.is_empty() => text::FINE,
                    _ => text::BAD_FILTER,
                }
            }
            H => text::USAGE,
            V => text::VERSION,
            NO_VALUE => text::MISSING_VALUE,
            _ => text::UNKNOWN_OPTION,
        };
        if wrong != text::FINE {
            return Err((wrong, value));
        }
        options.letters |= bit(letter);
    }
    if options.has(OPERAND) {
        return Ok(());
    }
    Err((text::NO_DIRECTORY, scan.arguments.first().copied().unwrap_or(ZStr::from(c""))))
}

/// A decimal number with nothing before or after it; one that does not fit into 32 bits if it is not one
/// or does not fit.
#[inline(always)]
fn number(mut string: ZStr) -> u64 {
    let mut number = 0;
    loop {
        let Some((byte, rest)) = string.split_first() else { return u64::MAX };
        let digit = byte.wrapping_sub(b'0');
        number = number * 10 + u64::from(digit);
        if digit > 9 || number > u32::MAX.into() {
            return u64::MAX;
        }
        if rest.is_empty() {
            return number;
        }
        string = rest;
    }
}
