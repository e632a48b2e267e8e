//! Landlock rulesets, by the system calls alone (`landlock(7)`).

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What a ruleset restricts.
#[derive(Clone, Copy, Debug)]
pub enum Rules {
    /// Files and directories: every folder of `/` may be used, but for this one.
    Without(&'static str),
    /// Signals and abstract sockets to what is outside.
    Scopes,
}

/// All rights that the first version knows.
const ALL: u64 = (1 << 13) - 1;
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1 << 0;
const SCOPE_SIGNAL: u64 = 1 << 1;
/// The first version that knows scopes.
const WITH_SCOPES: i64 = 6;

const CREATE_RULESET_VERSION: u32 = 1 << 0;
const RULE_PATH_BENEATH: u32 = 1;

#[repr(C)]
#[derive(Default)]
struct RulesetAttr {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: i32,
}

/// Restricts what a command will start.
pub fn restrict(command: &mut Command, rules: Rules) -> Result<(), String> {
    let ruleset = ruleset(rules)?;
    let restrict = move || {
        // SAFETY: neither touches memory.
        let result = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: two system calls between fork and exec.
    unsafe { command.pre_exec(restrict) };
    Ok(())
}

fn ruleset(rules: Rules) -> Result<OwnedFd, String> {
    let attr = match rules {
        Rules::Without(_) => RulesetAttr { handled_access_fs: ALL, ..Default::default() },
        Rules::Scopes => {
            RulesetAttr { scoped: SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL, ..Default::default() }
        }
    };
    let no_attr: *const RulesetAttr = std::ptr::null();
    let version = create(no_attr, 0, CREATE_RULESET_VERSION);
    let version = version.map_err(|error| format!("no Landlock in this kernel: {error}"))?;
    let mut size = size_of::<RulesetAttr>();
    match rules {
        Rules::Scopes if version < WITH_SCOPES => {
            return Err(format!(
                "this kernel's Landlock has version {version}, scopes need {WITH_SCOPES}"
            ));
        }
        // A kernel that knows the first field only takes no more.
        Rules::Without(_) => size = size_of::<u64>(),
        Rules::Scopes => {}
    }
    let ruleset = create(&raw const attr, size, 0).map_err(|error| error.to_string())?;
    // SAFETY: the call has just made it.
    let ruleset = unsafe { OwnedFd::from_raw_fd(ruleset as i32) };
    if let Rules::Without(left_out) = rules {
        for entry in fs::read_dir("/").map_err(|error| error.to_string())?.flatten() {
            if entry.file_name() != left_out && entry.path().is_dir() {
                allow(&ruleset, &entry.path()).map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(ruleset)
}

fn create(attr: *const RulesetAttr, size: usize, flags: u32) -> io::Result<i64> {
    // SAFETY: reads that much of the attributes.
    match unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attr, size, flags) } {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// Allows everything below a folder.
fn allow(ruleset: &OwnedFd, folder: &std::path::Path) -> io::Result<()> {
    let folder = fs::File::options().read(true).custom_flags(libc::O_PATH).open(folder)?;
    let rule = PathBeneathAttr { allowed_access: ALL, parent_fd: folder.as_raw_fd() };
    let (ruleset, rule) = (ruleset.as_raw_fd(), &raw const rule);
    // SAFETY: reads the rule.
    let result =
        unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, rule, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
