//! Lines: a [`Text`] with its directives filled in, in one write, whatever its length.
//!
//! Nothing here decides what a failure means.

use core::mem::MaybeUninit;
use core::slice;

use crate::abi::{POLLOUT, pollfd};
use crate::failure::{Failed, Speech};
use crate::sys::{self, Errno, Fd, Room, ZStr};
use crate::text::{
    ERRORS, FIRST_DIRECTIVE, FIRST_OUTPUT, FIRST_PAIR, LAST_END, PAIRS, Text, UNKNOWN_ERRNO,
    directive, name,
};

/// The bytes of a line that is composed on the stack. Longer ones are composed in pages of their own.
const SHORT: usize = 512;

/// Prints what is said, with `string` and `numbers` in the place of its directives, where it belongs, in
/// one write, which is continued where it is short or interrupted.
///
/// # Errors
/// The call that failed, and why: `write(2)`, or `mmap(2)` when the line is long and there is no room
/// to compose it.
pub fn print(speech: Speech, string: Option<ZStr>, numbers: &[u64; 4]) -> Result<(), Failed> {
    print_in(&mut [MaybeUninit::uninit(); SHORT], speech, string, numbers)
}

/// The same, composing the line in `memory` if it finds room there.
#[inline(never)]
fn print_in(
    memory: &mut [MaybeUninit<u8>],
    speech: Speech,
    string: Option<ZStr>,
    numbers: &[u64; 4],
) -> Result<(), Failed> {
    let room = compose(memory, speech, string, numbers);
    let Some(mut line) = room.line() else {
        let pages = sys::mmap(room.length()).map_err(|errno| Failed::new(name::mmap, errno))?;
        let done = print_in(pages, speech, string, numbers);
        // Failing, it leaves a few pages behind; the line was written all the same.
        sys::munmap(pages).regardless();
        return done;
    };

    let out = if speech.text().0 < FIRST_OUTPUT.0 { Fd::STDERR } else { Fd::STDOUT };
    while !line.is_empty() {
        match sys::write(out, line).result() {
            Ok(written) => {
                let Some(rest) = line.get(written as usize..) else { break };
                line = rest;
            }
            // Somebody made the descriptor non-blocking: wait for room, as a blocking one would.
            // Where that fails, the next write will tell.
            Err(Errno::EAGAIN) => {
                sys::ppoll(&mut pollfd { fd: out.0, events: POLLOUT, revents: 0 }).regardless();
            }
            Err(errno) => return Err(Failed::new(name::write, errno)),
        }
    }
    Ok(())
}

/// Puts what is said into `memory`, with `string` and `numbers` in the place of its directives.
#[inline(never)] // two of its kind
pub fn compose<'a>(
    memory: &'a mut [MaybeUninit<u8>],
    speech: Speech,
    string: Option<ZStr>,
    numbers: &[u64; 4],
) -> Room<'a> {
    let mut line = Line { room: Room::new(memory), speech, string, numbers: numbers.iter() };
    line.codes(speech.text().codes());
    line.room
}

/// A line as it grows.
struct Line<'a, 'room> {
    room: Room<'room>,
    speech: Speech,
    string: Option<ZStr<'a>>,
    numbers: slice::Iter<'a, u64>,
}

impl Line<'_, '_> {
    /// The codes of a text.
    #[inline(never)]
    fn codes(&mut self, mut codes: ZStr) {
        loop {
            codes = self.room.put_plain(codes);
            let (code, rest) = codes.split_first().unwrap_or((0, codes));
            if code == LAST_END {
                self.room.put(b'\n');
            }
            if code <= LAST_END {
                return;
            }
            if code == FIRST_DIRECTIVE + directive::IF_STRING as u8 && self.string.is_none() {
                return;
            }
            self.code(code);
            codes = rest;
        }
    }

    /// A code: a pair of codes, a directive, or a character.
    #[inline(never)]
    fn code(&mut self, code: u8) {
        if let Some(&[left, right]) = PAIRS.get(usize::from(code.wrapping_sub(FIRST_PAIR))) {
            self.code(left);
            return self.code(right);
        }
        let directive = u32::from(code.wrapping_sub(FIRST_DIRECTIVE));
        if directive > directive::LAST {
            return self.room.put(code);
        }
        let codes = match directive {
            directive::IF_STRING => return,
            directive::STRING => return self.string(),
            directive::PROCESS => self.speech.process().name().codes(),
            // All others are for the next number.
            _ => {
                let Some(&number) = self.numbers.as_slice().first() else { return };
                if directive == directive::ERRNO {
                    return self.codes(meaning(number));
                }
                self.numbers.next();
                match directive {
                    directive::TEXT => Text(number as u16).codes(),
                    form => return self.number(number, form, 1),
                }
            }
        };
        self.codes(codes);
    }

    /// The string. It is somebody else's: a byte that could forge a line or drive a terminal is
    /// shown as `\xNN`, and a backslash, which could forge that, as two.
    #[inline(never)]
    fn string(&mut self) {
        let Some(mut string) = self.string else { return };
        loop {
            string = self.room.put_plain(string);
            let Some((byte, rest)) = string.split_first() else { return };
            string = rest;
            if byte < b' ' || byte == 0x7f {
                self.room.put(b'\\');
                self.room.put(b'x');
                self.digit(byte >> 4);
                self.digit(byte & 0xf);
                continue;
            }
            if byte == b'\\' {
                self.room.put(byte);
            }
            self.room.put(byte);
        }
    }

    /// `number` in one of the forms that directives name. Its last digit has the `place`.
    #[inline(never)]
    fn number(&mut self, number: u64, form: u32, place: u32) {
        let (rest, digit) = if form < directive::OCTAL {
            (number / 10, number % 10)
        } else {
            let bits = form.trailing_zeros();
            (number >> bits, number & u64::from(form - 1))
        };
        let point = 3 * (form & directive::POINT);
        if rest > 0 || place <= point {
            self.number(rest, form, place + 1);
        } else if form & directive::WIDE != 0 {
            for _ in place..13 {
                self.room.put(b' ');
            }
        }
        if place == point {
            self.room.put(b'.');
        }
        self.digit(digit as u8);
    }

    /// A digit.
    #[inline(never)]
    fn digit(&mut self, digit: u8) {
        self.room.put(if digit > 9 { digit + b'a' - 10 } else { digit + b'0' });
    }
}

/// The text of an errno.
fn meaning(errno: u64) -> ZStr<'static> {
    // The ends before the texts count the errors up.
    let (mut codes, mut known) = (ERRORS.codes(), 0);
    while let Some((code, rest)) = codes.split_first() {
        codes = rest;
        if code < LAST_END {
            known += u64::from(code);
            if known == errno {
                return codes;
            }
        }
    }
    UNKNOWN_ERRNO.codes()
}
