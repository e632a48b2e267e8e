//! A clock that is wrong by `CLOCK_SHIFT` seconds: tests/release.rs has rustc make a library of this file and has it
//! loaded before the C library (LD_PRELOAD), into all that makes a release. Each program that it is loaded into
//! adds a line to the file `CLOCK_NOTES`: what time it is there, and who asks.
//!
//! Only the time of day is shifted. Waits, timeouts and the clocks that they go by stay as they are; a compiler
//! whose waits are meddled with hangs. The times of files are the kernel's, and the test sets them itself.

use std::env;
use std::ffi::{c_int, c_long, c_void};
use std::fs::OpenOptions;
use std::io::Write;
use std::ptr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

#[repr(C)]
pub struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

#[repr(C)]
pub struct Timeval {
    seconds: i64,
    microseconds: i64,
}

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// Asked for by its number: to look up the C library's own function takes a lock, and an allocator that holds
/// one of its own may ask for the time.
const CLOCK_GETTIME: c_long = if cfg!(target_arch = "x86_64") { 228 } else { 113 };

const REALTIME: c_int = 0;
const REALTIME_COARSE: c_int = 5;

static SHIFT: AtomicI64 = AtomicI64::new(0);

/// # Safety
/// As clock_gettime(2): `at` is an address to write to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, at: *mut Timespec) -> c_int {
    // SAFETY: the caller's arguments, handed on.
    let result = unsafe { syscall(CLOCK_GETTIME, c_long::from(clock), at) };
    if result == 0 && [REALTIME, REALTIME_COARSE].contains(&clock) {
        // SAFETY: the kernel has just written there.
        unsafe { (*at).seconds += SHIFT.load(Ordering::Relaxed) };
    }
    result as c_int
}

/// # Safety
/// As gettimeofday(2): `at` is null or an address to write to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(at: *mut Timeval, _zone: *mut c_void) -> c_int {
    let now = now();
    if !at.is_null() {
        let value = Timeval { seconds: now.seconds, microseconds: now.nanoseconds / 1000 };
        // SAFETY: the caller's.
        unsafe { ptr::write(at, value) };
    }
    0
}

/// # Safety
/// As time(2): `at` is null or an address to write to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(at: *mut i64) -> i64 {
    let now = now();
    if !at.is_null() {
        // SAFETY: the caller's.
        unsafe { ptr::write(at, now.seconds) };
    }
    now.seconds
}

fn now() -> Timespec {
    let mut now = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: an address to write to.
    unsafe { clock_gettime(REALTIME, &mut now) };
    now
}

/// Called by the loader before the program's own beginning.
extern "C" fn start() {
    let number = |name| env::var(name).ok().and_then(|value: String| value.parse().ok());
    SHIFT.store(number("CLOCK_SHIFT").unwrap_or(0), Ordering::Relaxed);
    let (Some(notes), Ok(program)) = (env::var_os("CLOCK_NOTES"), env::current_exe()) else {
        return;
    };
    // As any program in Rust asks for it.
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let line = format!("{seconds} {}\n", program.display());
    // Not to be able to note it is for the test to notice.
    let notes = OpenOptions::new().create(true).append(true).open(notes);
    let _ = notes.and_then(|mut notes| notes.write_all(line.as_bytes()));
}

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;
