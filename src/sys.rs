//! The system calls this program uses, typed, in alphabetical order, and the only room with `unsafe`
//! beside [`crate::arch`].
//!
//! Three layers: the trap of one of two crates, `call!` which names a call once and for all, and a
//! function a call which takes references and slices, so that every address it gives the kernel is valid
//! for as long as the kernel uses it. What is sound here is sound because each function says, in its
//! SAFETY line, which memory its call touches; no call retains an address. Where a number decides what is
//! touched (`prctl`, `ioctl`), the line holds for the numbers in [`crate::abi`] that the function is for,
//! and the rest of the program gives it no other. The prototypes are those of section 2 of the manual.
//!
//! Nothing here decides what a failure means; of one that its caller does not expect, it has [`Speech`] tell.
#![allow(unsafe_code)]

use core::cell::Cell;
use core::ffi::CStr;
use core::hint::assert_unchecked;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null, null_mut};
use core::slice;

#[cfg(feature = "backend-sc")]
pub(crate) use sc as backend;
#[cfg(not(feature = "backend-sc"))]
pub(crate) use syscalls::raw as backend;

pub use syscalls::{Errno, Sysno};

use crate::abi::{
    F_DUPFD_QUERY, ITIMER_REAL, MAP_PRIVATE_ANONYMOUS, PROT_READ_WRITE, Request, Response,
    SCM_RIGHTS, SECCOMP_GET_NOTIF_SIZES, SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND,
    SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_SET_MODE_FILTER, SIG_SETMASK, SOCK_STREAM_CLOEXEC,
    SOL_SOCKET, SignalHandler, TCSBRK, Timespec, cmsghdr, iovec, itimerval, kernel_sigset_t,
    msghdr, pollfd, seccomp_notif_sizes, sock_filter, sock_fprog,
};
use crate::arch;
use crate::failure::{Process, Speech};
use crate::text::{RUN, RUN_ROOM, Text, name};

/// A system call by name: its number and its text for an error line both follow from that.
/// Expands to a call of an unsafe function: whoever writes it says which memory the call touches.
macro_rules! call {
    ($name:ident $(, $argument:expr)*) => {
        $crate::sys::Call::new(
            ::syscalls::Sysno::$name,
            $crate::text::name::$name,
            [$($argument as usize),*],
        )
    };
}
pub(crate) use call;

/// A system call that has yet to be made, by one of the methods that say what becomes of a failure.
/// It holds on to the memory that it will touch. What it answers means a `T`.
#[must_use = "a call does nothing until it is made"]
pub struct Call<'memory, T, const N: usize> {
    number: Sysno,
    name: Text,
    arguments: [usize; N],
    meaning: PhantomData<(&'memory mut u8, T)>,
}

impl<T: Meaning, const N: usize> Call<'_, T, N> {
    /// # Safety
    /// The call may be made for as long as the result lives: the memory it touches is valid.
    #[inline(always)]
    pub(crate) unsafe fn new(number: Sysno, name: Text, arguments: [usize; N]) -> Self {
        Self { number, name, arguments, meaning: PhantomData }
    }

    /// The call's name, for an error line.
    #[inline(always)]
    #[must_use]
    pub fn name(&self) -> Text {
        self.name
    }

    /// The value; any error ends `process`, which tells of it. Arguments that are left out are 0, here and
    /// in all that follows but `once`.
    #[inline(always)]
    pub fn or_fail(self, process: Process) -> T {
        const { assert!(N <= 4, "for more, there is `once`") };
        let at = |place: usize| self.arguments.get(place).copied().unwrap_or(0);
        let packed = packed(self.number, self.name, process);
        // SAFETY: by the contract of `new`.
        T::of(unsafe {
            match N {
                0 => insist0(packed),
                1 => insist1(at(0), packed),
                2 | 3 => insist3(at(0), at(1), at(2), packed),
                _ => insist4(at(0), at(1), at(2), packed, at(3)),
            }
        })
    }

    /// The value, or one of the `expected` errors; any other ends `process`, which tells of it.
    ///
    /// # Errors
    /// Those expected. EINTR is not told unless it is expected: the call is made again.
    #[inline(always)]
    pub fn expecting(self, expected: Errors, process: Process) -> Result<T, Errno> {
        self.answer_expecting(expected, process).result()
    }

    /// The same in one word.
    #[inline(always)]
    pub fn answer_expecting(self, expected: Errors, process: Process) -> Answer<T> {
        Answer(self.persist(process, expected), PhantomData)
    }

    /// The value, or the error, whatever it is, but EINTR.
    ///
    /// # Errors
    /// Whatever the call's manual page lists.
    #[inline(always)]
    pub fn result(self) -> Result<T, Errno> {
        self.answer().result()
    }

    /// The value, or the error, whatever it is, but EINTR, in one word.
    #[inline(always)]
    pub fn answer(self) -> Answer<T> {
        Answer(self.persist(Process::PARENT, Errors::ANY), PhantomData)
    }

    /// Makes the call where its failure makes no difference.
    #[inline(always)]
    pub fn regardless(self) {
        self.persist(Process::PARENT, Errors::ANY);
    }

    /// The value, or the error, EINTR as well: the call is made just once, and on the spot.
    ///
    /// # Errors
    /// Whatever the call's manual page lists.
    #[inline(always)]
    pub fn once(self) -> Result<T, Errno> {
        self.answer_once().result()
    }

    /// The same in one word.
    #[inline(always)]
    pub fn answer_once(self) -> Answer<T> {
        let number = self.number as usize;
        let at = |place: usize| self.arguments.get(place).copied().unwrap_or(0);
        // SAFETY: by the contract of `new`.
        let word = unsafe {
            match N {
                0 => backend::syscall0(number),
                1 => backend::syscall1(number, at(0)),
                2 => backend::syscall2(number, at(0), at(1)),
                3 => backend::syscall3(number, at(0), at(1), at(2)),
                4 => backend::syscall4(number, at(0), at(1), at(2), at(3)),
                5 => backend::syscall5(number, at(0), at(1), at(2), at(3), at(4)),
                _ => backend::syscall6(number, at(0), at(1), at(2), at(3), at(4), at(5)),
            }
        };
        Answer(word as isize, PhantomData)
    }

    /// Has the call made by one of the functions below that persist.
    #[inline(always)]
    fn persist(self, process: Process, expected: Errors) -> isize {
        const { assert!(N <= 4, "for more, there is `once`") };
        let at = |place: usize| self.arguments.get(place).copied().unwrap_or(0);
        let packed = packed(self.number, self.name, process);
        // SAFETY: by the contract of `new`.
        unsafe {
            if N <= 3 && expected.0 == Errors::ANY.0 {
                persist3_any(at(0), at(1), at(2), packed)
            } else if N <= 3 {
                persist3(at(0), at(1), at(2), packed, expected)
            } else if expected.0 == Errors::ANY.0 {
                persist4_any(at(0), at(1), at(2), packed, at(3))
            } else {
                persist4(at(0), at(1), at(2), packed, at(3), expected)
            }
        }
    }
}

