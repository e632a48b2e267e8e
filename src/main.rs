//! The freestanding shell around the library: the entry point, and what the compiler expects of a
//! program that has no C library.
#![no_std]
#![no_main]

use core::ptr::NonNull;

use seccomp_notify_min::{main, start, sys};

start!(entry);

/// Where `_start` goes, with the initial stack pointer.
extern "C" fn entry(stack: NonNull<usize>) -> ! {
    // SAFETY: `_start` passes on the stack pointer with which the kernel entered the program.
    let arguments = unsafe { sys::arguments(stack) };
    main(arguments)
}

/// Nothing here panics: the image contains no call of this, and a test says so. A build without
/// optimization contains calls that are never made.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    sys::exit_group(PANICKED)
}

/// The status of SIGABRT in a shell, as programs with a C library end when they panic.
const PANICKED: u32 = 134;

/// The standard library's unwinding tables name this; with `panic = "abort"` it is never called.
#[cfg(debug_assertions)]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// What the compiler calls for larger copies and fills, under the names that it expects
/// (`core`, "How to use the core library"). Where the release build has no use for one, the linker
/// drops it.
mod memory {
    use core::ptr::{read_volatile, write_volatile};

    /// `void *memcpy(void *to, const void *from, size_t length)`
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
        for i in 0..length {
            // SAFETY: by memcpy's contract. Volatile, so that the loop is not taken for a memcpy.
            unsafe { to.add(i).write(read_volatile(from.add(i))) }
        }
        to
    }

    /// `void *memmove(void *to, const void *from, size_t length)`
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
        if to.cast_const() <= from {
            // SAFETY: by memmove's contract; forwards, no byte is overwritten before it is read.
            return unsafe { memcpy(to, from, length) };
        }
        for i in (0..length).rev() {
            // SAFETY: by memmove's contract; backwards, likewise.
            unsafe { to.add(i).write(read_volatile(from.add(i))) }
        }
        to
    }

    /// `void *memset(void *to, int byte, size_t length)`
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
        for i in 0..length {
            // SAFETY: by memset's contract. Volatile, so that the loop is not taken for a memset.
            unsafe { write_volatile(to.add(i), byte as u8) }
        }
        to
    }

    /// `int memcmp(const void *a, const void *b, size_t length)`
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
        for i in 0..length {
            // SAFETY: by memcmp's contract. Volatile, so that the loop is not taken for a memcmp.
            let (a, b) = unsafe { (read_volatile(a.add(i)), read_volatile(b.add(i))) };
            if a != b {
                return i32::from(a) - i32::from(b);
            }
        }
        0
    }

    /// `int bcmp(const void *a, const void *b, size_t length)`
    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
        // SAFETY: the same contract.
        unsafe { memcmp(a, b, length) }
    }

    /// `size_t strlen(const char *string)`
    #[unsafe(no_mangle)]
    unsafe extern "C" fn strlen(string: *const u8) -> usize {
        let mut length = 0;
        // SAFETY: by strlen's contract. Volatile, so that the loop is not taken for a strlen.
        while unsafe { read_volatile(string.add(length)) } != 0 {
            length += 1;
        }
        length
    }
}
