//! Survives a journal file that is cut off while it is read.
//!
//! libsystemd maps the files. Touching a page behind the new end raises SIGBUS,
//! which would end the process, and with it every other source. So the threads
//! that read journals are marked, and on them, and on no other, the missing
//! page is replaced by one of zeros, as journald and journalctl do it for
//! themselves. What is read of such a page is not believed: [`was_cut`] says
//! that it happened, and the reader begins anew at its position.

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a page of this machine; set before the handler is.
static PAGE: AtomicUsize = AtomicUsize::new(4_096);

thread_local! {
    // Without a destructor and constant, so that a signal handler may use them.
    static READS: Cell<bool> = const { Cell::new(false) };
    static WAS_CUT: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as one that reads journals.
pub(super) fn guard() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(install);
    READS.set(true);
}

/// Whether a page was missing since the last question.
pub(super) fn was_cut() -> bool {
    WAS_CUT.replace(false)
}

fn install() {
    // SAFETY: asks for a number.
    if let Ok(bytes @ 1..) = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }) {
        PAGE.store(bytes, Ordering::Relaxed);
    }
    // SAFETY: the action is all zeros but for what is set, and the handler
    // makes system calls and touches an atomic and constant thread-locals only.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_missing_page as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut())
    };
    if result != 0 {
        log::warn!("no handler for SIGBUS: {}", std::io::Error::last_os_error());
    }
}

extern "C" fn on_missing_page(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let bytes = PAGE.load(Ordering::Relaxed);
    // SAFETY: the kernel gives a valid `info`; a page of which the kernel says
    // that there is nothing behind it is mapped anew, on a thread that reads no
    // other mappings of files than libsystemd's.
    unsafe {
        let code = (*info).si_code;
        if READS.get() && code == libc::BUS_ADRERR {
            let page = (*info).si_addr() as usize & !(bytes - 1);
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            let mapped = libc::mmap(page as *mut libc::c_void, bytes, libc::PROT_READ, flags, -1, 0);
            if mapped != libc::MAP_FAILED {
                WAS_CUT.set(true);
                return;
            }
        }
        // Anything else is as fatal as it was: the access is made again, and ends
        // us where it is. What no access of ours raised does not come again.
        libc::signal(signal, libc::SIG_DFL);
        if code <= 0 || code == libc::BUS_MCEERR_AO {
            libc::raise(signal);
        }
    }
}
