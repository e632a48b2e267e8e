//! Lines: a [`Text`] with its directives filled in, in one write, whatever its length.
//!
//! Nothing here knows which process speaks, and nothing decides what a failure means.

use crate::abi::{POLLOUT, pollfd};
use crate::sys::{self, Errno, Fd, ZStr};
use crate::text::{
    ERRNO, ERRNOS, ERRORS, FIRST_ERROR, FIRST_PAIR, PAIRS, TABLE, Text, directive, name,
};

/// The bytes of a line that is composed on the stack. Longer ones are composed in pages of their own.
const SHORT: usize = 512;

/// Prints `text`, with `string` and `numbers` in the place of its directives, where it belongs, in one
/// write, which is continued where it is short or interrupted.
///
/// # Errors
/// The call and its error: `write(2)` when not everything could be written, `mmap(2)` for a line that
/// is longer than [`SHORT`].
pub fn print(text: Text, string: Option<ZStr>, numbers: &[u64]) -> Result<(), (Text, Errno)> {
    let out = if text.0 < FIRST_ERROR.0 { Fd::STDOUT } else { Fd::STDERR };
    let mut short = [0; SHORT];
    let length = compose(&mut short, text, string, numbers);
    if let Some(line) = short.get(..length) {
        return write_all(out, line);
    }
    let long = sys::mmap(length).map_err(|errno| (name::mmap, errno))?;
    compose(long, text, string, numbers);
    let written = write_all(out, long);
    // Failing, it leaves a few pages behind; the line was written all the same.
    sys::munmap(long).regardless();
    written
}

/// Composes `text` in `room`, with `string` and `numbers` in the place of its directives. Returns
/// the whole line's length in bytes; what finds no room is left out.
pub fn compose(room: &mut [u8], text: Text, string: Option<ZStr>, numbers: &[u64]) -> usize {
    let mut line = Line { room, length: 0, string, numbers };
    line.text(text);
    line.length
}

/// Writes all of `bytes`.
fn write_all(out: Fd, mut bytes: &[u8]) -> Result<(), (Text, Errno)> {
    while !bytes.is_empty() {
        match sys::write(out, bytes).result() {
            Ok(written) => bytes = bytes.get(written as usize..).unwrap_or_default(),
            // Somebody made the descriptor non-blocking: wait for room, as a blocking one would.
            // Where that fails, the next write will tell.
            Err(Errno::EAGAIN) => {
                sys::ppoll(&mut pollfd { fd: out.0, events: POLLOUT, revents: 0 }).regardless();
            }
            Err(errno) => return Err((name::write, errno)),
        }
    }
    Ok(())
}

/// A line as it grows.
struct Line<'a> {
    room: &'a mut [u8],
    length: usize,
    string: Option<ZStr<'a>>,
    numbers: &'a [u64],
}

impl Line<'_> {
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.room.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
    }

    /// The next number.
    fn number(&mut self) -> u64 {
        let Some((&number, rest)) = self.numbers.split_first() else { return 0 };
        self.numbers = rest;
        number
    }

    /// A text from the table.
    fn text(&mut self, Text(at): Text) {
        for &code in TABLE.get(usize::from(at)..).unwrap_or_default() {
            if code == 0 {
                break;
            }
            self.code(code);
        }
    }

    /// One code of a text: a pair of codes, a directive, or a character.
    fn code(&mut self, code: u8) {
        if let Some(&[left, right]) =
            code.checked_sub(FIRST_PAIR).and_then(|pair| PAIRS.get(usize::from(pair)))
        {
            self.code(left);
            self.code(right);
        } else if let Some(&(bits, width, fill)) =
            directive::NUMBERS.get(usize::from(code).wrapping_sub(1))
        {
            let number = self.number();
            self.digits(number, bits, width, fill);
        } else {
            match code {
                directive::STRING => {
                    if let Some(string) = self.string {
                        string.for_each(|byte| self.escaped(byte));
                    }
                }
                directive::TEXT => {
                    let text = Text(self.number() as u16);
                    self.text(text);
                }
                directive::ERRNO => self.errno(),
                character => self.byte(character),
            }
        }
    }

    /// `number` in a base of that many bits a digit, or 0 for ten, at least `width` wide.
    fn digits(&mut self, number: u64, bits: u8, width: u8, fill: u8) {
        let (rest, digit) = if bits == 0 {
            (number / 10, number % 10)
        } else {
            (number >> bits, number & ((1 << bits) - 1))
        };
        if rest > 0 {
            self.digits(rest, bits, width.saturating_sub(1), fill);
        } else {
            for _ in 1..width {
                self.byte(fill);
            }
        }
        self.byte(digit as u8 + if digit < 10 { b'0' } else { b'a' - 10 });
    }

    /// A byte that somebody else chose: what could forge a line or drive a terminal is shown as
    /// `\xNN`, and a backslash, which could forge that, as two.
    fn escaped(&mut self, byte: u8) {
        if byte < b' ' || byte == 0x7f {
            self.byte(b'\\');
            self.byte(b'x');
            self.digits(byte.into(), 4, 2, b'0');
        } else {
            if byte == b'\\' {
                self.byte(b'\\');
            }
            self.byte(byte);
        }
    }

    /// The next number as an errno's text, or as `errno N`.
    fn errno(&mut self) {
        let Text(mut at) = ERRORS;
        for &known in ERRNOS {
            if self.numbers.first() == Some(&known.into()) {
                self.number();
                return self.text(Text(at));
            }
            // On to the next text, behind a NUL.
            while TABLE.get(usize::from(at)).is_some_and(|&code| code != 0) {
                at += 1;
            }
            at += 1;
        }
        self.text(ERRNO);
    }
}
