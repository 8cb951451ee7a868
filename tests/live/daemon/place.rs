//! A file system of a test's own, in a mount namespace that a holder keeps:
//! small, or such as the kernel makes read-only. It goes with the holder.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A file system mounted on a folder, for those who enter.
pub struct Place {
    holder: Child,
    at: PathBuf,
}

/// Says that a test cannot run here; fails in CI.
fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot run here: {why}");
    eprintln!("skipped: {why}");
}

impl Place {
    /// In memory, of so many KiB.
    pub fn small(at: &Path, kib: u32) -> Option<Place> {
        Place::mounted(at, &format!("mount -t tmpfs -o size={kib}k,mode=0700 tmpfs '{}'", at.display()))
    }

    /// An ext4 that becomes read-only at its first error, in a file of the
    /// folder beside it.
    pub fn ext4(at: &Path) -> Option<Place> {
        let image = at.with_extension("img");
        let (image, at_text) = (image.display(), at.display());
        let make = format!(
            "truncate -s 32M '{image}' && mkfs.ext4 -q -F '{image}' && \
             mount -o loop,errors=remount-ro '{image}' '{at_text}'"
        );
        Place::mounted(at, &make)
    }

    fn mounted(at: &Path, mount: &str) -> Option<Place> {
        let script = format!("mount --make-rprivate / && {mount} && echo ready && exec cat");
        let mut holder = Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut word = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut word).unwrap();
        let place = Place { holder, at: at.to_owned() };
        if word.trim() != "ready" {
            skip("no file system of our own can be mounted (needs root)");
            return None;
        }
        Some(place)
    }

    /// The folder, seen from outside.
    pub fn path(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.at.strip_prefix("/").unwrap())
    }

    /// Runs what is to see it, in its namespace.
    pub fn enter(&self, command: &mut Command) {
        let namespace = File::open(format!("/proc/{}/ns/mnt", self.holder.id())).unwrap();
        let enter = move || {
            // SAFETY: one system call, on a descriptor that the closure owns.
            match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: the closure allocates nothing and takes no lock.
        unsafe { command.pre_exec(enter) };
    }

    /// Runs a script inside; `$PLACE` is the folder.
    #[track_caller]
    pub fn shell(&self, script: &str) {
        let mut command = Command::new("sh");
        command.args(["-e", "-c", script]).env("PLACE", &self.at);
        self.enter(&mut command);
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{script}: {said}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
