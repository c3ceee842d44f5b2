//! System calls with nothing between them and the kernel, and a child on a stack of its own.
//!
//! Between clone and exec a child may share the keeper's memory (see [`crate::child`]). There it must not write what the
//! keeper owns, and a C library's wrapper does: it stores `errno`, which lies where the keeper's own is. So what runs there
//! makes its system calls through [`call`]. Knows no process and no launch.

#![allow(unsafe_code)] // system calls by number, inline assembly, mapped memory.

use nix::errno::Errno;
use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};

/// Whether a child can share the keeper's memory: where there is no assembly for it below, it gets a copy.
pub(crate) const CAN_SHARE: bool = cfg!(target_arch = "x86_64");

/// Bytes of a child's stack; it uses a few thousand. The lowest page is a guard.
const STACK_BYTES: usize = 64 * 1024;
const GUARD_BYTES: usize = 4096;

/// What a child begins with.
pub(crate) type Entry = extern "C" fn(*mut c_void) -> !;

/// A system call, syscall(2). Arguments that it does not take are ignored.
///
/// # Safety
/// That of the system call.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn call(number: libc::c_long, arguments: [usize; 5]) -> Result<usize, Errno> {
    let [first, second, third, fourth, fifth] = arguments;
    let result: isize;
    // SAFETY: the kernel's convention for this machine (syscall(2)): it changes rax, rcx, r11 and what it is told to.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") first, in("rsi") second, in("rdx") third, in("r10") fourth, in("r8") fifth,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    outcome(result)
}

/// A system call through the C library; its `errno` is the child's own, because there a child has a copy of all memory.
///
/// # Safety
/// That of the system call.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) unsafe fn call(number: libc::c_long, arguments: [usize; 5]) -> Result<usize, Errno> {
    let [first, second, third, fourth, fifth] = arguments;
    // SAFETY: the caller's.
    let result = unsafe { libc::syscall(number, first, second, third, fourth, fifth) };
    Errno::result(result).map(|value| value as usize)
}

/// clone3(2): the child begins at `entry`, on the stack that the arguments name or else on a copy of this one.
///
/// # Safety
/// The arguments must be valid; a child that shares memory (`CLONE_VM`) needs a stack of its own, and all that it is
/// given must stay in place and be left alone until it has executed a program or ended.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn clone(arguments: &libc::clone_args, entry: Entry, argument: *mut c_void) -> Result<i32, Errno> {
    let result: isize;
    // SAFETY: as in `call`. In the child the stack is another one, so all it needs is in registers, and it never comes
    // back. It is not `nostack`: a copied stack is used from here on down.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "and rsp, -16",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") std::ptr::from_ref(arguments), in("rsi") size_of::<libc::clone_args>(),
            in("r12") argument, in("r13") entry,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    outcome(result).map(|pid| pid as i32)
}

/// The same, with a copy of this stack.
///
/// # Safety
/// The arguments must be valid, and not share memory.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) unsafe fn clone(arguments: &libc::clone_args, entry: Entry, argument: *mut c_void) -> Result<i32, Errno> {
    // SAFETY: without CLONE_VM the child goes on here with a copy of everything.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, std::ptr::from_ref(arguments), size_of::<libc::clone_args>()) };
    match Errno::result(result)? {
        0 => entry(argument),
        pid => Ok(pid as i32),
    }
}

#[cfg(target_arch = "x86_64")]
fn outcome(result: isize) -> Result<usize, Errno> {
    // The kernel's errors are -1 to -4095.
    if (-4095..0).contains(&result) { Err(Errno::from_raw(-result as i32)) } else { Ok(result as usize) }
}

/// A child's stack.
#[derive(Debug)]
pub(crate) struct Stack {
    base: NonNull<c_void>,
}

impl Stack {
    /// A new one.
    pub(crate) fn new() -> Result<Self, Errno> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let base = unsafe { libc::mmap(null_mut(), STACK_BYTES, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let stack = Self { base: NonNull::new(base).ok_or(Errno::ENOMEM)? };
        // SAFETY: the lowest page of the mapping made above.
        Errno::result(unsafe { libc::mprotect(base, GUARD_BYTES, libc::PROT_NONE) })?;
        Ok(stack)
    }

    /// Its lowest address and its length in bytes, as clone3(2) wants them.
    pub(crate) fn extent(&self) -> (u64, u64) {
        (self.base.as_ptr() as u64, STACK_BYTES as u64)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping this value owns; it is dropped when no child is on it any more.
        unsafe { libc::munmap(self.base.as_ptr(), STACK_BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_errors_are_told_apart() {
        // SAFETY: both touch no memory.
        let (pid, error) = unsafe { (call(libc::SYS_getpid, [0; 5]), call(libc::SYS_close, [usize::MAX, 0, 0, 0, 0])) };
        assert_eq!(pid, Ok(std::process::id() as usize));
        assert_eq!(error, Err(Errno::EBADF));
    }
}