/// What the kernel answered, as it answers: one word, which is a value, or an error from -4095 to -1
/// (`intro(2)`). No other negative word is ever an answer to a call that this program makes.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub struct Answer<T>(isize, PhantomData<T>);

impl<T: Meaning> Answer<T> {
    /// The answer that is this error.
    #[inline(always)]
    pub fn error(errno: Errno) -> Self {
        Self(-errno.into_raw() as isize, PhantomData)
    }

    /// Whether it is this error. The whole word is compared: half of it the compiler would widen first.
    #[inline(always)]
    #[must_use]
    pub fn is(self, errno: Errno) -> bool {
        self.0 == -errno.into_raw() as isize
    }

    /// Whether it is 0.
    #[inline(always)]
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self.0 == 0
    }

    /// Whether it is a value, and not 0.
    #[inline(always)]
    #[must_use]
    pub fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// Whether it is any error.
    #[inline(always)]
    #[must_use]
    pub fn is_error(self) -> bool {
        self.0 < 0
    }

    /// The error as a negative number, 0 if it is none; the value of such a call is 0.
    #[inline(always)]
    #[must_use]
    pub fn error_number(self) -> i32 {
        self.0 as i32
    }

    /// The value or the error.
    ///
    /// # Errors
    /// That which is the answer.
    #[inline(always)]
    pub fn result(self) -> Result<T, Errno> {
        if self.0 < 0 { Err(Errno::new(-self.0 as i32)) } else { Ok(T::of(self.0 as usize)) }
    }
}

/// What a call reads into `memory`, and what it answered.
pub struct Reading<'a> {
    memory: &'a mut [MaybeUninit<u8>],
    /// If it is a value, so many bytes at the beginning of the memory have been written.
    answer: Answer<usize>,
}

impl<'a> Reading<'a> {
    /// Nothing yet.
    #[inline(always)]
    pub fn new(memory: &'a mut [MaybeUninit<u8>]) -> Self {
        Self { memory, answer: Answer(0, PhantomData) }
    }

    /// The number of bytes that have been read, or why there are none.
    #[inline(always)]
    pub fn answer(&self) -> Answer<usize> {
        self.answer
    }

    /// What has been read; none if that failed.
    #[inline(always)]
    #[must_use]
    pub fn bytes(&mut self) -> Option<&mut [u8]> {
        // An error is greater than every length.
        let written = self.memory.get_mut(..self.answer.0 as usize)?;
        let (bytes, length) = (written.as_mut_ptr().cast(), written.len());
        // SAFETY: so many have been written, as the answer says.
        Some(unsafe { slice::from_raw_parts_mut(bytes, length) })
    }

    /// The most that can be read, in bytes.
    #[inline(always)]
    #[must_use]
    pub fn room(&self) -> usize {
        self.memory.len()
    }
}

impl Answer<Fd> {
    /// The descriptor; none if it is an error.
    #[inline(always)]
    #[must_use]
    pub fn fd(self) -> Fd {
        Fd(self.0 as i32)
    }
}

/// A set of errors.
#[derive(Clone, Copy)]
pub struct Errors(u64);

impl Errors {
    /// No error.
    pub const NONE: Self = Self(0);
    /// Any error but EINTR, after which a call is made again.
    pub const ANY: Self = Self(!(1 << linux_raw_sys::errno::EINTR));

    /// The errors of these numbers.
    ///
    /// # Panics
    /// While it is compiled, if one is not below 63; all that mean anything here are.
    #[must_use]
    pub const fn of(numbers: &[u32]) -> Self {
        let mut set = 0;
        let mut i = 0;
        while i < numbers.len() {
            assert!(numbers[i] < Self::OTHERS);
            set |= 1 << numbers[i];
            i += 1;
        }
        Self(set)
    }

    #[inline(always)]
    fn has(self, errno: u32) -> bool {
        self.0 >> errno.min(Self::OTHERS) & 1 != 0
    }

    /// This number and all above it are one element of the set: none of them is told from another here.
    /// A file system in user space may return any up to 511 (the kernel's `fs/fuse/dev.c`).
    const OTHERS: u32 = 63;
}

