//! Lines: a [`Text`] with its directives filled in, in one write, whatever its length.
//!
//! Nothing here knows which process speaks, and nothing decides what a failure means.

use crate::abi::{POLLOUT, pollfd};
use crate::sys::{self, Errno, Fd, ZStr};
use crate::text::{
    END, ERRNO, ERRORS, FIRST_DIRECTIVE, FIRST_OUTPUT, FIRST_PAIR, PAIRS, TABLE, Text, directive,
    name,
};

/// The bytes of a line that is composed on the stack. Longer ones are composed in pages of their own.
const SHORT: usize = 512;

/// Prints `text`, with `string` and `numbers` in the place of its directives, where it belongs, in one
/// write, which is continued where it is short or interrupted.
///
/// # Errors
/// The call that failed, and why: `write(2)`, or `mmap(2)` when the line is long and there is no room
/// to compose it.
pub fn print(text: Text, string: Option<ZStr>, numbers: &[u64]) -> Result<(), (Text, Errno)> {
    let mut short = [0; SHORT];
    let mut long: &'static mut [u8] = &mut [];
    let mut rest = loop {
        let room = if long.is_empty() { &mut short } else { &mut *long };
        let length = compose(room, text, string, numbers);
        if let Some(line) = room.get(..length) {
            break line;
        }
        long = sys::mmap(length).map_err(|errno| (name::mmap, errno))?;
    };

    let out = if text.0 < FIRST_OUTPUT.0 { Fd::STDERR } else { Fd::STDOUT };
    while !rest.is_empty() {
        match sys::write(out, rest).result() {
            Ok(written) => {
                let Some(unwritten) = rest.get(written as usize..) else { break };
                rest = unwritten;
            }
            // Somebody made the descriptor non-blocking: wait for room, as a blocking one would.
            // Where that fails, the next write will tell.
            Err(Errno::EAGAIN) => {
                sys::ppoll(&mut pollfd { fd: out.0, events: POLLOUT, revents: 0 }).regardless();
            }
            Err(errno) => return Err((name::write, errno)),
        }
    }

    if !long.is_empty() {
        // Failing, it leaves a few pages behind; the line was written all the same.
        sys::munmap(long).regardless();
    }
    Ok(())
}

/// Composes `text` in `room`, with `string` and `numbers` in the place of its directives. Returns
/// the whole line's length in bytes; what finds no room is left out.
pub fn compose(room: &mut [u8], text: Text, string: Option<ZStr>, numbers: &[u64]) -> usize {
    let mut line = Line { room, length: 0, string, numbers };
    line.text(text);
    line.length
}

/// A line as it grows.
struct Line<'a> {
    room: &'a mut [u8],
    length: usize,
    string: Option<ZStr<'a>>,
    numbers: &'a [u64],
}

impl Line<'_> {
    /// A text from the table.
    fn text(&mut self, Text(at): Text) {
        if let Some(codes) = TABLE.get(usize::from(at)..) {
            self.codes(codes);
        }
    }

    /// The codes of a text: pairs of codes, directives, and characters. Returns whether the text
    /// has ended among them.
    fn codes(&mut self, codes: &[u8]) -> bool {
        codes.iter().any(|&code| {
            if let Some(pair) = PAIRS.get(usize::from(code.wrapping_sub(FIRST_PAIR))) {
                return self.codes(pair);
            }
            let directive = code.wrapping_sub(FIRST_DIRECTIVE);
            if directive <= directive::LAST {
                return self.directive(directive.into());
            }
            self.put(code);
            false
        })
    }

    /// A byte.
    #[inline(never)]
    fn byte(&mut self, byte: u8) {
        self.put(byte);
    }

    /// The same, on the spot: most bytes of a line come through [`Line::codes`], so it is worth it there.
    #[inline(always)]
    fn put(&mut self, byte: u8) {
        if let Some(place) = self.room.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
    }

    /// The string. It is somebody else's: a byte that could forge a line or drive a terminal is
    /// shown as `\xNN`, and a backslash, which could forge that, as two.
    fn string(&mut self) {
        let Some(string) = self.string else { return };
        for byte in string {
            match byte {
                ..b' ' | 0x7f => {
                    self.byte(b'\\');
                    self.byte(b'x');
                    self.digits(byte.into(), 4, 2, b'0'.into());
                    continue;
                }
                b'\\' => self.byte(byte),
                _ => {}
            }
            self.byte(byte);
        }
    }

    /// What stands for something else. Returns whether the text ends here.
    #[inline(never)]
    fn directive(&mut self, mut directive: u32) -> bool {
        match directive {
            directive::END => return true,
            directive::IF_STRING => return self.string.is_none(),
            directive::STRING => {
                self.string();
                return false;
            }
            _ => {}
        }

        // All others are for the next number.
        let Some((&number, rest)) = self.numbers.split_first() else { return false };
        self.numbers = rest;
        if directive == directive::TEXT {
            self.text(Text(number as u16));
            return false;
        }
        if directive == directive::ERRNO {
            if let Some(text) = meaning(number) {
                self.codes(text);
                return false;
            }
            self.text(ERRNO);
            directive = directive::DECIMAL;
        }
        let fill = if directive < 7 { b'0' } else { b' ' };
        let (bits, width) = match directive.checked_sub(directive::POWERS) {
            Some(bits) => (bits, 1),
            None => (0, directive as i32),
        };
        self.digits(number, bits, width, fill.into());
        false
    }

    /// `number` in a base of that many bits a digit, or 0 for ten, at least `width` wide.
    fn digits(&mut self, number: u64, bits: u32, mut width: i32, fill: u32) {
        let (rest, mut digit) = if bits == 0 {
            (number / 10, (number % 10) as u32)
        } else {
            (number >> bits, number as u32 & ((1 << bits) - 1))
        };
        if rest > 0 {
            self.digits(rest, bits, width - 1, fill);
        } else {
            while width > 1 {
                self.byte(fill as u8);
                width -= 1;
            }
        }
        if digit > 9 {
            digit += u32::from(b'a' - b'9' - 1);
        }
        self.byte(digit as u8 + b'0');
    }
}

/// The text of an errno, if it has one.
fn meaning(errno: u64) -> Option<&'static [u8]> {
    // It stands before its text, behind the end of another one.
    let mut texts = ERRORS;
    while let [end, known, text @ ..] = texts {
        if *end == END && errno == u64::from(*known) {
            return Some(text);
        }
        texts = texts.get(1..)?;
    }
    None
}
