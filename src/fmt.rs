//! Messages: a template and typed arguments, put together in a buffer.

use crate::messages::{self, Text};
use crate::names;
use crate::sys::{CStrRef, Errno};

/// A template and its arguments.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// The text with `{}` for each argument.
    pub template: Text,
    /// The arguments.
    pub args: &'a [Arg<'a>],
}

impl Message<'_> {
    /// Nothing at all.
    pub const EMPTY: Self = Self { template: messages::EMPTY, args: &[] };
}

/// An argument: its type says how it is shown.
#[derive(Clone, Copy)]
pub enum Arg<'a> {
    /// A number in decimal.
    Dec(u64),
    /// A number in hexadecimal.
    Hex(u64),
    /// A number in octal.
    Oct(u64),
    /// A number in decimal with a point in it.
    Fixed {
        /// The number without the point.
        value: u64,
        /// The number of digits after the point; without any there is no point.
        decimals: u8,
        /// The least number of characters: blanks on the left fill it up.
        width: u8,
    },
    /// A text of this program.
    Text(Text),
    /// A string from outside, with its control bytes escaped.
    Quoted(CStrRef<'a>),
    /// A byte from outside, escaped unless it is a printable ASCII character.
    Byte(u8),
    /// An error's text.
    Errno(Errno),
    /// Another message.
    Message(&'a Message<'a>),
}

/// A message as it is put together. Bytes for which there is no room are only counted.
pub struct Buffer<'a> {
    memory: &'a mut [u8],
    length: usize,
}

impl<'a> Buffer<'a> {
    /// An empty one.
    pub fn new(memory: &'a mut [u8]) -> Self {
        Self { memory, length: 0 }
    }

    /// The bytes that were put.
    ///
    /// # Errors
    /// The number of bytes, if there was no room for all of them.
    pub fn finish(self) -> Result<&'a [u8], usize> {
        self.memory.get(..self.length).ok_or(self.length)
    }

    /// Puts one byte.
    fn put(&mut self, byte: u8) {
        if let Some(place) = self.memory.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
    }

    /// Puts a text.
    pub fn put_text(&mut self, text: CStrRef) {
        for byte in text {
            self.put(byte);
        }
    }

    /// Puts a message of the process with this name.
    pub fn put_message(&mut self, process: Text, message: &Message) {
        let mut args = message.args.iter();
        let mut template = message.template;
        while let Some(byte) = template.next() {
            if byte != b'{' {
                self.put(byte);
            } else if template.next() == Some(b'p') {
                self.put_text(process);
                template.next();
            } else if let Some(arg) = args.next() {
                self.put_arg(process, arg);
            }
        }
    }

    fn put_arg(&mut self, process: Text, arg: &Arg) {
        match *arg {
            Arg::Dec(value) => self.put_decimal(value),
            Arg::Hex(value) => self.put_number(value, 16, 0, 0),
            Arg::Oct(value) => self.put_number(value, 8, 0, 0),
            Arg::Fixed { value, decimals, width } => self.put_number(value, 10, decimals, width),
            Arg::Text(text) => self.put_text(text),
            Arg::Quoted(string) => {
                for byte in string {
                    self.put_escaped(byte, byte < b' ' || byte == 0x7f);
                }
            }
            Arg::Byte(byte) => self.put_escaped(byte, !(b' '..0x7f).contains(&byte)),
            Arg::Message(message) => self.put_message(process, message),
            Arg::Errno(errno) => {
                if let Some(text) = names::error(errno) {
                    self.put_text(text);
                } else {
                    let args = &[Arg::Dec(errno.number().into())];
                    self.put_message(process, &Message { template: messages::ERRNO, args });
                }
            }
        }
    }

    /// Puts a byte from outside. One of ASCII's control codes could forge a line or drive the terminal: as a `code`
    /// it is shown as `\xNN`. A backslash is shown as two.
    fn put_escaped(&mut self, byte: u8, code: bool) {
        if code {
            self.put_text(CStrRef::new(if byte < 0x10 { c"\\x0" } else { c"\\x" }));
            return self.put_number(byte.into(), 16, 0, 0);
        }
        if byte == b'\\' {
            self.put(byte);
        }
        self.put(byte);
    }

    /// Puts a number in decimal.
    pub fn put_decimal(&mut self, value: u64) {
        self.put_number(value, 10, 0, 0);
    }

    /// Puts a number with a point before its last `decimals` digits, filled up with blanks on the left until
    /// it has `width` characters.
    fn put_number(&mut self, mut value: u64, base: u64, decimals: u8, width: u8) {
        // From the right. 22 digits, the most, are those of an octal number of 64 bits.
        let mut characters = [0; 32];
        for (count, character) in (0..).zip(characters.iter_mut().rev()) {
            *character = if decimals > 0 && count == decimals {
                b'.'
            } else if value > 0 || count == 0 || (decimals > 0 && count <= decimals + 1) {
                let digit = (value % base) as u8;
                value /= base;
                if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }
            } else if count < width {
                b' '
            } else {
                break;
            };
        }
        for character in characters.into_iter().filter(|character| *character != 0) {
            self.put(character);
        }
    }
}