/// A call's number and name and the process that makes it, in one word.
#[inline(always)]
fn packed(number: Sysno, name: Text, process: Process) -> u32 {
    process.speech(name).0.wrapping_add((number as u32) << 23)
}

/// Makes a call: again if a signal interrupted it, and once for the many places where calls are
/// made. What it is and who makes it is in the word that [`packed`] makes, which stands where the functions
/// below have it, so that none of them has to move it. Returns the kernel's word, unless that is an error
/// which was not expected.
///
/// # Safety
/// The call may be made.
#[inline(never)]
unsafe fn persist4(a: usize, b: usize, c: usize, packed: u32, d: usize, expected: Errors) -> isize {
    loop {
        // SAFETY: by this function's contract. One call insists on its fifth argument's being 0.
        let word = unsafe { backend::syscall5((packed >> 23) as usize, a, b, c, d, 0) } as isize;
        if word >= 0 || expected.has(-word as u32) {
            return word;
        }
        if word as i32 != -Errno::EINTR.into_raw() {
            Speech(packed).fail(Errno::new(-word as i32))
        }
    }
}

/// The same with an argument less.
///
/// # Safety
/// The call may be made.
#[inline(never)]
unsafe fn persist3(a: usize, b: usize, c: usize, packed: u32, expected: Errors) -> isize {
    // SAFETY: by this function's contract; what is left out is 0.
    unsafe { persist4(a, b, c, packed, 0, expected) }
}

/// The same as [`persist4`], expecting any error.
///
/// # Safety
/// The call may be made.
#[inline(never)]
unsafe fn persist4_any(a: usize, b: usize, c: usize, packed: u32, d: usize) -> isize {
    // SAFETY: by this function's contract.
    unsafe { persist4(a, b, c, packed, d, Errors::ANY) }
}

/// The same with an argument less.
///
/// # Safety
/// The call may be made.
#[inline(never)]
unsafe fn persist3_any(a: usize, b: usize, c: usize, packed: u32) -> isize {
    // SAFETY: by this function's contract; what is left out is 0.
    unsafe { persist4_any(a, b, c, packed, 0) }
}

/// The same as [`persist4`], expecting no error.
///
/// # Safety
/// The call may be made.
#[inline(never)]
unsafe fn insist4(a: usize, b: usize, c: usize, packed: u32, d: usize) -> usize {
    // SAFETY: by this function's contract.
    unsafe { persist4(a, b, c, packed, d, Errors::NONE) as usize }
}

/// The same with an argument less.
///
/// # Safety
/// The call may be made.
#[inline(never)]
unsafe fn insist3(a: usize, b: usize, c: usize, packed: u32) -> usize {
    // SAFETY: by this function's contract; what is left out is 0.
    unsafe { insist4(a, b, c, packed, 0) }
}

/// The same with one argument.
///
/// # Safety
/// The call may be made.
#[inline(never)]
unsafe fn insist1(a: usize, packed: u32) -> usize {
    // SAFETY: by this function's contract; what is left out is 0.
    unsafe { insist3(a, 0, 0, packed) }
}

/// The same without an argument.
///
/// # Safety
/// The call may be made.
#[inline(never)]
unsafe fn insist0(packed: u32) -> usize {
    // SAFETY: by this function's contract; what is left out is 0.
    unsafe { insist1(0, packed) }
}

/// What the word of a successful answer means.
pub trait Meaning {
    /// Reads it from the word.
    fn of(word: usize) -> Self;
}

impl Meaning for () {
    #[inline(always)]
    fn of(_: usize) {}
}

impl Meaning for u32 {
    #[inline(always)]
    fn of(word: usize) -> Self {
        word as u32
    }
}

impl Meaning for usize {
    #[inline(always)]
    fn of(word: usize) -> Self {
        word
    }
}

/// A file descriptor. It is closed by hand: the process that owns it is never far.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fd(pub i32);

impl Fd {
    /// No descriptor; any negative number is none.
    pub const NONE: Self = Self(-1);

    /// Whether this is a descriptor.
    #[inline(always)]
    #[must_use]
    pub fn is_some(self) -> bool {
        self.0 >= 0
    }

    /// The standard output.
    pub const STDOUT: Self = Self(1);
    /// The standard error output.
    pub const STDERR: Self = Self(2);
}

impl Meaning for Fd {
    #[inline(always)]
    fn of(word: usize) -> Self {
        Self(word as i32)
    }
}

/// A process ID.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pid(pub u32);

impl Pid {
    /// The first process of a PID namespace, and of the machine where it has no other.
    pub const FIRST: Self = Self(1);
    /// In the place of a process that another PID namespace has (`pid_namespaces(7)`).
    pub const NONE: Self = Self(0);
    /// Any child, where one is waited for.
    pub const ANY: Self = Self(u32::MAX);
}

impl Meaning for Pid {
    #[inline(always)]
    fn of(word: usize) -> Self {
        Self(word as u32)
    }
}

/// Which of the two processes this is after a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The new one.
    Child,
    /// The old one, with the new one's PID.
    Parent(Pid),
}

impl Meaning for Fork {
    #[inline(always)]
    fn of(word: usize) -> Self {
        if word == 0 { Self::Child } else { Self::Parent(Pid(word as u32)) }
    }
}

/// A string that a NUL ends, as the kernel passes and takes them: a `&CStr` in one word.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct ZStr<'a>(NonNull<u8>, PhantomData<&'a CStr>);

impl<'a> From<&'a CStr> for ZStr<'a> {
    fn from(string: &'a CStr) -> Self {
        Self(NonNull::from(string).cast(), PhantomData)
    }
}

