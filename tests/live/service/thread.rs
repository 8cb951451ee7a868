//! One thread of another process, held still while its other threads go on:
//! what a deadlock or an endless wait looks like from outside.

use std::io::Error;

/// A thread under ptrace, which is in force for the thread that asked for it.
pub struct HeldThread {
    thread: i32,
    is_gone: bool,
}

impl HeldThread {
    /// Stops it wherever it is.
    pub fn hold(thread: i32) -> HeldThread {
        // SAFETY: the requests read and write no memory of ours.
        unsafe {
            let none = std::ptr::null_mut::<libc::c_void>();
            let seized = libc::ptrace(libc::PTRACE_SEIZE, thread, none, none);
            assert_eq!(seized, 0, "PTRACE_SEIZE: {}", Error::last_os_error());
            let stopped = libc::ptrace(libc::PTRACE_INTERRUPT, thread, none, none);
            assert_eq!(stopped, 0, "PTRACE_INTERRUPT: {}", Error::last_os_error());
            let mut status = 0;
            assert_eq!(libc::waitpid(thread, &raw mut status, libc::__WALL), thread);
            assert!(libc::WIFSTOPPED(status), "{status:#x}");
        }
        HeldThread { thread, is_gone: false }
    }

    /// True once it was killed. Its death is told to us first, and to its
    /// parent only when we have asked: ask often.
    pub fn is_gone(&mut self) -> bool {
        if self.is_gone {
            return true;
        }
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        let told = unsafe { libc::waitpid(self.thread, &raw mut status, libc::__WALL | libc::WNOHANG) };
        self.is_gone = told == self.thread && !libc::WIFSTOPPED(status);
        self.is_gone
    }
}

impl Drop for HeldThread {
    fn drop(&mut self) {
        if !self.is_gone() {
            // Else nobody could wait for its process once it is killed.
            let none = std::ptr::null_mut::<libc::c_void>();
            // SAFETY: touches no memory of ours.
            unsafe { libc::ptrace(libc::PTRACE_DETACH, self.thread, none, none) };
        }
    }
}
