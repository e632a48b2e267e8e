//! System calls: how a call is made, and how the kernel's answer is decoded. `calls` has one wrapper for
//! each call that the program makes.
//!
//! Nothing here prints, or knows what an error means for its caller: a call that the process cannot do without
//! hands its error to [`Caller::fail`].
#![allow(unsafe_code)]

use core::marker::PhantomData;

use crate::arch::trap;

mod calls;
mod strings;
mod types;

pub use calls::*;
pub use strings::{CStrRef, arguments};
pub use types::{Errno, Error, Fd, Fork, Operation, Pid, Received, Result};

/// A value that can be an argument of a system call.
trait Argument {
    /// The register's content.
    fn word(self) -> usize;
}

impl Argument for usize {
    fn word(self) -> usize {
        self
    }
}

impl Argument for u32 {
    fn word(self) -> usize {
        self as usize
    }
}

impl Argument for Fd {
    fn word(self) -> usize {
        // The kernel looks at the lower 32 bits only.
        self.0.cast_unsigned() as usize
    }
}

impl Argument for Pid {
    fn word(self) -> usize {
        // As for `Fd`.
        self.0 as usize
    }
}

impl Argument for CStrRef<'_> {
    fn word(self) -> usize {
        self.as_ptr() as usize
    }
}

impl<T> Argument for *const T {
    fn word(self) -> usize {
        self as usize
    }
}

impl<T> Argument for *mut T {
    fn word(self) -> usize {
        self as usize
    }
}

/// What a successful call returns, decoded from the register.
pub trait FromRet {
    /// Decodes it.
    fn from_ret(ret: usize) -> Self;
}

/// Who makes a call that it cannot do without.
pub trait Caller: Copy {
    /// Tells of the error and ends the process.
    fn fail(self, error: Error) -> !;
}

/// A system call that has yet to be made, with `N` arguments. It borrows the memory that it will touch.
#[must_use = "the call is not made yet"]
pub struct Call<'memory, T, const N: usize> {
    number: u32,
    args: [usize; N],
    returns: PhantomData<(&'memory mut u8, T)>,
}

// `or_fail`, `result` and `once` are inlined where a call is made, since most arguments are constants there:
// without that the program would be 240 to 440 bytes larger for each of the three.
impl<T: FromRet, const N: usize> Call<'_, T, N> {
    /// # Safety
    /// As long as this value lives, the call may be made: the memory that it reads or writes may be read or
    /// written.
    unsafe fn new(number: u32, args: [usize; N]) -> Self {
        const { assert!(N <= 4) };
        Self { number, args, returns: PhantomData }
    }

    /// Makes the call, again if a signal interrupted it (EINTR). Any other error ends the process.
    #[inline(always)]
    pub fn or_fail<C: Caller>(self, caller: C) -> T {
        let [a, b, c, d] = self.four_args();
        // SAFETY: by the contract of `new`.
        T::from_ret(unsafe {
            if N <= 2 {
                checked2(caller, self.number, a, b)
            } else {
                checked4(caller, self.number, a, b, c, d)
            }
        })
    }

    /// Makes the call, again if a signal interrupted it (EINTR).
    ///
    /// # Errors
    /// Those of its manual page, except EINTR.
    #[inline(always)]
    pub fn result(self) -> Result<T> {
        let [a, b, c, d] = self.four_args();
        // SAFETY: by the contract of `new`.
        decode(self.number, unsafe { retried(self.number, a, b, c, d) })
    }

    /// Makes the call once.
    ///
    /// # Errors
    /// Those of its manual page.
    #[inline(always)]
    pub fn once(self) -> Result<T> {
        let [a, b, c, d] = self.four_args();
        // SAFETY: by the contract of `new`.
        decode(self.number, unsafe { once(self.number, a, b, c, d) })
    }

    /// The arguments; the missing ones are 0.
    fn four_args(&self) -> [usize; 4] {
        let arg = |i: usize| self.args.get(i).copied().unwrap_or(0);
        [arg(0), arg(1), arg(2), arg(3)]
    }
}

/// Decodes what the kernel returned: -4095 to -1 is an error (`intro(2)`).
#[inline(always)]
fn decode<T: FromRet>(number: u32, ret: usize) -> Result<T> {
    match ret as isize {
        ret @ -4095..0 => Err(Error::new(number, Errno::new(-ret as u32))),
        _ => Ok(T::from_ret(ret)),
    }
}

/// Makes a call again until no signal interrupts it. Any other error ends the process.
///
/// # Safety
/// The call may be made.
unsafe fn checked4<C: Caller>(
    caller: C,
    number: u32,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
) -> usize {
    // SAFETY: by this function's contract.
    match decode(number, unsafe { retried(number, a, b, c, d) }) {
        Ok(ret) => ret,
        Err(error) => caller.fail(error),
    }
}

/// The same for a call of at most two arguments: there are many, and without this the program would be 112 bytes
/// larger.
///
/// # Safety
/// The call may be made.
unsafe fn checked2<C: Caller>(caller: C, number: u32, a: usize, b: usize) -> usize {
    // SAFETY: by this function's contract.
    unsafe { checked4(caller, number, a, b, 0, 0) }
}

/// Makes a call until no signal interrupts it.
///
/// # Safety
/// The call may be made.
unsafe fn retried(number: u32, a: usize, b: usize, c: usize, d: usize) -> usize {
    loop {
        // SAFETY: by this function's contract.
        let ret = unsafe { once(number, a, b, c, d) };
        if ret as isize != -(Errno::EINTR.number() as isize) {
            return ret;
        }
    }
}

/// Makes a call. Its fifth and sixth argument are 0, as `prctl(2)` wants it.
///
/// # Safety
/// The call may be made.
unsafe fn once(number: u32, a: usize, b: usize, c: usize, d: usize) -> usize {
    // SAFETY: by this function's contract.
    unsafe { trap::syscall6(number as usize, a, b, c, d, 0, 0) }
}

/// Makes a call of six arguments, once.
///
/// # Errors
/// Those of its manual page.
///
/// # Safety
/// The call may be made.
#[inline(always)]
unsafe fn six_args<T: FromRet>(number: u32, args: [usize; 6]) -> Result<T> {
    let [first, second, third, fourth, fifth, sixth] = args;
    // SAFETY: by this function's contract.
    let ret =
        unsafe { trap::syscall6(number as usize, first, second, third, fourth, fifth, sixth) };
    decode(number, ret)
}