impl<'a> ZStr<'a> {
    /// Takes the string at the beginning of `bytes`, with its NUL, off them; none if there is no NUL.
    #[inline(always)]
    pub fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        let string = Self(NonNull::from(*bytes).cast(), PhantomData);
        // Once the loop ends, the string ends with a NUL.
        while *bytes.split_off_first()? != 0 {}
        Some(string)
    }

    /// The string at the beginning of `bytes`, whose last one becomes a NUL.
    #[inline(always)]
    pub fn ending<const N: usize>(bytes: &'a mut [u8; N]) -> Self {
        const { assert!(N > 0) };
        bytes[N - 1] = 0;
        Self(NonNull::from(bytes).cast(), PhantomData)
    }

    /// What follows `prefix`; none if the string does not begin with it.
    #[inline(never)]
    #[must_use]
    pub fn strip_prefix(mut self, prefix: ZStr) -> Option<Self> {
        for byte in prefix {
            if self.next() != Some(byte) {
                return None;
            }
        }
        Some(self)
    }

    /// Whether there is nothing before the NUL.
    #[inline(always)]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.split_first().is_none()
    }

    /// The string's address.
    #[inline(always)]
    #[must_use]
    pub fn address(self) -> usize {
        self.0.as_ptr() as usize
    }

    /// The first byte and what follows it; none at the end.
    #[inline(always)]
    #[must_use]
    pub fn split_first(self) -> Option<(u8, Self)> {
        // SAFETY: a `ZStr` points to a byte of a string that a NUL ends.
        match unsafe { self.0.read() } {
            0 => None,
            // SAFETY: the byte was not the NUL, so the string goes on behind it.
            byte => Some((byte, Self(unsafe { self.0.add(1) }, PhantomData))),
        }
    }
}

impl PartialEq for ZStr<'_> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.strip_prefix(*other).is_some_and(Self::is_empty)
    }
}

impl Iterator for ZStr<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.split_first()?;
        *self = rest;
        Some(byte)
    }
}

/// The table of coded texts as [`Codes`] and [`Room::put_run`] may walk it: its last byte is a NUL, and behind
/// each [`RUN`] stand a byte and then at least [`RUN_ROOM`].
pub struct Table<const N: usize>([u8; N]);

impl<const N: usize> Table<N> {
    /// Takes `bytes` for one.
    ///
    /// # Panics
    /// If they are none; at compile time, where the table is made.
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        assert!(bytes[N - 1] == 0);
        let mut i = 0;
        while i < N {
            assert!(bytes[i] != RUN || i + 2 + RUN_ROOM <= N, "a run is too near to the end");
            i += 1;
        }
        Self(bytes)
    }

    /// All of it.
    #[inline(always)]
    #[must_use]
    pub const fn bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// The codes from `at` on; none from a place beyond.
    #[inline(always)]
    #[must_use]
    pub fn codes(&'static self, at: usize) -> Codes {
        // SAFETY: the place is at most that of the last byte.
        Codes(unsafe { NonNull::from(&self.0).cast().add(at.min(N - 1)) })
    }
}

/// Codes of a [`Table`], up to a NUL.
#[derive(Clone, Copy)]
pub struct Codes(NonNull<u8>);

impl Codes {
    /// The first code and what follows it; 0 at the end.
    #[inline(always)]
    #[must_use]
    pub fn split_first(self) -> (u8, Self) {
        // SAFETY: this is always the address of a byte of a table.
        let code = unsafe { self.0.read() };
        // SAFETY: a table ends with a NUL, and this was none where the address changes.
        (code, Self(unsafe { self.0.add(usize::from(code != 0)) }))
    }
}

/// Room for a line: bytes are put into it one after another; those that find no room are only counted. What it holds
/// behind them means nothing.
pub struct Room<'a> {
    begin: NonNull<u8>,
    next: *mut u8,
    /// [`RUN_ROOM`] before the end of the memory, whatever begins before it may be written as if it were so long; or null.
    end: *mut u8,
    memory: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

impl<'a> Room<'a> {
    /// All of `memory` but the last [`RUN_ROOM`] bytes; none where it has fewer.
    #[inline(always)]
    pub fn new(memory: &'a mut [MaybeUninit<u8>]) -> Self {
        let slack = memory.last_chunk_mut::<RUN_ROOM>();
        let end = slack.map_or(null_mut(), |slack| slack.as_mut_ptr().cast());
        let begin: NonNull<u8> = NonNull::from(memory).cast();
        Self { begin, next: begin.as_ptr(), end, memory: PhantomData }
    }

    /// Puts a byte.
    #[inline(never)]
    pub fn put(&mut self, byte: u8) {
        if self.next < self.end {
            // SAFETY: `next` is never before `begin`, so it is in the memory, and `end` is not null.
            unsafe { self.next.write(byte) }
        }
        self.next = self.next.wrapping_add(1);
    }

    /// Puts the first `length` of the bytes at `run`. Whatever that is, [`RUN_ROOM`] bytes are copied, without a
    /// loop: most bytes of a line come this way.
    ///
    /// # Safety
    /// There are [`RUN_ROOM`] bytes at `run`, of which the first `length` have been written.
    #[inline(always)]
    unsafe fn put_some(&mut self, run: NonNull<u8>, length: usize) {
        if self.next < self.end {
            // SAFETY: by the contract, and so much memory is behind everything before `end`.
            unsafe { self.next.cast::<[MaybeUninit<u8>; RUN_ROOM]>().write(run.cast().read()) }
        }
        self.next = self.next.wrapping_add(length);
    }

