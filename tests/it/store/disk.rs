//! A real disk that is full or read-only: a small tmpfs in a mount namespace
//! of a child, which takes it along when it ends.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use tocsin::model::SavedRow;
use tocsin::store::{self, Commit, Error, Store};

use super::{KINDS, cursor, row};

const CHILD: &str = "TOCSIN_TEST_STORE_DISK";

/// Runs the test of that name once more, on a disk of that size; false where
/// this user may not mount one.
fn on_a_disk_of(kib: u32, test: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let place = CString::new(dir.path().as_os_str().as_bytes()).unwrap();
    let options = CString::new(format!("size={kib}k,mode=0700")).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("store::disk::{test}"), "--nocapture"]).env(CHILD, dir.path());
    let private = libc::MS_REC | libc::MS_PRIVATE;
    let check = |result: libc::c_int| {
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    let mount = move || {
        // SAFETY: system calls only, on strings that were made before the
        // fork and live in the closure.
        unsafe {
            check(libc::unshare(libc::CLONE_NEWNS))?;
            check(libc::mount(c"none".as_ptr(), c"/".as_ptr(), std::ptr::null(), private, std::ptr::null()))?;
            let kind = c"tmpfs".as_ptr();
            check(libc::mount(kind, place.as_ptr(), kind, 0, options.as_ptr().cast()))
        }
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(mount) };
    match command.status() {
        Ok(status) => assert!(status.success(), "the child says why"),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "no disk of our own: {error}");
            println!("skipped, no disk of our own: {error}");
            return false;
        }
    }
    true
}

fn rows(bytes: usize) -> Vec<SavedRow> {
    (0..bytes / 1000).map(|n| row("rule", &n.to_string(), Some(&"x".repeat(1000)))).collect()
}

#[test]
fn a_full_disk_refuses_a_commit_whole_and_takes_it_once_there_is_room() {
    let Some(dir) = std::env::var_os(CHILD) else {
        on_a_disk_of(1024, "a_full_disk_refuses_a_commit_whole_and_takes_it_once_there_is_room");
        return;
    };
    let dir = Path::new(&dir);
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![1; 500_000]).unwrap();
    let mut store = Store::open(dir).unwrap();
    store.commit(Commit { cursors: &[cursor("a", "1")], ..Commit::default() }).unwrap();
    let large = rows(400_000);
    let commit = Commit { saved: &large, cursors: &[cursor("a", "2")], ..Commit::default() };
    for _ in 0..3 {
        let error = store.commit(commit).unwrap_err();
        assert!(matches!(error, Error::Full { .. }) && error.may_pass(), "{error:?}");
        let loaded = store.load(KINDS).unwrap();
        assert_eq!((loaded.saved.len(), loaded.cursors["a"].0.as_str()), (0, "1"));
    }
    let error = store::backup(dir, &dir.join("copy.db")).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    assert!(!dir.join("copy.db").exists() && !dir.join("copy.db.new").exists());
    let mut memory = store.to_memory().unwrap();
    assert!(!memory.is_durable() && memory.digest_key() == store.digest_key());
    memory.commit(commit).unwrap();
    assert!(matches!(store.take_over(&memory), Err(Error::Full { .. })));
    assert_eq!(store.load(KINDS).unwrap().cursors["a"].0, "1");
    fs::remove_file(&ballast).unwrap();
    store.take_over(&memory).unwrap();
    store.commit(commit).unwrap();
    drop(store);
    let loaded = Store::open(dir).unwrap().load(KINDS).unwrap();
    assert_eq!((loaded.saved.len(), loaded.cursors["a"].0.as_str()), (400, "2"));
}

#[test]
fn a_first_start_on_a_full_disk_is_refused_and_leaves_no_half_state() {
    let Some(dir) = std::env::var_os(CHILD) else {
        on_a_disk_of(256, "a_first_start_on_a_full_disk_is_refused_and_leaves_no_half_state");
        return;
    };
    let dir = Path::new(&dir);
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![1; 210_000]).unwrap();
    let error = Store::open(dir).err().unwrap();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    assert!(!dir.join("state.db").exists());
    fs::remove_file(ballast).unwrap();
    assert!(Store::open(dir).unwrap().is_new());
}

#[test]
fn a_read_only_disk_is_an_error_with_a_remedy() {
    let Some(dir) = std::env::var_os(CHILD) else {
        on_a_disk_of(1024, "a_read_only_disk_is_an_error_with_a_remedy");
        return;
    };
    let dir = Path::new(&dir);
    let mut store = Store::open(dir).unwrap();
    store.commit(Commit { cursors: &[cursor("a", "1")], ..Commit::default() }).unwrap();
    drop(store);
    let place = CString::new(dir.as_os_str().as_bytes()).unwrap();
    // SAFETY: all strings live until the call returns.
    let remounted = unsafe {
        let flags = libc::MS_REMOUNT | libc::MS_RDONLY;
        libc::mount(c"none".as_ptr(), place.as_ptr(), std::ptr::null(), flags, std::ptr::null())
    };
    assert_eq!(remounted, 0, "{}", io::Error::last_os_error());
    let error = Store::open(dir).err().unwrap();
    assert!(matches!(error, Error::NotWritable { .. }), "{error:?}");
    assert!(error.to_string().contains("make it writable"), "{error}");
}
