//! System calls for the helpers of the virtual machines, through the program's own trap: so a helper runs on every architecture that
//! the program runs on.

use seccomp_notify_min::arch::{SystemCall, trap};

/// `raw!(__NR_close, fd)`: makes the call and returns what the kernel returns. The missing arguments are 0.
macro_rules! raw {
    ($number:ident $(, $argument:expr)*) => {
        $crate::raw::call(seccomp_notify_min::abi::nr::$number, &[$($argument),*])
    };
}
pub(crate) use raw;

/// Makes a call that is not the same on every architecture.
///
/// # Safety
///
/// The call may be made with these arguments.
#[allow(dead_code)] // not every helper makes such a call
pub unsafe fn named(call: SystemCall, arguments: &[usize]) -> usize {
    // SAFETY: by this function's contract.
    unsafe { self::call(call.number, arguments) }
}

/// Makes a call.
///
/// # Safety
///
/// The call may be made with these arguments.
pub unsafe fn call(number: u32, arguments: &[usize]) -> usize {
    let argument = |i: usize| arguments.get(i).copied().unwrap_or(0);
    let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(argument);
    // SAFETY: by this function's contract.
    unsafe { trap::syscall6(number as usize, a, b, c, d, e, f) }
}

/// Whether the kernel returned an error (`intro(2)`).
pub fn is_error(returned: usize) -> bool {
    (-4095..0).contains(&returned.cast_signed())
}

/// Ends the process.
pub fn exit(status: usize) -> ! {
    loop {
        // SAFETY: touches no memory.
        unsafe { raw!(__NR_exit_group, status) };
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    exit(126)
}

/// The tables of `core` for unwinding, which never happens, name it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// `void *memset(void *to, int byte, size_t length)`: the compiler calls it.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    for i in 0..length {
        // SAFETY: by the contract of memset. Volatile: otherwise the loop would be compiled into a call of memset.
        unsafe { to.add(i).write_volatile(byte as u8) };
    }
    to
}
