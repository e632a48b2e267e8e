//! C strings, and the program's arguments.

use core::ffi::CStr;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::slice;

/// A C string: `&CStr` in one word, as the kernel passes and takes it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct CStrRef<'a>(NonNull<u8>, PhantomData<&'a CStr>);

impl<'a> CStrRef<'a> {
    /// The string `string`.
    #[must_use]
    pub const fn new(string: &'a CStr) -> Self {
        // SAFETY: a `CStr` begins at its first byte, which is not at the null address.
        Self(unsafe { NonNull::new_unchecked(string.as_ptr().cast_mut().cast()) }, PhantomData)
    }

    /// The string at the beginning of `bytes`, and the bytes after its NUL; `None` if there is no NUL.
    #[inline(always)]
    #[must_use]
    pub fn split_from(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut rest = bytes;
        while *rest.split_off_first()? != 0 {}
        Some((Self(NonNull::from(bytes).cast(), PhantomData), rest))
    }

    /// The address of the first byte.
    #[must_use]
    pub fn as_ptr(self) -> *const u8 {
        self.0.as_ptr()
    }

    /// The first byte and the string after it; `None` at the end.
    #[inline(always)]
    #[must_use]
    pub fn split_first(self) -> Option<(u8, Self)> {
        // SAFETY: it points to a byte of a string that a NUL ends.
        match unsafe { self.0.read() } {
            0 => None,
            // SAFETY: this byte is not the NUL, so the string goes on behind it.
            byte => Some((byte, Self(unsafe { self.0.add(1) }, PhantomData))),
        }
    }

    /// Whether nothing stands before the NUL.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.split_first().is_none()
    }

    /// What follows `prefix`; `None` if the string does not begin with it.
    #[must_use]
    pub fn strip_prefix(mut self, prefix: CStrRef) -> Option<Self> {
        for byte in prefix {
            if self.next() != Some(byte) {
                return None;
            }
        }
        Some(self)
    }
}

impl PartialEq for CStrRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.strip_prefix(*other).is_some_and(Self::is_empty)
    }
}

/// The bytes before the NUL.
impl Iterator for CStrRef<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.split_first()?;
        *self = rest;
        Some(byte)
    }
}

/// The program's arguments, its name first, from where the kernel put them: argc, then the pointers
/// (System V ABI, "Process Initialization").
///
/// # Safety
/// `stack` is the stack pointer with which the kernel entered the program, and this is called once.
#[must_use]
pub unsafe fn arguments(stack: NonNull<usize>) -> &'static mut [CStrRef<'static>] {
    // SAFETY: by this function's contract argc stands there, and so many addresses of strings behind it. They
    // live as long as the program, nothing else refers to them, and a `CStrRef` is such an address.
    unsafe { slice::from_raw_parts_mut(stack.add(1).cast().as_ptr(), stack.read()) }
}