    /// Puts the run that `codes` begin with, and returns what follows it; none if that is no run.
    #[inline(always)]
    pub fn put_run(&mut self, codes: Codes) -> Option<Codes> {
        // SAFETY: this is always the address of a byte of a table.
        if unsafe { codes.0.read() } != RUN {
            return None;
        }
        // SAFETY: behind this code the table has a byte, and so much more as a table says; the length is less.
        unsafe {
            let (length, run) = (usize::from(codes.0.add(1).read()) % RUN_ROOM, codes.0.add(2));
            self.put_some(run, length);
            Some(Codes(run.add(length)))
        }
    }

    /// Puts the bytes that `bytes` gives, the last one first, at most [`RUN_ROOM`] of them.
    #[inline(always)]
    pub fn put_backwards(&mut self, mut bytes: impl FnMut() -> Option<u8>) {
        let mut memory = [MaybeUninit::<u8>::uninit(); 2 * RUN_ROOM];
        let mut left = RUN_ROOM;
        for place in memory[..RUN_ROOM].iter_mut().rev() {
            let Some(byte) = bytes() else { break };
            place.write(byte);
            left -= 1;
        }
        // SAFETY: all from there to the middle has been written, and behind the middle is as much again as the most
        // that has been.
        unsafe { self.put_some(NonNull::from(&mut memory).cast().add(left), RUN_ROOM - left) }
    }

    /// The bytes that have been put, in bytes.
    #[inline(always)]
    pub fn length(&self) -> usize {
        self.next as usize - self.begin.as_ptr() as usize
    }

    /// What has been put, if it found room.
    pub fn line(&self) -> Option<&[u8]> {
        if self.next > self.end {
            return None;
        }
        // SAFETY: all bytes from `begin` to `next` have been written.
        Some(unsafe { slice::from_raw_parts(self.begin.as_ptr(), self.length()) })
    }
}

/// Strings whose addresses a null ends, as the kernel passes a program's arguments: a `&[Cell<ZStr>]` in
/// one word. The addresses may be exchanged, whoever else walks them, but never that null.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct ZStrs<'a>(NonNull<Option<ZStr<'a>>>, PhantomData<&'a [Cell<ZStr<'a>>]>);

impl<'a> ZStrs<'a> {
    /// Those in `places` up to the first `None`; nothing if there is no `None`.
    #[must_use]
    pub fn new(places: &'a mut [Option<ZStr<'a>>]) -> Option<Self> {
        places.contains(&None).then_some(Self(NonNull::from(places).cast(), PhantomData))
    }

    /// Whether there is none.
    #[inline(always)]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.first().is_none()
    }

    /// The first one; none if there is none.
    #[inline(always)]
    #[must_use]
    pub fn first(mut self) -> Option<ZStr<'a>> {
        self.next()
    }

    /// Keeps those strings for which `keep` says so, in their order, and has them end behind the last
    /// one. `keep` may take further ones off the rest.
    ///
    /// # Errors
    /// The first that `keep` returns. The strings are in no certain order then.
    pub fn retain<E>(
        self,
        mut keep: impl FnMut(ZStr<'a>, Rest<'_, 'a>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let (mut rest, mut kept) = (self, self.0);
        while let Some(string) = rest.next() {
            if keep(string, Rest(&mut rest))? {
                // SAFETY: `rest` has left more places behind than this, and the null is in none of them.
                unsafe {
                    kept.write(Some(string));
                    kept = kept.add(1);
                }
            }
        }
        // SAFETY: `rest` has come to this place, or beyond it.
        unsafe { kept.write(None) }
        Ok(())
    }
}

impl<'a> Iterator for ZStrs<'a> {
    type Item = ZStr<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<ZStr<'a>> {
        // SAFETY: points to one of the addresses or to the null that ends them.
        let string = unsafe { self.0.read() }?;
        // SAFETY: it was not the null, so they go on behind it.
        self.0 = unsafe { self.0.add(1) };
        Some(string)
    }
}

/// Those strings to which [`ZStrs::retain`] has not yet come. It cannot be exchanged for another one's.
#[derive(Debug)]
pub struct Rest<'walk, 'a>(&'walk mut ZStrs<'a>);

impl<'a> Iterator for Rest<'_, 'a> {
    type Item = ZStr<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<ZStr<'a>> {
        self.0.next()
    }
}

/// The program's arguments, its name among them, from where the kernel put them: behind their number
/// (System V ABI, "Process Initialization").
///
/// # Safety
/// `stack` is the stack pointer with which the kernel entered the program.
#[must_use]
#[inline(always)]
pub unsafe fn arguments(stack: NonNull<usize>) -> ZStrs<'static> {
    // SAFETY: by this function's contract, addresses of strings that live as long as the program follow
    // the first word, and a null follows them; a `ZStr` is such an address.
    ZStrs(unsafe { stack.add(1).cast() }, PhantomData)
}

/// `int clock_gettime(clockid_t clock, struct timespec *now)`; any error ends the process that does this
#[inline(always)]
pub fn clock_gettime(process: Process, clock: u32) -> Timespec {
    let mut now = MaybeUninit::uninit();
    // SAFETY: writes `now`.
    let call: Call<(), 2> = unsafe { call!(clock_gettime, clock, now.as_mut_ptr()) };
    call.or_fail(process);
    // SAFETY: the call has succeeded, and so it has written all of it.
    unsafe { now.assume_init() }
}

/// `int close(int fd)`
#[inline(always)]
pub fn close(fd: Fd) -> Call<'static, (), 1> {
    // SAFETY: touches no memory.
    unsafe { call!(close, fd.0.cast_unsigned()) }
}

