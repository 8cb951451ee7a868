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

/// The smallest page there is; larger ones are whole multiples.
const PAGE: usize = 4_096;

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
    // SAFETY: the action is all zeros but for what is set, and the handler
    // makes system calls and touches constant thread-locals only.
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
    // SAFETY: the kernel gives a valid `info`; a page of which the kernel says
    // that there is nothing behind it is mapped anew, on a thread that has no
    // other mappings of files than libsystemd's.
    unsafe {
        if READS.get() && (*info).si_code == libc::BUS_ADRERR {
            let page = (*info).si_addr() as usize & !(PAGE - 1);
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            let mapped = libc::mmap(page as *mut libc::c_void, PAGE, libc::PROT_READ, flags, -1, 0);
            if mapped != libc::MAP_FAILED {
                WAS_CUT.set(true);
                return;
            }
        }
        // Anything else is as fatal as it was: it comes again, and ends us.
        libc::signal(signal, libc::SIG_DFL);
    }
}
