//! The entry point, and what the compiler expects of a program that has no C library.
#![no_std]
#![no_main]

use core::ptr::NonNull;

use seccomp_notify_min::{main, start, sys};

start!(entry);

/// Where the entry point goes.
///
/// # Safety
/// `stack` is the stack pointer with which the kernel entered the program, and this is called once.
unsafe extern "C" fn entry(stack: NonNull<usize>) -> ! {
    // SAFETY: by this function's contract.
    let arguments = unsafe { sys::arguments(stack) };
    main(arguments)
}

/// What `core` wants of a program without `std`. Nothing here panics, and a test makes sure that the release
/// image has no call of the handler. A build without optimization has calls that are never made.
#[cfg(panic = "abort")]
mod panic {
    use seccomp_notify_min::sys;

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        /// The exit status of SIGABRT in a shell, as of a program with a C library that panics.
        const PANICKED: u32 = 134;
        sys::exit_group(PANICKED)
    }

    /// `core` is compiled for unwinding and names this in its tables. The tables are not linked, and nothing
    /// unwinds.
    #[unsafe(no_mangle)]
    extern "C" fn rust_eh_personality() {}
}

/// A workspace whose profile does not say `panic = "abort"` builds for unwinding, and for that rustc wants a
/// library that can unwind. Nothing of it is called, so nothing of it is linked.
#[cfg(panic = "unwind")]
extern crate std;

/// The functions that the compiler calls to copy, fill and compare memory, under the names that it expects
/// (`core`, "How to use the core library"). Those that the program does not need are not linked.
mod memory {
    use core::ffi::{c_char, c_int, c_void};
    use core::mem::MaybeUninit;
    use core::ptr::{read_volatile, write_volatile};

    // The loops read or write volatile: a plain loop would be compiled into a call of the same function.

    /// Copies, first byte first.
    ///
    /// # Safety
    /// As `memcpy(3)`, but `to` may also be at a lower address in the same memory.
    unsafe fn copy_forwards(to: *mut c_void, from: *const c_void, length: usize) -> *mut c_void {
        // What is copied may be padding, which has no value.
        let (bytes, from) = (to.cast::<MaybeUninit<u8>>(), from.cast::<MaybeUninit<u8>>());
        for i in 0..length {
            // SAFETY: by this function's contract; each byte is read before it is overwritten.
            unsafe { bytes.add(i).write(read_volatile(from.add(i))) }
        }
        to
    }

    /// `void *memcpy(void *to, const void *from, size_t length)`
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(
        to: *mut c_void,
        from: *const c_void,
        length: usize,
    ) -> *mut c_void {
        // SAFETY: by the contract of memcpy.
        unsafe { copy_forwards(to, from, length) }
    }

    /// `void *memmove(void *to, const void *from, size_t length)`
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(
        to: *mut c_void,
        from: *const c_void,
        length: usize,
    ) -> *mut c_void {
        if to.cast_const() <= from {
            // SAFETY: by the contract of memmove.
            return unsafe { copy_forwards(to, from, length) };
        }
        let (bytes, from) = (to.cast::<MaybeUninit<u8>>(), from.cast::<MaybeUninit<u8>>());
        for i in (0..length).rev() {
            // SAFETY: by the contract of memmove; backwards, each byte is read before it is overwritten.
            unsafe { bytes.add(i).write(read_volatile(from.add(i))) }
        }
        to
    }

    /// `void *memset(void *to, int byte, size_t length)`
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut c_void, byte: c_int, length: usize) -> *mut c_void {
        for i in 0..length {
            // SAFETY: by the contract of memset.
            unsafe { write_volatile(to.cast::<u8>().add(i), byte as u8) }
        }
        to
    }

    /// `int memcmp(const void *a, const void *b, size_t length)`
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(a: *const c_void, b: *const c_void, length: usize) -> c_int {
        let (a, b) = (a.cast::<u8>(), b.cast::<u8>());
        for i in 0..length {
            // SAFETY: by the contract of memcmp.
            let (a, b) = unsafe { (read_volatile(a.add(i)), read_volatile(b.add(i))) };
            if a != b {
                return c_int::from(a) - c_int::from(b);
            }
        }
        0
    }

    /// `int bcmp(const void *a, const void *b, size_t length)`
    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(a: *const c_void, b: *const c_void, length: usize) -> c_int {
        // SAFETY: by the same contract.
        unsafe { memcmp(a, b, length) }
    }

    /// `size_t strlen(const char *string)`
    #[unsafe(no_mangle)]
    unsafe extern "C" fn strlen(string: *const c_char) -> usize {
        let mut length = 0;
        // SAFETY: by the contract of strlen.
        while unsafe { read_volatile(string.add(length)) } != 0 {
            length += 1;
        }
        length
    }
}
