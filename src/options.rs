//! The command line, by the grammar of `getopt_long(3)`: options may be clustered, take their value
//! attached or as the next argument, and stand before, between or after the directories; `--` ends
//! them.

use crate::filter::Action;
use crate::sys::{ZStr, ZStrs};
use crate::text::{self, Text};

// The options' letters, but for `d`: where it matters, it is the one that is left.
const B: u32 = b'b' as u32;
const C: u32 = b'c' as u32;
const F: u32 = b'f' as u32;
const H: u32 = b'h' as u32;
const K: u32 = b'K' as u32;
const V: u32 = b'V' as u32;
const W: u32 = b'w' as u32;

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
        self.has(K)
    }

    /// `-w`: once received, only a fatal signal ends a call.
    #[must_use]
    pub fn killable(&self) -> bool {
        self.has(W)
    }

    /// `-c`: let paths outside /tmp through.
    #[must_use]
    pub fn let_through(&self) -> bool {
        self.has(C)
    }

    fn has(&self, letter: u32) -> bool {
        self.letters & bit(letter) != 0
    }

    /// Takes an option without a value, and returns what is wrong with it, or what it asks for.
    #[inline(always)]
    fn flag(&mut self, letter: u32) -> Text {
        match letter {
            C | K | W => {
                self.letters |= bit(letter);
                text::FINE
            }
            H => text::USAGE,
            V => text::VERSION,
            _ => text::UNKNOWN_OPTION,
        }
    }

    /// Takes an option with its value, and returns what is wrong with that.
    #[inline(never)]
    fn set(&mut self, letter: u32, value: ZStr) -> Text {
        if letter == F {
            let byte = match value.split_first() {
                Some((byte, rest)) if rest.is_empty() => byte,
                _ => 0,
            };
            self.second = match byte {
                b'e' => Action::ERRNO,
                b't' => Action::TRACE,
                _ => return text::BAD_FILTER,
            };
            return text::FINE;
        }
        let (place, least, wrong) = if letter == B {
            (&mut self.count, 1, text::BAD_COUNT)
        } else {
            (&mut self.delay, 0, text::BAD_DELAY)
        };
        match number(value) {
            Some(number) if number >= least => *place = number,
            _ => return wrong,
        }
        text::FINE
    }
}

/// The bit of an option's letter.
const fn bit(letter: u32) -> u32 {
    1 << (letter & 31)
}

/// Why there is nothing to run: the usage, the version, or what is wrong; with the argument or value
/// that is wrong.
pub type Stop<'a> = (Text, Option<ZStr<'a>>);

/// Reads the whole command line, the program's name first, into `options`. What is left of the
/// arguments is the directories.
///
/// # Errors
/// [`Stop`]: what is wrong, or that something was asked for which needs no run.
#[inline(always)] // it is called once
pub fn read<'a>(arguments: &mut ZStrs<'a>, options: &mut Options) -> Result<(), Stop<'a>> {
    // There may be none at all (`execve(2)` with an empty argv, before Linux 5.18).
    let mut last = arguments.next();
    let mut ended = false;
    arguments.retain(|argument, mut rest| {
        last = Some(argument);
        let mut cluster = match argument.split_first() {
            Some((b'-', cluster)) if !ended && !cluster.is_empty() => cluster,
            _ => return Ok(true),
        };
        if let Some((b'-', long)) = cluster.split_first() {
            if long.is_empty() {
                ended = true;
                return Ok(false);
            }
            // Like getopt, this takes a long option's first letters for the whole.
            let what = if ZStr::from(c"help").strip_prefix(long).is_some() {
                text::USAGE
            } else if ZStr::from(c"version").strip_prefix(long).is_some() {
                text::VERSION
            } else {
                text::UNKNOWN_OPTION
            };
            return Err((what, last));
        }
        while let Some((letter, attached)) = cluster.split_first() {
            let (wrong, blamed) = if takes_value(letter) {
                let mut value = attached;
                if attached.is_empty() {
                    last = rest.next();
                    value = last.ok_or((text::MISSING_VALUE, Some(argument)))?;
                }
                cluster = ZStr::from(c"");
                (options.set(letter.into(), value), value)
            } else {
                cluster = attached;
                (options.flag(letter.into()), argument)
            };
            if wrong != text::FINE {
                return Err((wrong, Some(blamed)));
            }
        }
        Ok(false)
    })?;
    if arguments.is_empty() {
        return Err((text::NO_DIRECTORY, last));
    }
    Ok(())
}

/// Whether an option takes a value: `b`, `d` and `f`, every other letter from `b` on.
#[inline(always)]
fn takes_value(letter: u8) -> bool {
    letter.wrapping_sub(b'b').rotate_right(1) <= (b'f' - b'b') / 2
}

/// A decimal number of 32 bits, with nothing before or after it.
#[inline(always)]
fn number(mut string: ZStr) -> Option<u32> {
    let mut number = 0_u64;
    loop {
        let (byte, rest) = string.split_first()?;
        let digit = byte.wrapping_sub(b'0');
        number = number * 10 + u64::from(digit);
        if digit > 9 || number > u32::MAX.into() {
            return None;
        }
        if rest.is_empty() {
            return Some(number as u32);
        }
        string = rest;
    }
}