/// `void exit_group(int status)`
pub fn exit_group(status: u32) -> ! {
    loop {
        // SAFETY: ends the process, and so touches no memory.
        let exit: Call<(), 1> = unsafe { call!(exit_group, status) };
        // It cannot fail; the loop is for a supervisor or a debugger that makes it.
        let _ = exit.once();
    }
}

/// `int fcntl(int a, F_DUPFD_QUERY, int b)`: the value is 1 where both descriptors stand for one open file, else 0
#[inline(always)]
pub fn fcntl_dupfd_query(a: Fd, b: Fd) -> Call<'static, u32, 3> {
    // SAFETY: touches no memory.
    unsafe { call!(fcntl, a.0.cast_unsigned(), F_DUPFD_QUERY, b.0.cast_unsigned()) }
}

/// `pid_t fork(void)`
#[inline(always)]
pub fn fork() -> Call<'static, Fork, { arch::FORK }> {
    // The child goes on in a copy of the memory, as the only thread there is.
    arch::fork()
}

/// `pid_t getpid(void)`
#[inline(always)]
pub fn getpid() -> Call<'static, Pid, 0> {
    // SAFETY: touches no memory.
    unsafe { call!(getpid) }
}

/// `pid_t getppid(void)`
#[inline(always)]
pub fn getppid() -> Call<'static, Pid, 0> {
    // SAFETY: touches no memory.
    unsafe { call!(getppid) }
}

/// The knowledge that this kernel's requests and responses are no longer than [`Request`] and
/// [`Response`]: whoever has one may let the kernel write there.
#[derive(Clone, Copy)]
pub struct Fits(());

impl Fits {
    /// Compares the kernel's sizes, in bytes, with the buffers'.
    #[must_use]
    pub fn new(sizes: &seccomp_notif_sizes) -> Option<Self> {
        let fit = usize::from(sizes.seccomp_notif) <= size_of::<Request>()
            && usize::from(sizes.seccomp_notif_resp) <= size_of::<Response>();
        if fit { Some(Self(())) } else { None }
    }
}

/// `int ioctl(int terminal, TCSBRK, 1)`: waits until all that was written has been sent
/// (`tcdrain(3)`, `TCSBRK(2const)`); ENOTTY where that is no terminal
#[inline(always)]
pub fn ioctl_drain(terminal: Fd) -> Call<'static, (), 3> {
    // SAFETY: touches no memory.
    unsafe { call!(ioctl, terminal.0.cast_unsigned(), TCSBRK, 1) }
}

/// `int ioctl(int listener, SECCOMP_IOCTL_NOTIF_ID_VALID, uint64_t *id)`, with the one or the other
/// of its numbers
#[inline(always)]
pub fn ioctl_id_valid(listener: Fd, number: u32, id: &u64) -> Call<'_, (), 3> {
    // SAFETY: reads `id`; no other kind of descriptor has a request of these numbers.
    unsafe { call!(ioctl, listener.0.cast_unsigned(), number, &raw const *id) }
}

/// `int ioctl(int listener, SECCOMP_IOCTL_NOTIF_RECV, struct seccomp_notif *request)`
#[inline(always)]
pub fn ioctl_recv(_: Fits, listener: Fd, request: &mut Request) -> Call<'_, (), 3> {
    // SAFETY: reads and writes `request`, which is long enough; any bits are a value of it.
    unsafe { call!(ioctl, listener.0.cast_unsigned(), SECCOMP_IOCTL_NOTIF_RECV, &raw mut *request) }
}

/// `int ioctl(int listener, SECCOMP_IOCTL_NOTIF_SEND, struct seccomp_notif_resp *response)`
#[inline(always)]
pub fn ioctl_send(_: Fits, listener: Fd, response: &Response) -> Call<'_, (), 3> {
    // SAFETY: reads `response`, which is long enough.
    unsafe {
        call!(ioctl, listener.0.cast_unsigned(), SECCOMP_IOCTL_NOTIF_SEND, &raw const *response)
    }
}

/// `int ioctl(int fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, unsigned long flags)`: by value
#[inline(always)]
pub fn ioctl_set_flags(listener: Fd, flags: usize) -> Call<'static, (), 3> {
    // SAFETY: touches no memory; no other kind of descriptor has a request of this number.
    unsafe { call!(ioctl, listener.0.cast_unsigned(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags) }
}

/// `int kill(pid_t pid, int signal)`; signal 0 only asks whether the process is there
#[inline(always)]
pub fn kill(pid: Pid, signal: u32) -> Call<'static, (), 2> {
    // SAFETY: touches no memory of this process.
    unsafe { call!(kill, pid.0, signal) }
}

