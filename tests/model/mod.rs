//! A plain model of the command line's grammar and of the escapes, without the program's code. The random command lines and
//! the fuzz targets use it.

/// The required result of a command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A usage error, with the output on standard error.
    Wrong(Vec<u8>),
    Probe,
    Help,
    Version,
    Run(Plan),
}

/// The options and directories of a command line that starts processes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub delay: u32,
    pub count: u32,
    pub keep: bool,
    /// The last value of `-f`.
    pub second: Option<char>,
    pub killable: bool,
    pub let_through: bool,
    pub directories: Vec<Vec<u8>>,
}

/// The model: the grammar of `getopt(3)`, letter by letter.
pub fn model(arguments: &[Vec<u8>]) -> Verdict {
    let mut plan = Plan::default();
    let mut rest = arguments.iter();
    let (mut probe, mut other) = (false, None);
    while let Some(argument) = rest.next() {
        match argument.as_slice() {
            b"--" => {
                plan.directories.extend(rest.by_ref().cloned());
                break;
            }
            // A long option may be abbreviated, as with getopt_long(3).
            [b'-', b'-', long @ ..] => {
                return if b"help".starts_with(long) {
                    Verdict::Help
                } else if b"version".starts_with(long) {
                    Verdict::Version
                } else {
                    wrong(b"unrecognized option '", &escaped(argument), b"'")
                };
            }
            [b'-', _, ..] => {
                for (at, letter) in argument[1..].iter().enumerate() {
                    if *letter == b'p' {
                        probe = true;
                        continue;
                    }
                    other.get_or_insert(*letter);
                    if !b"dfb".contains(letter) {
                        match letter {
                            b'K' => plan.keep = true,
                            b'w' => plan.killable = true,
                            b'c' => plan.let_through = true,
                            b'h' => return Verdict::Help,
                            b'V' => return Verdict::Version,
                            _ => {
                                return wrong(b"invalid option -- '", &escaped_byte(*letter), b"'");
                            }
                        }
                        continue;
                    }
                    let value = match &argument[at + 2..] {
                        [] => match rest.next() {
                            Some(next) => next.clone(),
                            None => {
                                return wrong(
                                    b"option requires an argument -- '",
                                    &[*letter],
                                    b"'",
                                );
                            }
                        },
                        attached => attached.to_vec(),
                    };
                    let text = String::from_utf8_lossy(&value).into_owned();
                    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
                    let number = if is_number { text.parse::<u32>().ok() } else { None };
                    match (letter, number, text.as_str()) {
                        (b'd', Some(delay), _) => plan.delay = delay,
                        (b'b', Some(count @ 1..), _) => plan.count = count,
                        (b'f', _, "e") => plan.second = Some('e'),
                        (b'f', _, "t") => plan.second = Some('t'),
                        (b'd', ..) => {
                            return wrong(
                                b"invalid number of seconds: '",
                                &escaped(&value),
                                b"' (0 to 4294967295)",
                            );
                        }
                        (b'b', ..) => {
                            return wrong(
                                b"invalid count: '",
                                &escaped(&value),
                                b"' (1 to 4294967295)",
                            );
                        }
                        _ => {
                            return wrong(
                                b"invalid argument '",
                                &escaped(&value),
                                b"' for -f (e or t)",
                            );
                        }
                    }
                    break;
                }
            }
            _ => plan.directories.push(argument.clone()),
        }
    }
    if probe {
        return match (other, plan.directories.first()) {
            (Some(letter), _) => wrong(b"option not allowed with -p -- '", &[letter], b"'"),
            (_, Some(directory)) => wrong(b"extra operand '", &escaped(directory), b"'"),
            _ => Verdict::Probe,
        };
    }
    if plan.directories.is_empty() {
        wrong(b"missing operand", b"", b"")
    } else {
        Verdict::Run(plan)
    }
}

/// A usage error with this message.
fn wrong(before: &[u8], about: &[u8], after: &[u8]) -> Verdict {
    let hint = b"\nTry 'seccomp-notify-min --help' for more information.\n";
    Verdict::Wrong([b"seccomp-notify-min: ", before, about, after, hint].concat())
}

/// A single byte of the user's, as the program prints it.
fn escaped_byte(byte: u8) -> Vec<u8> {
    if byte < 0x80 { escaped(&[byte]) } else { format!("\\x{byte:02x}").into_bytes() }
}

/// A string of the user's, as the program prints it.
pub fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut shown = vec![];
    for &byte in bytes {
        match byte {
            b'\\' => shown.extend(b"\\\\"),
            0..0x20 | 0x7f => shown.extend(format!("\\x{byte:02x}").bytes()),
            _ => shown.push(byte),
        }
    }
    shown
}
