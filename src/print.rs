//! Lines: a [`Text`] with its directives filled in, in one write, whatever its length.
//!
//! Nothing here decides what a failure means.

use core::mem::MaybeUninit;

use crate::abi::{POLLOUT, pollfd};
use crate::failure::Speech;
use crate::sys::{self, Errno, Fd, Room, ZStr};
use crate::text::{
    self, ERRORS, FILLER, FIRST_DIRECTIVE, FIRST_OUTPUT, FIRST_PAIR, LAST_END, PAIRS, RUN_ROOM,
    TABLE, Text, UNKNOWN_ERRNO, directive, name,
};

/// The memory for a line that is composed on the stack, in bytes. Longer ones are composed in pages of their own.
const SHORT: usize = 512;

/// Prints what is said, with `string` and `numbers` in the place of its directives, where it belongs, in
/// one write, which is continued where it is short or interrupted.
///
/// # Errors
/// The call that failed, and why: `write(2)`, or `mmap(2)` when the line is long and there is no room
/// to compose it.
#[inline(always)] // it is called once
pub fn print(speech: Speech, string: Option<ZStr>, numbers: [u64; 4]) -> Result<(), (Text, Errno)> {
    let mut short = [MaybeUninit::uninit(); SHORT];
    let mut pages: &mut [_] = &mut [];
    let mut line = Line::new(&mut short, speech, string, numbers);
    let mut rest = loop {
        // The second time there is room.
        line.compose();
        if let Some(line) = line.room.line() {
            break line;
        }
        pages = sys::mmap(line.room.length().saturating_add(RUN_ROOM))
            .map_err(|errno| (name::mmap, errno))?;
        line.room = Room::new(pages);
    };

    let out = if speech.text().0 < FIRST_OUTPUT.0 { Fd::STDERR } else { Fd::STDOUT };
    while !rest.is_empty() {
        match sys::write(out, rest).result() {
            Ok(written) => {
                let Some(remaining) = rest.get(written..) else { break };
                rest = remaining;
            }
            // Somebody made the descriptor non-blocking: wait for room, as a blocking one would.
            // Where that fails, the next write will tell.
            Err(Errno::EAGAIN) => {
                sys::ppoll(&mut pollfd { fd: out.0, events: POLLOUT, revents: 0 }).regardless();
            }
            Err(errno) => return Err((name::write, errno)),
        }
    }
    // Failing, it leaves a few pages behind; the line was written all the same.
    if !pages.is_empty() {
        sys::munmap(pages).regardless();
    }
    Ok(())
}

/// A line as it grows.
pub struct Line<'a> {
    /// What there is of it.
    pub room: Room<'a>,
    speech: Speech,
    string: Option<ZStr<'a>>,
    numbers: [u64; 4],
    next_number: usize,
}

impl<'a> Line<'a> {
    /// A line in `memory`.
    #[inline(always)]
    pub fn new(
        memory: &'a mut [MaybeUninit<u8>],
        speech: Speech,
        string: Option<ZStr<'a>>,
        numbers: [u64; 4],
    ) -> Self {
        Self { room: Room::new(memory), speech, string, numbers, next_number: 0 }
    }

    /// Puts what is said into its room.
    #[inline(always)]
    pub fn compose(&mut self) {
        self.next_number = 0;
        self.text(self.speech.text());
    }

    /// A text.
    #[inline(never)]
    fn text(&mut self, text: Text) {
        let mut codes = text.codes();
        loop {
            if let Some(rest) = self.room.put_run(codes) {
                codes = rest;
                continue;
            }
            let (code, rest) = codes.split_first();
            if code == LAST_END {
                self.room.put(b'\n');
            }
            if code <= LAST_END {
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
        let text = match directive {
            directive::STRING => return self.string(),
            directive::PROCESS => self.speech.process().name(),
            // All others are for the next number.
            _ => {
                let number = self.numbers[self.next_number % self.numbers.len()];
                self.next_number += 1;
                match directive {
                    directive::TEXT => Text(number as u32),
                    directive::ERRNO => self.meaning(number),
                    form => return self.number(number, form),
                }
            }
        };
        self.text(text);
    }

    /// The text of an errno, which is the next number once more if it has none of its own.
    fn meaning(&mut self, mut errno: u64) -> Text {
        // The ends before the texts count the errors up.
        let mut at = ERRORS;
        while let Some(&code) = TABLE.bytes().get(at.0 as usize) {
            at.0 += 1;
            if code < LAST_END {
                errno = errno.wrapping_sub(code.into());
                if errno == 0 && code != FILLER {
                    return at;
                }
            }
        }
        self.next_number = self.next_number.wrapping_sub(1);
        UNKNOWN_ERRNO
    }

    /// The string. It is somebody else's: a byte that could forge a line or drive a terminal is
    /// shown as `\xNN`, and a backslash, which could forge that, as two.
    #[inline(always)]
    fn string(&mut self) {
        let Some(string) = self.string else { return };
        for byte in string {
            match byte {
                b'\\' => self.room.put(byte),
                0..b' ' | 0x7f => {
                    self.text(text::ESCAPE);
                    if byte < 0x10 {
                        self.room.put(b'0');
                    }
                    self.number(byte.into(), directive::HEXADECIMAL);
                    continue;
                }
                _ => {}
            }
            self.room.put(byte);
        }
    }

    /// `number` in one of the forms that directives name.
    #[inline(never)]
    fn number(&mut self, mut number: u64, form: u32) {
        let groups = form & directive::POINT;
        // Where there is none, at no place.
        let point = (3 * groups).wrapping_sub(u32::from(groups == 0));
        // From the right.
        let mut place = 0;
        self.room.put_backwards(|| {
            let at = place;
            place += 1;
            if at == point {
                return Some(b'.');
            }
            if number == 0 && at > point.wrapping_add(1) {
                return (form & directive::WIDE != 0 && at < directive::WIDTH).then_some(b' ');
            }
            let digit;
            (number, digit) = if form < directive::OCTAL {
                (number / 10, number % 10)
            } else {
                let bits = form.trailing_zeros();
                (number >> bits, number & u64::from(form - 1))
            };
            let digit = digit as u8;
            Some(if digit > 9 { digit + b'a' - 10 } else { digit + b'0' })
        });
    }
}