/// `int mkdir(const char *path, mode_t mode)`: the call that the filter notifies; the value is 0,
/// or what the tracer made up
#[inline(always)]
pub fn mkdir(path: ZStr<'_>, mode: u32) -> Call<'_, u32, { arch::MKDIR }> {
    arch::mkdir(path, mode)
}

/// `int mkdirat(int directory, const char *path, mode_t mode)`: the value is 0, and no
/// descriptor: the type is that of [`openat`], beside which it is a walk's last step
#[inline(always)]
pub fn mkdirat(directory: Fd, path: ZStr<'_>, mode: u32) -> Call<'_, Fd, 3> {
    // SAFETY: reads `path` up to its NUL.
    unsafe { call!(mkdirat, directory.0.cast_unsigned(), path.address(), mode) }
}

/// `void *mmap(NULL, size_t length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)`:
/// `length` bytes, to be given back by [`munmap`]
///
/// # Errors
/// As `mmap(2)` has them.
#[inline(always)]
pub fn mmap(length: usize) -> Result<&'static mut [MaybeUninit<u8>], Errno> {
    // SAFETY: the kernel chooses an address where nothing is yet.
    let mmap: Call<usize, 6> = unsafe {
        call!(mmap, null::<u8>(), length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1_isize, 0)
    };
    let address = mmap.once()?;
    // SAFETY: `length` bytes begin there, and nobody else knows of them. The kernel does not choose 0.
    Ok(unsafe {
        assert_unchecked(address != 0);
        slice::from_raw_parts_mut(address as *mut _, length)
    })
}

/// `int munmap(void *address, size_t length)`, for what [`mmap`] gave
#[inline(always)]
pub fn munmap(mapping: &'static mut [MaybeUninit<u8>]) -> Call<'static, (), 2> {
    // SAFETY: the only reference to the mapping is given up here.
    unsafe { call!(munmap, mapping.as_mut_ptr(), mapping.len()) }
}

/// `int nanosleep(const struct timespec *time, struct timespec *remaining)`: when interrupted,
/// `time` is what remains
#[inline(always)]
pub fn nanosleep(time: &mut Timespec) -> Call<'_, (), 2> {
    let time = &raw mut *time;
    // SAFETY: reads `time`, then writes it.
    unsafe { call!(nanosleep, time, time) }
}

/// `int openat(int directory, const char *path, int flags)`
#[inline(always)]
pub fn openat(directory: i32, path: ZStr<'_>, flags: u32) -> Call<'_, Fd, 3> {
    // SAFETY: reads `path` up to its NUL.
    unsafe { call!(openat, directory.cast_unsigned(), path.address(), flags) }
}

/// `int ppoll(struct pollfd *fds, nfds_t 1, NULL, NULL)`, the mask left out: waits for as long as it
/// takes; the value is the number of descriptors with an event
#[inline(always)]
pub fn ppoll(poll: &mut pollfd) -> Call<'_, (), 3> {
    // SAFETY: writes `poll`, which is one; without a mask the kernel asks for no size of it.
    unsafe { call!(ppoll, &raw mut *poll, 1, null::<u8>()) }
}

/// `int prctl(int operation, unsigned long argument, 0, 0, 0)`, for operations that take a number;
/// `PR_SET_NO_NEW_PRIVS` insists on the zeroes
#[inline(always)]
pub fn prctl(operation: u32, argument: u32) -> Call<'static, (), 2> {
    // SAFETY: the operations in `abi` take a number and touch no memory.
    unsafe { call!(prctl, operation, argument) }
}

/// `ssize_t pread(int fd, void *buffer, size_t length, off_t offset)`, as much as there is room for
#[inline(always)]
pub fn pread(fd: Fd, reading: &mut Reading, offset: u64) {
    let (buffer, length) = (reading.memory.as_mut_ptr(), reading.memory.len());
    // SAFETY: writes within the reading's memory.
    let call: Call<usize, 4> =
        unsafe { call!(pread64, fd.0.cast_unsigned(), buffer, length, offset) };
    reading.answer = call.answer();
}

/// `ssize_t process_vm_readv(pid_t pid, one local iovec, one remote iovec, 0)`, as much as there is room for
#[inline(always)]
pub fn process_vm_readv(pid: Pid, reading: &mut Reading, address: u64) {
    let (buffer, length) = (reading.memory.as_mut_ptr(), reading.memory.len());
    let local = iovec { iov_base: buffer.cast(), iov_len: length as _ };
    let remote = iovec { iov_base: address as *mut _, iov_len: length as _ };
    // SAFETY: writes within the reading's memory; the remote address is none of this process's.
    let call: Call<usize, 6> =
        unsafe { call!(process_vm_readv, pid.0, &raw const local, 1, &raw const remote, 1, 0) };
    reading.answer = call.answer_once();
}

/// `ssize_t readlinkat(int directory, const char *path, char *buffer, size_t length)`: the value is in
/// bytes; EINVAL if there is no link
#[inline(always)]
pub fn readlinkat<'a>(directory: Fd, path: ZStr<'a>, buffer: &'a mut [u8]) -> Call<'a, u32, 4> {
    let (address, length) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: reads `path` up to its NUL and writes within `buffer`.
    unsafe { call!(readlinkat, directory.0.cast_unsigned(), path.address(), address, length) }
}

/// `ssize_t recvmsg(int socket, struct msghdr *message, 0)`, for a descriptor's message: the one that came,
/// [`Fd::NONE`] if none came with it, nothing at the end of the stream; any error ends the tracer
#[inline(always)]
#[must_use]
pub fn recvmsg(socket: Fd) -> Option<Fd> {
    // SAFETY: the packed call is `recvmsg`.
    unsafe { message(socket, Fd::NONE, packed(Sysno::recvmsg, name::recvmsg, Process::TRACER)) }
}

