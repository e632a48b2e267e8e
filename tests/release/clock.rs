//! A clock that is wrong by `CLOCK_SHIFT` seconds. tests/release.rs builds a library from this file, which the programs that make
//! a release load before the C library (LD_PRELOAD). Each of these programs adds a line to the file `CLOCK_NOTES`: its time and
//! its path.
//!
//! Only the time of day is shifted. The clocks of waits and timeouts stay as they are: with other ones a compiler hangs. The
//! times of files come from the kernel; the test sets them itself.

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

/// The call is made by its number. To look up the C library's function takes a lock, and an allocator may ask for the time while
/// it has a lock of its own.
const CLOCK_GETTIME: c_long = if cfg!(target_arch = "x86_64") { 228 } else { 113 };

const REALTIME: c_int = 0;
const REALTIME_COARSE: c_int = 5;

static SHIFT: AtomicI64 = AtomicI64::new(0);

/// # Safety
/// As for clock_gettime(2): `at` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, at: *mut Timespec) -> c_int {
    // SAFETY: the arguments are the caller's.
    let result = unsafe { syscall(CLOCK_GETTIME, c_long::from(clock), at) };
    if result == 0 && [REALTIME, REALTIME_COARSE].contains(&clock) {
        // SAFETY: the kernel has just written to this address.
        unsafe { (*at).seconds += SHIFT.load(Ordering::Relaxed) };
    }
    result as c_int
}

/// # Safety
/// As for gettimeofday(2): `at` must be null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(at: *mut Timeval, _zone: *mut c_void) -> c_int {
    let now = now();
    if !at.is_null() {
        let value = Timeval { seconds: now.seconds, microseconds: now.nanoseconds / 1000 };
        // SAFETY: `at` is valid for a write, by this function's contract.
        unsafe { ptr::write(at, value) };
    }
    0
}

/// # Safety
/// As for time(2): `at` must be null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(at: *mut i64) -> i64 {
    let now = now();
    if !at.is_null() {
        // SAFETY: `at` is valid for a write, by this function's contract.
        unsafe { ptr::write(at, now.seconds) };
    }
    now.seconds
}

fn now() -> Timespec {
    let mut now = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: `now` is valid for a write.
    unsafe { clock_gettime(REALTIME, &mut now) };
    now
}

/// The loader calls this before the program's own code.
extern "C" fn start() {
    let number = |name| env::var(name).ok().and_then(|value: String| value.parse().ok());
    SHIFT.store(number("CLOCK_SHIFT").unwrap_or(0), Ordering::Relaxed);
    let (Some(notes), Ok(program)) = (env::var_os("CLOCK_NOTES"), env::current_exe()) else {
        return;
    };
    // As any Rust program gets the time.
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let line = format!("{seconds} {}\n", program.display());
    // Errors are ignored: the test fails if the line is missing.
    let notes = OpenOptions::new().create(true).append(true).open(notes);
    let _ = notes.and_then(|mut notes| notes.write_all(line.as_bytes()));
}

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;
