//! A fault of some kernels: a call that was notified returns 0, whatever value the supervisor gave. Errors and
//! `SECCOMP_USER_NOTIF_FLAG_CONTINUE` are right. On such a kernel the target prints 0; a case is then checked with the value
//! that was given in its place, and the table names the fault.

use crate::cases::Kernel;

/// The fault, for the table.
pub const REASON: &str = "passed, but for the kernel's fault: a notified call returns 0 and not the supervisor's value \
    (powerpc with generic entry); `-p` tells it: `send: no: mkdir: wrong result`";

/// Whether the kernel may have the fault: those of powerpc64le that Debian has from 7.2 on. Its 6.1 and 6.12 have not.
pub fn is_possible(kernel: &Kernel) -> bool {
    kernel.machine == "ppc64le" && kernel.since(7, 2)
}

const ANNOUNCED: &str = "Target process: about to make directory \"";
const LOST: &str = "Target process: SUCCESS: mkdir(2) returned = 0";

/// Puts the values back into the output of one run.
#[derive(Default)]
pub struct Restorer {
    /// The path that was announced last.
    path: String,
}

impl Restorer {
    /// The text with each 0 for a directory below /tmp replaced by the value that the tracer gave: the path's length.
    pub fn restore(&mut self, text: &str) -> String {
        text.split_inclusive('\n').map(|line| self.line(line)).collect()
    }

    fn line(&mut self, line: &str) -> String {
        if let Some(rest) = line.strip_prefix(ANNOUNCED) {
            self.path = rest.trim_end_matches(['\n', '"']).to_owned();
        }
        match line.strip_prefix(LOST) {
            Some("\n") if self.path.starts_with("/tmp/") => {
                format!("{}{}\n", LOST.trim_end_matches('0'), self.path.len())
            }
            _ => line.to_owned(),
        }
    }
}