/// Sends or receives a message that is one byte, since a stream carries no message without data, with one
/// descriptor (`cmsg(3)`): `fd` is sent, or stands for one that does not come. Returns the one that came, or was
/// sent, nothing at the end of the stream; any error ends the process that does this.
///
/// # Safety
/// The packed call is `sendmsg(2)` or `recvmsg(2)`.
#[inline(never)] // two of its kind
unsafe fn message(socket: Fd, fd: Fd, packed: u32) -> Option<Fd> {
    /// Aligned as the kernel wants it.
    #[repr(C, align(8))]
    struct Rights {
        header: cmsghdr,
        fd: Fd,
    }
    let mut rights = Rights {
        header: cmsghdr {
            // Without the padding behind the descriptor.
            cmsg_len: size_of::<cmsghdr>() + size_of::<Fd>(),
            cmsg_level: SOL_SOCKET as i32,
            cmsg_type: SCM_RIGHTS as i32,
        },
        fd,
    };
    let control = &raw mut rights;
    // The byte may be any. It comes to where the rights' header comes, not the descriptor.
    let mut data = iovec { iov_base: control.cast(), iov_len: 1 };
    let mut message = msghdr {
        msg_name: null_mut(),
        msg_namelen: 0,
        // `net::iovec` is opaque; this is the same structure.
        msg_iov: (&raw mut data).cast(),
        msg_iovlen: 1,
        msg_control: control.cast(),
        msg_controllen: size_of::<Rights>(),
        msg_flags: 0,
    };
    // SAFETY: reads `data`, and reads or writes the message and within `rights`, of which any bits are a value.
    let length = unsafe {
        insist3(socket.0.cast_unsigned() as usize, (&raw mut message) as usize, 0, packed)
    };
    if length == 0 { None } else { Some(rights.fd) }
}

/// `int rt_sigaction(int signal, const struct sigaction *action, NULL, size_t 8)`: `handler` is called
/// from then on, and calls it interrupts return EINTR; without one, the default happens
#[inline(never)] // four of its kind
pub fn rt_sigaction(process: Process, signal: u32, handler: SignalHandler) {
    let action = arch::disposition(handler);
    // SAFETY: reads `action`; the handlers of this program are ordinary functions that read constants and make
    // calls: they share nothing that changes with what they interrupt.
    let call: Call<(), 4> = unsafe {
        call!(rt_sigaction, signal, &raw const action, null::<u8>(), size_of::<kernel_sigset_t>())
    };
    call.or_fail(process);
}

/// `int rt_sigprocmask(SIG_SETMASK, const sigset_t *mask, NULL, size_t 8)`: blocks just the signals
/// whose bits are set, that of signal 1 being the lowest
#[inline(never)] // five of its kind
pub fn rt_sigprocmask(process: Process, mask: u64) {
    // SAFETY: reads `mask`, which is as long as it says.
    let call: Call<(), 4> = unsafe {
        call!(rt_sigprocmask, SIG_SETMASK, &raw const mask, null::<u8>(), size_of::<u64>())
    };
    call.or_fail(process);
}

/// `int seccomp(SECCOMP_GET_NOTIF_SIZES, 0, struct seccomp_notif_sizes *sizes)`
///
/// # Errors
/// As `seccomp(2)` has them.
#[inline(always)]
pub fn seccomp_get_notif_sizes() -> Result<seccomp_notif_sizes, Errno> {
    let mut sizes = MaybeUninit::uninit();
    // SAFETY: writes `sizes`.
    let call: Call<(), 3> =
        unsafe { call!(seccomp, SECCOMP_GET_NOTIF_SIZES, 0, sizes.as_mut_ptr()) };
    call.result()?;
    // SAFETY: the call has succeeded, and so it has written all of it.
    Ok(unsafe { sizes.assume_init() })
}

/// `int seccomp(SECCOMP_SET_MODE_FILTER, unsigned flags, struct sock_fprog *program)`: the value is
/// the listener's descriptor where the flags ask for one
///
/// # Errors
/// As `seccomp(2)` has them.
#[inline(always)]
pub fn seccomp_set_mode_filter(flags: u32, filter: &[sock_filter]) -> Result<Fd, Errno> {
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: reads `program` and the filter behind it.
    let call: Call<Fd, 3> =
        unsafe { call!(seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    call.result()
}

/// `ssize_t sendmsg(int socket, struct msghdr *message, 0)`, with `fd` in it; any error ends the target
#[inline(always)]
pub fn sendmsg(socket: Fd, fd: Fd) {
    // SAFETY: the packed call is `sendmsg`. What comes back is `fd` itself.
    unsafe { message(socket, fd, packed(Sysno::sendmsg, name::sendmsg, Process::TARGET)) };
}

/// `int setitimer(ITIMER_REAL, const struct itimerval *timer, NULL)`
#[inline(always)]
pub fn setitimer(timer: &itimerval) -> Call<'_, (), 3> {
    // SAFETY: reads `timer`.
    unsafe { call!(setitimer, ITIMER_REAL, &raw const *timer, null::<u8>()) }
}

/// `int socketpair(int domain, SOCK_STREAM | SOCK_CLOEXEC, 0, int pair[2])`
#[inline(always)]
pub fn socketpair(domain: u32, pair: &mut [Fd; 2]) -> Call<'_, (), 4> {
    // SAFETY: writes `pair`; an `Fd` is an `int`.
    unsafe { call!(socketpair, domain, SOCK_STREAM_CLOEXEC, 0, &raw mut *pair) }
}

/// `pid_t wait4(pid_t child, int *status, int options, NULL)`, the last one left out: the value is 0
/// where the options say not to wait and the child has not ended
#[inline(always)]
pub fn wait4(child: Pid, status: &mut u32, options: u32) -> Call<'_, Pid, 3> {
    // SAFETY: writes `status`.
    unsafe { call!(wait4, child.0, &raw mut *status, options) }
}

/// `ssize_t write(int fd, const void *bytes, size_t length)`: the value is in bytes
#[inline(always)]
pub fn write(fd: Fd, bytes: &[u8]) -> Call<'_, usize, 3> {
    // SAFETY: reads `bytes`.
    unsafe { call!(write, fd.0.cast_unsigned(), bytes.as_ptr(), bytes.len()) }
}
